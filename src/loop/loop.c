/* The event loop.
 *
 * loop_turn() is the whole of it: the phases that loop.h describes, in their order. Each phase
 * reads what is left to do from the struct again after each call that it makes, because a call may
 * stop, close and defer, or may have handed the loop to another thread that ran whole turns
 * meanwhile.
 *
 * What is deferred by flush itself waits for the next turn, so what is closed by flush may still be
 * named by deferred work; it is freed once no deferred work is left that is older than its closing.
 *
 * Relies on epoll, an eventfd and the monotonic clock. Never allocates after loop_init but for the
 * timers' heap, never closes a descriptor that is not its own, and never calls a watch that was
 * removed. */
#include "loop/loop.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/errors.h"

enum {
    LOOP_EXPIRE = 256,
    LOOP_PATIENCE = 2, /* ms that deferred work waits for the end of its batch */
};

/* Edge-triggered, each write to the eventfd is an event of its own, and its count need never be
 * read. */
static void wake_ready(struct watch *w, uint32_t events)
{
    (void)w;
    (void)events;
}

static int wake_open(struct loop *l)
{
    l->wake = (struct watch){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = wake_ready};
    return l->wake.fd < 0 ? -ERR_SYSTEM : loop_watch(l, &l->wake, EPOLLIN | EPOLLET);
}

int loop_init(struct loop *l)
{
    *l = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC), .wake.fd = -1};
    l->deferred_last = &l->deferred_first;
    timers_init(&l->timers);
    clock_update(&l->clock);
    if (l->epoll < 0 || wake_open(l) < 0) {
        int why = errno;

        loop_free(l);
        errno = why;
        return -ERR_SYSTEM;
    }
    return 0;
}

static int control(struct loop *l, int what, struct watch *w, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = w};

    return epoll_ctl(l->epoll, what, w->fd, &event) < 0 ? -ERR_SYSTEM : 0;
}

int loop_watch(struct loop *l, struct watch *w, uint32_t events)
{
    return control(l, EPOLL_CTL_ADD, w, events);
}

int loop_rewatch(struct loop *l, struct watch *w, uint32_t events)
{
    return control(l, EPOLL_CTL_MOD, w, events);
}

void loop_unwatch(struct loop *l, struct watch *w)
{
    if (w->fd < 0) {
        return;
    }
    control(l, EPOLL_CTL_DEL, w, 0);
    for (int i = l->batch_next; i < l->batch_size; i++) {
        if (l->batch[i].data.ptr == w) {
            l->batch[i].data.ptr = NULL;
        }
    }
}

void loop_defer(struct loop *l, struct deferred *d)
{
    if (d->queued) {
        return;
    }
    if (!l->deferred_first) {
        l->deferred_since = l->clock.now;
    }
    d->queued = true;
    d->next = NULL;
    *l->deferred_last = d;
    l->deferred_last = &d->next;
    l->deferred_count++;
}

void loop_post(struct loop *l, struct deferred *d, bool urgent)
{
    struct deferred *first = atomic_load_explicit(&l->posted, memory_order_relaxed);

    do {
        d->next = first;
    } while (!atomic_compare_exchange_weak_explicit(&l->posted, &first, d, memory_order_release,
                                                    memory_order_relaxed));
    if (urgent) {
        loop_wake(l);
    }
}

void loop_close(struct loop *l, struct closing *c)
{
    c->next = l->closing;
    l->closing = c;
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}

void loop_wake(struct loop *l)
{
    static const uint64_t one = 1;
    int saved = errno;

    /* Fails only when the count is full, and then the loop is awake. */
    while (write(l->wake.fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    errno = saved;
}

/* How long the loop may sleep: not at all while something is left to do, else until the earliest
 * timer. */
static int sleep_for(struct loop *l, int patience)
{
    int64_t left;

    if (l->deferred_first || l->closing || l->due || l->stop) {
        return 0;
    }
    if (timers_next(&l->timers) == TIMER_NEVER) {
        return patience;
    }
    clock_update(&l->clock); /* handlers may have taken long since the last wait */
    if (timers_next(&l->timers) <= l->clock.now) {
        return 0;
    }
    left = timers_next(&l->timers) - l->clock.now;
    left = left > INT_MAX ? INT_MAX : left;
    return patience >= 0 && patience < left ? patience : (int)left;
}

/* Brings what is to be called first to the front. Two that are so may change places. */
static void order_batch(struct loop *l)
{
    int front = 0;

    for (int i = 0; i < l->batch_size; i++) {
        const struct watch *w = l->batch[i].data.ptr;
        struct epoll_event event = l->batch[i];

        if (w->first) {
            l->batch[i] = l->batch[front];
            l->batch[front++] = event;
        }
    }
}

/* Fills the batch, unless another holder left some of it. */
static int turn_wait(struct loop *l, int patience)
{
    int timeout;
    int n;

    if (l->batch_next < l->batch_size) {
        return 0;
    }
    l->batch_next = l->batch_size = 0;
    if (l->settle) {
        l->settle->run(l->settle);
    }
    timeout = sleep_for(l, patience);
    if (timeout != 0 && l->idle) {
        l->idle(l);
    }
    n = epoll_wait(l->epoll, l->batch, LOOP_BATCH, timeout);
    clock_update(&l->clock);
    if (n < 0) {
        return errno == EINTR ? 0 : -ERR_SYSTEM;
    }
    l->batch_size = n;
    if (n > 1) {
        order_batch(l);
    }
    return 0;
}

/* Has what just became ready called. False: somebody else holds the loop now. */
static bool call_ready(struct loop *l)
{
    return !l->calls || l->calls(l);
}

/* What other threads handed back, oldest first, is done as if it had been deferred. */
static void turn_take_posted(struct loop *l)
{
    struct deferred *d;
    struct deferred *oldest = NULL;

    if (!loop_has_posted(l)) {
        return;
    }
    d = atomic_exchange_explicit(&l->posted, NULL, memory_order_acquire);
    while (d) {
        struct deferred *next = d->next;

        d->next = oldest;
        oldest = d;
        d = next;
    }
    while (oldest) {
        d = oldest;
        oldest = d->next;
        d->queued = false;
        loop_defer(l, d);
    }
}

static void turn_expire(struct loop *l)
{
    timers_fire(&l->timers, l->clock.now, LOOP_EXPIRE);
}

static struct deferred *deferred_take(struct loop *l)
{
    struct deferred *d = l->deferred_first;

    l->deferred_first = d->next;
    if (!l->deferred_first) {
        l->deferred_last = &l->deferred_first;
    }
    l->deferred_count--;
    d->queued = false;
    return d;
}

static bool turn_flush(struct loop *l)
{
    for (unsigned n = l->deferred_count; n > 0 && l->deferred_first; n--) {
        struct deferred *d = deferred_take(l);

        d->run(d);
        if (!call_ready(l)) {
            return false;
        }
    }
    return true;
}

/* Whether what was deferred has waited long enough: the calls of this batch take their time. With
 * nothing left in the batch it is flushed anyway, and the clock need not be asked. */
static bool is_overdue(struct loop *l)
{
    if (!l->deferred_first || l->batch_next == l->batch_size) {
        return false;
    }
    clock_update(&l->clock);
    return l->clock.now - l->deferred_since >= LOOP_PATIENCE;
}

static bool turn_dispatch(struct loop *l)
{
    while (l->batch_next < l->batch_size) {
        const struct epoll_event *event = &l->batch[l->batch_next++];
        struct watch *w = event->data.ptr;

        if (w) {
            w->ready(w, event->events);
            if (!call_ready(l) || (is_overdue(l) && !turn_flush(l))) {
                return false;
            }
        }
    }
    return true;
}

static struct closing *closing_take(struct loop *l)
{
    struct closing *all = l->closing;

    l->closing = NULL;
    return all;
}

static void release_all(struct closing *c)
{
    while (c) {
        struct closing *next = c->next;

        c->release(c);
        c = next;
    }
}

/* What was closed before this flush can be named by nothing that is deferred after it. */
static void closing_due(struct loop *l)
{
    struct closing **last = &l->due;

    while (*last) {
        last = &(*last)->next;
    }
    *last = closing_take(l);
}

static void release_due(struct loop *l)
{
    struct closing *all = l->due;

    l->due = NULL;
    release_all(all);
}

int loop_turn(struct loop *l, int patience)
{
    int result = turn_wait(l, patience);

    if (result < 0) {
        return result;
    }
    turn_take_posted(l);
    if (!turn_dispatch(l)) {
        return LOOP_LOST;
    }
    turn_expire(l);
    closing_due(l);
    if (!turn_flush(l)) {
        return LOOP_LOST;
    }
    release_due(l);
    if (!l->deferred_first) {
        release_all(closing_take(l));
    }
    return 0;
}

int loop_run(struct loop *l)
{
    int result = 0;

    while (!l->stop && result == 0) {
        result = loop_turn(l, -1);
    }
    l->stop = false;
    return result;
}

static void close_own(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void loop_free(struct loop *l)
{
    release_due(l);
    while (l->closing) {
        release_all(closing_take(l));
    }
    close_own(&l->wake.fd);
    close_own(&l->epoll);
    timers_free(&l->timers);
}
