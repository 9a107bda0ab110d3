/* wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling").
 *
 * An iterator over blocks of a file-like object, and more: when an application returns it as it is,
 * and it wraps a plain file of Python's io module, the file's bytes from its current position on go
 * by sendfile. Only the io types themselves count: the fileno() of a GzipFile, say, belongs to the
 * compressed file, which is not what read() gives.
 *
 * The descriptor is duplicated, since close() of the wrapper comes before the wire has sent it all.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "py/call.h"
#include "py/wsgi.h"

enum { BLOCK_SIZE = 8192 };

struct file_wrapper {
    PyObject_HEAD PyObject *filelike;
    PyObject *block_size;
    PyObject *read; /* filelike.read, once it was asked for */
};

static struct file_wrapper *wrapper_of(PyObject *self)
{
    return (struct file_wrapper *)(void *)self;
}

static PyObject *wrapper_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    char *names[] = {"filelike", "block_size", NULL};
    PyObject *filelike;
    Py_ssize_t block_size = BLOCK_SIZE;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:FileWrapper", names, &filelike,
                                     &block_size))
        return NULL;
    if (block_size <= 0)
        return PyErr_Format(PyExc_ValueError, "block_size has to be positive, not %zd", block_size);
    struct file_wrapper *f = wrapper_of(type->tp_alloc(type, 0));
    if (!f)
        return NULL;
    f->filelike = Py_NewRef(filelike);
    f->block_size = PyLong_FromSsize_t(block_size);
    if (!f->block_size)
        Py_CLEAR(f);
    return (PyObject *)f;
}

static PyObject *wrapper_next(PyObject *self)
{
    struct file_wrapper *f = wrapper_of(self);
    if (!f->read)
        f->read = PyObject_GetAttrString(f->filelike, "read");
    PyObject *block = f->read ? PyObject_CallOneArg(f->read, f->block_size) : NULL;
    if (!block)
        return NULL;
    int more = PyObject_IsTrue(block);
    if (more <= 0)
        Py_CLEAR(block);
    return block;
}

static PyObject *wrapper_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *close = PyObject_GetAttrString(wrapper_of(self)->filelike, "close");
    if (!close && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    PyObject *result = close ? PyObject_CallNoArgs(close) : NULL;
    Py_XDECREF(close);
    return result;
}

static int wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(wrapper_of(self)->filelike);
    Py_VISIT(wrapper_of(self)->read);
    return 0;
}

static int wrapper_clear(PyObject *self)
{
    Py_CLEAR(wrapper_of(self)->filelike);
    Py_CLEAR(wrapper_of(self)->block_size);
    Py_CLEAR(wrapper_of(self)->read);
    return 0;
}

static void wrapper_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    wrapper_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- By sendfile ---- */

struct range {
    int fd;
    int64_t offset, size;
};

/* Whether what read() gives is what the descriptor has. Returns 1, 0, or -1 with an exception. */
static int is_plain(const struct state *s, PyObject *file)
{
    if (Py_IS_TYPE(file, s->file))
        return 1;
    if (!Py_IS_TYPE(file, s->reader) && !Py_IS_TYPE(file, s->random))
        return 0;
    PyObject *raw = PyObject_GetAttr(file, s->raw);
    if (!raw)
        return -1;
    int plain = Py_IS_TYPE(raw, s->file);
    Py_DECREF(raw);
    return plain;
}

/* Calls a method that takes nothing and returns a number, as tell() does; -1 with an exception. */
static int64_t ask(PyObject *file, PyObject *method)
{
    PyObject *answer = PyObject_CallMethodNoArgs(file, method);
    int64_t n = answer ? PyLong_AsLongLong(answer) : -1;
    Py_XDECREF(answer);
    return n;
}

/* What was written to a file that can be both read and written has to be in it first. */
static int settle(const struct state *s, PyObject *file)
{
    if (!Py_IS_TYPE(file, s->random))
        return 0;
    PyObject *done = PyObject_CallMethodNoArgs(file, s->flush);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Finds the bytes from the file's position to its end. Returns 1, 0 when it is no real file and has
 * to be read, or -1 with an exception. range->fd is a duplicate. */
static int find_range(const struct state *s, PyObject *file, struct range *range)
{
    int plain = is_plain(s, file);
    if (plain <= 0)
        return plain;
    struct stat st;
    int64_t fd = ask(file, s->fileno);
    if (fd < 0)
        return -1;
    if (fstat((int)fd, &st) || !S_ISREG(st.st_mode))
        return 0;
    if (settle(s, file) || (range->offset = ask(file, s->tell)) < 0 || fstat((int)fd, &st))
        return -1;
    range->size = st.st_size > range->offset ? st.st_size - range->offset : 0;
    range->fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
    if (range->fd < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return range->fd < 0 ? -1 : 1;
}

/* A length that the application announced may end before the file does: it sends a part of it. */
static enum outcome send_range(struct call *c, struct range range)
{
    if (c->length >= 0 && range.size > c->length - c->sent)
        range.size = c->length - c->sent;
    int err = response_start(c, range.size);
    if (err == 0 && range.size)
        err = response_file(c, range.fd, range.offset, range.size);
    else
        close(range.fd);
    return err < 0 ? LOST : WENT_WELL;
}

enum outcome file_wrapper_send(struct call *c, PyObject *wrapper)
{
    struct range range = {.fd = -1};
    if (c->stage == CALL_OPEN) {
        PyErr_SetString(PyExc_AssertionError, "the application did not call start_response");
        return RAISED;
    }
    int found = find_range(c->wsgi->state, wrapper_of(wrapper)->filelike, &range);
    if (found < 0)
        return RAISED;
    return found ? send_range(c, range) : body_iterate(c, wrapper, false, true);
}

static PyMethodDef wrapper_methods[] = {
    {"close", wrapper_close, METH_NOARGS, "close()\n--\n\nClose the file, if it can be closed."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot wrapper_slots[] = {
    {Py_tp_doc, "FileWrapper(filelike, block_size=8192)\n--\n\n"
                "The blocks of a file; sent by sendfile where it is a real one (PEP 3333)."},
    {Py_tp_new, wrapper_make},
    {Py_tp_dealloc, wrapper_dealloc},
    {Py_tp_traverse, wrapper_traverse},
    {Py_tp_clear, wrapper_clear},
    {Py_tp_methods, wrapper_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, wrapper_next},
    {0, NULL},
};

static PyType_Spec wrapper_spec = {
    .name = "penstock._core.FileWrapper",
    .basicsize = sizeof(struct file_wrapper),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = wrapper_slots,
};

PyTypeObject *file_wrapper_type(PyObject *module)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &wrapper_spec, NULL);
}
