/* The master's own life: what is opened before anything starts, signals, reaping, the end.
 *
 *   STARTING ─▶ SERVING ─TERM▶ DRAINING ─▶ STOPPING ─▶ (nobody is left: the loop ends)
 *
 * TERM and INT may come in any state; a second one in DRAINING stops at once, a third kills. A
 * failure before the start was complete stops everything and becomes the exit status.
 *
 * The master is a child subreaper: workers, which the template forks twice, become its children,
 * and so does whatever applications leave behind, which is reaped and otherwise let alone.
 *
 * Relies on being single-threaded. Never: waits but in the loop, reads from the network, runs code
 * of an application, links Python. */
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/container.h"
#include "base/meter.h"
#include "master/report.h"
#include "master/spawn.h"

enum { REAP_A_TURN = 64, LOG_RETRY = 100, WHY = 512 };

static void set_state(struct master *m, enum master_state state)
{
    static const char *const names[] = {[MASTER_STARTING] = "STARTING",
                                        [MASTER_SERVING] = "SERVING",
                                        [MASTER_DRAINING] = "DRAINING",
                                        [MASTER_STOPPING] = "STOPPING"};

    log_event(&m->logs.log, LOG_DEBUG, "master", LOG_STR("from", names[m->state]),
              LOG_STR("to", names[state]));
    m->state = state;
}

static void each_generation(struct master *m, void (*what)(struct generation *g))
{
    for (unsigned i = 0; i < m->generation_count; i++)
        what(&m->generations[i]);
}

/* The end */

static void stop_if_alone(struct master *m)
{
    bool here = false;

    for (unsigned i = 0; i < m->generation_count; i++)
        here = here || generation_is_here(&m->generations[i]);
    if (!here)
        loop_stop(&m->loop);
}

static void drain(struct master *m)
{
    log_event(&m->logs.log, LOG_INFO, "stopping: requests being served may end");
    set_state(m, MASTER_DRAINING);
    listeners_close(&m->listeners);
    each_generation(m, generation_drain);
    stop_if_alone(m);
}

static void stop(struct master *m)
{
    log_event(&m->logs.log, LOG_INFO, "stopping now");
    set_state(m, MASTER_STOPPING);
    listeners_close(&m->listeners);
    each_generation(m, generation_stop);
    stop_if_alone(m);
}

static void order_drain(struct master *m)
{
    switch (m->state) {
    case MASTER_STARTING:
    case MASTER_SERVING: drain(m); return;
    case MASTER_DRAINING: stop(m); return;
    case MASTER_STOPPING: each_generation(m, generation_kill); return;
    }
}

static void order_stop(struct master *m)
{
    switch (m->state) {
    case MASTER_STARTING:
    case MASTER_SERVING:
    case MASTER_DRAINING: stop(m); return;
    case MASTER_STOPPING: each_generation(m, generation_kill); return;
    }
}

void master_generation_failed(struct master *m, enum exit_status status)
{
    if (m->status == EXIT_WELL)
        m->status = status;
    if (m->state == MASTER_STOPPING)
        return;
    log_event(&m->logs.log, LOG_CRITICAL,
              status == EXIT_IMPORT ? "the application cannot be imported: nothing is served"
                                    : "a process cannot be started: nothing is served");
    stop(m);
}

void master_generation_left(struct master *m)
{
    stop_if_alone(m);
}

void master_generation_serves(struct master *m)
{
    for (unsigned i = 0; i < m->generation_count; i++) {
        if (m->generations[i].state != GENERATION_SERVING)
            return;
    }
    if (m->state != MASTER_STARTING)
        return;
    set_state(m, MASTER_SERVING);
    report_serving(m);
}

/* Signals */

static struct child *find(struct master *m, pid_t pid)
{
    struct child *c = NULL;

    for (unsigned i = 0; i < m->generation_count && !c; i++)
        c = generation_find(&m->generations[i], pid);
    return c;
}

static void hear_unknown(struct child *c)
{
    if (c->state == CHILD_ASKED)
        child_hear(c);
}

static void hear_generation(struct generation *g)
{
    generation_each(g, hear_unknown);
}

/* Reaps one child that has ended. A worker may have ended right after it said HELLO, which is read
 * first, while its pid is still taken. Returns false when there is none. */
static bool reap_one(struct master *m)
{
    siginfo_t how = {0};
    struct child *c;
    pid_t pid;

    if (waitid(P_ALL, 0, &how, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 || how.si_pid == 0)
        return false;
    pid = how.si_pid;
    if (!find(m, pid))
        each_generation(m, hear_generation);
    waitid(P_PID, (id_t)pid, &how, WEXITED | WNOHANG | __WALL);
    c = find(m, pid);
    if (c)
        child_ended(c, &how);
    else
        log_event(&m->logs.log, LOG_DEBUG, "an orphan was reaped", LOG_NUM("pid", pid));
    return true;
}

/* Equal signals that wait are one, so every child that has ended is asked for; but not for ever. */
static void reap(struct deferred *d)
{
    struct master *m = container_of(d, struct master, reaper);

    for (int i = 0; i < REAP_A_TURN; i++) {
        if (!reap_one(m))
            return;
    }
    loop_defer(&m->loop, d);
}

static void order_reap(struct master *m)
{
    loop_defer(&m->loop, &m->reaper);
}

static void reopen_generation(struct generation *g)
{
    generation_each(g, child_reopen);
}

static void order_reopen(struct master *m)
{
    logs_reopen(&m->logs);
    each_generation(m, reopen_generation);
    log_event(&m->logs.log, LOG_INFO, "log files reopened");
}

/* What each signal means; one without a function is taken and nothing more. */
static const struct {
    int signo;
    void (*order)(struct master *m);
} orders[] = {
    {SIGTERM, order_drain},  {SIGINT, order_stop}, {SIGQUIT, order_stop}, {SIGCHLD, order_reap},
    {SIGUSR1, order_reopen}, {SIGHUP, NULL},       {SIGUSR2, NULL},       {SIGWINCH, NULL},
    {SIGTTIN, NULL},         {SIGTTOU, NULL},
};

enum { ORDERS = sizeof orders / sizeof orders[0] };

static void on_signal(struct signals *s, const struct signalfd_siginfo *info)
{
    struct master *m = container_of(s, struct master, signals);

    for (int i = 0; i < ORDERS; i++) {
        if (orders[i].signo == (int)info->ssi_signo && orders[i].order)
            orders[i].order(m);
    }
}

static int open_signals(struct master *m)
{
    sigset_t set;

    sigemptyset(&set);
    for (int i = 0; i < ORDERS; i++)
        sigaddset(&set, orders[i].signo);
    m->signals.on_signal = on_signal;
    return signals_open(&m->loop, &m->signals, &set);
}

/* The log */

static void retry_log(struct timer *t)
{
    struct master *m = container_of(t, struct master, log_retry);

    log_flush(&m->logs.log);
}

/* Before the loop sleeps: lines that could not be written at once are tried again in a moment. */
static void before_sleep(struct loop *l)
{
    struct master *m = l->owner;

    if (log_flush(&m->logs.log) > 0 && m->log_retry.deadline == TIMER_NEVER)
        timer_set(&l->timers, &m->log_retry, loop_now(l) + LOG_RETRY);
}

/* The start */

static enum exit_status refuse(struct master *m, const char *why)
{
    log_event(&m->logs.log, LOG_CRITICAL, "the server cannot start", LOG_STR("reason", why));
    return EXIT_CONFIG;
}

static enum exit_status refuse_system(struct master *m, const char *what)
{
    log_event(&m->logs.log, LOG_CRITICAL, "the server cannot start", LOG_STR("failed", what),
              LOG_STR("reason", strerror(errno)));
    return EXIT_CONFIG;
}

enum exit_status master_configure(struct master *m, int config_fd)
{
    char why[WHY];

    *m = (struct master){.config_fd = config_fd,
                         .board_fd = -1,
                         .meter_fd = -1,
                         .pidfile.fd = -1,
                         .loop = {.epoll = -1, .wake.fd = -1},
                         .signals.watch.fd = -1,
                         .reaper.run = reap,
                         .log_retry = {.deadline = TIMER_NEVER, .fire = retry_log}};
    if (config_read(config_fd, &m->config, why, sizeof why) == 0 &&
        logs_open(&m->logs, &m->config.server, why, sizeof why) == 0)
        return EXIT_WELL;
    fprintf(stderr, "penstock: %s\n", why);
    return EXIT_CONFIG;
}

/* Two descriptors for each child, and some of our own, can be more than the usual limit. Children
 * get the limit that was found. */
static void raise_limit(struct master *m)
{
    struct rlimit most;

    getrlimit(RLIMIT_NOFILE, &m->files);
    most = (struct rlimit){m->files.rlim_max, m->files.rlim_max};
    setrlimit(RLIMIT_NOFILE, &most);
}

static unsigned count_workers(const struct master *m)
{
    unsigned count = 0;

    for (unsigned i = 0; i < m->config.app_count; i++)
        count += (unsigned)m->config.app[i].workers;
    return count;
}

static int open_board(struct master *m)
{
    m->board_fd = scoreboard_create(count_workers(m));
    if (m->board_fd < 0)
        return -ERR_SYSTEM;
    m->board = scoreboard_map(m->board_fd);
    return m->board ? 0 : -ERR_SYSTEM;
}

/* Made only where it is needed: it is memory in every worker. */
static int open_meter(struct master *m)
{
    bool limited = false;

    for (unsigned i = 0; i < m->config.app_count; i++)
        limited =
            limited || m->config.app[i].limit_requests || m->config.app[i].limit_connections_per_ip;
    if (limited)
        m->meter_fd = meter_create(count_workers(m));
    return limited && m->meter_fd < 0 ? -ERR_SYSTEM : 0;
}

static int make_generations(struct master *m)
{
    uint32_t slot = 0;

    m->generations = calloc(m->config.app_count, sizeof *m->generations);
    if (!m->generations)
        return -ERR_MEMORY;
    for (unsigned i = 0; i < m->config.app_count; i++) {
        const struct app_options *app = &m->config.app[i];

        if (generation_init(&m->generations[i], m, app, slot) < 0)
            return -ERR_MEMORY;
        m->generation_count++;
        slot += (uint32_t)app->workers;
    }
    return 0;
}

enum exit_status master_open(struct master *m)
{
    char why[WHY];

    raise_limit(m);
    if (pidfile_open(&m->pidfile, m->config.server.pid, why, sizeof why) < 0 ||
        listeners_open(&m->listeners, &m->config, why, sizeof why) < 0)
        return refuse(m, why);
    listeners_warn(&m->config, &m->logs.log);
    if (loop_init(&m->loop) < 0)
        return refuse_system(m, "loop");
    m->loop.idle = before_sleep;
    m->loop.owner = m;
    if (open_signals(m) < 0)
        return refuse_system(m, "signals");
    if (open_board(m) < 0)
        return refuse_system(m, "scoreboard");
    if (open_meter(m) < 0)
        return refuse_system(m, "memory for limits");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return refuse_system(m, "becoming a subreaper");
    if (make_generations(m) < 0)
        return refuse_system(m, "memory for workers");
    return EXIT_WELL;
}

enum exit_status master_run(struct master *m)
{
    each_generation(m, generation_start);
    if (loop_run(&m->loop) < 0)
        return refuse_system(m, "waiting for events");
    log_event(&m->logs.log, LOG_INFO, "stopped");
    return m->status;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void master_close(struct master *m)
{
    listeners_free(&m->listeners);
    pidfile_close(&m->pidfile);
    if (m->board)
        scoreboard_unmap(m->board);
    close_if_open(m->board_fd);
    close_if_open(m->meter_fd);
    if (m->signals.watch.fd >= 0)
        signals_close(&m->loop, &m->signals);
    if (m->loop.epoll >= 0)
        loop_free(&m->loop);
    each_generation(m, generation_free); /* after the loop, which knows their timers */
    free(m->generations);
    if (m->logs.options)
        logs_close(&m->logs);
    close_if_open(m->config_fd);
    config_free(&m->config);
}
