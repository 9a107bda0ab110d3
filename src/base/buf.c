/* Buffers: bytes that grow at the end and are taken from the front.
 *
 * The bytes lie in one piece of memory that doubles up to the cap. Taking from the front only moves
 * an index; what is held moves to the front when at least as much room is won there as bytes are
 * moved, or when there is no other way, so that taking little and putting little does not move much
 * each time.
 *
 * Relies on malloc. Never holds memory that is empty and was freed; never grows past its cap. */
#include "base/buf.h"

#include <assert.h>
#include <stdlib.h>

#include "base/errors.h"

enum { BUF_FIRST = 512 };

void buf_init(struct buf *b, size_t cap)
{
    *b = (struct buf){.cap = cap};
}

void buf_free(struct buf *b)
{
    free(b->ptr);
    buf_init(b, b->cap);
}

static void move_to_front(struct buf *b)
{
    size_t len = buf_len(b);

    if (b->start) {
        memmove(b->ptr, b->ptr + b->start, len);
        b->start = 0;
        b->end = len;
    }
}

/* At least twice the size, and enough for `need` bytes; the cap where that is less. */
static size_t grown(const struct buf *b, size_t need)
{
    size_t size = b->size ? b->size : BUF_FIRST / 2;

    do {
        if (size > b->cap / 2) {
            return b->cap;
        }
        size *= 2;
    } while (size < need);
    return size;
}

/* Larger memory with the same bytes at its front. */
static bool grow(struct buf *b, size_t need)
{
    size_t size = grown(b, need);
    size_t len = buf_len(b);
    char *ptr = malloc(size);

    if (!ptr) {
        return false;
    }
    if (len) {
        memcpy(ptr, b->ptr + b->start, len);
    }
    free(b->ptr);
    *b = (struct buf){.ptr = ptr, .end = len, .size = size, .cap = b->cap};
    return true;
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t len = buf_len(b);

    assert(n > 0);
    if (n > b->cap - len) {
        return NULL;
    }
    if (n <= b->size - b->end) {
        return b->ptr + b->end;
    }
    if (len + n <= b->size && (b->start >= len || b->size == b->cap)) {
        move_to_front(b);
    } else if (!grow(b, len + n)) {
        if (len + n > b->size) {
            return NULL;
        }
        move_to_front(b);
    }
    return b->ptr + b->end;
}

int buf_put(struct buf *b, struct slice s)
{
    char *room;

    if (s.len == 0) {
        return 0;
    }
    if (s.len > b->cap - buf_len(b)) {
        return -ERR_FULL;
    }
    room = buf_reserve(b, s.len);
    if (!room) {
        return -ERR_MEMORY;
    }
    memcpy(room, s.ptr, s.len);
    buf_added(b, s.len);
    return 0;
}

void buf_take(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end) {
        b->start = b->end = 0;
    }
}
