/* wsgi.input: the request's body as a file (PEP 3333, "Input and Error Streams").
 *
 * The body is in memory, whole, before the application is called, so nothing here waits. It points
 * into the exchange; when the call ends it is detached, and what the application reads later raises
 * ValueError, as a closed file does. An object that nobody kept serves the next call. Holds no
 * reference, so it needs no cyclic collection. */
#include "py/call.h"
#include "py/wsgi.h"

struct input {
    PyObject_HEAD const char *at, *end; /* what is still to be read */
    bool attached;
};

static struct input *input_of(PyObject *self)
{
    return (struct input *)(void *)self;
}

static bool ready(const struct input *in)
{
    if (!in->attached)
        PyErr_SetString(PyExc_ValueError, "wsgi.input was used after its request had ended");
    return in->attached;
}

/* The one optional argument of read() and its like: None and negative numbers mean no limit, -1. */
static bool limit(PyObject *const *args, Py_ssize_t count, Py_ssize_t *out)
{
    *out = -1;
    if (count > 1) {
        PyErr_Format(PyExc_TypeError, "at most 1 argument is taken, not %zd", count);
        return false;
    }
    if (count == 0 || args[0] == Py_None)
        return true;
    *out = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (*out == -1 && PyErr_Occurred())
        return false;
    if (*out < 0)
        *out = -1;
    return true;
}

/* Takes the next `size` bytes, or all that are left when there are fewer or size is negative. */
static PyObject *take(struct input *in, Py_ssize_t size)
{
    Py_ssize_t left = in->end - in->at;
    if (size < 0 || size > left)
        size = left;
    PyObject *bytes = PyBytes_FromStringAndSize(in->at, size);
    if (bytes)
        in->at += size;
    return bytes;
}

/* Takes the next line with its end, or `size` bytes of it. */
static PyObject *take_line(struct input *in, Py_ssize_t size)
{
    Py_ssize_t left = in->end - in->at;
    if (size < 0 || size > left)
        size = left;
    const char *newline = size ? memchr(in->at, '\n', (size_t)size) : NULL;
    return take(in, newline ? newline + 1 - in->at : size);
}

static PyObject *input_read(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t size;
    if (!limit(args, count, &size) || !ready(input_of(self)))
        return NULL;
    return take(input_of(self), size);
}

static PyObject *input_readline(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t size;
    if (!limit(args, count, &size) || !ready(input_of(self)))
        return NULL;
    return take_line(input_of(self), size);
}

static int append_line(struct input *in, PyObject *lines, Py_ssize_t *total)
{
    PyObject *line = take_line(in, -1);
    if (!line)
        return -1;
    *total += PyBytes_GET_SIZE(line);
    int err = PyList_Append(lines, line);
    Py_DECREF(line);
    return err;
}

/* The hint is a number of bytes after which no further line is begun; 0 means none, as in Python's
 * own files. */
static PyObject *input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct input *in = input_of(self);
    Py_ssize_t hint, total = 0;
    if (!limit(args, count, &hint) || !ready(in))
        return NULL;
    PyObject *lines = PyList_New(0);
    while (lines && in->at < in->end && (hint <= 0 || total < hint))
        if (append_line(in, lines, &total))
            Py_CLEAR(lines);
    return lines;
}

static PyObject *input_next(PyObject *self)
{
    struct input *in = input_of(self);
    if (!ready(in) || in->at == in->end)
        return NULL;
    return take_line(in, -1);
}

static void input_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL,
     "read(size=-1, /)\n--\n\nReturn at most size bytes of the request's body, all by default."},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL,
     "readline(size=-1, /)\n--\n\nReturn the next line with its end, at most size bytes of it."},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL,
     "readlines(hint=-1, /)\n--\n\nReturn a list of lines, of about hint bytes if it is positive."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot input_slots[] = {
    {Py_tp_doc, "The body of a request (PEP 3333, wsgi.input)."},
    {Py_tp_dealloc, input_dealloc},
    {Py_tp_methods, input_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, input_next},
    {0, NULL},
};

static PyType_Spec input_spec = {
    .name = "penstock._core.Input",
    .basicsize = sizeof(struct input),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = input_slots,
};

PyTypeObject *input_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &input_spec, NULL);
}

PyObject *input_new(struct wsgi *w, struct slice body)
{
    struct input *in = input_of(w->input);
    w->input = NULL;
    if (!in)
        in = PyObject_New(struct input, w->state->input);
    if (!in)
        return NULL;
    in->at = body.ptr;
    in->end = body.len ? body.ptr + body.len : body.ptr;
    in->attached = true;
    return (PyObject *)in;
}

void input_detach(struct wsgi *w, PyObject *input)
{
    struct input *in = input_of(input);
    in->at = in->end = NULL;
    in->attached = false;
    if (Py_REFCNT(input) == 1 && !w->input)
        w->input = input;
    else
        Py_DECREF(input);
}
