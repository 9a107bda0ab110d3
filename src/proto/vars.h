/* Variables: what gateway protocols bring of a request, a name and a value each.
 *
 * Threads: any. */
#ifndef PENSTOCK_PROTO_VARS_H
#define PENSTOCK_PROTO_VARS_H

#include "base/errors.h"
#include "base/slice.h"

struct var {
    struct slice name, value;
};

/* Variables in the order they came, in memory of the caller's that has room for so many. */
struct vars {
    struct var *list;
    unsigned count, room;
};

/* Adds one. Returns 0, -ERR_VARS when it has no name, or -ERR_TOO_MANY_VARS. */
static inline int vars_add(struct vars *v, struct slice name, struct slice value)
{
    if (name.len == 0)
        return -ERR_VARS;
    if (v->count == v->room)
        return -ERR_TOO_MANY_VARS;
    v->list[v->count++] = (struct var){name, value};
    return 0;
}

#endif
