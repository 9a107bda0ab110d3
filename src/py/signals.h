/* Signals in a worker.
 *
 * Workers get their orders over the channel; these are for people. TERM has the worker finish what
 * it has and leave, INT has it leave at once, as they do with the master. Both are Python handlers,
 * so that an application may set its own, and so that what it executes inherits the default. A
 * child that it forks gets the defaults back by itself.
 *
 * Python handlers run between the bytecodes of the main thread; while the loop sleeps there are
 * none, so Python is asked to write to a pipe which the loop watches. An application may take that
 * over (asyncio does): then the worker's heartbeat sees to them.
 *
 * Threads: the main one; `drain` and `stop` are read by any. */
#ifndef PENSTOCK_PY_SIGNALS_H
#define PENSTOCK_PY_SIGNALS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "loop/loop.h"
#include "py/python.h"

struct reception {
    struct watch watch; /* the pipe's end for reading */
    int pipe[2];
    void (*on_signal)(struct reception *r); /* run what waits: signals_run() */
    _Atomic bool drain, stop;               /* what the handlers were told */
};

/* Sets the handlers. Returns 0, or -1 with an exception. GIL */
int signals_begin(struct reception *r);

/* Has the loop watch for signals. */
int signals_watch(struct reception *r, struct loop *l);

/* Runs the handlers of signals that came. Returns 0, or -1 with the exception that one of them
 * raised. GIL */
int signals_run(void);

/* Puts back what signals_begin() set, where it is still set: also in a forked child. GIL */
void signals_end(struct reception *r);

#endif
