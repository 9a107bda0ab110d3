/* Timers: one deadline for each owner, cheap to move later.
 *
 * A binary heap of the owners' timers by the time they were queued for. Moving a deadline later
 * (the usual case: the next request on a connection) is one store: when the old time comes, the
 * timer is put where it now belongs. Moving it earlier sifts. Times are monotonic milliseconds.
 *
 * Threads: the loop's holder. */
#ifndef PENSTOCK_LOOP_TIMER_H
#define PENSTOCK_LOOP_TIMER_H

#include <stddef.h>
#include <stdint.h>

/* One that is all zero but for `fire` is at rest. */
struct timer {
    int64_t deadline; /* when it is to fire; TIMER_NEVER: not at all */
    int64_t queued;   /* the heap's key, never later than the deadline */
    uint32_t index;   /* place in the heap + 1; 0: not in it */
    void (*fire)(struct timer *t);
};

#define TIMER_NEVER INT64_MAX

struct timers {
    struct timer **heap;
    uint32_t count, size;
};

void timers_init(struct timers *ts);

/* Frees the heap; timers still in it are put to rest. */
void timers_free(struct timers *ts);

/* Sets the deadline; TIMER_NEVER puts it to rest. Returns 0 or -ERR_MEMORY, and then the timer is
 * as it was. A timer that is not at rest cannot fail to move. */
int timer_set(struct timers *ts, struct timer *t, int64_t deadline);

/* Takes the timer out of the heap: before its owner is freed. */
void timer_remove(struct timers *ts, struct timer *t);

/* When the earliest may be due; TIMER_NEVER without any. */
int64_t timers_next(const struct timers *ts);

/* Fires those due at `now`, in at most `most` steps (putting one that was moved where it belongs is
 * a step, too); each is at rest when its function runs, which may set it again. Returns how many
 * fired. */
unsigned timers_fire(struct timers *ts, int64_t now, unsigned most);

#endif
