/* wsgi.errors: text of the application, into the error log (PEP 3333, "Input and Error Streams").
 *
 * One object serves all requests of a process: logging handlers keep it, so what is written between
 * requests or in another thread goes to the log, too. Text gathers until a write ends its line, or
 * flush() is called, or it becomes long; it is then one event, with the id of the request at hand.
 * Several lines stay together as a block. */
#include "base/buf.h"
#include "py/call.h"
#include "py/wsgi.h"

enum { TEXT_CAP = 64 * 1024 };

struct errors {
    PyObject_HEAD struct voice *voice;
    struct buf text;
};

static struct errors *errors_of(PyObject *self)
{
    return (struct errors *)(void *)self;
}

static void log_text(struct errors *e, struct slice text)
{
    struct log *log = e->voice->log;
    char id[EXCHANGE_ID + 1];
    const struct exchange *x = PyThread_tss_get(&e->voice->speaking);
    struct slice name = x ? exchange_name(x, id) : SLICE("-");
    if (memchr(text.ptr, '\n', text.len))
        log_event(log, LOG_ERROR, "wsgi.errors", LOG_SLICE("id", name), LOG_LINES("text", text));
    else
        log_event(log, LOG_ERROR, "wsgi.errors", LOG_SLICE("id", name), LOG_SLICE("text", text));
}

/* Makes an event of what has gathered. */
static void emit(struct errors *e)
{
    struct slice text = buf_bytes(&e->text);
    while (text.len && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len)
        log_text(e, text);
    buf_take(&e->text, buf_len(&e->text));
}

/* Gathers `text`; a piece that is longer than the buffer is logged in parts. */
static void gather(struct errors *e, struct slice text)
{
    while (text.len) {
        size_t n = text.len < TEXT_CAP / 2 ? text.len : TEXT_CAP / 2;
        if (buf_put(&e->text, slice_of(text.ptr, n))) {
            emit(e);
            if (buf_put(&e->text, slice_of(text.ptr, n)))
                return;
        }
        text = slice_skip(text, n);
        if (text.len == 0 && text.ptr[-1] == '\n')
            emit(e);
    }
}

static int write_text(struct errors *e, PyObject *text)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "wsgi.errors takes str, not %s", Py_TYPE(text)->tp_name);
        return -1;
    }
    PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (!bytes)
        return -1;
    gather(e, slice_of(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)));
    Py_DECREF(bytes);
    return 0;
}

static PyObject *errors_write(PyObject *self, PyObject *text)
{
    if (write_text(errors_of(self), text))
        return NULL;
    return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

static PyObject *errors_writelines(PyObject *self, PyObject *lines)
{
    PyObject *iterator = PyObject_GetIter(lines), *line;
    if (!iterator)
        return NULL;
    while ((line = PyIter_Next(iterator))) {
        int err = write_text(errors_of(self), line);
        Py_DECREF(line);
        if (err)
            break;
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *errors_flush(PyObject *self, PyObject *unused)
{
    (void)unused;
    emit(errors_of(self));
    Py_RETURN_NONE;
}

static void errors_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    emit(errors_of(self));
    buf_free(&errors_of(self)->text);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef errors_methods[] = {
    {"write", errors_write, METH_O, "write(text, /)\n--\n\nWrite text to the error log."},
    {"writelines", errors_writelines, METH_O,
     "writelines(lines, /)\n--\n\nWrite each of the texts."},
    {"flush", errors_flush, METH_NOARGS, "flush()\n--\n\nWrite a line that has not ended yet."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot errors_slots[] = {
    {Py_tp_doc, "Text into the server's error log (PEP 3333, wsgi.errors)."},
    {Py_tp_dealloc, errors_dealloc},
    {Py_tp_methods, errors_methods},
    {0, NULL},
};

static PyType_Spec errors_spec = {
    .name = "penstock._core.Errors",
    .basicsize = sizeof(struct errors),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = errors_slots,
};

PyTypeObject *errors_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &errors_spec, NULL);
}

PyObject *errors_new(PyTypeObject *type, struct voice *voice)
{
    struct errors *e = PyObject_New(struct errors, type);
    if (!e)
        return NULL;
    e->voice = voice;
    buf_init(&e->text, TEXT_CAP);
    return (PyObject *)e;
}
