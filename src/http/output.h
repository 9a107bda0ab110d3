/* Output: what is still to be sent on one connection, in order.
 *
 * Small pieces are copied into one buffer; large ones are kept by reference until the kernel has
 * taken them, and ranges of files go by sendfile. A queue of segments gives the order. A batch of
 * small responses so leaves in one write. What waits for a slow client can be moved to a file, from
 * where it goes by sendfile, too.
 *
 * Threads: one at a time: the loop's holder, or the call of the connection's only exchange. */
#ifndef PENSTOCK_HTTP_OUTPUT_H
#define PENSTOCK_HTTP_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/exchange.h"
#include "http/spool.h"

enum {
    OUTPUT_COPY = 2048,       /* a held chunk of at most this is copied and released at once */
    OUTPUT_FULL = 256 * 1024, /* from this many bytes in memory on the handler is asked to wait */
    OUTPUT_CAP = 1024 * 1024, /* of copied bytes: more are refused */
    OUTPUT_SEGMENTS = 4096,   /* the most that wait */
    OUTPUT_FEW = 2,           /* segments that need no memory of their own */
};

struct segment {
    enum segment_kind { SEGMENT_COPIED, SEGMENT_HELD, SEGMENT_FILE, SEGMENT_SPOOL } kind;
    int fd;
    union {
        const char *ptr; /* SEGMENT_HELD */
        int64_t offset;  /* SEGMENT_FILE, SEGMENT_SPOOL */
    } at;
    int64_t length;
    struct hold *hold; /* SEGMENT_HELD, SEGMENT_FILE */
};

struct output {
    struct buf bytes; /* of all SEGMENT_COPIED, in their order */
    struct segment few[OUTPUT_FEW];
    struct segment *segments; /* `few`, or memory of its own */
    unsigned first, count, size;
    unsigned held;   /* segments that are not copied */
    int64_t pending; /* bytes, of all segments */
    int64_t filed;   /* of these, in files */
    int64_t spooled; /* of these, in our own */
    struct spool spool;
};

/* What waits in memory. */
static inline int64_t output_memory(const struct output *o)
{
    return o->pending - o->filed;
}

void output_init(struct output *o, struct server *server);

/* Releases what is held and frees the rest; what was pending is lost. The output is then empty and
 * can be used on. */
void output_drop(struct output *o);

/* The buffer for a caller that encodes into it by itself; output_appended() then says how many
 * bytes it put there. */
struct buf *output_buffer(struct output *o);
int output_appended(struct output *o, size_t n);

/* Appends a copy of `s`. Returns 0, -ERR_FULL or -ERR_MEMORY. */
int output_copy(struct output *o, struct slice s);

/* Appends a chunk, by reference if it has a hold and is not small. Its hold is released by the
 * output, whatever is returned: 0, -ERR_FULL or -ERR_MEMORY. */
int output_chunk(struct output *o, const struct chunk *chunk);

/* Moves all that waits in memory to a file, which may then have at most `most` bytes, sent ones
 * included; it begins anew when all of it was sent. Returns 0, -ERR_FULL, or what spool_put() says;
 * then some of it may have been moved, and nothing is lost. */
int output_spool(struct output *o, int64_t most);

/* Sends what the socket takes, at most about a megabyte of it: one peer that reads fast is not
 * everything. Returns 0 when all is sent, 1 when the socket is full, 2 when there is more to be
 * sent at once, or -ERR_RESET, -ERR_SHORT_BODY (a file ended early) or -ERR_SYSTEM. `*sent` is
 * increased by the bytes taken. */
int output_flush(struct output *o, int fd, uint64_t *sent);

#endif
