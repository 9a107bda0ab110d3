/* Networks: which peers are meant, as options name them. */
#ifndef PENSTOCK_NET_NETWORK_H
#define PENSTOCK_NET_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "net/address.h"

enum network_kind {
    NETWORK_ANY,  /* "*": whoever it is */
    NETWORK_UNIX, /* "unix": who connects over a Unix socket */
    NETWORK_INET, /* "192.0.2.1", "10.0.0.0/8", "::1", "2001:db8::/32" */
};

struct network {
    enum network_kind kind;
    uint8_t host[16]; /* IPv4 as ::ffff:a.b.c.d, bits counted so, too */
    unsigned bits;
};

/* Reads one. Returns 0 or -ERR_CONFIG. */
int network_read(const char *text, struct network *out);

/* Whether the address lies in it. An IPv4 address mapped into IPv6 counts as IPv4, and no IPv6
 * network but one of mapped addresses holds it. */
bool network_has(const struct network *n, const struct address *a);

/* Writes the host as 16 bytes, an IPv4 one as ::ffff:a.b.c.d. False for a Unix socket. */
bool address_bytes(const struct address *a, uint8_t out[static 16]);

/* The address of a host of 4 or 16 bytes in network order. */
void address_of_bytes(struct address *a, const uint8_t *host, size_t len, uint16_t port);

#endif
