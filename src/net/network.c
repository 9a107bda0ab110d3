/* Networks (network.h has the contract). Both families are compared as IPv6 addresses are. */
#include "net/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"

enum { MAPPED = 96 }; /* bits of ::ffff:0:0/96, in which IPv4 addresses lie */

static const uint8_t mapped[MAPPED / 8] = {[10] = 0xff, [11] = 0xff};

static bool is_mapped(const uint8_t host[static 16])
{
    return memcmp(host, mapped, sizeof mapped) == 0;
}

bool address_bytes(const struct address *a, uint8_t out[static 16])
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->storage;
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->storage;

    if (a->storage.ss_family == AF_INET6) {
        memcpy(out, &in6->sin6_addr, 16);
        return true;
    }
    memcpy(out, mapped, sizeof mapped);
    memcpy(out + sizeof mapped, &in->sin_addr, 4);
    return a->storage.ss_family == AF_INET;
}

void address_of_bytes(struct address *a, const uint8_t *host, size_t len, uint16_t port)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->storage;
    struct sockaddr_in *in = (struct sockaddr_in *)&a->storage;

    memset(a, 0, sizeof *a);
    if (len == 4) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, host, len);
        a->len = sizeof *in;
    } else {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        memcpy(&in6->sin6_addr, host, 16);
        a->len = sizeof *in6;
    }
}

/* "10.0.0.0": 4 bytes behind the prefix of mapped ones. Returns the bits of a whole address. */
static unsigned read_host(const char *text, uint8_t host[static 16])
{
    memcpy(host, mapped, sizeof mapped);
    if (inet_pton(AF_INET, text, host + sizeof mapped) == 1)
        return 32;
    return inet_pton(AF_INET6, text, host) == 1 ? 128 : 0;
}

int network_read(const char *text, struct network *out)
{
    char copy[INET6_ADDRSTRLEN + 4];
    char *slash, *end;
    unsigned whole;
    long bits;

    *out = (struct network){.kind = strcmp(text, "*") == 0 ? NETWORK_ANY : NETWORK_UNIX};
    if (out->kind == NETWORK_ANY || strcmp(text, "unix") == 0)
        return 0;
    out->kind = NETWORK_INET;
    if (strlen(text) >= sizeof copy)
        return -ERR_CONFIG;
    strcpy(copy, text);
    slash = strchr(copy, '/');
    if (slash)
        *slash++ = '\0';
    whole = read_host(copy, out->host);
    bits = slash ? strtol(slash, &end, 10) : (long)whole;
    if (whole == 0 || bits < 0 || bits > (long)whole || (slash && (end == slash || *end)))
        return -ERR_CONFIG;
    out->bits = (unsigned)bits + (whole == 32 ? MAPPED : 0);
    return 0;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;

    return memcmp(a, b, bytes) == 0 && (rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0);
}

bool network_has(const struct network *n, const struct address *a)
{
    uint8_t host[16];

    switch (n->kind) {
    case NETWORK_ANY: return true;
    case NETWORK_UNIX: return address_is_unix(a);
    case NETWORK_INET:
        return address_bytes(a, host) && (n->bits >= MAPPED || !is_mapped(host)) &&
               same_bits(n->host, host, n->bits);
    }
    __builtin_unreachable();
}
