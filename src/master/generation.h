/* Generations: one start of one application, with its template and workers.
 *
 * An application has one generation; a reload makes a second one beside it, which is why nothing of
 * this is part of the application itself. */
#ifndef PENSTOCK_MASTER_GENERATION_H
#define PENSTOCK_MASTER_GENERATION_H

#include "config/options.h"
#include "master/child.h"
#include "master/exits.h"

struct master;

enum generation_state {
    GENERATION_STARTING, /* nothing is accepted before all workers are ready, or have failed once */
    GENERATION_SERVING,
    GENERATION_LEAVING
};

struct generation {
    struct master *master;
    const struct app_options *app;
    uint32_t number;     /* from 1 */
    uint32_t first_slot; /* of its workers, in the scoreboard */
    enum generation_state state;
    bool proven;           /* one of its workers was ready once */
    bool has_template;     /* or the master executes the only worker itself */
    struct child template; /* unused without one */
    struct child *workers;
    unsigned count;
};

/* Makes a generation of an application, whose workers take the scoreboard's slots from
 * first_slot on. Returns 0 or -ERR_MEMORY. */
int generation_init(struct generation *g, struct master *m, const struct app_options *app,
                    uint32_t first_slot);
void generation_free(struct generation *g);

void generation_start(struct generation *g);

/* Lets its workers finish what they have, and the template go; or ends them at once. */
void generation_drain(struct generation *g);
void generation_stop(struct generation *g);
void generation_kill(struct generation *g);

/* Calls `what` for each of its children. */
void generation_each(struct generation *g, void (*what)(struct child *c));

/* The child with this pid, or NULL. */
struct child *generation_find(struct generation *g, pid_t pid);

/* Whether a process of it is left. */
bool generation_is_here(const struct generation *g);

/* What children report. `status` is the exit status with which the server ends if this was a death
 * at its start. */
void generation_child_ready(struct child *c);
void generation_child_gone(struct child *c, enum exit_status status);
void generation_child_due(struct child *c);

#endif
