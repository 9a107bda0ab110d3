/* Running the launcher again (checker.h has the contract).
 *
 * What it writes for people is gathered, up to a limit, and becomes the reason in the log; its
 * answer comes in a file in memory that is sealed before it is read.
 *
 * Relies on the master to reap it. Never waits. */
#include "master/checker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/container.h"
#include "base/errors.h"
#include "base/exits.h"
#include "loop/signals.h"

enum {
    PATIENCE = 60000, /* ms that the launcher may take */
    READS = 16,
    SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
};

static const char variable[] = "_PENSTOCK_HAND_BACK";

/* Reads what it has said by now; what is too much is dropped, or it would have to wait for us. */
static void listen_to(struct checker *c)
{
    char rest[512];
    ssize_t n = 1;

    for (int i = 0; i < READS && n > 0; i++) {
        size_t room = sizeof c->said - 1 - c->length;
        n = read(c->words.fd, room > 0 ? c->said + c->length : rest, room > 0 ? room : sizeof rest);
        if (n > 0 && room > 0)
            c->length += (size_t)n;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        loop_unwatch(c->loop, &c->words);
}

static void words_ready(struct watch *w, uint32_t events)
{
    (void)events;
    listen_to(container_of(w, struct checker, words));
}

static void time_is_over(struct timer *t)
{
    struct checker *c = container_of(t, struct checker, timer);

    c->late = true;
    if (c->pid > 0)
        kill(c->pid, SIGKILL);
}

void checker_init(struct checker *c, struct loop *loop)
{
    c->loop = loop;
    c->pid = 0;
    c->result = -1;
    c->words = (struct watch){.fd = -1, .ready = words_ready};
    c->timer = (struct timer){.deadline = TIMER_NEVER, .fire = time_is_over};
}

static _Noreturn void give_up(const struct checker_order *o, const char *what)
{
    log_event(o->log, LOG_ERROR, "the launcher cannot be started", LOG_STR("failed", what),
              LOG_STR("reason", strerror(errno)));
    log_close(o->log);
    _exit(EXIT_START);
}

/* Gives the launcher its descriptors: the numbers from 5 on hold them meanwhile, so that none is
 * overwritten before it was copied. */
static bool arrange(int result, int words)
{
    int kept[] = {open("/dev/null", O_RDONLY | O_CLOEXEC), words, words, result, STDERR_FILENO};

    for (int i = 0; i <= CHECKER_TERMINAL; i++) {
        kept[i] = fcntl(kept[i], F_DUPFD_CLOEXEC, CHECKER_TERMINAL + 1);
        if (kept[i] < 0)
            return false;
    }
    for (int i = 0; i <= CHECKER_TERMINAL; i++) {
        if (dup2(kept[i], i) < 0)
            return false;
    }
    return close_range(CHECKER_TERMINAL + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

static _Noreturn void become(const struct checker_order *o, int result, int words)
{
    const struct text_list *command = &o->options->launcher;
    char **argv = calloc(command->count + 1, sizeof *argv);

    if (!argv)
        give_up(o, "memory");
    for (unsigned i = 0; i < command->count; i++)
        argv[i] = (char *)command->items[i];
    setsid();
    signals_reset();
    if (setrlimit(RLIMIT_NOFILE, &o->files) < 0)
        give_up(o, "its limit of descriptors");
    if (chdir(o->options->launch_directory) < 0)
        give_up(o, o->options->launch_directory);
    if (setenv(variable, o->sockets, 1) < 0 || !arrange(result, words))
        give_up(o, "its descriptors");
    execv(argv[0], argv);
    give_up(o, argv[0]);
}

static void close_all(struct checker *c)
{
    if (c->words.fd >= 0) {
        loop_unwatch(c->loop, &c->words);
        close(c->words.fd);
    }
    if (c->result >= 0)
        close(c->result);
    c->words.fd = c->result = -1;
    timer_remove(&c->loop->timers, &c->timer);
    c->timer.deadline = TIMER_NEVER;
}

static int open_all(struct checker *c, int *words)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -ERR_SYSTEM;
    c->words.fd = ends[0];
    *words = ends[1];
    c->result = memfd_create("penstock-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (c->result >= 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 &&
        loop_watch(c->loop, &c->words, EPOLLIN) == 0)
        return 0;
    close(ends[1]);
    return -ERR_SYSTEM;
}

static int run(struct checker *c, const struct checker_order *o)
{
    int words;

    if (open_all(c, &words) < 0)
        return -ERR_SYSTEM;
    log_flush(o->log);
    c->pid = fork();
    if (c->pid == 0)
        become(o, c->result, words);
    close(words);
    return c->pid < 0 ? -ERR_SYSTEM : 0;
}

int checker_start(struct checker *c, const struct checker_order *o)
{
    int why;

    checker_cancel(c);
    c->length = 0;
    c->late = false;
    if (o->options->launcher.count > 0 && run(c, o) == 0) {
        timer_set(&c->loop->timers, &c->timer, loop_now(c->loop) + PATIENCE);
        return 0;
    }
    why = errno;
    c->pid = 0;
    close_all(c);
    errno = why;
    return -ERR_SYSTEM;
}

/* It has said nothing, or not what counts. */
static void say(struct checker *c, const char *text)
{
    int n = snprintf(c->said + c->length, sizeof c->said - c->length, "%s", text);

    c->length += n > 0 ? (size_t)n : 0;
}

static int take_result(struct checker *c)
{
    int fd = c->result;

    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return -ERR_CONFIG;
    c->result = -1;
    return fd;
}

int checker_ended(struct checker *c, const siginfo_t *how)
{
    int result = -ERR_CONFIG;

    if (c->words.fd >= 0)
        listen_to(c);
    if (c->length == sizeof c->said - 1)
        c->length -= 64; /* room for our own words */
    c->said[c->length] = '\0';
    c->pid = 0;
    if (how->si_code == CLD_EXITED && how->si_status == EXIT_WELL)
        result = take_result(c);
    else if (c->late)
        say(c, "the launcher took too long");
    else if (how->si_code != CLD_EXITED)
        say(c, "the launcher was killed");
    else if (c->length == 0)
        say(c, "the launcher failed without a word");
    close_all(c);
    return result;
}

void checker_cancel(struct checker *c)
{
    if (c->pid > 0)
        kill(c->pid, SIGKILL);
    c->pid = 0;
    if (c->loop)
        close_all(c);
}
