/* Request targets, hosts, and percent-escapes.
 *
 * What a target may hold is RFC 3986's grammar and what browsers send beyond it (the WHATWG URL
 * standard leaves these bytes as they are), since a server that refuses them turns away links that
 * work everywhere else: in a path:   [ ] ^ |              in a query:   [ ] ^ | ` { } and a '%'
 * that begins no escape Everything else outside the grammar is refused: control bytes, space, DEL,
 * bytes above 0x7e, " < > \ and '#' (a fragment is never sent). A path's escapes must be whole,
 * because the server itself decodes them; a query is handed on as it is, and its readers take a
 * lone '%' ("?q=100%") for itself. None of the bytes let through separates anything in a request
 * line or in a URI, so no two readers can disagree on where a part ends.
 *
 * A host is a registered name by RFC 3986, sub-delims and escapes included, an IPv6 address in
 * brackets or the form kept for future versions; not an IPv6 zone, which means nothing to another
 * machine.
 *
 * Relies on inet_pton for the form of an IPv6 address. Never copies but into the caller's room,
 * never looks behind a slice's end. */
#include "proto/target.h"

#include <arpa/inet.h>

#include "base/errors.h"
#include "proto/scan.h"

enum { PORT_MAX = 65535, IPV6_MAX = 45 };

/* Whether an escape begins at p. */
static bool escape_at(const char *p, const char *end)
{
    return end - p >= 3 && p[0] == '%' && char_is(p[1], CHAR_HEX) && char_is(p[2], CHAR_HEX);
}

int target_unquote(struct slice path, char *out)
{
    char *o = out;

    for (size_t i = 0; i < path.len;) {
        const char *p = path.ptr + i;

        if (escape_at(p, path.ptr + path.len)) {
            *o++ = (char)(char_hex(p[1]) << 4 | char_hex(p[2]));
            i += 3;
        } else {
            *o++ = *p;
            i++;
        }
    }
    return (int)(o - out);
}

static bool ipv6_ok(struct slice address)
{
    char text[IPV6_MAX + 1];
    struct in6_addr bytes;

    if (address.len > IPV6_MAX || memchr(address.ptr, '\0', address.len)) {
        return false;
    }
    memcpy(text, address.ptr, address.len);
    text[address.len] = '\0';
    return inet_pton(AF_INET6, text, &bytes) == 1;
}

/* "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ) */
static bool ipvfuture_ok(struct slice address)
{
    const char *end = address.ptr + address.len;
    const char *dot = scan_scalar(address.ptr + 1, end, CHAR_HEX);

    if (dot == address.ptr + 1 || end - dot < 2 || *dot != '.') {
        return false;
    }
    for (const char *p = dot + 1; p < end; p++) {
        if (!char_is(*p, CHAR_HOST) && *p != ':') {
            return false;
        }
    }
    return true;
}

/* Where the IP literal that begins at `s` ends, behind its bracket; NULL when it is none. */
static const char *literal_end(struct slice s)
{
    const char *close = memchr(s.ptr, ']', s.len);
    struct slice inside;

    if (!close) {
        return NULL;
    }
    inside = slice_of(s.ptr + 1, (size_t)(close - s.ptr - 1));
    if ((*inside.ptr | 0x20) == 'v' ? ipvfuture_ok(inside) : ipv6_ok(inside)) {
        return close + 1;
    }
    return NULL;
}

/* Where the registered name that begins at `s` ends; NULL when there is none. */
static const char *name_end(struct slice s)
{
    const char *end = s.ptr + s.len;
    const char *p = scan_scalar(s.ptr, end, CHAR_HOST);

    while (escape_at(p, end)) {
        p = scan_scalar(p + 3, end, CHAR_HOST);
    }
    return p == s.ptr ? NULL : p;
}

/* Nothing, or a colon with at most 65535 in digits behind it. */
static bool port_ok(const char *p, const char *end)
{
    unsigned port = 0;

    if (p == end) {
        return true;
    }
    if (*p++ != ':') {
        return false;
    }
    for (; p < end && char_is(*p, CHAR_DIGIT) && port <= PORT_MAX; p++) {
        port = port * 10 + char_hex(*p);
    }
    return p == end && port <= PORT_MAX;
}

bool host_ok(struct slice authority)
{
    const char *end;

    if (authority.len == 0) {
        return false;
    }
    end = *authority.ptr == '[' ? literal_end(authority) : name_end(authority);
    return end && port_ok(end, authority.ptr + authority.len);
}

/* The first byte that is not the path's, with all escapes before it found whole. */
static const char *path_end(const char *p, const char *end)
{
    p = scan_path(p, end);
    while (escape_at(p, end)) {
        p = scan_path(p + 3, end);
    }
    return p;
}

/* Splits what begins with the path's slash or the query's question mark. */
static int split_path(struct slice s, struct target *out)
{
    const char *end = s.ptr + s.len;
    const char *mark = path_end(s.ptr, end);

    out->path = mark == s.ptr ? SLICE("/") : slice_of(s.ptr, (size_t)(mark - s.ptr));
    if (mark == end) {
        return 0;
    }
    if (*mark != '?') {
        return -ERR_TARGET;
    }
    out->query = slice_of(mark + 1, (size_t)(end - mark - 1));
    return scan_query(mark + 1, end) == end ? 0 : -ERR_TARGET;
}

/* Takes the scheme and "://" from the front of a target. */
static bool take_scheme(struct slice *rest, struct target *out)
{
    const struct slice known[] = {SLICE("http://"), SLICE("https://")};

    for (int i = 0; i < 2; i++) {
        size_t len = known[i].len;

        if (rest->len >= len && slice_eq_nocase(slice_of(rest->ptr, len), known[i])) {
            out->scheme = slice_of(rest->ptr, len - 3);
            *rest = slice_skip(*rest, len);
            return true;
        }
    }
    return false;
}

static int split_absolute(struct slice target, bool options, struct target *out)
{
    struct slice rest = target;
    size_t len = 0;

    if (!take_scheme(&rest, out)) {
        return -ERR_TARGET;
    }
    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?') {
        len++;
    }
    out->authority = slice_of(rest.ptr, len);
    if (!host_ok(out->authority)) {
        return -ERR_HOST_BAD;
    }
    /* What a proxy would have sent on as "*" (RFC 9112 section 3.2.4). */
    if (len == rest.len && options) {
        return 0;
    }
    return split_path(slice_skip(rest, len), out);
}

int target_split(struct slice target, bool options, struct target *out)
{
    *out = (struct target){0};
    if (target.len == 0) {
        return -ERR_TARGET;
    }
    if (*target.ptr == '/') {
        return split_path(target, out);
    }
    if (slice_eq(target, SLICE("*"))) {
        return options ? 0 : -ERR_TARGET;
    }
    return split_absolute(target, options, out);
}
