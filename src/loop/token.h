/* The token: how threads share one event loop and the calls that its events lead to.
 *
 * A process has one loop and up to `most` equal threads ("hands"). Whoever holds the token runs the
 * loop, and when an event makes a call of the application ready, the holder runs it right there: no
 * queue, no wake-up, no switch. If the call takes long, the loop must not wait for it: a monitor
 * thread, which never runs application code, sees it and passes the token to a parked hand, or,
 * when none is left, turns the loop itself while calls wait in a queue. A call that is likely to
 * block, by what its route did before, gives the token away before it starts.
 *
 * The hand whose call lost the token goes on with the call alone ("detached"); it must not touch
 * the loop, and posts what is left to do to the holder (loop_post). Then it parks.
 *
 * docs/internals/threads.md explains the states and proves that no wake-up is lost. It knows
 * nothing of Python or HTTP.
 *
 * Threads: stated at each function. "holder": the hand that holds the token. */
#ifndef PENSTOCK_LOOP_TOKEN_H
#define PENSTOCK_LOOP_TOKEN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "loop/loop.h"

struct token;
struct hand;

/* A call that is ready to be run. Embedded in its owner. */
struct task {
    struct task *next, **prev; /* in the queue; prev is NULL outside it */
    uint32_t route; /* a hash of what is called: how it behaved before decides how it starts */
};

struct token_ops {
    /* Runs a call. Begins and ends detached or holding, as hand_holds() says; in between, code that
     * may take long stands between hand_enter() and hand_return(). hand */
    void (*run)(struct hand *h, struct task *t);

    /* The holder is about to sleep (a worker lets go of the GIL). Not called for the monitor.
     * holder */
    void (*idle)(struct hand *h);

    /* Does what token_errand() asked for: without the token. hand */
    void (*errand)(struct hand *h);

    /* Starts one more thread, which calls token_join(). False: it cannot. monitor, holder */
    bool (*spawn)(struct token *t);
};

enum { HANDS_MOST = 1024, ROUTES = 1024 };

/* The route of a call that stays with who turns the loop, whatever others did: a hash that has the
 * same value makes its calls stay, too. */
#define ROUTE_NONE UINT32_MAX

/* What is known of the calls whose route falls into one bucket. */
struct route {
    _Atomic uint8_t blocks; /* 0..255: moving average of how often they blocked */
    _Atomic uint8_t slow;   /* one took long: so many of the next are measured */
};

struct hand {
    struct token *token;
    struct hand *parked_next;
    struct task *task; /* it is to run this without the token; written under the token's lock */
    bool sent;         /* it is to do an errand when it wakes; under the token's lock */
    clockid_t cpu;     /* its thread's CPU clock */
    pid_t thread;      /* as the kernel names it */
    _Atomic uint32_t called; /* futex: 1 when it is to wake */
    uint32_t index;
    uint64_t sequence;   /* of the call it entered last */
    int64_t wall_begun;  /* of the call that runs, in nanoseconds; 0: it is not measured */
    int64_t cpu_begun;   /* its thread's CPU time then; -1: not looked at */
    long waits_begun;    /* and how often it had waited */
    struct route *route; /* of the call that runs */
    bool holds;          /* as of its own last hand_return(); its own to read */
    void *owner;
};

struct token {
    struct loop *loop;
    const struct token_ops *ops;
    _Atomic uint64_t state;    /* holder, phase, sequence: token.c */
    _Atomic uint32_t alarm;    /* futex of the monitor: 1 when it is to look */
    _Atomic bool asleep;       /* the monitor waits for the alarm alone */
    _Atomic uint32_t detached; /* hands in a call without the token */
    _Atomic bool wanted;       /* a hand is parked */
    _Atomic bool stopping;
    pthread_mutex_t lock; /* of what follows, up to `spawning` */
    struct hand *parked;
    struct hand *hands[HANDS_MOST];
    unsigned count, most;
    _Atomic uint32_t left; /* hands that have ended; a futex */
    bool spawning;         /* a thread was started and has not joined yet */
    pthread_t monitor;
    struct hand *leader;         /* who turns the loop; NULL: the monitor. The holder's */
    struct task *first, **last;  /* the queue: the holder's */
    _Atomic unsigned queued;     /* calls in it; the holder changes it */
    struct route routes[ROUTES]; /* any hand's; a lost update costs nothing */
    void *owner;
};

/* Makes a token for `loop` and up to `most` hands, and starts the monitor. Returns 0 or
 * -ERR_SYSTEM. */
int token_init(struct token *t, struct loop *loop, unsigned most, const struct token_ops *ops);

/* The life of a hand's thread: holds or waits, until token_stop(). The first to join holds first.
 * `h` is the caller's and must outlive token_free(). Returns 0, or -ERR_SYSTEM when the loop
 * failed. hand */
int token_join(struct token *t, struct hand *h);

/* The thread is done with everything, its last use of the token. Once after each token_join(). hand
 */
void token_left(struct token *t);

/* Ends it: loop_run's end for all hands; those in a call leave after it. holder or monitor */
void token_stop(struct token *t);

/* Waits up to `patience` ms for all hands to have left, and ends the monitor. False: some are still
 * in a call, and nothing may be freed. By the thread that left first, usually the process's main
 * one. */
bool token_free(struct token *t, int patience);

/* Has a parked hand run ops->errand. False: it is not parked. holder */
bool token_errand(struct token *t, struct hand *h);

/* Hands a call over to be run: at once when this hand can, else in its turn. The order is kept.
 * holder */
void token_submit(struct token *t, struct task *task);

/* Takes a call that was not begun out of the queue again; false when it has begun. holder */
bool token_withdraw(struct token *t, struct task *task);

/* The call proper begins, and ends, at `now`, in nanoseconds of clock_ns(): what is outside, such
 * as waiting for the GIL, must not teach the table of routes. A task that does not say so teaches
 * nothing. hand */
void hand_begins(struct hand *h, int64_t now);
void hand_ends(struct hand *h, int64_t now);

/* What follows may take long: the token may be passed on. Nothing to do when detached. hand */
void hand_enter(struct hand *h);

/* It is over. True: this hand (still) holds the token; false: it is detached. hand */
bool hand_return(struct hand *h);

static inline bool hand_holds(const struct hand *h)
{
    return h->holds;
}

#endif
