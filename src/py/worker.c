/* A worker: one process that serves one application (worker.h has the contract).
 *
 * It loads the application, builds its loop, server and handler, reports READY, and then does what
 * the master orders over the channel: accept, move to reopened logs, finish and leave, leave now. A
 * lost channel is an order to leave now.
 *
 * The loop is turned by whoever of the crew holds its token. Once a second a heartbeat goes into
 * the scoreboard and signals are looked after.
 *
 * The structure is never freed: an application keeps wsgi.errors, which leads to the log, up to its
 * last atexit function. A process that the application forks is told by a hook, and lets go of what
 * belongs to the worker. */
#include "py/worker.h"

#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/container.h"
#include "http/accept.h"
#include "http/accesslog.h"
#include "py/load.h"
#include "py/report.h"
#include "py/signals.h"
#include "py/wsgi.h"

enum {
    BEAT = 1000,             /* ms between heartbeats */
    DRAINED_PATIENCE = 5000, /* ms for the application's own exit, when it was asked to finish */
    STOPPED_PATIENCE = 700,  /* and when told to leave now: the master kills after a second */
};

/* When it has served for long enough. */
struct term {
    uint64_t requests; /* in the slot, where earlier workers' stay; UINT64_MAX: no limit */
    int64_t end;       /* monotonic ms; INT64_MAX: none */
    bool over;         /* the master was told */
};

struct worker {
    struct process *process;
    struct crew crew;
    struct job signals;     /* looks for signals in the main thread, when that turns the loop */
    _Atomic bool looking;   /* it was submitted, and has not run yet */
    struct deferred wishes; /* has the holder do what handlers of signals asked for */
    _Atomic bool wished;    /* it was posted, and has not run yet */
    struct voice voice;
    struct wsgi *wsgi;
    struct loop loop;
    struct server server;
    struct door door;
    bool accepting;
    bool stopped; /* it was told to leave now */
    struct watch orders;
    struct reception reception;
    struct timer beat;
    struct slot *slot;
    struct term term;
};

static const char worker_name[] = "penstock.worker";

/* ---- Orders ---- */

static void set_state(struct worker *w, enum worker_state state)
{
    slot_set(w->slot, state, (uint32_t)state);
}

/* Listeners came in the order in which the configuration has those of this application. */
static void find_proxied(const struct process *p, bool proxied[static CHANNEL_FDS])
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->config.listen_count && n < p->setup.listeners; i++)
        if (strcmp(p->config.listen[i].app, p->app->name) == 0)
            proxied[n++] = p->config.listen[i].proxy_protocol;
}

static void start_accepting(struct worker *w)
{
    struct process *p = w->process;
    if (w->accepting || w->server.draining || w->stopped)
        return;
    w->accepting = true;
    uint64_t circle = circle_name(p->setup.app, slot_get(w->slot, generation));
    bool proxied[CHANNEL_FDS] = {false};
    find_proxied(p, proxied);
    const struct door_setup setup = {.server = &w->server,
                                     .circle = {p->board, w->slot, circle},
                                     .fds = p->listeners,
                                     .proxied = proxied,
                                     .count = p->setup.listeners};
    if (door_open(&w->door, &setup))
        log_event(&p->log, LOG_ERROR, "the listeners cannot be watched",
                  LOG_STR("reason", strerror(errno)));
    set_state(w, WORKER_SERVING);
}

static void stop_accepting(struct worker *w)
{
    if (!w->accepting)
        return;
    w->accepting = false;
    door_close(&w->door);
}

/* Takes what is queued, finishes what there is; `drained` then ends the loop. */
static void drain(struct worker *w)
{
    if (w->accepting)
        door_sweep(&w->door);
    w->accepting = false;
    if (!w->server.draining)
        channel_send(w->process->channel, MESSAGE_CLOSED, NULL, 0, NULL, 0);
    set_state(w, WORKER_DRAINING);
    server_drain(&w->server);
}

static void drained(struct server *s)
{
    loop_stop(s->loop);
}

static void stop(struct worker *w)
{
    if (w->stopped)
        return;
    w->stopped = true;
    process_leave_within(w->process, STOPPED_PATIENCE, EXIT_WELL);
    stop_accepting(w);
    set_state(w, WORKER_LEAVING);
    server_cut(&w->server);
    loop_stop(&w->loop);
}

static void move_logs(struct worker *w, const struct message *m)
{
    process_move_logs(w->process, m);
    if (w->server.access)
        access_log_move(w->server.access, w->process->access_fd);
}

static void close_surplus(const struct message *m)
{
    for (unsigned i = 0; i < m->fd_count; i++)
        close(m->fds[i]);
}

static void obey(struct worker *w, const struct message *m)
{
    switch (m->kind) {
    case MESSAGE_ACCEPT: start_accepting(w); return;
    case MESSAGE_DRAIN: drain(w); return;
    case MESSAGE_STOP: stop(w); return;
    case MESSAGE_LOGS: move_logs(w, m); return;
    case MESSAGE_SETUP:
    case MESSAGE_FORK:
    case MESSAGE_HELLO:
    case MESSAGE_READY:
    case MESSAGE_CLOSED:
    case MESSAGE_RETIRE:
    case MESSAGE_UNFIT:
    case MESSAGE_COUNT:
        close_surplus(m);
        log_event(&w->process->log, LOG_ERROR, "the master sent what a worker has no use for",
                  LOG_STR("message", message_name(m->kind)));
    }
}

static void orders_ready(struct watch *watch, uint32_t events)
{
    struct worker *w = container_of(watch, struct worker, orders);
    struct message m;
    int got;
    (void)events;
    while ((got = channel_receive(watch->fd, &m)) > 0)
        obey(w, &m);
    if (got == 0)
        return;
    loop_unwatch(&w->loop, watch);
    log_event(&w->process->log, LOG_WARN, "the channel to the master is lost: the worker leaves",
              LOG_STR("reason", err_text(got)));
    stop(w);
}

/* ---- Signals, heartbeat ---- */

/* An exception out of a handler that the application set: SystemExit is its wish to end, others are
 * its errors. */
static void handler_raised(struct worker *w)
{
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
        PyErr_Clear();
        atomic_store(&w->reception.drain, true);
        return;
    }
    Py_XDECREF(
        report_exception(&w->process->log, NULL, "a signal handler of the application failed"));
}

/* In the main thread, with the GIL, outside the loop. */
static void run_handlers(struct worker *w)
{
    holds_settle(&w->wsgi->holds);
    if (signals_run())
        handler_raised(w);
}

/* By the holder of the loop: handlers only note what they want. */
static void grant_wishes(struct worker *w)
{
    if (atomic_load(&w->reception.stop))
        stop(w);
    else if (atomic_load(&w->reception.drain))
        drain(w);
}

static void wishes_posted(struct deferred *d)
{
    struct worker *w = container_of(d, struct worker, wishes);
    atomic_store(&w->wished, false);
    grant_wishes(w);
}

/* By the main thread when it does not hold the loop. */
static void post_wishes(struct worker *w)
{
    if (!atomic_exchange(&w->wished, true))
        loop_post(&w->loop, &w->wishes, true);
}

static void look_for_signals(struct job *j, struct seat *s)
{
    struct worker *w = container_of(j, struct worker, signals);
    hand_enter(&s->hand);
    gil_take(&s->gil);
    run_handlers(w);
    bool holds = hand_return(&s->hand);
    atomic_store(&w->looking, false);
    if (holds)
        grant_wishes(w);
    else
        post_wishes(w);
}

static void errand(struct crew *c)
{
    struct worker *w = container_of(c, struct worker, crew);
    run_handlers(w);
    if (atomic_load(&w->reception.stop) || atomic_load(&w->reception.drain))
        post_wishes(w);
}

/* Python runs handlers in the main thread: by itself when that is in a call, else we see to it. */
static void look_after_signals(struct worker *w)
{
    grant_wishes(w);
    if (!crew_main_leads(&w->crew)) {
        token_errand(&w->crew.token, &w->crew.first.hand);
    } else if (!atomic_exchange(&w->looking, true)) {
        crew_submit(&w->crew, &w->signals);
    }
}

static void signal_came(struct reception *r)
{
    look_after_signals(container_of(r, struct worker, reception));
}

/* A number up to `most`, by chance. */
static int64_t chance(int64_t most)
{
    uint64_t random = 0;
    if (most <= 0 || getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return 0;
    return (int64_t)(random % ((uint64_t)most + 1));
}

static void begin_term(struct worker *w)
{
    const struct app_options *o = w->process->app;
    w->term = (struct term){.requests = UINT64_MAX, .end = INT64_MAX};
    if (o->max_requests)
        w->term.requests = slot_get(w->slot, requests) +
                           (uint64_t)(o->max_requests + chance(o->max_requests_jitter));
    if (o->max_lifetime)
        w->term.end = loop_now(&w->loop) + o->max_lifetime + chance(o->max_lifetime_jitter);
}

/* Asks for a successor; the order to leave comes when that is ready. */
static void look_at_term(struct worker *w)
{
    bool requests = slot_get(w->slot, requests) >= w->term.requests;
    if (w->term.over || !w->accepting || !(requests || loop_now(&w->loop) >= w->term.end))
        return;
    if (channel_send(w->process->channel, MESSAGE_RETIRE, NULL, 0, NULL, 0))
        return; /* it is told at the next beat */
    w->term.over = true;
    log_event(&w->process->log, LOG_INFO, "the worker is to be replaced",
              LOG_STR("reason", requests ? "max-requests" : "max-lifetime"));
}

static void beat(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, beat);
    uint64_t lost = log_lost(&w->process->log);
    if (w->server.access)
        lost += access_log_lost(w->server.access);
    slot_set(w->slot, log_lost, lost);
    slot_set(w->slot, heartbeat, loop_now(&w->loop));
    look_at_term(w);
    look_after_signals(w);
    timer_set(&w->loop.timers, t, loop_now(&w->loop) + BEAT);
}

/* ---- Processes that the application forks ---- */

static PyObject *after_fork(PyObject *self, PyObject *unused)
{
    struct worker *w = PyCapsule_GetPointer(self, worker_name);
    struct process *p = w ? w->process : NULL;
    (void)unused;
    if (!w)
        return NULL;
    w->wsgi->forked = true;
    log_who(&p->log, p->setup.app, (int)p->setup.worker);
    signals_end(&w->reception);
    close(p->channel);
    for (unsigned i = 0; i < p->setup.listeners; i++)
        close(p->listeners[i]);
    close(w->loop.epoll);
    close(w->loop.wake.fd);
    if (w->accepting)
        close(w->door.reserve);
    server_forget(&w->server);
    Py_RETURN_NONE;
}

static PyMethodDef after_fork_def = {"after_fork", after_fork, METH_NOARGS,
                                     "Let go of the worker's descriptors and signals."};

/* os.register_at_fork(after_in_child=after_fork) */
static int watch_forks(struct worker *w)
{
    PyObject *capsule = PyCapsule_New(w, worker_name, NULL);
    PyObject *hook = capsule ? PyCFunction_New(&after_fork_def, capsule) : NULL;
    PyObject *posix = hook ? PyImport_ImportModule("posix") : NULL;
    PyObject *method = posix ? PyObject_GetAttrString(posix, "register_at_fork") : NULL;
    PyObject *none = method ? PyTuple_New(0) : NULL;
    PyObject *named = none ? Py_BuildValue("{s:O}", "after_in_child", hook) : NULL;
    PyObject *done = named ? PyObject_Call(method, none, named) : NULL;
    Py_XDECREF(named);
    Py_XDECREF(none);
    Py_XDECREF(method);
    Py_XDECREF(posix);
    Py_XDECREF(hook);
    Py_XDECREF(capsule);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* ---- Beginning and end ---- */

static int cannot(struct worker *w, const char *what)
{
    if (PyErr_Occurred())
        Py_XDECREF(report_exception(&w->process->log, NULL, what));
    else
        log_event(&w->process->log, LOG_ERROR, what, LOG_STR("reason", strerror(errno)));
    return EXIT_START;
}

static int make_handler(struct worker *w, const struct worker_setup *s)
{
    PyObject *mounts = s->mounts ? Py_NewRef(s->mounts) : load_application(w->process, s->load);
    if (!mounts)
        return EXIT_IMPORT;
    w->voice = (struct voice){.log = &w->process->log, .speaking = Py_tss_NEEDS_INIT};
    if (PyThread_tss_create(&w->voice.speaking))
        PyErr_NoMemory();
    else
        w->wsgi =
            wsgi_new(&(struct wsgi_setup){s->module, mounts, &w->crew, &w->voice, w->process->app});
    Py_DECREF(mounts);
    return w->wsgi ? 0 : cannot(w, "the handler cannot be made");
}

static int open_access_log(struct worker *w)
{
    char why[256];
    struct process *p = w->process;
    if (p->access_fd < 0)
        return 0;
    w->server.access =
        access_log_open(p->access_fd, p->config.server.access_log_format, why, sizeof why);
    if (w->server.access)
        return 0;
    log_event(&p->log, LOG_ERROR, "the access log cannot be opened", LOG_STR("reason", why));
    return EXIT_START;
}

static int make_server(struct worker *w)
{
    struct process *p = w->process;
    server_init(&w->server, &w->loop, p->app, &p->log);
    w->server.handler = &w->wsgi->handler;
    w->server.token = &w->crew.token;
    w->server.slot = w->slot;
    w->server.on_idle = drained;
    w->server.owner = w;
    w->server.quota.meter = p->setup.has_meter ? &p->meter : NULL;
    if (client_rules_init(&w->server.rules, p->app))
        return cannot(w, "forwarded-allow-ips cannot be read");
    return open_access_log(w);
}

static int make_loop(struct worker *w)
{
    if (loop_init(&w->loop))
        return cannot(w, "the loop cannot be made");
    w->crew.errand = errand;
    if (crew_begin(&w->crew, &w->loop, (unsigned)w->process->app->threads))
        return cannot(w, "threads cannot be started");
    w->wishes.run = wishes_posted;
    w->signals = (struct job){.task.route = ROUTE_NONE, .run = look_for_signals};
    w->beat.fire = beat;
    w->orders = (struct watch){.fd = w->process->channel, .ready = orders_ready};
    w->reception.on_signal = signal_came;
    if (loop_watch(&w->loop, &w->orders, EPOLLIN) || signals_watch(&w->reception, &w->loop) ||
        timer_set(&w->loop.timers, &w->beat, loop_now(&w->loop)))
        return cannot(w, "the channel cannot be watched");
    return 0;
}

static int begin(struct worker *w, const struct worker_setup *s)
{
    set_state(w, WORKER_STARTING);
    if (signals_begin(&w->reception))
        return cannot(w, "signals cannot be handled");
    int err = make_handler(w, s);
    if (err)
        return err;
    if ((err = make_loop(w)) || (err = make_server(w)))
        return err;
    if (watch_forks(w))
        return cannot(w, "forks cannot be watched");
    begin_term(w);
    set_state(w, WORKER_READY);
    if (channel_send(w->process->channel, MESSAGE_READY, NULL, 0, NULL, 0))
        return cannot(w, "the master cannot be told");
    return 0;
}

static int run(struct worker *w)
{
    int err = crew_run(&w->crew);
    if (err)
        return cannot(w, "the loop failed");
    return EXIT_WELL;
}

/* Only of a worker that has begun: what a failed one leaves behind ends with the process. */
static void end(struct worker *w)
{
    set_state(w, WORKER_LEAVING);
    stop_accepting(w);
    server_cut(&w->server);
    signals_end(&w->reception);
    loop_free(&w->loop);
    server_free(&w->server);
    if (w->server.access)
        access_log_close(w->server.access);
}

/* A thread is still in a call: Python cannot be ended around it. */
static void leave_at_once(struct worker *w, int status)
{
    log_event(&w->process->log, LOG_WARN, "the worker leaves while the application is in a call");
    log_flush(&w->process->log);
    _exit(status);
}

int worker_run(const struct worker_setup *s)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return EXIT_START;
    w->process = s->process;
    w->slot = &s->process->board->slots[s->process->setup.slot];
    int status = begin(w, s);
    if (status == 0) {
        status = run(w);
        if (!crew_end(&w->crew, w->stopped ? 0 : DRAINED_PATIENCE))
            leave_at_once(w, status);
        end(w);
    }
    if (!w->stopped)
        process_leave_within(w->process, DRAINED_PATIENCE, status);
    process_end(w->process);
    return status;
}
