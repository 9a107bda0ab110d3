/* Arenas: memory that lives and dies together.
 *
 * Pieces are cut from the front of the current block; when it is used up, malloc gives another. A
 * piece that is large for a block gets one of its own, and the current block stays current, so that
 * little of any block is wasted: what an arena holds is never much more than a third above what it
 * handed out, and one block.
 *
 * Relies on malloc's alignment. Never moves what it handed out and never gives a single piece back.
 * Under AddressSanitizer pieces have a poisoned gap between them, which does not count against the
 * cap. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#include "base/poison.h"

enum { ARENA_ALIGN = alignof(max_align_t), ARENA_BLOCK = 8192, ARENA_LARGE = ARENA_BLOCK / 4 };

#ifdef POISON_WORKS
enum { ARENA_GAP = ARENA_ALIGN };
#else
enum { ARENA_GAP = 0 };
#endif

struct arena_block {
    struct arena_block *next;
    alignas(max_align_t) char bytes[];
};

static size_t padded(size_t size)
{
    return (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

/* Starts at the block's first aligned byte: an owner may lend any piece of memory. */
static void use_block(struct arena *a, char *bytes, size_t size)
{
    size_t skip = padded((uintptr_t)bytes) - (uintptr_t)bytes;

    if (skip > size) {
        skip = size;
    }
    poison(bytes, size);
    a->next = bytes + skip;
    a->end = bytes + size;
}

void arena_init(struct arena *a, size_t cap, void *lent, size_t size)
{
    *a = (struct arena){.lent = lent, .lent_size = lent ? size : 0, .cap = cap};
    if (lent) {
        use_block(a, lent, size);
    }
}

static char *new_block(struct arena *a, size_t size)
{
    struct arena_block *block = NULL;
    size_t whole;

    if (!__builtin_add_overflow(sizeof(*block), size, &whole)) {
        block = malloc(whole);
    }
    if (!block) {
        return NULL;
    }
    block->next = a->blocks;
    a->blocks = block;
    return block->bytes;
}

/* Sees to it that the current block has room for `size` bytes. */
static bool refill(struct arena *a, size_t size)
{
    char *bytes;

    if (a->next && (size_t)(a->end - a->next) >= size) {
        return true;
    }
    bytes = new_block(a, ARENA_BLOCK);
    if (bytes) {
        use_block(a, bytes, ARENA_BLOCK);
    }
    return bytes != NULL;
}

static char *cut(struct arena *a, size_t size)
{
    size_t room = a->next ? (size_t)(a->end - a->next) : 0;
    size_t gap = ARENA_GAP;
    char *piece;

    if (size > ARENA_LARGE && size > room) {
        return new_block(a, size);
    }
    if (!refill(a, size)) {
        return NULL;
    }
    piece = a->next;
    room = (size_t)(a->end - a->next) - size;
    a->next += size + (room < gap ? room : gap);
    return piece;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t whole = padded(size ? size : 1);
    char *piece;

    /* The first test also catches a size that wrapped around in padded(). */
    if (whole < size || whole > a->cap - a->used) {
        return NULL;
    }
    piece = cut(a, whole);
    if (!piece) {
        return NULL;
    }
    a->used += whole;
    poison(piece, whole);
    unpoison(piece, size ? size : 1);
    return piece;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    char *copy = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;

    if (!copy) {
        return slice_of(NULL, 0);
    }
    if (s.len) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return slice_of(copy, s.len);
}

void arena_free(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *block = a->blocks;

        a->blocks = block->next;
        free(block);
    }
    unpoison(a->lent, a->lent_size);
    a->next = a->end = NULL;
    a->lent = NULL;
    a->lent_size = 0;
    a->used = 0;
}
