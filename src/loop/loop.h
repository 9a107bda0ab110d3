/* The event loop: descriptors, timers, wake-ups, and the closing of what events may still name.
 *
 * One turn of loop_run(), in this order:
 *   wait      the `settle` hook may change what is watched; then epoll_wait, until the next timer;
 *             before it may sleep the `idle` hook runs (in a worker it lets go of the GIL)
 *   dispatch  each event of the batch calls its watch
 *   expire    timers that are due
 *   flush     what was deferred to the end of the batch, in the order it was deferred; sooner,
 *             between two events, when the first of it has waited for two milliseconds
 *   close     what was closed is freed
 *
 * Nothing is freed but in `close`, so an event of the same batch never names freed memory; an event
 * of a watch that was removed in this batch is dropped. Work that is deferred while `flush` runs
 * waits for the next turn, which then does not sleep; what was closed meanwhile waits with it. So
 * what was deferred before its owner was closed still runs before the owner is freed. Each drain is
 * bounded, so no descriptor can starve the others.
 *
 * The batch and the place in it are part of the struct, not of the C stack: whoever holds the loop
 * can go on in the middle of a batch that another thread began.
 *
 * Threads: one holder at a time; only loop_wake() may be called by others. */
#ifndef PENSTOCK_LOOP_LOOP_H
#define PENSTOCK_LOOP_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "loop/timer.h"

struct loop;

/* A descriptor that is watched. Embedded in its owner; `ready` finds it with container_of. */
struct watch {
    int fd;     /* -1: not watched */
    bool first; /* called before the others of a batch: what those do must not come in between */
    void (*ready)(struct watch *w, uint32_t events);
};

/* Work put off to the end of the batch. Embedded; `queued` says that it waits. */
struct deferred {
    struct deferred *next;
    void (*run)(struct deferred *d);
    bool queued;
};

/* Something to be freed at the end of the turn. */
struct closing {
    struct closing *next;
    void (*release)(struct closing *c);
};

/* Called before each wait, whether the loop then sleeps or not. Embedded in its owner. */
struct settle {
    void (*run)(struct settle *s);
};

enum { LOOP_BATCH = 64 };

struct loop {
    int epoll;
    bool stop;
    struct clock clock;
    struct timers timers;
    struct epoll_event batch[LOOP_BATCH];
    int batch_size;
    int batch_next;
    struct deferred *deferred_first, **deferred_last;
    int64_t deferred_since; /* when the first of them was */
    unsigned deferred_count;
    struct closing *closing;           /* closed in this turn */
    struct closing *due;               /* closed before the flush at hand: freed after it */
    _Atomic(struct deferred *) posted; /* by other threads, newest first */
    struct settle *settle;             /* may be NULL */
    void (*idle)(struct loop *l);      /* called before the loop may sleep; may be NULL */
    /* Called after each event and each deferred piece of work; false: whoever turns the loop no
     * longer holds it. May be NULL. */
    bool (*calls)(struct loop *l);
    void *owner;       /* the hooks' */
    struct watch wake; /* eventfd of loop_wake */
};

/* Makes a loop; after a fork it must be made anew. Returns 0 or -ERR_SYSTEM with errno set. */
int loop_init(struct loop *l);

/* Runs turns until loop_stop(). Returns 0, or -ERR_SYSTEM when epoll itself fails. */
int loop_run(struct loop *l);

/* What loop_turn() returns when `calls` said that somebody else now holds the loop: nothing of it
 * may be touched. */
enum { LOOP_LOST = 1 };

/* One turn that sleeps for at most `patience` ms (-1: as long as it takes). For tests and for
 * waiting elsewhere. */
int loop_turn(struct loop *l, int patience);

/* Ends loop_run() after this turn, or, when none runs, the next loop_run() before its first. By the
 * holder. */
void loop_stop(struct loop *l);

/* Wakes the loop from another thread or a signal handler. */
void loop_wake(struct loop *l);

/* Closes the loop's own descriptors, frees what waits to be freed and puts all timers to rest.
 * Watches are left as they are: a child that drops the loop it inherited changes nothing for its
 * parent. */
void loop_free(struct loop *l);

/* Watches w->fd for `events` (EPOLL*, EPOLLET and the like included). Returns 0 or -ERR_SYSTEM with
 * errno set. EPOLLERR and EPOLLHUP are always reported. */
int loop_watch(struct loop *l, struct watch *w, uint32_t events);
int loop_rewatch(struct loop *l, struct watch *w, uint32_t events);

/* Takes the descriptor out of epoll and drops what the batch still holds for it. Leaves w->fd as it
 * is; to be called before that is closed. Nothing when it is -1. */
void loop_unwatch(struct loop *l, struct watch *w);

/* Runs d->run at the end of this batch; nothing if it waits already. */
void loop_defer(struct loop *l, struct deferred *d);

/* The same by a thread that does not hold the loop: the holder runs d->run in its next turn. A loop
 * that sleeps is woken if it is `urgent`; else it comes with whatever wakes it next. */
void loop_post(struct loop *l, struct deferred *d, bool urgent);

static inline bool loop_has_posted(struct loop *l)
{
    return atomic_load_explicit(&l->posted, memory_order_acquire) != NULL;
}

/* Has c->release called at the end of this turn: the one way to free what a watch or timer belongs
 * to. Once for each owner, which has unwatched and taken out its timers before, and defers nothing
 * afterwards. */
void loop_close(struct loop *l, struct closing *c);

static inline int64_t loop_now(const struct loop *l)
{
    return l->clock.now;
}

#endif
