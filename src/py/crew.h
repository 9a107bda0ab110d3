/* A worker's threads: the hands of its token, each with its own hold of the GIL.
 *
 * The main thread is the first hand, and the only one as long as no call takes long; more are
 * started when the token wants them. Jobs are what hands run: calls of the application, and what
 * has to happen in Python besides. */
#ifndef PENSTOCK_PY_CREW_H
#define PENSTOCK_PY_CREW_H

#include "loop/token.h"
#include "py/gil.h"

struct crew;

/* A thread of the crew. */
struct seat {
    struct hand hand;
    struct gil gil;
    struct crew *crew;
};

/* Something to be done by a hand. Begins without the GIL, between hand_enter() and hand_return()
 * when the hand holds the token; ends with or without it. */
struct job {
    struct task task;
    void (*run)(struct job *j, struct seat *s);
};

struct crew {
    struct token token;
    struct seat first; /* the main thread's */
    /* What the main thread does for token_errand(): with the GIL, without the token. */
    void (*errand)(struct crew *c);
};

/* Makes the crew of `loop`, of up to `threads` threads. Returns 0 or -ERR_SYSTEM. */
int crew_begin(struct crew *c, struct loop *loop, unsigned threads);

/* Serves until the loop is stopped. By the main thread, with the GIL, which it has again
 * afterwards. Returns 0 or -ERR_SYSTEM. */
int crew_run(struct crew *c);

/* Waits up to `patience` ms for the others to leave. False: one is still in a call, and nothing may
 * be freed. By the main thread, with the GIL. */
bool crew_end(struct crew *c, int patience);

/* Has the job done. By the holder of the loop. */
static inline void crew_submit(struct crew *c, struct job *j)
{
    token_submit(&c->token, &j->task);
}

/* Whether the main thread turns the loop. By the holder. */
static inline bool crew_main_leads(const struct crew *c)
{
    return c->token.leader == &c->first.hand;
}

#endif
