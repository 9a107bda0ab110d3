/* Sinks: writing log lines without waiting.
 *
 * What a descriptor is decides once how it is written to; write_some() is the one place that does.
 * Everything else is about lines: how many bytes to offer in one write (offer), and what is lost
 * when a write fails (lose_pending).
 *
 * Relies on SIGPIPE being ignored and, for pipes and terminals, on /proc. Never waits but in
 * sink_drain(), for as long as its caller says; never changes the flags of a descriptor that it was
 * given. A write to a file may take as long as the disk does: there is no way to ask. */
#include "base/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"

/* An empty buffer larger than this is given back: it grew while nobody read. */
enum { SINK_KEEP = 16384 };

/* A description of our own of the same pipe or terminal, or -1. */
static int open_again(int fd)
{
    char path[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void attach_stream(struct sink *s, int fd)
{
    int own = open_again(fd);

    s->owned = own >= 0;
    s->fd = s->owned ? own : fd;
    s->kind = s->owned ? SINK_STREAM : SINK_POLLED;
}

static void attach(struct sink *s, int fd)
{
    struct stat st;

    s->fd = fd;
    s->owned = false;
    s->kind = SINK_POLLED;
    if (fd < 0 || fstat(fd, &st) < 0) {
        return;
    }
    if (S_ISREG(st.st_mode)) {
        s->kind = SINK_FILE;
    } else if (S_ISSOCK(st.st_mode)) {
        s->kind = SINK_SOCKET;
    } else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        attach_stream(s, fd);
    }
}

static void detach(struct sink *s)
{
    if (s->owned) {
        close(s->fd);
    }
    s->fd = -1;
    s->owned = false;
}

void sink_open(struct sink *s, int fd, size_t cap)
{
    *s = (struct sink){.fd = -1};
    buf_init(&s->pending, cap);
    attach(s, fd);
}

/* The length of the first line with its further lines and newlines; all of `text` when it does not
 * end. */
static size_t line_len(struct slice text)
{
    size_t at = 0;

    while (at < text.len) {
        const char *newline = memchr(text.ptr + at, '\n', text.len - at);

        if (!newline) {
            return text.len;
        }
        at = (size_t)(newline - text.ptr) + 1;
        if (at < text.len && text.ptr[at] != ' ') {
            return at;
        }
    }
    return text.len;
}

static uint64_t count_lines(struct slice text)
{
    uint64_t lines = 0;

    for (; text.len; lines++) {
        text = slice_skip(text, line_len(text));
    }
    return lines;
}

void sink_put(struct sink *s, struct slice line)
{
    if (s->fd >= 0 && buf_put(&s->pending, line) < 0) {
        s->lost++;
    }
}

/* The most of `text` to offer in one write: whole lines within `most` bytes; else whole further
 * lines; else bytes. */
static struct slice offer(struct slice text, size_t most)
{
    size_t whole = 0;
    size_t next = line_len(text);
    const char *newline;

    while (next <= most && next > whole) {
        whole = next;
        next = whole + line_len(slice_skip(text, whole));
    }
    if (whole) {
        return slice_of(text.ptr, whole);
    }
    newline = memrchr(text.ptr, '\n', most);
    return slice_of(text.ptr, newline ? (size_t)(newline - text.ptr) + 1 : most);
}

/* Another process may fill the pipe between poll() and write(), so RWF_NOWAIT goes first. Where it
 * is not known (a terminal of another user, a pipe before Linux 6.4) that short moment remains, and
 * a terminal's write may wait for its window. */
static ssize_t write_polled(int fd, struct slice text)
{
    struct iovec iov = {.iov_base = (void *)text.ptr, .iov_len = text.len};
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    ssize_t n = pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);

    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) {
        return n;
    }
    if (poll(&poller, 1, 0) <= 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(fd, text.ptr, text.len);
}

static ssize_t write_some(struct sink *s)
{
    struct slice all = buf_bytes(&s->pending);
    struct slice some = offer(all, PIPE_BUF);

    switch (s->kind) {
    case SINK_FILE: return write(s->fd, all.ptr, all.len);
    case SINK_STREAM: return write(s->fd, some.ptr, some.len);
    case SINK_SOCKET: return send(s->fd, some.ptr, some.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case SINK_POLLED: return write_polled(s->fd, some);
    }
    __builtin_unreachable();
}

/* Takes what was written and notes whether that ended within a line. */
static void took(struct sink *s, size_t n)
{
    s->begun = s->pending.ptr[s->pending.start + n - 1] != '\n';
    buf_take(&s->pending, n);
    if (buf_len(&s->pending) == 0 && s->pending.size > SINK_KEEP) {
        buf_free(&s->pending);
    }
}

/* Drops all that waits. A line that was begun keeps its newline, so that the next one starts a line
 * of its own; if that newline is all that was left of it, the line was not lost. */
static void lose_pending(struct sink *s)
{
    struct slice all = buf_bytes(&s->pending);
    bool ended = s->begun && all.ptr[0] == '\n';

    s->lost += count_lines(all) - (ended ? 1 : 0);
    buf_take(&s->pending, all.len);
    if (s->begun) {
        buf_put(&s->pending, SLICE("\n"));
    }
}

/* Whether a failed write means no more than that now is not the time. */
static bool is_pause(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
}

size_t sink_flush(struct sink *s)
{
    while (s->fd >= 0 && buf_len(&s->pending)) {
        ssize_t n = write_some(s);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && is_pause(errno)) {
            break;
        }
        s->failing = n <= 0;
        if (s->failing) {
            lose_pending(s);
            break;
        }
        took(s, (size_t)n);
    }
    return buf_len(&s->pending);
}

bool sink_has_news(const struct sink *s)
{
    return s->lost != s->lost_told && !s->failing && buf_len(&s->pending) <= s->pending.cap / 2;
}

size_t sink_drain(struct sink *s, int patience)
{
    int64_t end = clock_ns() / 1000000 + patience;
    struct pollfd poller = {.fd = s->fd, .events = POLLOUT};

    while (sink_flush(s) && !s->failing) {
        int64_t left = end - clock_ns() / 1000000;

        if (left <= 0) {
            break;
        }
        poll(&poller, 1, (int)left);
    }
    return buf_len(&s->pending);
}

void sink_move(struct sink *s, int fd)
{
    sink_flush(s);
    if (s->begun) {
        size_t rest = line_len(buf_bytes(&s->pending));

        buf_take(&s->pending, rest);
        s->lost += rest > 1 ? 1 : 0;
        s->begun = false;
    }
    detach(s);
    attach(s, fd);
    s->failing = false;
    if (fd < 0) {
        buf_free(&s->pending);
    }
}

void sink_forget(struct sink *s)
{
    buf_free(&s->pending);
    s->begun = s->failing = false;
    s->lost = s->lost_told = 0;
}

void sink_close(struct sink *s, int patience)
{
    if (sink_drain(s, patience)) {
        lose_pending(s);
    }
    detach(s);
    buf_free(&s->pending);
}
