/* The log files.
 *
 * "-" is a standard stream, which the master inherited and never reopens; a file is opened for
 * appending, so that every process that has the descriptor writes at its end. Opening never waits:
 * a named pipe without a reader is an error, not a standstill. */
#include "master/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ERROR_LOG, ACCESS_LOG };

static bool is_stream(const char *path)
{
    return strcmp(path, "-") == 0;
}

static const char *path_of(const struct logs *l, int which)
{
    return which == ERROR_LOG ? l->options->error_log : l->options->access_log;
}

/* The descriptor of a log, or -1 with errno set. */
static int open_log(const char *path, int stream)
{
    if (is_stream(path))
        return stream;
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
}

static int open_one(struct logs *l, int which, char *why, size_t size)
{
    const char *path = path_of(l, which);

    l->fds[which] = -1;
    if (!path)
        return 0;
    l->fds[which] = open_log(path, which == ERROR_LOG ? STDERR_FILENO : STDOUT_FILENO);
    if (l->fds[which] >= 0)
        return 0;
    snprintf(why, size, "cannot open the %s log %s: %s", which == ERROR_LOG ? "error" : "access",
             path, strerror(errno));
    return -ERR_CONFIG;
}

int logs_open(struct logs *l, const struct server_options *options, char *why, size_t size)
{
    *l = (struct logs){.options = options};
    if (open_one(l, ERROR_LOG, why, size) < 0 || open_one(l, ACCESS_LOG, why, size) < 0)
        return -ERR_CONFIG;
    log_open(&l->log, l->fds[ERROR_LOG], options->log_level, options->log_format);
    l->log.colour = is_stream(options->error_log) && options->terminal;
    log_who(&l->log, NULL, -1);
    return 0;
}

unsigned logs_count(const struct logs *l)
{
    return l->fds[ACCESS_LOG] >= 0 ? 2 : 1;
}

static void reopen_one(struct logs *l, int which)
{
    const char *path = path_of(l, which);
    int old = l->fds[which], fd;

    if (!path || is_stream(path))
        return;
    fd = open_log(path, -1);
    if (fd < 0) {
        log_event(&l->log, LOG_ERROR, "a log file cannot be reopened", LOG_STR("file", path),
                  LOG_STR("reason", strerror(errno)));
        return;
    }
    if (which == ERROR_LOG)
        log_move(&l->log, fd);
    l->fds[which] = fd;
    close(old);
}

void logs_reopen(struct logs *l)
{
    reopen_one(l, ERROR_LOG);
    reopen_one(l, ACCESS_LOG);
}

void logs_close(struct logs *l)
{
    log_close(&l->log);
    for (int i = 0; i < 2; i++) {
        if (l->fds[i] > STDERR_FILENO)
            close(l->fds[i]);
        l->fds[i] = -1;
    }
}
