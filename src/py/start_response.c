/* start_response and the write() that it returns (PEP 3333, "The start_response() Callable").
 *
 * Both are callables that point to their call. When the call ends they are detached: an application
 * that kept one and calls it later gets RuntimeError. The pair serves the next call if nobody kept
 * it. start holds write and write holds nothing, so that there can be no cycle. */
#include "py/call.h"
#include "py/wsgi.h"

struct write {
    PyObject_HEAD vectorcallfunc vectorcall;
    struct call *call; /* NULL: detached */
};

struct start {
    PyObject_HEAD vectorcallfunc vectorcall;
    struct call *call;        /* NULL: detached */
    struct write *write;      /* made when it is first asked for */
    PyTypeObject *write_type; /* borrowed from the module, which this type keeps */
};

static PyObject *over(const char *what)
{
    PyErr_Format(PyExc_RuntimeError, "%s was called after its request had ended", what);
    return NULL;
}

/* write(bytes): the head if it is still to be sent, and the bytes, at once. By the call's own
 * thread: while it waits for the client, the call of another could end. */
static PyObject *write_call(PyObject *self, PyObject *const *args, size_t flags, PyObject *names)
{
    struct call *c = ((struct write *)(void *)self)->call;
    if (!c)
        return over("write()");
    if (PyVectorcall_NARGS(flags) != 1 || (names && PyTuple_GET_SIZE(names))) {
        PyErr_SetString(PyExc_TypeError, "write() takes exactly one argument");
        return NULL;
    }
    if (c->thread != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError, "write() can be called only by the thread in which "
                                            "the application was called");
        return NULL;
    }
    if (!PyBytes_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "write() takes bytes, not %s", Py_TYPE(args[0])->tp_name);
        return NULL;
    }
    bool sent =
        response_start(c, -1) == 0 && response_bytes(c, args[0]) == 0 && response_flush(c) == 0;
    call_away(c);
    if (sent)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_ConnectionResetError, "the client is gone");
    return NULL;
}

/* Raises again what exc_info has: there is no other head to send. Always returns -1. */
static int reraise(PyObject *info)
{
    PyObject *value = PyTuple_GET_ITEM(info, 1), *traceback = PyTuple_GET_ITEM(info, 2);
    if (!PyExceptionInstance_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "exc_info[1] is no exception");
        return -1;
    }
    if (PyTraceBack_Check(traceback))
        PyException_SetTraceback(value, traceback);
    PyErr_SetObject((PyObject *)Py_TYPE(value), value);
    return -1;
}

/* Whether start_response may be called now: 0, or -1 with an exception. `info` is NULL when there
 * is none. */
static int allowed(const struct call *c, PyObject *info)
{
    if (info && (!PyTuple_Check(info) || PyTuple_GET_SIZE(info) != 3)) {
        PyErr_SetString(PyExc_TypeError, "exc_info has to be a tuple as sys.exc_info() returns it");
        return -1;
    }
    switch (c->stage) {
    case CALL_OPEN: return 0;
    case CALL_HEADED:
        if (info)
            return 0;
        break;
    case CALL_STARTED:
    case CALL_LOST:
        if (info)
            return reraise(info);
        break;
    }
    PyErr_SetString(PyExc_AssertionError, "start_response was called twice without exc_info");
    return -1;
}

static PyObject *write_of(struct start *s)
{
    if (!s->write) {
        s->write = PyObject_New(struct write, s->write_type);
        if (!s->write)
            return NULL;
        s->write->vectorcall = write_call;
    }
    s->write->call = s->call;
    return Py_NewRef((PyObject *)s->write);
}

/* Finds the arguments: three by position, of which exc_info may also be given by name. Returns it,
 * Py_None when it was left out, or NULL with an exception. */
static PyObject *exc_info_of(PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    bool by_name =
        named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "exc_info") == 0;
    if (count == 2 && named == 0)
        return Py_None;
    if ((count == 3 && named == 0) || (count == 2 && by_name))
        return args[2];
    PyErr_SetString(PyExc_TypeError,
                    "start_response takes a status, a list of headers and, perhaps, exc_info");
    return NULL;
}

static PyObject *start_call(PyObject *self, PyObject *const *args, size_t flags, PyObject *names)
{
    struct start *s = (struct start *)(void *)self;
    PyObject *info = exc_info_of(args, PyVectorcall_NARGS(flags), names);
    if (!info)
        return NULL;
    if (!s->call)
        return over("start_response");
    if (allowed(s->call, info == Py_None ? NULL : info) || response_head(s->call, args[0], args[1]))
        return NULL;
    return write_of(s);
}

static void write_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static void start_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF((PyObject *)((struct start *)(void *)self)->write);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMemberDef write_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct write, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef start_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct start, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot write_slots[] = {
    {Py_tp_doc, "write(bytes, /)\n--\n\nSend bytes of the response at once (PEP 3333)."},
    {Py_tp_dealloc, write_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, write_members},
    {0, NULL},
};

static PyType_Slot start_slots[] = {
    {Py_tp_doc, "start_response(status, headers, exc_info=None, /)\n--\n\n"
                "Take the response's head and return write() (PEP 3333)."},
    {Py_tp_dealloc, start_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, start_members},
    {0, NULL},
};

enum {
    CALLABLE = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION |
               Py_TPFLAGS_IMMUTABLETYPE,
};

static PyType_Spec write_spec = {
    .name = "penstock._core.Write",
    .basicsize = sizeof(struct write),
    .flags = CALLABLE,
    .slots = write_slots,
};

static PyType_Spec start_spec = {
    .name = "penstock._core.StartResponse",
    .basicsize = sizeof(struct start),
    .flags = CALLABLE,
    .slots = start_slots,
};

PyTypeObject *write_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &write_spec, NULL);
}

PyTypeObject *start_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &start_spec, NULL);
}

PyObject *start_new(struct wsgi *w, struct call *c)
{
    struct start *s = (struct start *)(void *)w->start;
    w->start = NULL;
    if (!s) {
        s = PyObject_New(struct start, w->state->start);
        if (!s)
            return NULL;
        s->vectorcall = start_call;
        s->write = NULL;
        s->write_type = w->state->write;
    }
    s->call = c;
    return (PyObject *)s;
}

void start_detach(struct wsgi *w, PyObject *start)
{
    struct start *s = (struct start *)(void *)start;
    s->call = NULL;
    if (s->write) {
        s->write->call = NULL;
        if (Py_REFCNT(s->write) > 1)
            Py_CLEAR(s->write);
    }
    if (Py_REFCNT(start) == 1 && !w->start)
        w->start = start;
    else
        Py_DECREF(start);
}
