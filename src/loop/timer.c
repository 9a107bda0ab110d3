/* Timers: a binary heap that is put in order late.
 *
 * The heap is ordered by `queued`, which is never later than the deadline. So a deadline that moves
 * later, or to never, costs one store; only when its old time comes is the timer put where it now
 * belongs, or dropped. A timer's `index` is its place + 1, kept right by place(), the one function
 * that writes into the heap.
 *
 * Relies on malloc for the heap alone, which grows and never shrinks. Never calls anything but
 * `fire`, and holds no state of its own across that call: it may set, remove and fire timers. */
#include "loop/timer.h"

#include <stdlib.h>

#include "base/errors.h"

enum { TIMERS_FIRST = 64 };

void timers_init(struct timers *ts)
{
    *ts = (struct timers){0};
}

void timers_free(struct timers *ts)
{
    for (uint32_t i = 0; i < ts->count; i++) {
        ts->heap[i]->index = 0;
        ts->heap[i]->deadline = TIMER_NEVER;
    }
    free(ts->heap);
    timers_init(ts);
}

static void place(struct timers *ts, uint32_t at, struct timer *t)
{
    ts->heap[at] = t;
    t->index = at + 1;
}

/* Both sifts move a hole, not the timer, which is stored once. */
static void sift_up(struct timers *ts, uint32_t at, struct timer *t)
{
    while (at > 0 && ts->heap[(at - 1) / 2]->queued > t->queued) {
        place(ts, at, ts->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(ts, at, t);
}

/* The earlier child of a place, which has at least one. */
static uint32_t earlier_child(const struct timers *ts, uint32_t at)
{
    uint32_t left = 2 * at + 1;
    uint32_t right = left + 1;

    return right < ts->count && ts->heap[right]->queued < ts->heap[left]->queued ? right : left;
}

static void sift_down(struct timers *ts, uint32_t at, struct timer *t)
{
    while (at < ts->count / 2) {
        uint32_t child = earlier_child(ts, at);

        if (ts->heap[child]->queued >= t->queued) {
            break;
        }
        place(ts, at, ts->heap[child]);
        at = child;
    }
    place(ts, at, t);
}

static void heap_remove(struct timers *ts, struct timer *t)
{
    uint32_t at = t->index - 1;
    struct timer *last = ts->heap[--ts->count];

    t->index = 0;
    if (last == t) {
        return;
    }
    if (last->queued < t->queued) {
        sift_up(ts, at, last);
    } else {
        sift_down(ts, at, last);
    }
}

static int heap_grow(struct timers *ts)
{
    uint32_t size = ts->size ? ts->size * 2 : TIMERS_FIRST;
    struct timer **heap;

    /* Half of what 32 bits count keeps 2 * place + 2 in range, too. */
    if (size > UINT32_MAX / 2) {
        return -ERR_MEMORY;
    }
    heap = reallocarray(ts->heap, size, sizeof(*heap));
    if (!heap) {
        return -ERR_MEMORY;
    }
    ts->heap = heap;
    ts->size = size;
    return 0;
}

static int heap_add(struct timers *ts, struct timer *t, int64_t deadline)
{
    if (ts->count == ts->size && heap_grow(ts) < 0) {
        return -ERR_MEMORY;
    }
    t->deadline = t->queued = deadline;
    sift_up(ts, ts->count++, t);
    return 0;
}

int timer_set(struct timers *ts, struct timer *t, int64_t deadline)
{
    if (t->index == 0 && deadline != TIMER_NEVER) {
        return heap_add(ts, t, deadline);
    }
    t->deadline = deadline;
    if (t->index && deadline < t->queued) {
        t->queued = deadline;
        sift_up(ts, t->index - 1, t);
    }
    return 0;
}

void timer_remove(struct timers *ts, struct timer *t)
{
    if (t->index) {
        heap_remove(ts, t);
    }
    t->deadline = TIMER_NEVER;
}

int64_t timers_next(const struct timers *ts)
{
    return ts->count ? ts->heap[0]->queued : TIMER_NEVER;
}

/* Puts a timer whose deadline was moved where it now belongs. */
static void requeue(struct timers *ts, struct timer *t)
{
    if (t->deadline == TIMER_NEVER) {
        heap_remove(ts, t);
        return;
    }
    t->queued = t->deadline;
    sift_down(ts, t->index - 1, t);
}

unsigned timers_fire(struct timers *ts, int64_t now, unsigned most)
{
    unsigned fired = 0;

    for (unsigned step = 0; step < most && timers_next(ts) <= now && ts->count; step++) {
        struct timer *t = ts->heap[0];

        if (t->deadline > now) {
            requeue(ts, t);
            continue;
        }
        timer_remove(ts, t);
        t->fire(t);
        fired++;
    }
    return fired;
}
