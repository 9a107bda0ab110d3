/* A template (template.h has the contract).
 *
 * A worker is to be the master's child, not the template's, so the template forks twice: the
 * process in the middle ends at once, and the master, a child subreaper, inherits what it leaves.
 * The worker waits for that before it says HELLO, since the master believes its children only.
 * Python's own hooks for fork run, once, in the worker and in the template.
 *
 * With preload the application is imported here, and the collector is told to leave what exists
 * alone, so that its marks do not copy shared pages. With preload auto the template then looks at
 * what the import left behind (penstock/_preload.py); where that cannot be shared it tells the
 * master so and leaves, and the next template does not import. The template has no loop, and never
 * touches a listening socket. */
#include "py/template.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "py/load.h"
#include "py/report.h"
#include "py/worker.h"

enum { LEAVE_PATIENCE = 1000 };

/* gc.collect() and gc.freeze() */
static void freeze(void)
{
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *collected = gc ? PyObject_CallMethod(gc, "collect", NULL) : NULL;
    PyObject *frozen = collected ? PyObject_CallMethod(gc, "freeze", NULL) : NULL;
    PyErr_Clear();
    Py_XDECREF(frozen);
    Py_XDECREF(collected);
    Py_XDECREF(gc);
}

/* Waits until the process in the middle has ended, and so somebody else is our parent. */
static void await_end(pid_t middle)
{
    while (getppid() == middle) {
        int fd = (int)syscall(SYS_pidfd_open, middle, 0);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        poll(&p, 1, fd < 0 ? 1 : -1);
        if (fd >= 0)
            close(fd);
    }
}

/* Forks a grandchild. Returns 0 in it, 1 here, or -1 with errno when that cannot be done. */
static int fork_twice(void)
{
    int status = 0;
    PyOS_BeforeFork();
    pid_t middle = fork();
    if (middle == 0) {
        pid_t me = getpid();
        pid_t child = fork();
        if (child != 0)
            _exit(child < 0 ? errno : 0);
        await_end(me);
        PyOS_AfterFork_Child();
        return 0;
    }
    PyOS_AfterFork_Parent();
    if (middle < 0)
        return -1;
    while (waitpid(middle, &status, 0) < 0 && errno == EINTR)
        ;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
    return errno ? -1 : 1;
}

/* The template's own, which a worker has no part in. */
static void forget(struct process *p)
{
    log_who(&p->log, NULL, -1);
    log_close(&p->log);
    close(p->channel);
    close(p->error_fd);
    if (p->access_fd >= 0)
        close(p->access_fd);
    scoreboard_unmap(p->board);
    config_free(&p->config);
}

/* Returns -1 in the template; in the worker it returns when that is over, with its status. */
static int fork_worker(struct process *p, struct worker_setup *setup, const struct message *m)
{
    if (m->fd_count != 1 || m->size != sizeof(struct fork_order)) {
        log_event(&p->log, LOG_ERROR, "the master sent a malformed order to fork");
        return -1;
    }
    int forked = fork_twice();
    if (forked == 0) {
        forget(p);
        int status = process_begin(p, m->fds[0]);
        return status ? status : worker_run(setup);
    }
    close(m->fds[0]);
    if (forked < 0)
        log_event(&p->log, LOG_ERROR, "a worker cannot be forked",
                  LOG_STR("reason", strerror(errno)));
    return -1;
}

/* Returns -1 to go on, or the status to exit with. */
static int obey(struct process *p, struct worker_setup *setup, const struct message *m)
{
    switch (m->kind) {
    case MESSAGE_FORK: return fork_worker(p, setup, m);
    case MESSAGE_DRAIN:
    case MESSAGE_STOP: return EXIT_WELL;
    case MESSAGE_LOGS: process_move_logs(p, m); return -1;
    case MESSAGE_ACCEPT: /* its application is in service: nothing changes for a template */
    case MESSAGE_SETUP:
    case MESSAGE_HELLO:
    case MESSAGE_READY:
    case MESSAGE_CLOSED:
    case MESSAGE_RETIRE:
    case MESSAGE_UNFIT:
    case MESSAGE_COUNT: return -1;
    }
    return -1;
}

static int receive(struct process *p, struct message *m)
{
    int got;
    Py_BEGIN_ALLOW_THREADS got = channel_wait(p->channel, m, -1);
    Py_END_ALLOW_THREADS return got;
}

static int take_orders(struct process *p, struct worker_setup *setup)
{
    struct message m;
    int status = -1;
    while (status < 0) {
        int got = receive(p, &m);
        if (got > 0)
            status = obey(p, setup, &m);
        else if (got < 0)
            status = EXIT_WELL; /* the master is gone */
    }
    return status;
}

/* ---- Preloading ---- */

static bool imports(const struct process *p)
{
    return p->app->preload != PRELOAD_NEVER && !p->setup.unfit;
}

/* Says what was found. */
static void log_found(struct process *p, PyObject *found)
{
    PyObject *separator = PyUnicode_FromString("\n");
    PyObject *text = separator ? PyUnicode_Join(separator, found) : NULL;
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
    log_event(&p->log, LOG_INFO, "preload: each worker imports the application for itself",
              LOG_LINES("found", slice_text(utf8 ? utf8 : "what cannot be shown")));
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(separator);
}

/* Whether what the import left behind can be shared; where that cannot be found out, it is not. */
static bool is_fit(const struct template_setup *t, PyObject *before)
{
    PyObject *found = PyObject_CallOneArg(t->look, before);
    bool fit = found && PyList_Check(found) && PyList_Size(found) == 0;
    if (!found)
        Py_XDECREF(report_exception(&t->process->log, NULL, "preload: cannot look around"));
    else if (!fit)
        log_found(t->process, found);
    Py_XDECREF(found);
    return fit;
}

/* Returns -1 to go on, or the status to exit with. */
static int import(const struct template_setup *t, PyObject **mounts)
{
    struct process *p = t->process;
    PyObject *before = PyObject_CallOneArg(t->look, Py_None);
    int status = -1;
    *mounts = load_application(p, t->load);
    if (!*mounts) {
        status = EXIT_IMPORT;
    } else if (p->app->preload == PRELOAD_AUTO && (!before || !is_fit(t, before))) {
        channel_send(p->channel, MESSAGE_UNFIT, NULL, 0, NULL, 0);
        status = EXIT_WELL;
    }
    PyErr_Clear();
    Py_XDECREF(before);
    return status;
}

/* What the application wants done at exit is for the workers to do: they may still use it when the
 * template goes. */
static void forget_exit(void)
{
    PyObject *atexit = PyImport_ImportModule("atexit");
    PyObject *cleared = atexit ? PyObject_CallMethod(atexit, "_clear", NULL) : NULL;
    PyErr_Clear();
    Py_XDECREF(cleared);
    Py_XDECREF(atexit);
}

static int serve(struct process *p, struct worker_setup *setup)
{
    freeze();
    if (channel_send(p->channel, MESSAGE_READY, NULL, 0, NULL, 0))
        return EXIT_START;
    return take_orders(p, setup);
}

int template_run(const struct template_setup *t)
{
    struct process *p = t->process;
    struct worker_setup setup = {.process = p, .module = t->module, .load = t->load};
    pid_t me = getpid();
    int status = imports(p) ? import(t, &setup.mounts) : -1;
    bool fit = status < 0;
    if (fit)
        status = serve(p, &setup);
    Py_XDECREF(setup.mounts);
    if (getpid() == me) {
        if (fit)
            forget_exit();
        process_leave_within(p, LEAVE_PATIENCE, status);
        process_end(p);
    }
    return status;
}
