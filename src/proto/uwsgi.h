/* The uwsgi protocol: the packet that stands before a request's body, read and written.
 *
 * Four bytes (modifier1, the size of the block as 16 bits, low byte first, modifier2), then the
 * block: for each variable the length of its name, the name, the length of its value, the value,
 * lengths as 16 bits, low byte first. The answer is HTTP as it is: cgi.h reads its head.
 *
 * Threads: any. */
#ifndef PENSTOCK_PROTO_UWSGI_H
#define PENSTOCK_PROTO_UWSGI_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/vars.h"

enum { UWSGI_HEAD = 4, UWSGI_BLOCK_MAX = 65535 };

/* The modifiers that are spoken here. */
enum uwsgi_modifier {
    UWSGI_REQUEST = 0,    /* variables of a request for Python */
    UWSGI_PATH_INFO = 30, /* likewise, but PATH_INFO still begins with SCRIPT_NAME */
    UWSGI_PING = 100,     /* are you there? modifier2 is 0 in the question and 1 in the answer */
};

struct uwsgi_head {
    uint8_t modifier1, modifier2;
    uint16_t size; /* of the block */
};

/* Decodes the four bytes of a packet's head. Returns UWSGI_HEAD, or 0 when more are needed. */
int uwsgi_decode_head(struct slice in, struct uwsgi_head *out);

/* Decodes the packet of a request or a ping; `in` begins at its first byte and holds every byte
 * that has come so far. Its block may be of at most `cap` bytes. Appends to `vars` slices of `in`;
 * a ping's block means nothing. Returns the bytes taken, 0 when more are needed, or
 * -ERR_UWSGI_MODIFIER, -ERR_HEAD_TOO_LARGE, -ERR_VARS or -ERR_TOO_MANY_VARS, the first two as soon
 * as the bytes that tell are there. Where it does not return the bytes taken, `vars` is as it was.
 * The outcome is the same however the bytes are cut. */
int uwsgi_decode(struct slice in, size_t cap, struct uwsgi_head *head, struct vars *vars);

/* Writes a packet's head. */
void uwsgi_encode_head(char out[static UWSGI_HEAD], struct uwsgi_head head);

/* Appends the packet of a request. Returns 0, or -ERR_HEAD_TOO_LARGE when the format cannot hold
 * the variables, -ERR_FULL or -ERR_MEMORY, and has appended nothing. */
int uwsgi_encode(struct buf *b, const struct vars *vars);

#endif
