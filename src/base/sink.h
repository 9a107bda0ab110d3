/* Sinks: where log lines go without ever holding up who writes them.
 *
 * A sink has a bounded buffer. Whole lines go in; they leave in writes that never wait: files are
 * written as they are, sockets with MSG_DONTWAIT, and a pipe or terminal through a second,
 * non-blocking description of its own (opened through /proc/self/fd, so that an inherited stderr is
 * never made non-blocking for others), or, where that may not be opened, by at most PIPE_BUF bytes
 * with RWF_NOWAIT or, on kernels without it, when poll() says there is room.
 *
 * Several processes may write to one pipe: a write carries whole lines, of at most PIPE_BUF bytes,
 * which the kernel does not mix with others'. A line may have further lines that begin with a space
 * (a traceback); they count as part of it and stay with it where that is possible. After a write
 * that took a part of a line the rest goes first.
 *
 * What does not fit is dropped line by line and counted. A write that fails (disk full, reader
 * gone) counts all that waits as lost, and the next lines are tried again; a line of which a part
 * was written is ended there. Who owns the sink tells the reader of `lost` when sink_has_news().
 *
 * SIGPIPE must be ignored by the process: a pipe whose reader is gone raises it.
 *
 * Threads: one at a time (the log above it has the lock). */
#ifndef PENSTOCK_BASE_SINK_H
#define PENSTOCK_BASE_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum sink_kind { SINK_FILE, SINK_STREAM, SINK_SOCKET, SINK_POLLED };

struct sink {
    int fd;     /* what is written to; -1: everything is dropped in silence */
    bool owned; /* sink_close closes it */
    enum sink_kind kind;
    struct buf pending; /* whole lines, the first perhaps begun */
    bool begun;         /* a part of the first line was written */
    bool failing;       /* the last write failed */
    uint64_t lost;      /* lines dropped since the sink was opened */
    uint64_t lost_told; /* of them, those that a line in the log has told of */
};

/* Opens a sink that writes to `fd`, which stays the caller's; at most `cap` bytes wait in it. */
void sink_open(struct sink *s, int fd, size_t cap);

/* Puts one line, which must end in a newline, into the buffer, or counts it as lost. Writes
 * nothing. */
void sink_put(struct sink *s, struct slice line);

/* Writes what can be written now. Returns how many bytes still wait. */
size_t sink_flush(struct sink *s);

/* Whether lines were lost that nobody was told of, and there is room again: the last write went
 * well and at most half of the buffer is used, so that telling does not itself fill it. */
bool sink_has_news(const struct sink *s);

/* Flushes for at most `patience` milliseconds. Returns how many bytes still wait. */
size_t sink_drain(struct sink *s, int patience);

/* Writes from now on to another descriptor (the caller's). What waits and cannot be written to the
 * old one goes there. */
void sink_move(struct sink *s, int fd);

/* For a child after fork: what waits is its parent's to write. */
void sink_forget(struct sink *s);

/* Flushes for at most `patience` milliseconds, then closes what the sink opened. */
void sink_close(struct sink *s, int patience);

#endif
