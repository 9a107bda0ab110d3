/* What proxies say of a request in its fields: Forwarded (RFC 7239), the X-Forwarded-* family,
 * X-Request-ID and X-Request-Start.
 *
 * Lists are read from their end: the last element is what the nearest proxy wrote, and the reader
 * stops at the first that it has no reason to believe. So nothing that a client put in front can
 * change how the rest is read, an open quote neither.
 *
 * Threads: any. */
#ifndef PENSTOCK_PROTO_FORWARDED_H
#define PENSTOCK_PROTO_FORWARDED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    FORWARDED_TEXT = 512,    /* bytes of an element's values that had to be unescaped */
    FORWARDED_PREFIX = 1024, /* longest X-Forwarded-Prefix */
    FORWARDED_ID = 128,      /* longest X-Request-ID */
};

enum node_kind {
    NODE_HIDDEN, /* "unknown", or an identifier that only its proxy can resolve (section 6.3) */
    NODE_INET,
    NODE_INET6,
};

/* Who took part (RFC 7239 section 6). */
struct node {
    enum node_kind kind;
    uint8_t host[16]; /* in network order: 4 bytes of it for NODE_INET */
    uint16_t port;    /* 0: not told, or hidden */
};

/* Reads a node: 192.0.2.1, 192.0.2.1:80, [2001:db8::1]:80, 2001:db8::1, unknown, _name. The whole
 * text has to be one. Returns 0 or -ERR_FORWARDED. */
int node_read(struct slice text, struct node *out);

/* Takes the last element that is not empty off a list between commas, without the white space
 * around it. False when none is left. */
bool list_take_last(struct slice *list, struct slice *item);

/* An element of Forwarded. A parameter that is not there has a NULL ptr. Values are slices of the
 * list, or of `text` where they had escapes: so an element is not to be copied. */
struct forwarded {
    struct slice by, client /* for= */, host, proto;
    size_t used; /* of text */
    char text[FORWARDED_TEXT];
};

/* Takes the last element off the value of a Forwarded field. Returns 1, 0 when none is left, or
 * -ERR_FORWARDED when what stands there is none (the list is then as it was). Unlike the RFC it
 * lets
 * ':', '[' and ']' stand in a value without quotes, as some proxies write them. */
int forwarded_take_last(struct slice *list, struct forwarded *out);

/* Reads "http" or "https" ("ws", "wss") in any case. Returns 0 or -ERR_FORWARDED. */
int forwarded_scheme(struct slice text, bool *secure);

/* Whether the bytes are a port, 1 to 65535. */
bool forwarded_port_ok(struct slice text);

/* Reads a path prefix: segments with a slash before each, without "." and "..", escapes, query. A
 * slash at the end is dropped, so that "/" is nothing. Returns 0 or -ERR_FORWARDED. */
int forwarded_prefix(struct slice text, struct slice *out);

/* Whether the bytes may be taken over as a request's id: 1 to FORWARDED_ID letters, digits and
 * -_.:/+=@~ */
bool request_id_ok(struct slice text);

/* Reads when a proxy took the request: "t=1512379167.574", seconds, milli- or microseconds since
 * the epoch, with or without "t=". Returns nanoseconds, or -ERR_FORWARDED. */
int64_t request_start(struct slice text);

#endif
