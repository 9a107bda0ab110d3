/* The master's own life: what is opened before anything starts, orders, reaping, the end.
 *
 * What an order does in each state is a table of its own (orders.h). A reload goes through it like
 * this: the launcher is run again (checker.h); what it hands back becomes an edition of its own
 * (edition.h), which starts beside the one that serves; when it is ready it takes its place.
 * Whatever fails before that is dropped and said in the log.
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
#include "master/report.h"
#include "master/spawn.h"

enum { REAP_A_TURN = 64, LOG_RETRY = 100 };

static void order(struct master *m, enum order order);

/* ---- Editions ---- */

static void each_generation(struct master *m, void (*what)(struct generation *g))
{
    for (struct edition *e = m->editions; e; e = e->next)
        edition_each(e, what);
}

static void each_edition(struct master *m, void (*what)(struct edition *e))
{
    for (struct edition *e = m->editions, *next; e; e = next) {
        next = e->next; /* one without a process goes at once */
        what(e);
    }
}

static void take_out(struct master *m, struct edition *e)
{
    struct edition **at = &m->editions;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
}

static bool ends(const struct master *m)
{
    return m->state == MASTER_DRAINING || m->state == MASTER_STOPPING;
}

static void stop_if_alone(struct master *m)
{
    bool here = false;

    for (const struct edition *e = m->editions; e; e = e->next)
        here = here || edition_is_here(e);
    if (!here)
        loop_stop(&m->loop);
}

/* The last one has the log that we write to: it stays up to the end. */
void master_edition_left(struct master *m, struct edition *e)
{
    if (m->log != &e->logs.log) {
        log_event(m->log, LOG_DEBUG, "a generation has left", LOG_NUM("number", e->number));
        take_out(m, e);
        loop_close(&m->loop, &e->closing);
    }
    if (ends(m))
        stop_if_alone(m);
}

void master_edition_ready(struct master *m, struct edition *e)
{
    if (e == m->trial)
        order(m, ORDER_READY);
}

void master_edition_failed(struct master *m, struct edition *e, enum exit_status status)
{
    if (e != m->trial)
        return;
    m->failure = status;
    snprintf(m->why, sizeof m->why, "%s",
             status == EXIT_IMPORT ? "the application cannot be imported"
                                   : "a process of it cannot be started");
    order(m, ORDER_FAILED);
}

/* ---- Deeds ---- */

static void do_nothing(struct master *m)
{
    (void)m;
}

/* Gives up whatever a reload has begun. */
static void give_up(struct master *m)
{
    struct edition *trial = m->trial;

    checker_cancel(&m->checker);
    m->trial = NULL;
    pidfile_close(&m->next_pidfile);
    if (trial && m->current)
        edition_stop(trial);
}

static void refuse_reload(struct master *m)
{
    order(m, ORDER_REFUSED);
}

static void do_check(struct master *m)
{
    char sockets[1024];
    const struct checker_order o = {.options = &m->current->config.server,
                                    .sockets = sockets,
                                    .files = m->files,
                                    .log = m->log};

    listeners_adopted(&m->current->listeners, sockets, sizeof sockets);
    give_up(m);
    log_event(m->log, LOG_INFO, "reloading: the configuration is checked");
    if (checker_start(&m->checker, &o) == 0)
        return;
    snprintf(m->why, sizeof m->why, "the launcher cannot be started: %s", strerror(errno));
    refuse_reload(m);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Opens all that the new edition needs; NULL when something cannot be had. */
static struct edition *open_trial(struct master *m)
{
    struct edition *e = edition_make(m->checked, m->why, sizeof m->why);
    const char *path = e ? e->config.server.pid : NULL;

    m->checked = -1;
    if (!e)
        return NULL;
    e->number = m->edition_count + 1;
    if ((same_text(path, m->pidfile.path) ||
         pidfile_open(&m->next_pidfile, path, m->why, sizeof m->why) == 0) &&
        edition_open(e, m, m->why, sizeof m->why) == 0) {
        listeners_warn(&e->config, m->log);
        return e;
    }
    pidfile_close(&m->next_pidfile);
    edition_free(e);
    return NULL;
}

static void start_trial(struct master *m, struct edition *e)
{
    e->next = m->editions;
    m->editions = e;
    m->trial = e;
    m->edition_count = e->number;
    edition_follow(e, m->current);
    edition_start(e);
}

static void do_try(struct master *m)
{
    struct edition *e = open_trial(m);

    if (!e) {
        refuse_reload(m);
        return;
    }
    log_event(m->log, LOG_INFO, "reloading: the new generation starts",
              LOG_NUM("generation", e->number));
    start_trial(m, e);
}

static void do_keep(struct master *m)
{
    give_up(m);
    log_event(m->log, LOG_ERROR, "the reload failed: the generation that serves stays",
              LOG_LINES("reason", slice_text(m->why)));
}

static void show_title(const struct master *m, const struct edition *e)
{
    char title[128];

    snprintf(title, sizeof title, "%s: master", e->config.server.name);
    title_show(&m->title, title);
}

static void move_pidfile(struct master *m)
{
    const char *path = m->current->config.server.pid;

    if (!same_text(path, m->pidfile.path)) {
        pidfile_close(&m->pidfile);
        m->pidfile = m->next_pidfile;
        m->next_pidfile = (struct pidfile){.fd = -1};
    }
    m->pidfile.path = path;
}

/* Those that still made room for the last one have to leave at once. */
static void drain_older(const struct edition *than)
{
    for (struct edition *e = than ? than->next : NULL, *next; e; e = next) {
        next = e->next;
        edition_drain(e);
    }
}

static void do_switch(struct master *m)
{
    struct edition *old = m->current;

    m->current = m->trial;
    m->trial = NULL;
    m->log = &m->current->logs.log;
    drain_older(old);
    edition_serve(m->current, old);
    move_pidfile(m);
    show_title(m, m->current);
    if (old)
        log_event(m->log, LOG_INFO, "reloaded: the new generation serves",
                  LOG_NUM("generation", m->current->number));
    report_serving(m);
}

static void do_switch_check(struct master *m)
{
    do_switch(m);
    do_check(m);
}

static void do_more(struct master *m)
{
    log_event(m->log, LOG_INFO, "one worker more");
    edition_each(m->current, generation_more);
}

static void do_fewer(struct master *m)
{
    log_event(m->log, LOG_INFO, "one worker fewer");
    edition_each(m->current, generation_fewer);
}

static void do_rest(struct master *m)
{
    give_up(m);
    log_event(m->log, LOG_INFO, "the workers leave, the master stays");
    drain_older(m->current);
    edition_each(m->current, generation_rest);
}

static void do_resume(struct master *m)
{
    log_event(m->log, LOG_INFO, "the workers come back");
    edition_each(m->current, generation_resume);
}

static void do_resume_check(struct master *m)
{
    do_resume(m);
    do_check(m);
}

static void do_drain(struct master *m)
{
    log_event(m->log, LOG_INFO, "stopping: requests being served may end");
    checker_cancel(&m->checker);
    m->trial = NULL;
    each_edition(m, edition_drain);
    stop_if_alone(m);
}

static void stop(struct master *m)
{
    checker_cancel(&m->checker);
    m->trial = NULL;
    each_edition(m, edition_stop);
    stop_if_alone(m);
}

static void do_stop(struct master *m)
{
    log_event(m->log, LOG_INFO, "stopping now");
    stop(m);
}

static void do_fail(struct master *m)
{
    m->status = m->failure;
    log_event(m->log, LOG_CRITICAL,
              m->failure == EXIT_IMPORT ? "the application cannot be imported: nothing is served"
                                        : "a process cannot be started: nothing is served");
    do_stop(m);
}

static void do_kill(struct master *m)
{
    each_generation(m, generation_kill);
}

static void order(struct master *m, enum order what)
{
    static void (*const deeds[DEEDS])(struct master * m) = {
        [DEED_NOTHING] = do_nothing, [DEED_WAIT] = do_nothing,
        [DEED_CHECK] = do_check,     [DEED_TRY] = do_try,
        [DEED_KEEP] = do_keep,       [DEED_SWITCH] = do_switch,
        [DEED_MORE] = do_more,       [DEED_SWITCH_CHECK] = do_switch_check,
        [DEED_FEWER] = do_fewer,     [DEED_REST] = do_rest,
        [DEED_RESUME] = do_resume,   [DEED_RESUME_CHECK] = do_resume_check,
        [DEED_FAIL] = do_fail,       [DEED_DRAIN] = do_drain,
        [DEED_STOP] = do_stop,       [DEED_KILL] = do_kill};
    struct step step = orders_step(m->state, what);

    log_event(m->log, LOG_DEBUG, "master", LOG_STR("order", order_name(what)),
              LOG_STR("from", master_state_name(m->state)),
              LOG_STR("to", master_state_name(step.next)));
    m->state = step.next;
    deeds[step.deed](m);
}

/* ---- Reaping ---- */

static struct child *find(struct master *m, pid_t pid)
{
    struct child *c = NULL;

    for (struct edition *e = m->editions; e && !c; e = e->next) {
        for (unsigned i = 0; i < e->count && !c; i++)
            c = generation_find(&e->generations[i], pid);
    }
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

static void check_ended(struct master *m, const siginfo_t *how)
{
    m->checked = checker_ended(&m->checker, how);
    if (m->checked < 0)
        snprintf(m->why, sizeof m->why, "%s", m->checker.said);
    order(m, m->checked < 0 ? ORDER_REFUSED : ORDER_CHECKED);
}

static void ended(struct master *m, const siginfo_t *how)
{
    struct child *c = find(m, how->si_pid);

    if (c)
        child_ended(c, how);
    else if (how->si_pid == m->checker.pid)
        check_ended(m, how);
    else
        log_event(m->log, LOG_DEBUG, "an orphan was reaped", LOG_NUM("pid", how->si_pid));
}

/* Reaps one child that has ended. A worker may have ended right after it said HELLO, which is read
 * first, while its pid is still taken. Returns false when there is none. */
static bool reap_one(struct master *m)
{
    siginfo_t how = {0};

    if (waitid(P_ALL, 0, &how, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 || how.si_pid == 0)
        return false;
    if (!find(m, how.si_pid))
        each_generation(m, hear_generation);
    waitid(P_PID, (id_t)how.si_pid, &how, WEXITED | WNOHANG | __WALL);
    ended(m, &how);
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

/* ---- Signals ---- */

static void signal_child(struct master *m)
{
    loop_defer(&m->loop, &m->reaper);
}

static void reopen_generation(struct generation *g)
{
    generation_each(g, child_reopen);
}

static void reopen(struct edition *e)
{
    logs_reopen(&e->logs);
    edition_each(e, reopen_generation);
}

static void signal_reopen(struct master *m)
{
    each_edition(m, reopen);
    log_event(m->log, LOG_INFO, "log files reopened");
}

static void signal_drain(struct master *m)
{
    order(m, ORDER_DRAIN);
}

static void signal_stop(struct master *m)
{
    order(m, ORDER_STOP);
}

static void signal_reload(struct master *m)
{
    order(m, ORDER_RELOAD);
}

static void signal_more(struct master *m)
{
    order(m, ORDER_MORE);
}

static void signal_fewer(struct master *m)
{
    order(m, ORDER_FEWER);
}

/* A terminal sends it whenever it is resized. */
static void signal_rest(struct master *m)
{
    if (m->current && !m->current->config.server.terminal)
        order(m, ORDER_REST);
}

/* USR2 is taken and nothing more: its default would end the master. */
static const struct {
    int signo;
    void (*act)(struct master *m);
} acts[] = {
    {SIGTERM, signal_drain}, {SIGINT, signal_stop},    {SIGQUIT, signal_stop},
    {SIGCHLD, signal_child}, {SIGUSR1, signal_reopen}, {SIGHUP, signal_reload},
    {SIGWINCH, signal_rest}, {SIGTTIN, signal_more},   {SIGTTOU, signal_fewer},
    {SIGUSR2, do_nothing},
};

enum { ACTS = sizeof acts / sizeof acts[0] };

static void on_signal(struct signals *s, const struct signalfd_siginfo *info)
{
    struct master *m = container_of(s, struct master, signals);

    for (int i = 0; i < ACTS; i++) {
        if (acts[i].signo == (int)info->ssi_signo)
            acts[i].act(m);
    }
}

static int open_signals(struct master *m)
{
    sigset_t set;

    sigemptyset(&set);
    for (int i = 0; i < ACTS; i++)
        sigaddset(&set, acts[i].signo);
    m->signals.on_signal = on_signal;
    return signals_open(&m->loop, &m->signals, &set);
}

/* ---- The log ---- */

static void retry_log(struct timer *t)
{
    struct master *m = container_of(t, struct master, log_retry);

    log_flush(m->log);
}

/* Before the loop sleeps: lines that could not be written at once are tried again in a moment. */
static void before_sleep(struct loop *l)
{
    struct master *m = l->owner;

    if (log_flush(m->log) > 0 && m->log_retry.deadline == TIMER_NEVER)
        timer_set(&l->timers, &m->log_retry, loop_now(l) + LOG_RETRY);
}

/* ---- The start ---- */

static enum exit_status refuse(struct master *m, const char *why)
{
    log_event(m->log, LOG_CRITICAL, "the server cannot start", LOG_STR("reason", why));
    return EXIT_CONFIG;
}

static enum exit_status refuse_system(struct master *m, const char *what)
{
    log_event(m->log, LOG_CRITICAL, "the server cannot start", LOG_STR("failed", what),
              LOG_STR("reason", strerror(errno)));
    return EXIT_CONFIG;
}

enum exit_status master_configure(struct master *m, int config_fd)
{
    *m = (struct master){.checked = -1,
                         .pidfile.fd = -1,
                         .next_pidfile.fd = -1,
                         .loop = {.epoll = -1, .wake.fd = -1},
                         .signals.watch.fd = -1,
                         .reaper.run = reap,
                         .log_retry = {.deadline = TIMER_NEVER, .fire = retry_log}};
    m->editions = edition_make(config_fd, m->why, sizeof m->why);
    if (!m->editions) {
        fprintf(stderr, "penstock: %s\n", m->why);
        return EXIT_CONFIG;
    }
    m->editions->number = 1;
    m->log = &m->editions->logs.log;
    return EXIT_WELL;
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

enum exit_status master_open(struct master *m)
{
    struct edition *first = m->editions;

    raise_limit(m);
    if (loop_init(&m->loop) < 0)
        return refuse_system(m, "loop");
    m->loop.idle = before_sleep;
    m->loop.owner = m;
    checker_init(&m->checker, &m->loop);
    if (open_signals(m) < 0)
        return refuse_system(m, "signals");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return refuse_system(m, "becoming a subreaper");
    if (pidfile_open(&m->pidfile, first->config.server.pid, m->why, sizeof m->why) < 0 ||
        edition_open(first, m, m->why, sizeof m->why) < 0)
        return refuse(m, m->why);
    listeners_warn(&first->config, m->log);
    return EXIT_WELL;
}

enum exit_status master_run(struct master *m)
{
    struct edition *first = m->editions;

    show_title(m, first);
    m->editions = NULL;
    start_trial(m, first);
    if (loop_run(&m->loop) < 0)
        return refuse_system(m, "waiting for events");
    log_event(m->log, LOG_INFO, "stopped");
    return m->status;
}

void master_close(struct master *m)
{
    checker_cancel(&m->checker);
    pidfile_close(&m->pidfile);
    pidfile_close(&m->next_pidfile);
    if (m->signals.watch.fd >= 0)
        signals_close(&m->loop, &m->signals);
    while (m->editions) {
        struct edition *e = m->editions;
        m->editions = e->next;
        edition_free(e);
    }
    if (m->loop.epoll >= 0)
        loop_free(&m->loop);
}
