/* Bodies in chunks (RFC 9112 section 7.1): decoding, and what to put around a chunk that is sent.
 *
 * Threads: any; a decoder is used by one at a time. */
#ifndef PENSTOCK_PROTO_CHUNKED_H
#define PENSTOCK_PROTO_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* One body on its way in. Users read `done` alone. */
struct chunked {
    uint64_t left;         /* of the chunk at hand */
    size_t extension_left; /* bytes that extensions may still take in this body */
    size_t trailer_left;   /* bytes that the trailer section may still take */
    uint8_t state;
    uint8_t digits; /* of the size at hand */
    bool done;      /* the CRLF that ends the body was taken; what follows is not the body's */
};

/* Begins a body. All extensions together may take `extension_cap` bytes (so may those of one
 * chunk), all trailer lines together `trailer_cap`, line ends counted. */
void chunked_init(struct chunked *c, size_t extension_cap, size_t trailer_cap);

/* Decodes what comes next of the body. Returns the bytes taken, and sets `data` to the payload
 * among them (of `in`, perhaps empty); there may be bytes left, to be given again. Takes nothing
 * only when `in` is empty or the body is done. Extensions and trailers are checked and dropped.
 * Returns -ERR_x when the bytes are malformed or past a cap, from then on at every call. */
int chunked_decode(struct chunked *c, struct slice in, struct slice *data);

/* The most that chunked_encode_size() writes. */
#define CHUNKED_SIZE_MAX 18

/* Writes what stands before a chunk of `size` bytes: the size and CRLF. Returns the bytes written.
 * `size` is not 0, which would end the body. Behind the chunk goes CRLF. */
size_t chunked_encode_size(char out[static CHUNKED_SIZE_MAX], uint64_t size);

/* What ends a body, without trailers. */
#define CHUNKED_END SLICE("0\r\n\r\n")

#endif
