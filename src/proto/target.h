/* Request targets: their parts, the grammar of host and port, and decoding of paths (RFC 3986, RFC
 * 9112 section 3.2). */
#ifndef PENSTOCK_PROTO_TARGET_H
#define PENSTOCK_PROTO_TARGET_H

#include <stdbool.h>

#include "base/slice.h"

/* The parts of a target, as h1_request has them. */
struct target {
    struct slice scheme, authority, path, query;
};

/* Splits a target in origin-form, in absolute-form of "http" or "https", or, when the method is
 * OPTIONS, "*". Returns 0, -ERR_TARGET, or -ERR_HOST_BAD for an absolute-form's authority. */
int target_split(struct slice target, bool options, struct target *out);

/* Writes `path` with its percent-escapes replaced by the bytes they stand for to `out`, which has
 * room for path.len bytes, and returns how many it wrote. Every byte can come out, also '/' (%2F)
 * and NUL (%00): who uses the result as a file's name has to look. An escape that is none ("%zz",
 * never in a path that h1_decode_head found good) is copied as it is. '+' stays '+'. */
int target_unquote(struct slice path, char *out);

/* Whether the bytes are host[:port]: a registered name, an IPv4 address or an IP literal in
 * brackets, and a port of at most 65535, which may be empty (RFC 3986 section 3.2.3). No user
 * information, nothing beyond ASCII. An empty host is refused, with a port or without: an "http"
 * URI without a host is invalid (RFC 9110 section 4.2.1). */
bool host_ok(struct slice authority);

#endif
