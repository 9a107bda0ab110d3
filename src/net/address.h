/* Addresses: TCP over IPv4 and IPv6, and Unix sockets, as the kernel and as people write them. */
#ifndef PENSTOCK_NET_ADDRESS_H
#define PENSTOCK_NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/slice.h"

struct address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/* Longest text of an address, with its NUL: "unix:" and a path. */
enum { ADDRESS_TEXT = 128 };

/* An address of a numeric IPv4 or IPv6 host (with or without brackets) and a port. Returns 0 or
 * -ERR_CONFIG. */
int address_inet(struct address *a, const char *host, uint16_t port);

/* The address of a Unix socket at `path`; "@name" is one in the abstract namespace (unix(7)).
 * Returns 0, or -ERR_CONFIG when path or name is empty or too long. */
int address_unix(struct address *a, const char *path);

/* Writes "127.0.0.1:8000", "[::1]:8000" or "unix:/path" ("unix:" for an unnamed peer) and returns
 * the length. */
size_t address_text(const struct address *a, char out[static ADDRESS_TEXT]);

/* Writes the host alone ("127.0.0.1", "::1", "" for Unix sockets) and returns its length. An IPv4
 * address mapped into IPv6 is written as IPv4. */
size_t address_host(const struct address *a, char out[static ADDRESS_TEXT]);

/* The port in host order; 0 for Unix sockets. */
uint16_t address_port(const struct address *a);

static inline bool address_is_unix(const struct address *a)
{
    return a->storage.ss_family == AF_UNIX;
}

#endif
