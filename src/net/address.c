/* Addresses as the kernel has them (sockaddr) and as people write them.
 *
 * Texts are made by inet_ntop alone: nothing here asks a name server, so nothing here can wait. The
 * zone of a link-local IPv6 address (RFC 4007, section 11) is read and written as "%interface". A
 * Unix socket in the abstract namespace is written "unix:@name"; its bytes are the peer's choice,
 * so who logs a text escapes it.
 *
 * Never: a name of a host, a system call on a socket. */
#include "net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/errors.h"

static struct sockaddr_in *as_inet(struct address *a)
{
    return (struct sockaddr_in *)&a->storage;
}

static struct sockaddr_in6 *as_inet6(struct address *a)
{
    return (struct sockaddr_in6 *)&a->storage;
}

static bool inet4_parse(struct address *a, const char *host, uint16_t port)
{
    struct sockaddr_in *in = as_inet(a);

    if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
        return false;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    a->len = sizeof *in;
    return true;
}

/* Reads "fe80::1%eth0", without brackets; `host` is the caller's copy and is cut at the zone. */
static bool inet6_parse(struct address *a, char *host, uint16_t port)
{
    struct sockaddr_in6 *in = as_inet6(a);
    char *zone = strchr(host, '%');

    if (zone) {
        *zone++ = '\0';
        in->sin6_scope_id = if_nametoindex(zone);
        if (in->sin6_scope_id == 0)
            return false;
    }
    if (inet_pton(AF_INET6, host, &in->sin6_addr) != 1)
        return false;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    a->len = sizeof *in;
    return true;
}

int address_inet(struct address *a, const char *host, uint16_t port)
{
    char bare[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
    size_t len = strlen(host);
    bool brackets = len >= 2 && host[0] == '[' && host[len - 1] == ']';

    memset(a, 0, sizeof *a);
    if (brackets) {
        host++;
        len -= 2;
    }
    if (len >= sizeof bare)
        return -ERR_CONFIG;
    memcpy(bare, host, len);
    bare[len] = '\0';
    if ((!brackets && inet4_parse(a, bare, port)) || inet6_parse(a, bare, port))
        return 0;
    memset(a, 0, sizeof *a);
    return -ERR_CONFIG;
}

int address_unix(struct address *a, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&a->storage;
    size_t len = strlen(path);

    memset(a, 0, sizeof *a);
    if (len == 0 || len >= sizeof un->sun_path || strcmp(path, "@") == 0)
        return -ERR_CONFIG;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    if (path[0] == '@') { /* the length ends the name: a NUL behind it would be a part of it */
        un->sun_path[0] = '\0';
        a->len--;
    }
    return 0;
}

static size_t put(char *out, size_t at, const char *text)
{
    size_t len = strlen(text);

    memcpy(out + at, text, len + 1);
    return at + len;
}

static size_t inet6_host(const struct sockaddr_in6 *in, char *out)
{
    char zone[IF_NAMESIZE];
    size_t len;

    inet_ntop(AF_INET6, &in->sin6_addr, out, INET6_ADDRSTRLEN);
    len = strlen(out);
    if (in->sin6_scope_id != 0 && if_indextoname(in->sin6_scope_id, zone)) {
        len = put(out, len, "%");
        len = put(out, len, zone);
    }
    return len;
}

size_t address_host(const struct address *a, char out[static ADDRESS_TEXT])
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->storage;
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->storage;

    out[0] = '\0';
    if (a->storage.ss_family == AF_INET)
        inet_ntop(AF_INET, &in->sin_addr, out, INET_ADDRSTRLEN);
    else if (a->storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], out, INET_ADDRSTRLEN);
    else if (a->storage.ss_family == AF_INET6)
        return inet6_host(in6, out);
    return strlen(out);
}

/* The path, which the kernel need not have ended with a NUL; abstract names hold any byte, and a
 * NUL is written "@". */
static size_t unix_text(const struct address *a, char *out)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->storage;
    size_t begin = offsetof(struct sockaddr_un, sun_path);
    size_t most = a->len > begin ? a->len - begin : 0;
    size_t len = put(out, 0, "unix:");

    if (most > sizeof un->sun_path)
        most = sizeof un->sun_path;
    if (most > 0 && un->sun_path[0] != '\0')
        most = strnlen(un->sun_path, most);
    for (size_t i = 0; i < most; i++)
        out[len++] = un->sun_path[i] != '\0' ? un->sun_path[i] : '@';
    out[len] = '\0';
    return len;
}

size_t address_text(const struct address *a, char out[static ADDRESS_TEXT])
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->storage;
    char port[8];
    size_t len = 0;

    if (address_is_unix(a))
        return unix_text(a, out);
    snprintf(port, sizeof port, ":%u", (unsigned)address_port(a));
    if (a->storage.ss_family == AF_INET6) {
        len = put(out, 0, "[");
        len += inet6_host(in6, out + len);
        len = put(out, len, "]");
    } else {
        len = address_host(a, out);
    }
    return put(out, len, port);
}

uint16_t address_port(const struct address *a)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->storage;
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->storage;

    if (a->storage.ss_family == AF_INET)
        return ntohs(in->sin_port);
    return a->storage.ss_family == AF_INET6 ? ntohs(in6->sin6_port) : 0;
}
