/* Generations: one start of one application, with its template and workers.
 *
 * An application has one generation that serves; a reload makes a second one beside it, in an
 * edition of its own. */
#ifndef PENSTOCK_MASTER_GENERATION_H
#define PENSTOCK_MASTER_GENERATION_H

#include "base/exits.h"
#include "config/options.h"
#include "master/child.h"

struct edition;
struct master;

/* STATE(name, what it means) */
#define GENERATION_STATE_MAP(X)                                                                    \
    X(STARTING, "nothing is accepted before enough workers are ready, or have failed once")        \
    X(READY, "they are; the edition says when they accept")                                        \
    X(SERVING, "who dies is replaced")                                                             \
    X(YIELDING, "its workers leave as those of the next generation come")                          \
    X(RESTING, "its workers were told to leave, and may come back")                                \
    X(LEAVING, "nobody is replaced any more")

#define GENERATION_STATE_ENUM(name, text) GENERATION_##name,
enum generation_state { GENERATION_STATE_MAP(GENERATION_STATE_ENUM) };
#undef GENERATION_STATE_ENUM

/* The most places of a generation. */
enum { GENERATION_PLACES = 2 * 1024 + 16 };

/* Room for processes: slots of the scoreboard. */
struct places {
    uint32_t first;
    unsigned count;
};

struct generation {
    struct edition *edition;
    struct master *master;
    const struct app_options *app;
    enum generation_state state;
    bool proven;           /* one of its workers was ready once */
    bool has_template;     /* or the master executes each worker itself */
    bool unfit;            /* the application cannot be shared: workers import it themselves */
    struct child template; /* unused without one */
    struct child *workers; /* places; who is where changes */
    struct places places;
    unsigned wanted;                /* how many workers it is to have */
    struct generation *predecessor; /* of a rolling reload: it leaves as this comes */
    struct generation *successor;   /* and the other way round */
    struct deferred settle;
};

/* Makes a generation of an application. Returns 0 or -ERR_MEMORY. */
int generation_init(struct generation *g, struct edition *e, const struct app_options *app,
                    struct places places);
void generation_free(struct generation *g);

/* Starts its processes; makes one that rests serve again. */
void generation_start(struct generation *g);
void generation_resume(struct generation *g);

/* It is to take the place of `old`, or of none: to be said before it starts. */
void generation_follow(struct generation *g, struct generation *old);

/* It takes nobody's place any more, and nobody takes its: before it is freed. */
void generation_part(struct generation *g);

/* It is ready and may accept. */
void generation_serve(struct generation *g);

/* Makes room for its successor, by and by; or leaves, when that does not follow by and by. */
void generation_yield(struct generation *g);

/* One worker more or fewer; never below one, nor above its places. */
void generation_more(struct generation *g);
void generation_fewer(struct generation *g);

/* Lets its workers finish what they have, and the template go: to come back, or for good; or ends
 * them at once. */
void generation_rest(struct generation *g);
void generation_drain(struct generation *g);
void generation_stop(struct generation *g);
void generation_kill(struct generation *g);

/* Calls `what` for each of its children. */
void generation_each(struct generation *g, void (*what)(struct child *c));

/* The child with this pid, or NULL. */
struct child *generation_find(struct generation *g, pid_t pid);

/* Whether a process of it is left; whether one of them may still accept connections. */
bool generation_is_here(const struct generation *g);
bool generation_accepts(const struct generation *g);

/* What children report. `status` is the exit status with which the server ends if this was a death
 * at its start. */
void generation_child_ready(struct child *c);
void generation_child_unfit(struct child *c);
void generation_child_retires(struct child *c);
void generation_child_closed(struct child *c);
void generation_child_gone(struct child *c, enum exit_status status);
void generation_child_due(struct child *c);

#endif
