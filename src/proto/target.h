/* Request targets: decoding of paths, and the grammar of host and port (RFC 3986 sections 2.1 and 3.2). */
#ifndef PENSTOCK_PROTO_TARGET_H
#define PENSTOCK_PROTO_TARGET_H

#include <stdbool.h>

#include "base/slice.h"

/* Writes `path` with its percent-escapes replaced by the bytes they stand for to `out`, which has room for path.len
 * bytes, and returns how many it wrote. Every byte can come out, also '/' (%2F) and NUL (%00): who uses the result as
 * a file's name has to look. An escape that is none ("%zz", never in a path that h1_decode_head found good) is copied
 * as it is. '+' stays '+'. */
int target_unquote(struct slice path, char *out);

/* Whether the bytes are host[:port]: a registered name, an IPv4 address or an IP literal in brackets, and a port of at
 * most 65535, which may be empty (RFC 3986 section 3.2.3). No user information, nothing beyond ASCII. An empty host is
 * refused, with a port or without: an "http" URI without a host is invalid (RFC 9110 section 4.2.1). */
bool host_ok(struct slice authority);

#endif
