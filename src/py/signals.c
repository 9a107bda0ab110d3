/* Signals in a worker (signals.h has the contract).
 *
 * The module _signal is the C half of signal, without the enums that the other half costs.
 *
 * A child that the application forks begins with our handlers, and Python forgets, in it, what came
 * before it was told of the fork: a terminate() right after a fork would be lost. So both signals
 * are blocked while a process forks, and the child takes its defaults before it lets them through.
 */
#include "py/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/container.h"
#include "base/errors.h"

static const char reception_name[] = "penstock.reception";

static PyObject *take_signal(PyObject *self, PyObject *args)
{
    struct reception *r = PyCapsule_GetPointer(self, reception_name);
    int number;
    PyObject *frame;
    if (!r || !PyArg_ParseTuple(args, "iO", &number, &frame))
        return NULL;
    if (number == SIGTERM)
        r->drain = true;
    else
        r->stop = true;
    Py_RETURN_NONE;
}

static PyMethodDef handler_def = {"take_signal", take_signal, METH_VARARGS,
                                  "Have the worker leave: at once, or when it has finished."};

/* Calls a function of _signal with a number and, unless it is NULL, a handler. */
static PyObject *call_signal(const char *name, int number, PyObject *handler)
{
    PyObject *module = PyImport_ImportModule("_signal");
    if (!module)
        return NULL;
    PyObject *result = handler ? PyObject_CallMethod(module, name, "iO", number, handler)
                               : PyObject_CallMethod(module, name, "i", number);
    Py_DECREF(module);
    return result;
}

/* Has Python write to `fd` when a signal comes; -1: to nothing. Returns what it wrote to before, -1
 * also when that fails. */
static int set_wakeup(int fd)
{
    PyObject *before = call_signal("set_wakeup_fd", fd, NULL);
    long old = before ? PyLong_AsLong(before) : -1;
    Py_XDECREF(before);
    PyErr_Clear();
    return (int)old;
}

/* Puts the default back for one signal, if the handler is ours. */
static void put_back(int number)
{
    PyObject *handler = call_signal("getsignal", number, NULL);
    PyObject *module = PyImport_ImportModule("_signal");
    bool ours =
        handler && PyCFunction_Check(handler) && PyCFunction_GetFunction(handler) == take_signal;
    PyObject *normal = ours && module ? PyObject_GetAttrString(module, "SIG_DFL") : NULL;
    PyObject *done = normal ? call_signal("signal", number, normal) : NULL;
    PyErr_Clear();
    Py_XDECREF(done);
    Py_XDECREF(normal);
    Py_XDECREF(module);
    Py_XDECREF(handler);
}

/* ---- Forks ---- */

static void mask(int how)
{
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGTERM);
    sigaddset(&both, SIGINT);
    pthread_sigmask(how, &both, NULL);
}

static PyObject *before_fork(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    mask(SIG_BLOCK);
    Py_RETURN_NONE;
}

static PyObject *after_fork_here(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    mask(SIG_UNBLOCK);
    Py_RETURN_NONE;
}

static PyObject *after_fork_there(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    put_back(SIGTERM);
    put_back(SIGINT);
    mask(SIG_UNBLOCK);
    Py_RETURN_NONE;
}

static PyMethodDef fork_defs[] = {
    {"before_fork", before_fork, METH_NOARGS, "Block what a child could lose."},
    {"after_fork_here", after_fork_here, METH_NOARGS, "Let it through."},
    {"after_fork_there", after_fork_there, METH_NOARGS, "Take the defaults, then let it through."},
};

/* os.register_at_fork(before=..., after_in_parent=..., after_in_child=...) */
static int guard_forks(void)
{
    PyObject *posix = PyImport_ImportModule("posix");
    PyObject *method = posix ? PyObject_GetAttrString(posix, "register_at_fork") : NULL;
    PyObject *none = PyTuple_New(0);
    PyObject *named = Py_BuildValue("{s:N,s:N,s:N}", "before", PyCFunction_New(&fork_defs[0], NULL),
                                    "after_in_parent", PyCFunction_New(&fork_defs[1], NULL),
                                    "after_in_child", PyCFunction_New(&fork_defs[2], NULL));
    PyObject *done = method && none && named ? PyObject_Call(method, none, named) : NULL;
    Py_XDECREF(named);
    Py_XDECREF(none);
    Py_XDECREF(method);
    Py_XDECREF(posix);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* ---- Life ---- */

int signals_begin(struct reception *r)
{
    if (pipe2(r->pipe, O_CLOEXEC | O_NONBLOCK)) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    PyObject *capsule = PyCapsule_New(r, reception_name, NULL);
    PyObject *handler = capsule ? PyCFunction_New(&handler_def, capsule) : NULL;
    PyObject *term = handler ? call_signal("signal", SIGTERM, handler) : NULL;
    PyObject *interrupt = term ? call_signal("signal", SIGINT, handler) : NULL;
    int err = interrupt && guard_forks() == 0 ? 0 : -1;
    if (err == 0)
        set_wakeup(r->pipe[1]);
    Py_XDECREF(interrupt);
    Py_XDECREF(term);
    Py_XDECREF(handler);
    Py_XDECREF(capsule);
    return err;
}

static void drained(struct watch *w, uint32_t events)
{
    char bytes[64];
    (void)events;
    while (read(w->fd, bytes, sizeof bytes) > 0)
        ;
    struct reception *r = container_of(w, struct reception, watch);
    r->on_signal(r);
}

int signals_watch(struct reception *r, struct loop *l)
{
    r->watch = (struct watch){.fd = r->pipe[0], .ready = drained};
    return loop_watch(l, &r->watch, EPOLLIN);
}

int signals_run(void)
{
    return PyErr_CheckSignals();
}

void signals_end(struct reception *r)
{
    int set = set_wakeup(-1);
    if (set >= 0 && set != r->pipe[1])
        set_wakeup(set); /* the application's own */
    put_back(SIGTERM);
    put_back(SIGINT);
    close(r->pipe[0]);
    close(r->pipe[1]);
    r->pipe[0] = r->pipe[1] = -1;
}
