/* Buffers: bytes that grow at the end and are taken from the front, with a cap at birth.
 *
 * Threads: one at a time. Memory is had when the first byte comes and freed by buf_free; an empty
 * buffer that was freed holds none, which is why an idle connection costs nothing. */
#ifndef PENSTOCK_BASE_BUF_H
#define PENSTOCK_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buf {
    char *ptr;    /* what malloc gave, or NULL */
    size_t start; /* the first byte not yet taken */
    size_t end;   /* behind the last byte put */
    size_t size;  /* of the memory */
    size_t cap;   /* it never grows past this */
};

/* An empty buffer that never holds more than `cap` bytes. */
void buf_init(struct buf *b, size_t cap);

/* Frees the memory and what is in it; the buffer is then empty and can be used on. */
void buf_free(struct buf *b);

static inline struct slice buf_bytes(const struct buf *b)
{
    return slice_of(b->ptr ? b->ptr + b->start : NULL, b->end - b->start);
}

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

/* Makes room for `n` more bytes (at least one) behind the last and returns where they go; NULL at
 * the cap or without memory, and then nothing has changed. May move what is held. buf_added() says
 * how many of them were then written. */
char *buf_reserve(struct buf *b, size_t n);

static inline void buf_added(struct buf *b, size_t n)
{
    b->end += n;
}

/* Appends all of `s`, which is no part of the buffer itself, or returns -ERR_FULL or -ERR_MEMORY
 * and changes nothing. */
int buf_put(struct buf *b, struct slice s);

/* Takes `n` bytes (at most buf_len) from the front. */
void buf_take(struct buf *b, size_t n);

#endif
