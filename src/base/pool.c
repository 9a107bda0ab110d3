/* Pools: blocks of one size that are used again instead of freed.
 *
 * The blocks that wait form a stack, linked through their own first bytes. Under AddressSanitizer a
 * waiting block is poisoned whole, so that a late use of it or giving it back twice is seen.
 *
 * Relies on malloc. Never keeps more than its bound and never zeroes anything. */
#include "base/pool.h"

#include <stdlib.h>

#include "base/poison.h"

struct waiting {
    struct waiting *next;
};

void pool_init(struct pool *p, size_t size, unsigned keep)
{
    *p = (struct pool){.size = size, .keep = keep};
    if (size < sizeof(struct waiting)) {
        p->size = sizeof(struct waiting);
    }
}

static void *take_first(struct pool *p)
{
    struct waiting *block = p->first;

    unpoison(block, p->size);
    p->first = block->next;
    p->kept--;
    return block;
}

void *pool_get(struct pool *p)
{
    return p->first ? take_first(p) : malloc(p->size);
}

void pool_put(struct pool *p, void *block)
{
    struct waiting *waiting = block;

    if (!block || p->kept >= p->keep) {
        free(block);
        return;
    }
    waiting->next = p->first;
    p->first = waiting;
    p->kept++;
    poison(waiting, p->size);
}

void pool_drain(struct pool *p)
{
    while (p->first) {
        free(take_first(p));
    }
}
