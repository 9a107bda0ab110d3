/* The beginning and end of a worker's or template's life (process.h has the contract).
 *
 * The first message each way tells the version of the channel. The process is tied to its master's
 * life by a parent-death signal, set after it has got its last parent, and by a look at who the
 * parent is after that: the master may have died in between. */
#include "py/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "py/title.h"

enum { SETUP_PATIENCE = 30 * 1000 };

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "penstock: %s: %s\n", what, why);
    return EXIT_START;
}

static void close_all(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/* Dies with the master. */
static int tie(const struct process *p)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        return complain("prctl", strerror(errno));
    if (getppid() != (pid_t)p->setup.master)
        return complain("its master is gone", "it leaves");
    return 0;
}

static int open_log(struct process *p)
{
    const struct server_options *o = &p->config.server;
    log_open(&p->log, p->error_fd, o->log_level, o->log_format);
    p->log.colour = o->log_format == LOG_PLAIN && isatty(p->error_fd);
    log_who(&p->log, p->setup.app, p->setup.worker ? (int)p->setup.worker : -1);
    return 0;
}

/* A template has no use for it: each of its workers gets its own. */
static int take_meter(struct process *p, int fd)
{
    int err = p->setup.worker ? meter_open(&p->meter, fd, p->board, p->setup.slot) : 0;
    close(fd);
    return err;
}

/* Takes the descriptors in the order that struct setup names. */
static int take_descriptors(struct process *p, const struct message *m)
{
    char why[512];
    unsigned logs = p->setup.has_access_log ? 2 : 1, next = 2 + logs + (p->setup.has_meter ? 1 : 0);
    if (m->fd_count != next + p->setup.listeners)
        return complain("setup", "the descriptors are not those it names");
    p->error_fd = m->fds[2];
    p->access_fd = p->setup.has_access_log ? m->fds[3] : -1;
    memcpy(p->listeners, m->fds + next, p->setup.listeners * sizeof(int));
    int err = config_read(m->fds[0], &p->config, why, sizeof why);
    p->board = scoreboard_map(m->fds[1]);
    close_all(m->fds, 2);
    if (err)
        return complain("configuration", why);
    p->app = config_app(&p->config, p->setup.app);
    if (!p->app)
        return complain("configuration has no application", p->setup.app);
    if (!p->board || (p->setup.worker && p->setup.slot >= p->board->count))
        return complain("scoreboard", strerror(errno));
    if (p->setup.has_meter && take_meter(p, m->fds[2 + logs]))
        return complain("meter", strerror(errno));
    return open_log(p);
}

static int take_setup(struct process *p, const struct message *m)
{
    if (m->kind != MESSAGE_SETUP || m->size != sizeof p->setup)
        return complain("the master sent", message_name(m->kind));
    memcpy(&p->setup, m->payload, sizeof p->setup);
    p->setup.app[sizeof p->setup.app - 1] = '\0';
    if (p->setup.version != CHANNEL_VERSION)
        return complain("the master is of another version",
                        "install the same penstock in the application's environment");
    int err = tie(p);
    return err ? err : take_descriptors(p, m);
}

int process_begin(struct process *p, int channel)
{
    struct message m;
    struct hello hello = {CHANNEL_VERSION, getpid()};
    *p = (struct process){.channel = channel, .error_fd = -1, .access_fd = -1};
    fcntl(channel, F_SETFD, FD_CLOEXEC);
    if (channel_send(channel, MESSAGE_HELLO, &hello, sizeof hello, NULL, 0))
        return complain("its master is gone", "it leaves");
    int got = channel_wait(channel, &m, SETUP_PATIENCE);
    if (got <= 0)
        return complain("no word from the master", got ? err_text(got) : "it leaves");
    int err = take_setup(p, &m);
    if (err)
        return err;
    process_title(p);
    return 0;
}

void process_end(struct process *p)
{
    close(p->channel);
    close_all(p->listeners, p->setup.listeners);
    p->setup.listeners = 0;
    log_flush(&p->log);
}

void process_move_logs(struct process *p, const struct message *m)
{
    if (m->fd_count < 1) {
        log_event(&p->log, LOG_ERROR, "the master sent no log files to reopen");
        return;
    }
    log_move(&p->log, m->fds[0]);
    close(p->error_fd);
    p->error_fd = m->fds[0];
    if (m->fd_count > 1 && p->access_fd >= 0) {
        close(p->access_fd);
        p->access_fd = m->fds[1];
    }
}

struct deadline {
    struct process *process;
    int patience, status;
};

static void *end_late(void *arg)
{
    struct deadline *d = arg;
    struct timespec t = {d->patience / 1000, d->patience % 1000 * 1000000L};
    while (nanosleep(&t, &t) && errno == EINTR)
        ;
    log_event(&d->process->log, LOG_WARN,
              "the application is still busy with its exit: the process ends now",
              LOG_NUM("waited_ms", d->patience));
    log_flush(&d->process->log);
    _exit(d->status);
}

void process_leave_within(struct process *p, int patience, int status)
{
    pthread_t thread;
    struct deadline *d = malloc(sizeof *d);
    if (!d)
        return;
    *d = (struct deadline){p, patience, status};
    if (pthread_create(&thread, NULL, end_late, d) == 0)
        pthread_detach(thread);
}

void process_title(const struct process *p)
{
    char title[256];
    const char *name = p->config.server.name;
    if (p->setup.worker)
        snprintf(title, sizeof title, "%s: worker %u of %s", name, p->setup.worker, p->setup.app);
    else
        snprintf(title, sizeof title, "%s: template of %s", name, p->setup.app);
    title_set(title);
}
