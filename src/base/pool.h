/* Pools: blocks of one size that are used again instead of freed.
 *
 * Threads: one at a time (in a worker: the loop's holder). */
#ifndef PENSTOCK_BASE_POOL_H
#define PENSTOCK_BASE_POOL_H

#include <stddef.h>

struct pool {
    size_t size;   /* of each block, in bytes; at least that of a pointer */
    unsigned kept; /* blocks waiting to be used again */
    unsigned keep; /* the most that wait; more are freed */
    void *first;
};

void pool_init(struct pool *p, size_t size, unsigned keep);

/* A block of p->size bytes with undefined content; NULL when memory is out. */
void *pool_get(struct pool *p);

/* Takes a block of this pool back. NULL is allowed. */
void pool_put(struct pool *p, void *block);

/* Frees the blocks that wait. Those still out are their owners' to free with free(). */
void pool_drain(struct pool *p);

#endif
