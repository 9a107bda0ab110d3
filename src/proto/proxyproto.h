/* The PROXY protocol, versions 1 and 2: what a load balancer writes before the first byte of a
 * connection to say whose it is (HAProxy's "The PROXY protocol", 2020/03/05).
 *
 * Threads: any. */
#ifndef PENSTOCK_PROTO_PROXYPROTO_H
#define PENSTOCK_PROTO_PROXYPROTO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The longest headers that are taken: version 1 as its specification says, version 2 as a cap of
 * ours over address, extensions and all. */
enum { PROXY_V1_MAX = 107, PROXY_V2_MAX = 4096 };

enum proxy_family {
    PROXY_NOBODY, /* LOCAL, UNKNOWN, AF_UNSPEC: the connection speaks for itself (a health check) */
    PROXY_INET,
    PROXY_INET6,
    PROXY_UNIX,
};

struct proxy_end {
    uint8_t host[16];  /* in network order: 4 bytes of it for PROXY_INET */
    uint16_t port;     /* 0 for PROXY_UNIX */
    struct slice path; /* PROXY_UNIX: without what pads it; in the decoded bytes */
};

struct proxy_header {
    enum proxy_family family;
    bool local; /* the proxy speaks for itself, not for a client (version 2's LOCAL) */
    struct proxy_end source, destination;
    bool secure; /* the client came by TLS (version 2's PP2_TYPE_SSL) */
};

/* Decodes the header at the beginning of a connection; `in` holds every byte that has come so far.
 * Returns the bytes taken, 0 when more are needed, or -ERR_PROXY_HEADER or -ERR_PROXY_TOO_LARGE.
 * The first byte that cannot be a header's is refused at once. The outcome is the same however the
 * bytes are cut. */
int proxy_decode(struct slice in, struct proxy_header *out);

#endif
