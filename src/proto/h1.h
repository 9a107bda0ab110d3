/* HTTP/1 heads: a request's into a structure, an answer's into bytes (RFC 9110, RFC 9112).
 *
 * The decoder is strict: what the RFCs call malformed is refused, and where they let a recipient
 * choose, it refuses whatever another program on the way could read in another way. h1.c lists the
 * choices. It never copies or allocates: what it finds are slices of the caller's bytes.
 *
 * Threads: any; a decoder is used by one at a time. */
#ifndef PENSTOCK_PROTO_H1_H
#define PENSTOCK_PROTO_H1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "proto/fields.h"

/* A method may be any token of at most so many bytes. */
#define H1_METHOD_MAX 64

struct h1_limits {
    size_t line;     /* bytes of the request line without its CRLF: 414 past it */
    size_t head;     /* bytes of the head, its empty line and one before it counted: 431 past it */
    unsigned fields; /* field lines: 431 past it */
};

/* A request's head. All slices point into the decoded bytes, but a path "/" that was not sent. */
struct h1_request {
    /* As sent. */
    struct slice method, target;
    /* "http" or "https", in the client's case, of an absolute-form target; else empty. */
    struct slice scheme;
    /* The effective host and port: the absolute-form target's, else Host's. Empty only in HTTP/1.0.
     */
    struct slice authority;
    /* Still percent-encoded. Begins with '/', or is empty for "*" and what equals it: OPTIONS of an
     * absolute-form target without path and query. */
    struct slice path;
    /* Behind the '?'; its ptr is NULL when there was none. */
    struct slice query;
    /* In the order sent, repeated ones too, names with '_' too. */
    struct field *fields;
    unsigned count;
    uint8_t minor;        /* 0 or 1; HTTP/1.2 to 1.9 are 1 */
    bool chunked;         /* the body comes in chunks, whatever its length */
    bool keep_alive;      /* the client lets the connection be used again */
    bool expect_continue; /* it waits for 100 before the body; never without a body or in 1.0 */
    bool upgrade;         /* Upgrade is there and Connection names it; never in 1.0 */
    int64_t length;       /* of the body: 0 when there is none, -1 when chunked */
};

/* One head on its way in; private to h1.c. */
struct h1_decoder {
    const struct h1_limits *limits;
    struct field *fields;
    const char *base; /* where the head began at the last call */
    size_t line;      /* where the line at hand begins */
    size_t scanned;   /* up to where it was searched for its end */
    uint8_t state;
    uint8_t coding;
    uint8_t seen;
};

/* Begins a head. `limits` and `fields` (room for limits->fields) stay the caller's and must outlive
 * the decoder. */
void h1_decoder_init(struct h1_decoder *d, const struct h1_limits *limits, struct field *fields);

/* Decodes a head. `in` begins at its first byte and holds every byte that has come so far; `out` is
 * the same object in each call. Returns the bytes taken (the head with its empty line), 0 when more
 * are needed, or -ERR_x, after which (as after the end) the decoder has to be begun anew.
 *
 * Between calls the bytes may have been moved (a buffer that grew): the decoder notices, and what
 * it found so far points to their new place. A cut costs no second look at the lines before it. The
 * outcome is the same however the bytes are cut; each line is judged as soon as it is there, and a
 * first byte that cannot begin a request at once.
 *
 * When a request is refused, `out` holds what was understood of it before, for the log: method and
 * target once the request line could be split, path and query once the target was found good. */
int h1_decode_head(struct h1_decoder *d, struct slice in, struct h1_request *out);

/* Appends the status line (HTTP/1.1) and field lines, but not the empty line that ends the head:
 * what the server adds (h1_encode_length, ready-made lines) comes behind, then h1_encode_end(). An
 * empty `reason` is the standard phrase. `status` is 100 to 999; names, values and reason must have
 * been found good by field_name_ok and field_value_ok. Returns 0, or -ERR_FULL or -ERR_MEMORY and
 * has appended nothing. */
int h1_encode_head(struct buf *b, int status, struct slice reason, const struct field *fields,
                   unsigned count);

/* Appends a "Content-Length: N" line. */
int h1_encode_length(struct buf *b, uint64_t length);

/* Appends the empty line that ends a head. */
static inline int h1_encode_end(struct buf *b)
{
    return buf_put(b, SLICE("\r\n"));
}

#endif
