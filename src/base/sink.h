/* Sinks: where log lines go without ever holding up who writes them.
 *
 * A sink has a bounded buffer. Whole lines go in; they leave in writes that never wait: files are written as they
 * are, sockets with MSG_DONTWAIT, and a pipe or terminal through a second, non-blocking description of its own
 * (opened through /proc/self/fd, so that an inherited stderr is never made non-blocking for others), or, where
 * that may not be opened, by at most PIPE_BUF bytes when poll() says there is room. What does not fit is dropped
 * line by line and counted; when there is room again the sink says how many lines were lost. A write that fails
 * (disk full) counts the lines as lost and is tried again with the next ones.
 *
 * Threads: one at a time (the log above it has the lock). */
#ifndef PENSTOCK_BASE_SINK_H
#define PENSTOCK_BASE_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum sink_kind { SINK_FILE, SINK_STREAM, SINK_SOCKET, SINK_POLLED };

struct sink {
    int fd;              /* what is written to; -1: everything is dropped in silence */
    bool owned;          /* sink_close closes it */
    enum sink_kind kind;
    struct buf pending;  /* whole lines, the first perhaps begun */
    uint64_t lost;       /* lines dropped since the sink was opened */
    uint64_t lost_told;  /* of them, those that a line in the log has told of */
};

/* Opens a sink that writes to `fd`, which stays the caller's; at most `cap` bytes wait in it. */
void sink_open(struct sink *s, int fd, size_t cap);

/* Puts one line, which must end in a newline, into the buffer, or counts it as lost. Writes nothing. */
void sink_put(struct sink *s, struct slice line);

/* Writes what can be written now. Returns how many bytes still wait. */
size_t sink_flush(struct sink *s);

/* Flushes for at most `patience` milliseconds, then closes what the sink opened. */
void sink_close(struct sink *s, int patience);

#endif
