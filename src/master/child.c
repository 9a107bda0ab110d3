/* The life of a process in its place.
 *
 *   ABSENT ─▶ SPAWNED or ASKED ─HELLO▶ STARTING ─READY▶ READY ─ACCEPT▶ SERVING ─▶ DRAINING
 *      ▲                                                                             │
 *      └── RESTING ◀── (gone) ◀── KILLED ◀── STOPPING ◀──────────────────────────────┘
 *
 * A process can be gone from every state. Each state that must not last has its limit: one timer,
 * whose deadline follows from the state (deadline()), and what happens then too (timer_fired()).
 *
 * A process that the template forked is known by its channel alone until it says HELLO; the kernel
 * tells its pid with that message, and it must be our own child. From then on it has a pidfd, by
 * which it is signalled. A process that closes its channel cannot be told anything any more and is
 * killed, unless it is about to end anyway.
 *
 * Relies on children being told to leave by messages, and on SIGKILL for those who do not listen.
 * Never: waits, believes what a message says of its sender, signals a pid that was reaped. */
#include "master/child.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/container.h"
#include "master/edition.h"
#include "master/master.h"
#include "master/report.h"
#include "master/spawn.h"
#include "net/channel.h"
#include "net/holder.h"

enum {
    STOP_PATIENCE = 1000, /* from STOP to SIGKILL */
    LOST_PATIENCE = 5000, /* from the channel's end to SIGKILL: exit handlers run meanwhile */
    KILL_PATIENCE = 5000, /* from SIGKILL until we stop waiting: it hangs in the kernel */
    MESSAGES_A_TURN = 8
};

static struct master *master_of(const struct child *c)
{
    return c->generation->master;
}

static struct loop *loop_of(const struct child *c)
{
    return &master_of(c)->loop;
}

static struct log *log_of(const struct child *c)
{
    return master_log(master_of(c));
}

static const struct app_options *app_of(const struct child *c)
{
    return c->generation->app;
}

static struct slot *slot_of(const struct child *c)
{
    return &c->generation->edition->board->slots[c->slot];
}

const char *child_role(const struct child *c)
{
    static const char *const roles[] = {[CHILD_TEMPLATE] = "template", [CHILD_WORKER] = "worker"};

    return roles[c->kind];
}

const char *child_state_name(enum child_state state)
{
    static const char *const names[] = {
#define X(name, text) #name,
        CHILD_STATE_MAP(X)
#undef X
    };

    return names[state];
}

bool child_is_here(const struct child *c)
{
    return c->state != CHILD_ABSENT && c->state != CHILD_RESTING;
}

bool child_accepts(const struct child *c)
{
    return c->kind == CHILD_WORKER &&
           (c->state == CHILD_SERVING || (c->state == CHILD_DRAINING && !c->closed));
}

/* Whether it should listen to us and cannot: it has closed its channel. */
static bool is_lost(const struct child *c)
{
    bool told =
        c->state == CHILD_DRAINING || c->state == CHILD_STOPPING || c->state == CHILD_KILLED;

    return child_is_here(c) && !told && c->channel.fd < 0;
}

static int64_t deadline(const struct child *c)
{
    if (is_lost(c))
        return c->since + LOST_PATIENCE;
    switch (c->state) {
    case CHILD_ABSENT:
    case CHILD_READY:
    case CHILD_SERVING: return TIMER_NEVER;
    case CHILD_RESTING: return c->since + c->rest;
    case CHILD_ASKED:
    case CHILD_SPAWNED:
    case CHILD_STARTING: return c->begun + app_of(c)->start_timeout;
    case CHILD_DRAINING: return c->since + app_of(c)->graceful_timeout;
    case CHILD_STOPPING: return c->since + STOP_PATIENCE;
    case CHILD_KILLED: return c->since + KILL_PATIENCE;
    }
    __builtin_unreachable();
}

static void set_timer(struct child *c)
{
    c->since = loop_now(loop_of(c));
    if (timer_set(&loop_of(c)->timers, &c->timer, deadline(c)) < 0)
        log_event(log_of(c), LOG_CRITICAL, "out of memory for a timer");
}

/* The one place in which a state changes. */
static void set_state(struct child *c, enum child_state state)
{
    log_event(log_of(c), LOG_DEBUG, "process", REPORT_WHO(c),
              LOG_STR("from", child_state_name(c->state)), LOG_STR("to", child_state_name(state)));
    c->state = state;
    set_timer(c);
}

static void close_channel(struct child *c)
{
    if (c->channel.fd < 0)
        return;
    loop_unwatch(loop_of(c), &c->channel);
    close(c->channel.fd);
    c->channel.fd = -1;
}

/* Begins the life of a process: a channel whose other end goes into *end. */
static int open_channel(struct child *c, int *end)
{
    int ends[2];

    c->begun = loop_now(loop_of(c));
    c->ready = 0;
    c->leaves = c->closed = c->retires = c->excused = false;
    if (channel_pair(ends) < 0)
        return -ERR_SYSTEM;
    c->channel.fd = ends[0];
    *end = ends[1];
    if (loop_watch(loop_of(c), &c->channel, EPOLLIN) == 0)
        return 0;
    close(ends[0]);
    close(ends[1]);
    c->channel.fd = -1;
    return -ERR_SYSTEM;
}

static void fill_slot(struct child *c)
{
    struct slot *s;

    if (c->kind != CHILD_WORKER)
        return;
    s = slot_of(c);
    slot_set(s, pid, c->pid);
    slot_set(s, generation, c->generation->edition->number);
    slot_set(s, started, c->begun);
    slot_set(s, state, WORKER_STARTING);
}

/* The worker's own fields are ours to write now that it is gone; what it counted stays. */
static void clear_slot(struct child *c)
{
    struct slot *s;

    if (c->kind != CHILD_WORKER)
        return;
    s = slot_of(c);
    slot_set(s, pid, 0);
    slot_set(s, state, WORKER_FREE);
    slot_set(s, connections, 0);
    slot_set(s, active, 0);
    slot_add(s, restarts, 1);
}

/* The process is gone, or none came to be: the place is empty, and the generation decides. */
static void vacate(struct child *c, enum exit_status status)
{
    close_channel(c);
    if (c->pidfd >= 0)
        close(c->pidfd);
    c->pidfd = -1;
    c->pid = 0;
    clear_slot(c);
    set_state(c, CHILD_ABSENT);
    generation_child_gone(c, status);
}

static void start_failed(struct child *c, const char *what)
{
    log_event(log_of(c), LOG_ERROR, "a process cannot be started", REPORT_WHO(c),
              LOG_STR("failed", what), LOG_STR("reason", strerror(errno)));
    vacate(c, EXIT_START);
}

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

void child_spawn(struct child *c)
{
    struct master *m = master_of(c);
    struct spawn_order order = {.app = app_of(c),
                                .package = c->generation->edition->config.server.package,
                                .role = child_role(c),
                                .files = m->files,
                                .log = log_of(c)};

    if (open_channel(c, &order.channel) < 0) {
        start_failed(c, "channel");
        return;
    }
    c->pid = spawn(&order);
    close(order.channel);
    if (c->pid < 0) {
        c->pid = 0;
        start_failed(c, "fork");
        return;
    }
    c->pidfd = open_pidfd(c->pid);
    fill_slot(c);
    set_state(c, CHILD_SPAWNED);
}

void child_ask(struct child *c, struct child *from)
{
    struct fork_order order = {.slot = c->slot, .worker = c->number};
    struct stat st;
    int end, result;

    if (open_channel(c, &end) < 0) {
        start_failed(c, "channel");
        return;
    }
    c->far_end = fstat(end, &st) == 0 ? st.st_ino : 0;
    result = channel_send(from->channel.fd, MESSAGE_FORK, &order, sizeof order, &end, 1);
    close(end);
    if (result < 0) {
        errno = result == -ERR_SYSTEM ? errno : 0;
        start_failed(c, "telling the template");
        return;
    }
    set_state(c, CHILD_ASKED);
}

void child_rest(struct child *c, int64_t delay)
{
    c->rest = delay;
    set_state(c, CHILD_RESTING);
}

/* Sends an order to a child. One that cannot be told is dealt with when its channel's end or its
 * timer comes. */
static void tell(struct child *c, enum message_kind kind, const int *fds, unsigned count)
{
    int result;

    if (c->channel.fd < 0)
        return;
    result = channel_send(c->channel.fd, kind, NULL, 0, fds, count);
    if (result < 0 && result != -ERR_CLOSED)
        log_event(log_of(c), LOG_WARN, "a process does not take its orders", REPORT_WHO(c),
                  LOG_STR("order", message_name(kind)), LOG_STR("reason", err_text(result)));
}

static void send_signal(const struct child *c, int signo)
{
    if (c->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, c->pidfd, signo, NULL, 0);
    else if (c->pid > 0)
        kill(c->pid, signo); /* without a pidfd for want of descriptors; it is not reaped yet */
}

void child_accept(struct child *c)
{
    if (c->state != CHILD_READY)
        return;
    if (c->kind == CHILD_WORKER)
        tell(c, MESSAGE_ACCEPT, NULL, 0);
    set_state(c, CHILD_SERVING);
}

/* A worker that hangs before it says HELLO is found by the channel that it holds. Where the
 * template still holds it, or has not even received it, there is no such worker, and the template
 * hangs. */
static bool discover(struct child *c)
{
    struct child *template = &c->generation->template;
    pid_t pid = holder_child(c->far_end);

    if (pid != 0 && pid != template->pid) {
        c->pid = pid;
        c->pidfd = open_pidfd(pid);
        return true;
    }
    if (template->state == CHILD_SERVING) {
        report_event(template, LOG_ERROR, "a template does not fork and is killed");
        child_kill(template);
    }
    return false;
}

void child_kill(struct child *c)
{
    if (!child_is_here(c) || c->state == CHILD_KILLED)
        return;
    if (c->pid == 0 && !discover(c)) {
        vacate(c, EXIT_START); /* its channel's end reaches it, should there be one yet */
        return;
    }
    send_signal(c, SIGKILL);
    close_channel(c);
    set_state(c, CHILD_KILLED);
}

/* One that loads the application does not read its channel: SIGTERM ends it, for it has the default
 * disposition until an application says otherwise. */
void child_stop(struct child *c)
{
    c->leaves = true;
    switch (c->state) {
    case CHILD_ABSENT:
    case CHILD_STOPPING:
    case CHILD_KILLED: return;
    case CHILD_RESTING: set_state(c, CHILD_ABSENT); return;
    case CHILD_ASKED:
    case CHILD_SPAWNED:
    case CHILD_STARTING: send_signal(c, SIGTERM); break;
    case CHILD_READY:
    case CHILD_SERVING:
    case CHILD_DRAINING: break;
    }
    tell(c, MESSAGE_STOP, NULL, 0);
    set_state(c, CHILD_STOPPING);
}

void child_drain(struct child *c)
{
    c->leaves = true;
    switch (c->state) {
    case CHILD_READY:
    case CHILD_SERVING:
        if (c->kind == CHILD_TEMPLATE) {
            child_stop(c);
        } else {
            tell(c, MESSAGE_DRAIN, NULL, 0);
            set_state(c, CHILD_DRAINING);
        }
        return;
    case CHILD_ABSENT:
    case CHILD_RESTING:
    case CHILD_ASKED:
    case CHILD_SPAWNED:
    case CHILD_STARTING: child_stop(c); return;
    case CHILD_DRAINING:
    case CHILD_STOPPING:
    case CHILD_KILLED: return;
    }
}

void child_reopen(struct child *c)
{
    const struct logs *l = &c->generation->edition->logs;

    switch (c->state) {
    case CHILD_STARTING:
    case CHILD_READY:
    case CHILD_SERVING:
    case CHILD_DRAINING: tell(c, MESSAGE_LOGS, l->fds, logs_count(l)); return;
    case CHILD_ABSENT:
    case CHILD_RESTING:
    case CHILD_ASKED:
    case CHILD_SPAWNED: /* gets them with its setup */
    case CHILD_STOPPING:
    case CHILD_KILLED: return;
    }
}

static void misbehaved(struct child *c, const char *how)
{
    log_event(log_of(c), LOG_ERROR, "a process breaks the protocol and is killed", REPORT_WHO(c),
              LOG_STR("reason", how));
    child_kill(c);
}

/* Tells the child who it is, and hands over what it needs. */
static void send_setup(struct child *c)
{
    const struct edition *e = c->generation->edition;
    struct setup setup = {.version = CHANNEL_VERSION,
                          .slot = c->slot,
                          .worker = c->number,
                          .has_access_log = logs_count(&e->logs) == 2,
                          .has_meter = e->meter_fd >= 0,
                          .master = (uint32_t)getpid(),
                          .unfit = c->generation->unfit};
    int fds[CHANNEL_FDS] = {e->config_fd, e->board_fd, e->logs.fds[0], e->logs.fds[1]};
    unsigned count = 2 + logs_count(&e->logs);
    int result;

    if (setup.has_meter)
        fds[count++] = e->meter_fd;
    snprintf(setup.app, sizeof setup.app, "%s", app_of(c)->name);
    if (c->kind == CHILD_WORKER)
        setup.listeners =
            listeners_of(&e->listeners, app_of(c)->name, fds + count, CHANNEL_FDS - count);
    result = channel_send(c->channel.fd, MESSAGE_SETUP, &setup, sizeof setup, fds,
                          count + setup.listeners);
    if (result < 0 && result != -ERR_CLOSED) /* which its end follows */
        misbehaved(c, "its setup cannot be sent");
    else
        set_state(c, CHILD_STARTING);
}

/* Whether the sender is a child of ours, living or not yet reaped. */
static bool is_ours(pid_t pid)
{
    siginfo_t info;

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

static void take_hello(struct child *c, const struct message *m)
{
    struct hello hello;

    memcpy(&hello, m->payload, sizeof hello);
    if (m->size != sizeof hello || (c->state != CHILD_ASKED && c->state != CHILD_SPAWNED)) {
        misbehaved(c, "an unexpected HELLO");
    } else if (hello.version != CHANNEL_VERSION) {
        misbehaved(c, "its penstock is of another version than this one: install the same in the "
                      "application's environment");
    } else if (c->state == CHILD_SPAWNED && m->sender != c->pid) {
        misbehaved(c, "another process speaks for it");
    } else if (!is_ours(m->sender)) {
        misbehaved(c, "it is not a child of the master");
    } else {
        if (c->state == CHILD_ASKED) {
            c->pid = m->sender;
            c->pidfd = open_pidfd(c->pid);
            fill_slot(c);
        }
        send_setup(c);
    }
}

static void take_ready(struct child *c, const struct message *m)
{
    if (c->state != CHILD_STARTING || m->sender != c->pid) {
        misbehaved(c, "an unexpected READY");
        return;
    }
    c->ready = loop_now(loop_of(c));
    set_state(c, CHILD_READY);
    generation_child_ready(c);
}

/* Its application cannot be shared: it leaves, and a template comes that does not import it. */
static void take_unfit(struct child *c)
{
    if (c->state != CHILD_STARTING || c->kind != CHILD_TEMPLATE)
        misbehaved(c, "an unexpected UNFIT");
    else
        generation_child_unfit(c);
}

static void take_retire(struct child *c)
{
    if (c->state != CHILD_SERVING || c->kind != CHILD_WORKER)
        misbehaved(c, "an unexpected RETIRE");
    else
        generation_child_retires(c);
}

static void take_closed(struct child *c)
{
    c->closed = true;
    generation_child_closed(c);
}

static void take_message(struct child *c, const struct message *m)
{
    bool leaves = c->state == CHILD_STOPPING || c->state == CHILD_DRAINING;

    for (unsigned i = 0; i < m->fd_count; i++)
        close(m->fds[i]);
    if (leaves && m->kind != MESSAGE_CLOSED)
        return; /* its word crossed our order */
    switch (m->kind) {
    case MESSAGE_HELLO: take_hello(c, m); return;
    case MESSAGE_READY: take_ready(c, m); return;
    case MESSAGE_UNFIT: take_unfit(c); return;
    case MESSAGE_RETIRE: take_retire(c); return;
    case MESSAGE_CLOSED: take_closed(c); return;
    case MESSAGE_SETUP:
    case MESSAGE_FORK:
    case MESSAGE_ACCEPT:
    case MESSAGE_DRAIN:
    case MESSAGE_STOP:
    case MESSAGE_LOGS:
    case MESSAGE_COUNT: misbehaved(c, "it sends what only the master may"); return;
    }
}

/* The end of the channel usually comes just before the end of the process, which then says more. */
static void channel_ended(struct child *c)
{
    close_channel(c);
    if (c->pid == 0) {
        report_event(c, LOG_WARN, "a worker ended before it was known");
        vacate(c, EXIT_START);
    } else if (is_lost(c)) {
        set_timer(c);
    }
}

void child_hear(struct child *c)
{
    struct message m;
    int result = 1;

    for (int i = 0; i < MESSAGES_A_TURN && result == 1 && c->channel.fd >= 0; i++) {
        result = channel_receive(c->channel.fd, &m);
        if (result == 1)
            take_message(c, &m);
        else if (result == -ERR_CLOSED)
            channel_ended(c);
        else if (result < 0)
            misbehaved(c, err_text(result));
    }
}

static void channel_ready(struct watch *w, uint32_t events)
{
    (void)events;
    child_hear(container_of(w, struct child, channel));
}

static void too_late(struct child *c, enum log_level level, const char *what)
{
    report_event(c, level, what);
    child_kill(c);
}

static void timer_fired(struct timer *t)
{
    struct child *c = container_of(t, struct child, timer);

    if (is_lost(c)) {
        too_late(c, LOG_ERROR, "a process has closed its channel and is killed");
        return;
    }
    switch (c->state) {
    case CHILD_ABSENT:
    case CHILD_READY:
    case CHILD_SERVING: return;
    case CHILD_RESTING:
        set_state(c, CHILD_ABSENT);
        generation_child_due(c);
        return;
    case CHILD_ASKED:
    case CHILD_SPAWNED:
    case CHILD_STARTING:
        too_late(c, LOG_ERROR, "a process is not ready after start-timeout and is killed");
        return;
    case CHILD_DRAINING:
        report_event(c, LOG_WARN,
                     "a worker is not done after graceful-timeout: what it does is cut");
        child_stop(c);
        return;
    case CHILD_STOPPING: too_late(c, LOG_INFO, "a process has not left and is killed"); return;
    case CHILD_KILLED:
        report_event(c, LOG_ERROR, "a process does not die of SIGKILL and is left behind");
        vacate(c, EXIT_START);
        return;
    }
}

void child_ended(struct child *c, const siginfo_t *how)
{
    report_end(c, how);
    vacate(c,
           how->si_code == CLD_EXITED && how->si_status == EXIT_IMPORT ? EXIT_IMPORT : EXIT_START);
}

void child_init(struct child *c, struct generation *g, enum child_kind kind, uint32_t slot)
{
    *c = (struct child){.generation = g,
                        .kind = kind,
                        .slot = slot,
                        .pidfd = -1,
                        .channel = {.fd = -1, .ready = channel_ready},
                        .timer = {.deadline = TIMER_NEVER, .fire = timer_fired}};
}

/* A process that is left behind at the end of the master is not waited for. */
void child_free(struct child *c)
{
    close_channel(c);
    if (c->pidfd >= 0)
        close(c->pidfd);
    timer_remove(&loop_of(c)->timers, &c->timer);
}
