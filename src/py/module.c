/* penstock._core: the extension module, and the way from Python into a worker's or template's life.
 *
 * Multi-phase initialisation with module state and heap types; nothing is static, so that the
 * module can be imported more than once. What it offers is for penstock/_boot.py alone. */
#include <stdlib.h>

#include "py/process.h"
#include "py/state.h"
#include "py/template.h"
#include "py/title.h"
#include "py/worker.h"

enum { CHANNEL = 3 }; /* the descriptor the master leaves its children */

static int run(PyObject *module, PyObject *load, PyObject *look)
{
    struct process *p = calloc(1, sizeof *p); /* never freed: see worker.c */
    int status = p ? process_begin(p, CHANNEL) : EXIT_START;
    if (status)
        return status;
    if (!p->setup.worker)
        return template_run(&(struct template_setup){p, module, load, look});
    return worker_run(&(struct worker_setup){.process = p, .module = module, .load = load});
}

static PyObject *serve(PyObject *module, PyObject *args)
{
    const char *role;
    PyObject *load, *look;
    char title[64];
    if (!PyArg_ParseTuple(args, "sOO:serve", &role, &load, &look))
        return NULL;
    snprintf(title, sizeof title, "penstock: %s starts", role);
    title_set(title);
    return PyLong_FromLong(run(module, load, look));
}

static PyMethodDef methods[] = {
    {"serve", serve, METH_VARARGS,
     "serve(role, load, look, /)\n--\n\n"
     "Live as a worker or template on the channel of descriptor 3; return the exit status."},
    {NULL, NULL, 0, NULL},
};

/* ---- State ---- */

static int make_types(PyObject *module, struct state *s)
{
    s->input = input_type(module);
    s->errors = errors_type(module);
    s->start = start_type(module);
    s->write = write_type(module);
    s->file_wrapper = file_wrapper_type(module);
    if (!s->input || !s->errors || !s->start || !s->write || !s->file_wrapper)
        return -1;
    return PyModule_AddType(module, s->file_wrapper);
}

static int find_file_types(struct state *s)
{
    PyObject *io = PyImport_ImportModule("_io");
    if (!io)
        return -1;
    s->file = (PyTypeObject *)PyObject_GetAttrString(io, "FileIO");
    s->reader = (PyTypeObject *)PyObject_GetAttrString(io, "BufferedReader");
    s->random = (PyTypeObject *)PyObject_GetAttrString(io, "BufferedRandom");
    Py_DECREF(io);
    return s->file && s->reader && s->random ? 0 : -1;
}

static int module_exec(PyObject *module)
{
    struct state *s = PyModule_GetState(module);
#define X(name)                                                                                    \
    if (!(s->name = PyUnicode_InternFromString(#name)))                                            \
        return -1;
    ATTRIBUTE_MAP(X)
#undef X
    return make_types(module, s) || find_file_types(s) ? -1 : 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct state *s = PyModule_GetState(module);
    Py_VISIT(s->input);
    Py_VISIT(s->errors);
    Py_VISIT(s->start);
    Py_VISIT(s->write);
    Py_VISIT(s->file_wrapper);
    Py_VISIT(s->file);
    Py_VISIT(s->reader);
    Py_VISIT(s->random);
    return 0;
}

static int module_clear(PyObject *module)
{
    struct state *s = PyModule_GetState(module);
    Py_CLEAR(s->input);
    Py_CLEAR(s->errors);
    Py_CLEAR(s->start);
    Py_CLEAR(s->write);
    Py_CLEAR(s->file_wrapper);
    Py_CLEAR(s->file);
    Py_CLEAR(s->reader);
    Py_CLEAR(s->random);
#define X(name) Py_CLEAR(s->name);
    ATTRIBUTE_MAP(X)
#undef X
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock._core",
    .m_doc = "Workers and templates of Penstock.",
    .m_size = sizeof(struct state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
