/* The GIL: the one place where it is taken and left, and where references wait that were let go
 * without it.
 *
 * The loop needs no GIL. The handler takes it for the first request of a batch and keeps it; the
 * loop's idle hook leaves it, so that other threads of the application run while the loop sleeps.
 *
 * What a wire holds (large chunks, descriptors of files) is released by whoever drives the loop,
 * with the GIL or without. The reference is queued, and dropped by the next call, or the next chunk
 * of this one. */
#ifndef PENSTOCK_PY_GIL_H
#define PENSTOCK_PY_GIL_H

#include <stdatomic.h>

#include "http/exchange.h"
#include "py/python.h"

/* One thread's hold of the GIL. */
struct gil {
    PyThreadState *away; /* its state while it does not hold the GIL; NULL: it holds it */
};

/* Both do nothing when it is so already. By the thread whose it is. */
static inline void gil_take(struct gil *g)
{
    if (!g->away)
        return;
    PyEval_RestoreThread(g->away);
    g->away = NULL;
}

static inline void gil_leave(struct gil *g)
{
    if (!g->away)
        g->away = PyEval_SaveThread();
}

struct held;

/* What wires hold for all calls of one process. Zeroed, it is empty and valid. */
struct holds {
    _Atomic(struct held *) waiting; /* released, and still to be let go of */
    struct held *spare;             /* to be used again; with the GIL */
    unsigned kept;
};

/* A hold that keeps a reference to `object` until it is released; NULL when memory is out. GIL */
struct hold *holds_object(struct holds *hs, PyObject *object);

/* A hold that closes `fd` when it is released; NULL when memory is out, and then `fd` is still the
 * caller's. GIL */
struct hold *holds_file(struct holds *hs, int fd);

/* Drops what was released. GIL */
void holds_settle(struct holds *hs);

#endif
