/* Spreading connections over the workers that accept from the same listeners.
 *
 * Such workers are a circle. Each says in its slot of the scoreboard whether it takes connections,
 * and whether all of its threads are in a call. From that alone each decides for itself whether it
 * leaves the next connections to the others. Nothing here is believed for more than its face:
 * whatever another slot says, the worst is that this worker looks at its listeners late by what
 * accept.c allows.
 *
 * Threads: the loop's holder, of the worker whose slot is `own`. */
#ifndef PENSTOCK_HTTP_SPREAD_H
#define PENSTOCK_HTTP_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/scoreboard.h"

enum door_state {
    DOOR_SHUT,  /* it takes none: it is full, or does not serve */
    DOOR_OPEN,  /* it takes connections */
    DOOR_STAND, /* it stands back: it would, and leaves them to others for now */
};

struct circle {
    const struct scoreboard *board; /* NULL: the worker is alone */
    struct slot *own;
    uint64_t name; /* the same for all of the circle, never 0 */
};

/* What a worker sees of the others of its circle. */
struct sight {
    bool any;          /* there is one that is open or stands back */
    bool less;         /* an open one has fewer connections */
    bool better;       /* an open one is much better placed to take the next connection */
    bool behind;       /* one that stands back is */
    uint64_t accepted; /* by all of them so far: moves while connections come */
};

/* The name of the circle of an application's workers of one generation. */
uint64_t circle_name(const char *app, uint32_t generation);

/* Looks at the others, at `now` (monotonic ms, as in heartbeats). */
struct sight circle_look(const struct circle *c, int64_t now);

/* Enters the circle, open, and leaves it. */
void circle_enter(const struct circle *c);
void circle_leave(const struct circle *c);

/* Says whether this worker takes connections. Of those who could, all may be SHUT at a time. */
void circle_say(const struct circle *c, enum door_state state);

/* This worker stands back for one that is better placed; false, and it does not, when none is: one
 * of those who could take connections always stays open. */
bool circle_yield(const struct circle *c, int64_t now);

#endif
