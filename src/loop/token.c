/* The token (token.h says what it is for; docs/internals/threads.md has the drawing and the
 * invariants).
 *
 * One atomic word says who holds the token and in which phase: LOOP (turning the loop; nobody may
 * take it) or CALL (in code that may take long; the monitor may). A holder enters a call by a store
 * and returns by compare-and-swap; the monitor takes the token by compare-and-swap from CALL to
 * LOOP of somebody else. The sequence number makes each call another word, so that the monitor
 * cannot take from a call that it did not watch.
 *
 * The monitor looks once a tick while calls are begun or detached ones run, and sleeps otherwise.
 * It says that it sleeps before it looks a last time, and a holder enters before it reads that;
 * both are sequentially consistent, so one of them sees the other.
 *
 * Parking, passing and the monitor's turn of leading are decided under one short lock; nobody waits
 * under it. */
#include "loop/token.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"

enum {
    TICK_MS = 1,
    TICK_NS = TICK_MS * 1000000,
    QUIET_TICKS = 20,  /* without a call, before the monitor sleeps */
    STILL_NS = 100000, /* a call that used less CPU in a tick is blocked */
    BURNT_TICKS = 2,   /* with CPU, after which a call gives the loop up */
    STARVED_TICKS = 8, /* of any kind */
    SLOW_NS = 150000,  /* a call that took longer is worth a look at its CPU clock from then on */
    MEASURED = 32,     /* calls of a route whose CPU clock is looked at after one that took long */
    LIKELY = 128,      /* of 255: from here on a call gives the token away first */
    LEAVE_TICK = 50,   /* ms between looks at whether a thread that was being started has come */
};

enum phase { PHASE_LOOP, PHASE_CALL };

#define MONITOR 0xffffu
#define NOBODY  0xfffeu

/* state: sequence << 17 | phase << 16 | holder */
static uint64_t word(uint32_t holder, enum phase phase, uint64_t sequence)
{
    return sequence << 17 | (uint64_t)phase << 16 | holder;
}

static uint32_t word_holder(uint64_t w)
{
    return w & 0xffff;
}

static enum phase word_phase(uint64_t w)
{
    return (w >> 16) & 1 ? PHASE_CALL : PHASE_LOOP;
}

static uint64_t word_sequence(uint64_t w)
{
    return w >> 17;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *patience)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, patience, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    atomic_store(word, 1);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static int64_t clock_of(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) ? 0 : t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The queue
 * ---------------------------------------------------------------------------------------------------------
 */

void token_submit(struct token *t, struct task *task)
{
    task->next = NULL;
    task->prev = t->last;
    *t->last = task;
    t->last = &task->next;
    atomic_fetch_add(&t->queued, 1);
}

bool token_withdraw(struct token *t, struct task *task)
{
    if (!task->prev)
        return false;
    *task->prev = task->next;
    if (task->next)
        task->next->prev = task->prev;
    else
        t->last = task->prev;
    task->prev = NULL;
    atomic_fetch_sub(&t->queued, 1);
    return true;
}

/* Passing
 * -----------------------------------------------------------------------------------------------------------
 */

/* Under the lock. */
static struct hand *unpark(struct token *t)
{
    struct hand *h = t->parked;
    if (h) {
        t->parked = h->parked_next;
        atomic_store(&t->wanted, t->parked != NULL);
    }
    return h;
}

/* Under the lock. */
static void park(struct token *t, struct hand *h)
{
    h->parked_next = t->parked;
    t->parked = h;
    atomic_store(&t->wanted, true);
}

/* Under the lock: nobody is parked, so one more thread is started if there may be one. */
static void want_more(struct token *t)
{
    if (t->spawning || t->count == t->most)
        return;
    t->spawning = t->ops->spawn(t);
}

static void wake_monitor(struct token *t)
{
    futex_wake(&t->alarm);
}

/* The token goes from `from`, which the caller has as the state, to a parked hand, or to the
 * monitor. False: it is no longer where it was. */
static bool pass(struct token *t, uint64_t from)
{
    pthread_mutex_lock(&t->lock);
    struct hand *to = unpark(t);
    if (!to)
        want_more(t);
    uint64_t next = word(to ? to->index : MONITOR, PHASE_LOOP, word_sequence(from));
    atomic_fetch_add(&t->detached, 1);
    bool passed = atomic_compare_exchange_strong(&t->state, &from, next);
    if (!passed) {
        atomic_fetch_sub(&t->detached, 1);
        if (to)
            park(t, to);
    }
    pthread_mutex_unlock(&t->lock);
    if (passed && to)
        futex_wake(&to->called);
    return passed;
}

/* A holder's call is likely to block and nobody else can run it: the loop goes on without this
 * hand. */
static void give_away(struct hand *h)
{
    struct token *t = h->token;
    h->holds = false;
    pass(t, atomic_load(&t->state));
    if (word_holder(atomic_load(&t->state)) == MONITOR || atomic_load(&t->asleep))
        wake_monitor(t);
}

/* Has a parked hand run the first call of the queue, without the loop. False: none is parked. */
static bool assign(struct token *t)
{
    pthread_mutex_lock(&t->lock);
    struct hand *to = unpark(t);
    if (to) {
        to->task = t->first;
        atomic_fetch_add(&t->detached, 1);
    } else {
        want_more(t);
    }
    pthread_mutex_unlock(&t->lock);
    if (!to)
        return false;
    token_withdraw(t, t->first);
    futex_wake(&to->called);
    if (atomic_load(&t->asleep))
        wake_monitor(t);
    return true;
}

void hand_enter(struct hand *h)
{
    struct token *t = h->token;
    if (!h->holds)
        return;
    h->sequence++;
    atomic_store(&t->state, word(h->index, PHASE_CALL, h->sequence));
    if (atomic_load(&t->asleep))
        wake_monitor(t);
}

bool hand_return(struct hand *h)
{
    if (!h->holds)
        return false;
    uint64_t mine = word(h->index, PHASE_CALL, h->sequence);
    h->holds = atomic_compare_exchange_strong(&h->token->state, &mine,
                                              word(h->index, PHASE_LOOP, h->sequence));
    return h->holds;
}

/* Calls
 * -------------------------------------------------------------------------------------------------------------
 */

/* The CPU time of this thread in nanoseconds, and how often it has gone to sleep by itself. */
static int64_t own_use(long *waits)
{
    struct rusage use;
    getrusage(RUSAGE_THREAD, &use);
    *waits = use.ru_nvcsw;
    return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000LL +
           (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000LL;
}

void hand_begins(struct hand *h, int64_t now)
{
    bool slow = atomic_load_explicit(&h->route->slow, memory_order_relaxed) > 0;
    h->wall_begun = now;
    h->cpu_begun = slow ? own_use(&h->waits_begun) : -1;
}

/* Moves the score of a route a part of the way to what its last call was. */
static void score(struct route *r, bool blocked)
{
    int now = atomic_load_explicit(&r->blocks, memory_order_relaxed);
    now += ((blocked ? 255 : 0) - now) / 4;
    atomic_store_explicit(&r->blocks, (uint8_t)(now < 4 ? 0 : now), memory_order_relaxed);
}

/* Whether a call spent most of its time asleep by its own doing: a thread that lost its CPU to
 * others has not blocked. */
static bool has_blocked(const struct hand *h, int64_t wall)
{
    long waits;
    int64_t cpu = own_use(&waits) - h->cpu_begun;
    return waits > h->waits_begun && wall - cpu > wall / 2;
}

/* A route of short calls costs two reads; one that was slow by chance is measured for a while and
 * then no more. */
void hand_ends(struct hand *h, int64_t now)
{
    struct route *r = h->route;
    int64_t wall = now - h->wall_begun;
    uint8_t slow = atomic_load_explicit(&r->slow, memory_order_relaxed);
    if (!h->wall_begun)
        return;
    if (wall > SLOW_NS) {
        atomic_store_explicit(&r->slow, MEASURED, memory_order_relaxed);
        if (h->cpu_begun >= 0)
            score(r, has_blocked(h, wall));
    } else if (slow) {
        atomic_store_explicit(&r->slow, (uint8_t)(slow - 1), memory_order_relaxed);
        score(r, false);
    }
}

static struct route *route_of(struct token *t, const struct task *task)
{
    return &t->routes[task->route % ROUTES];
}

static bool is_likely_to_block(struct token *t, const struct task *task)
{
    return task->route != ROUTE_NONE &&
           atomic_load_explicit(&route_of(t, task)->blocks, memory_order_relaxed) >= LIKELY;
}

static void run_task(struct hand *h, struct task *task)
{
    h->route = route_of(h->token, task);
    h->wall_begun = 0;
    h->token->ops->run(h, task);
}

/* False when the token is gone. */
static bool run_first(struct hand *h)
{
    struct token *t = h->token;
    struct task *task = t->first;
    token_withdraw(t, task);
    if (t->most > 1 && is_likely_to_block(t, task))
        give_away(h);
    run_task(h, task);
    return h->holds;
}

/* The loop's hook: runs what the last event made ready. False: who turns the loop no longer is to.
 */
static bool run_calls(struct loop *l)
{
    struct token *t = l->owner;
    while (t->first) {
        if (is_likely_to_block(t, t->first) && assign(t))
            continue;
        if (!t->leader)
            return !atomic_load(
                &t->wanted); /* without Python: a parked hand is to lead, or they wait */
        if (!run_first(t->leader))
            return false;
    }
    return true;
}

static void before_sleep(struct loop *l)
{
    struct token *t = l->owner;
    if (t->leader)
        t->ops->idle(t->leader);
}

/* The monitor
 * -------------------------------------------------------------------------------------------------------
 */

struct watched {
    uint64_t state; /* at the last look */
    int64_t cpu;    /* of the hand that was in a call then */
    unsigned ticks; /* for which that call has run */
    unsigned burnt; /* of them, those in which it used CPU */
    unsigned quiet; /* ticks without a call */
};

/* Whether the kernel has the thread asleep: what used no CPU may also have found none.
 * (proc_pid_stat(5): the state follows the name, which stands in parentheses.) */
static bool is_asleep(pid_t thread)
{
    char path[64], text[128];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    const char *name_end = n > 2 ? memrchr(text, ')', (size_t)n - 2) : NULL;
    return !name_end || name_end[2] != 'R';
}

/* A call that sleeps gives the loop up at once, one that burns CPU a tick later, one that finds no
 * CPU after a few. */
static void look_at_call(struct token *t, struct watched *w, uint64_t now)
{
    const struct hand *h = t->hands[word_holder(now)];
    int64_t cpu = clock_of(h->cpu);
    w->quiet = 0;
    if (now != w->state) {
        w->ticks = w->burnt = 0;
    } else {
        bool still = cpu - w->cpu < STILL_NS;
        w->ticks++;
        w->burnt += !still;
        if (w->burnt >= BURNT_TICKS || w->ticks >= STARVED_TICKS || (still && is_asleep(h->thread)))
            pass(t, now);
    }
    w->cpu = cpu;
}

static void look(struct token *t, struct watched *w)
{
    uint64_t now = atomic_load(&t->state);
    if (loop_has_posted(t->loop))
        loop_wake(t->loop);
    if (word_phase(now) == PHASE_CALL)
        look_at_call(t, w, now);
    else if (now == w->state)
        w->quiet++;
    else
        w->quiet = 0;
    w->state = now;
}

/* Whether there is nothing for the monitor to watch, unless that changes. */
static bool is_quiet(struct token *t)
{
    uint64_t now = atomic_load(&t->state);
    return word_phase(now) == PHASE_LOOP && word_holder(now) != MONITOR &&
           !atomic_load(&t->detached) && !loop_has_posted(t->loop) && !atomic_load(&t->stopping);
}

static void rest(struct token *t, struct watched *w)
{
    static const struct timespec tick = {.tv_nsec = TICK_NS};
    bool sleep = w->quiet >= QUIET_TICKS;
    if (sleep) {
        atomic_store(&t->asleep, true);
        sleep = is_quiet(t);
        w->quiet = 0;
    }
    if (!atomic_load(&t->alarm))
        futex_wait(&t->alarm, 0, sleep ? NULL : &tick);
    atomic_store(&t->asleep, false);
    atomic_store(&t->alarm, 0);
}

/* Lets a parked hand have the token if calls wait for one; false when there is no hand or no call.
 */
static bool hand_over(struct token *t)
{
    if (!t->first)
        return false;
    pthread_mutex_lock(&t->lock);
    struct hand *to = unpark(t);
    if (to)
        atomic_store(&t->state, word(to->index, PHASE_LOOP, word_sequence(atomic_load(&t->state))));
    pthread_mutex_unlock(&t->lock);
    if (to)
        futex_wake(&to->called);
    return to != NULL;
}

/* No hand was free: the monitor turns the loop, so that bytes, time limits and refusals go on while
 * calls run. It goes on until there is a call to be made by who holds the loop. What detached calls
 * post is taken up once a tick. */
static void lead(struct token *t)
{
    t->leader = NULL;
    while (!hand_over(t)) {
        bool soon = atomic_load(&t->detached) || loop_has_posted(t->loop);
        int patience = soon ? TICK_MS : -1;
        if (t->loop->stop || loop_turn(t->loop, patience) < 0) {
            token_stop(t);
            return;
        }
    }
}

static void *monitor_main(void *arg)
{
    struct token *t = arg;
    struct watched w = {0};
    while (!atomic_load(&t->stopping)) {
        if (word_holder(atomic_load(&t->state)) == MONITOR) {
            lead(t);
            continue;
        }
        rest(t, &w);
        look(t, &w);
    }
    return NULL;
}

/* Hands
 * -------------------------------------------------------------------------------------------------------------
 */

static void join_crew(struct token *t, struct hand *h)
{
    pthread_mutex_lock(&t->lock);
    h->token = t;
    h->index = t->count++;
    h->holds = false;
    h->sequence = 0;
    atomic_store(&h->called, 0);
    pthread_getcpuclockid(pthread_self(), &h->cpu);
    h->thread = gettid();
    t->hands[h->index] = h;
    t->spawning = false;
    pthread_mutex_unlock(&t->lock);
}

enum turn { TURN_LEAD, TURN_LEAVE, TURN_ERRAND, TURN_TASK };

/* Under the lock: what nobody has is taken, else the hand is parked. */
static enum turn take_or_park(struct hand *h, bool *awaited)
{
    struct token *t = h->token;
    uint64_t now = atomic_load(&t->state);
    if (atomic_load(&t->stopping))
        return TURN_LEAVE;
    if (word_holder(now) == NOBODY) {
        atomic_store(&t->state, word(h->index, PHASE_LOOP, word_sequence(now)));
        return TURN_LEAD;
    }
    park(t, h);
    *awaited = word_holder(now) == MONITOR && atomic_load(&t->queued) > 0;
    return TURN_ERRAND;
}

/* A parked hand was woken: why? */
static enum turn look_why(struct hand *h)
{
    struct token *t = h->token;
    pthread_mutex_lock(&t->lock);
    bool errand = h->sent, task = h->task;
    h->sent = false;
    pthread_mutex_unlock(&t->lock);
    if (errand || task)
        return errand ? TURN_ERRAND : TURN_TASK;
    return word_holder(atomic_load(&t->state)) == h->index ? TURN_LEAD : TURN_LEAVE;
}

static enum turn wait_parked(struct hand *h)
{
    struct token *t = h->token;
    bool awaited = false;
    pthread_mutex_lock(&t->lock);
    enum turn turn = take_or_park(h, &awaited);
    pthread_mutex_unlock(&t->lock);
    if (turn != TURN_ERRAND)
        return turn;
    if (awaited)
        loop_wake(t->loop);
    while (!atomic_load(&h->called))
        futex_wait(&h->called, 0, NULL);
    atomic_store(&h->called, 0);
    return look_why(h);
}

/* Runs the call it was assigned, without the loop. */
static void run_assigned(struct hand *h)
{
    struct task *task = h->task;
    h->task = NULL;
    h->holds = false;
    run_task(h, task);
    atomic_fetch_sub(&h->token->detached, 1);
}

/* Parks until it is this hand's turn to lead, and does meanwhile what it is woken for. False:
 * everybody is to leave. */
static bool wait_for_turn(struct hand *h)
{
    for (;;) {
        switch (wait_parked(h)) {
        case TURN_LEAD: return true;
        case TURN_LEAVE: return false;
        case TURN_ERRAND: h->token->ops->errand(h); break;
        case TURN_TASK: run_assigned(h); break;
        }
    }
}

bool token_errand(struct token *t, struct hand *h)
{
    pthread_mutex_lock(&t->lock);
    struct hand **at = &t->parked;
    while (*at && *at != h)
        at = &(*at)->parked_next;
    bool parked = *at == h;
    if (parked) {
        *at = h->parked_next;
        h->sent = true;
        atomic_store(&t->wanted, t->parked != NULL);
    }
    pthread_mutex_unlock(&t->lock);
    if (parked)
        futex_wake(&h->called);
    return parked;
}

static int turn_the_loop(struct hand *h)
{
    struct token *t = h->token;
    int rc = 0;
    t->leader = h;
    h->holds = true;
    h->sequence = word_sequence(atomic_load(&t->state));
    if (!run_calls(t->loop))
        return 0;
    while (rc == 0 && !t->loop->stop)
        rc = loop_turn(t->loop, -1);
    return rc < 0 ? rc : 0;
}

int token_join(struct token *t, struct hand *h)
{
    int err = 0;
    join_crew(t, h);
    while (wait_for_turn(h)) {
        err = turn_the_loop(h);
        if (h->holds) {
            token_stop(t);
            break;
        }
        atomic_fetch_sub(&t->detached, 1);
    }
    return err;
}

void token_left(struct token *t)
{
    atomic_fetch_add(&t->left, 1);
    syscall(SYS_futex, &t->left, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void token_stop(struct token *t)
{
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->stopping, true);
    t->loop->stop = true;
    atomic_store(&t->state, word(NOBODY, PHASE_LOOP, 0));
    for (struct hand *h; (h = unpark(t));)
        futex_wake(&h->called);
    pthread_mutex_unlock(&t->lock);
    wake_monitor(t);
}

int token_init(struct token *t, struct loop *loop, unsigned most, const struct token_ops *ops)
{
    *t = (struct token){.loop = loop, .ops = ops, .most = most < HANDS_MOST ? most : HANDS_MOST};
    atomic_store(&t->state, word(NOBODY, PHASE_LOOP, 0));
    t->last = &t->first;
    pthread_mutex_init(&t->lock, NULL);
    loop->owner = t;
    loop->calls = run_calls;
    loop->idle = before_sleep;
    return pthread_create(&t->monitor, NULL, monitor_main, t) ? -ERR_SYSTEM : 0;
}

static bool all_left(struct token *t)
{
    pthread_mutex_lock(&t->lock);
    bool all = !t->spawning && atomic_load(&t->left) == t->count;
    pthread_mutex_unlock(&t->lock);
    return all;
}

bool token_free(struct token *t, int patience)
{
    static const struct timespec tick = {.tv_nsec = LEAVE_TICK * 1000000L};
    int64_t limit = clock_ns() + patience * 1000000LL;
    while (!all_left(t)) {
        if (clock_ns() > limit)
            return false;
        uint32_t left = atomic_load(&t->left);
        if (!all_left(t))
            futex_wait(&t->left, left, &tick);
    }
    pthread_join(t->monitor, NULL);
    pthread_mutex_destroy(&t->lock);
    return true;
}
