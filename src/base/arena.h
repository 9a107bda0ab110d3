/* Arenas: memory that lives and dies together.
 *
 * An arena hands out pieces of a few large blocks and frees them all at once. It has its cap at
 * birth, counted over all it handed out. Its first block may be lent by the owner (from a pool), so
 * that a small request costs no call of malloc. Under AddressSanitizer what was not handed out is
 * poisoned.
 *
 * Threads: one at a time, as the arena's owner arranges. */
#ifndef PENSTOCK_BASE_ARENA_H
#define PENSTOCK_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct arena_block;

struct arena {
    char *next;                 /* the next free byte of the current block */
    char *end;                  /* behind its last */
    struct arena_block *blocks; /* what malloc gave, newest first */
    void *lent;                 /* the owner's block, given back by arena_free */
    size_t lent_size;
    size_t used; /* bytes handed out, with padding */
    size_t cap;
};

/* Makes an empty arena that hands out at most `cap` bytes. `lent` (or NULL) is a block of `size`
 * bytes that the arena uses first and never frees. */
void arena_init(struct arena *a, size_t cap, void *lent, size_t size);

/* `size` bytes, aligned for any object, not zeroed; NULL at the cap or without memory. */
void *arena_alloc(struct arena *a, size_t size);

/* A copy of `s` with a NUL behind it; its ptr is NULL when there is no room. */
struct slice arena_copy(struct arena *a, struct slice s);

/* Frees all blocks but the lent one, which is the caller's again. The arena is then empty and can
 * be used on. */
void arena_free(struct arena *a);

#endif
