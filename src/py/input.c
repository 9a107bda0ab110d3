/* wsgi.input: the request's body as a file (PEP 3333, "Input and Error Streams").
 *
 * A body that is in memory is read where it is. A larger one is in a file, and with
 * request-buffering = false it is still on its way: then there is a window, a block of bytes that
 * were read ahead, and what is asked for beyond it is read into the result. Both are read without
 * the GIL, under a lock, so that no other thread of the application finds the object in between.
 *
 * It points into the exchange; when the call ends it is detached, and what the application reads
 * later raises ValueError, as a closed file does. An object that nobody kept serves the next call.
 * Holds no reference, so it needs no cyclic collection. */
#include <errno.h>
#include <unistd.h>

#include "py/call.h"
#include "py/wsgi.h"

enum { BLOCK = 64 * 1024 };

enum source { FROM_MEMORY, FROM_FILE, FROM_CLIENT };

struct input {
    PyObject_HEAD const char *at, *end; /* what is here, still to be read */
    bool attached;
    enum source source;      /* of what comes behind it */
    int64_t left;            /* how much that is: 0 in memory, -1 when it is not known */
    int64_t offset;          /* where it begins in the file */
    struct call *call;       /* whose body it is */
    unsigned long thread;    /* of the call: it alone may read from the client */
    char *block;             /* the window's memory; not for FROM_MEMORY, like the lock */
    PyThread_type_lock lock; /* held while something is read from the source */
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

/* ---- The source ---- */

/* What went wrong with the body becomes an exception; the call answers for it if the application
 * lets it pass. */
static int body_failed(struct input *in, int err)
{
    PyObject *type = PyExc_OSError;
    if (err == -ERR_BODY_TIMEOUT || err == -ERR_CONNECTION_TIMEOUT)
        type = PyExc_TimeoutError;
    else if (err == -ERR_CLOSED)
        type = PyExc_ConnectionResetError;
    in->call->body_error = err;
    PyErr_SetString(type, err_text(err));
    return -1;
}

/* Begins to read from the source: nobody else does until source_unlock(). False with an exception.
 */
static bool source_lock(struct input *in)
{
    if (in->source == FROM_CLIENT && in->thread != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "without request-buffering, wsgi.input can be read only by the thread "
                        "in which the application was called");
        return false;
    }
    if (!PyThread_acquire_lock(in->lock, NOWAIT_LOCK)) {
        Py_BEGIN_ALLOW_THREADS;
        PyThread_acquire_lock(in->lock, WAIT_LOCK);
        Py_END_ALLOW_THREADS;
    }
    if (ready(in))
        return true;
    PyThread_release_lock(in->lock);
    return false;
}

static void source_unlock(struct input *in)
{
    PyThread_release_lock(in->lock);
}

static ssize_t read_file(struct input *in, char *out, size_t size)
{
    ssize_t n;
    do
        n = pread(in->call->x->body.fd, out, size, in->offset);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        errno = EIO; /* it is ours, and nobody makes it shorter */
    return n > 0 ? n : -1;
}

/* Reads up to `size` bytes; 0 at the end, -1 with an exception. Under the lock. */
static Py_ssize_t source_read(struct input *in, char *out, size_t size)
{
    struct exchange *x = in->call->x;
    Py_ssize_t n;
    if (in->left == 0)
        return 0;
    if (in->left > 0 && size > (uint64_t)in->left)
        size = (size_t)in->left;
    Py_BEGIN_ALLOW_THREADS;
    n = in->source == FROM_FILE ? read_file(in, out, size) : x->wire->read(x, out, size);
    Py_END_ALLOW_THREADS;
    if (n < 0 && in->source == FROM_FILE)
        PyErr_SetFromErrno(PyExc_OSError);
    else if (n < 0)
        body_failed(in, (int)n);
    if (n <= 0)
        return n;
    in->offset += n;
    in->left -= in->left > 0 ? n : 0;
    return n;
}

/* Makes sure that something is here. Returns 1, 0 at the end of the body, or -1 with an exception.
 */
static int refill(struct input *in)
{
    if (in->at < in->end)
        return 1;
    if (in->left == 0)
        return 0;
    if (!source_lock(in))
        return -1;
    if (in->at < in->end) {
        source_unlock(in); /* another thread was faster */
        return 1;
    }
    Py_ssize_t n = source_read(in, in->block, BLOCK);
    if (n > 0) {
        in->at = in->block;
        in->end = in->block + n;
    }
    source_unlock(in);
    return n > 0 ? 1 : (int)n;
}

/* The next bytes, at most `size`, into `out`: little through the window, much at once. Returns how
 * many, 0 at the end, -1 with an exception. */
static Py_ssize_t read_into(struct input *in, char *out, Py_ssize_t size)
{
    if (in->at == in->end && size >= BLOCK) {
        if (!source_lock(in))
            return -1;
        Py_ssize_t n = source_read(in, out, (size_t)size);
        source_unlock(in);
        return n;
    }
    int rc = refill(in);
    if (rc <= 0)
        return rc;
    Py_ssize_t here = in->end - in->at;
    size = size < here ? size : here;
    memcpy(out, in->at, (size_t)size);
    in->at += size;
    return size;
}

/* ---- What is taken ---- */

/* Takes `want` bytes or all there are, more than are here. What a client only announced gets no
 * memory before it comes. */
static PyObject *gather(struct input *in, Py_ssize_t want)
{
    Py_ssize_t have = 0, room = in->source == FROM_FILE || want < BLOCK ? want : BLOCK;
    PyObject *out = PyBytes_FromStringAndSize(NULL, room);
    while (out && have < want) {
        if (have == room) {
            room = room > want / 2 ? want : room * 2;
            if (_PyBytes_Resize(&out, room))
                return NULL;
        }
        Py_ssize_t n = read_into(in, PyBytes_AS_STRING(out) + have, room - have);
        if (n < 0)
            Py_CLEAR(out);
        if (n <= 0)
            break;
        have += n;
    }
    if (out && have < room)
        _PyBytes_Resize(&out, have);
    return out;
}

/* Takes the next `size` bytes, or all that are left when there are fewer or size is negative. */
static PyObject *take(struct input *in, Py_ssize_t size)
{
    Py_ssize_t here = in->end - in->at, most = PY_SSIZE_T_MAX;
    if (in->left >= 0)
        most = here + (Py_ssize_t)in->left;
    if (size < 0 || size > most)
        size = most;
    if (size > here)
        return gather(in, size);
    PyObject *bytes = PyBytes_FromStringAndSize(in->at, size);
    if (bytes)
        in->at += size;
    return bytes;
}

/* Never made from the bytes themselves: then a single one would be shared, and not ours to grow. */
static int append(PyObject **line, const char *bytes, Py_ssize_t n)
{
    Py_ssize_t have = *line ? PyBytes_GET_SIZE(*line) : 0;
    if (!*line)
        *line = PyBytes_FromStringAndSize(NULL, n);
    else
        _PyBytes_Resize(line, have + n);
    if (*line)
        memcpy(PyBytes_AS_STRING(*line) + have, bytes, (size_t)n);
    return *line ? 0 : -1;
}

/* Takes the next line with its end, or `size` bytes of it. */
static PyObject *take_line(struct input *in, Py_ssize_t size)
{
    PyObject *line = NULL;
    Py_ssize_t left = size < 0 ? PY_SSIZE_T_MAX : size;
    const char *newline = NULL;
    while (left > 0 && !newline) {
        int rc = refill(in);
        if (rc < 0)
            Py_CLEAR(line);
        if (rc < 0)
            return NULL;
        if (rc == 0)
            break;
        Py_ssize_t n = in->end - in->at < left ? in->end - in->at : left;
        newline = memchr(in->at, '\n', (size_t)n);
        n = newline ? newline + 1 - in->at : n;
        if (append(&line, in->at, n))
            return NULL;
        in->at += n;
        left -= n;
    }
    return line ? line : PyBytes_FromStringAndSize(NULL, 0);
}

/* ---- Methods ---- */

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
    int more = lines && (hint <= 0 || total < hint) ? refill(in) : 0;
    while (more > 0) {
        more = append_line(in, lines, &total) ? -1 : 0;
        if (more == 0 && (hint <= 0 || total < hint))
            more = refill(in);
    }
    if (more < 0)
        Py_CLEAR(lines);
    return lines;
}

static PyObject *input_next(PyObject *self)
{
    struct input *in = input_of(self);
    if (!ready(in) || refill(in) <= 0)
        return NULL;
    return take_line(in, -1);
}

static void input_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (input_of(self)->lock)
        PyThread_free_lock(input_of(self)->lock);
    PyMem_Free(input_of(self)->block);
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

/* What a source other than memory needs. Returns 0, or -1 with an exception. */
static int add_window(struct input *in)
{
    in->block = PyMem_Malloc(BLOCK);
    if (!in->lock)
        in->lock = PyThread_allocate_lock();
    if (in->block && in->lock)
        return 0;
    PyErr_NoMemory();
    return -1;
}

static int set_source(struct input *in, struct call *c)
{
    const struct exchange *x = c->x;
    in->call = c;
    in->at = in->end = NULL;
    in->left = x->body.length;
    in->source = x->body.fd >= 0 ? FROM_FILE : FROM_MEMORY;
    if (!x->handler->ops->whole_body && x->request.length != 0) {
        in->source = FROM_CLIENT;
        in->left = x->request.length;
        in->thread = c->thread;
    }
    if (in->source != FROM_MEMORY)
        return add_window(in);
    in->left = 0;
    in->at = x->body.bytes.ptr;
    in->end = x->body.length ? in->at + x->body.length : in->at;
    return 0;
}

static struct input *input_make(PyTypeObject *type)
{
    struct input *in = PyObject_New(struct input, type);
    if (!in)
        return NULL;
    in->block = NULL;
    in->lock = NULL;
    return in;
}

PyObject *input_new(struct wsgi *w, struct call *c)
{
    struct input *in = w->input ? input_of(w->input) : input_make(w->state->input);
    w->input = NULL;
    if (!in)
        return NULL;
    in->offset = 0;
    in->attached = true;
    if (set_source(in, c) == 0)
        return (PyObject *)in;
    Py_DECREF(in);
    return NULL;
}

void input_detach(struct wsgi *w, PyObject *input)
{
    struct input *in = input_of(input);
    bool locked = in->source != FROM_MEMORY && source_lock(in); /* nobody reads any more */
    in->at = in->end = NULL;
    in->left = 0;
    in->call = NULL;
    in->attached = false;
    PyMem_Free(in->block);
    in->block = NULL;
    if (locked)
        source_unlock(in);
    if (Py_REFCNT(input) == 1 && !w->input)
        w->input = input;
    else
        Py_DECREF(input);
}
