/* Header fields: names known to the program, and the grammar of names and values (RFC 9110 section
 * 5). */
#ifndef PENSTOCK_PROTO_FIELDS_H
#define PENSTOCK_PROTO_FIELDS_H

#include <stdbool.h>

#include "base/slice.h"

enum header_id {
    HEADER_UNKNOWN,
#define HEADER(id, name, join, hop) HEADER_##id,
#include "proto/headers.def"
#undef HEADER
    HEADER_COUNT
};

/* What becomes of a field that comes more than once: see headers.def. */
enum header_join { HEADER_JOIN_COMMA, HEADER_JOIN_COOKIE, HEADER_JOIN_SINGLE, HEADER_JOIN_NONE };

struct field {
    struct slice name, value; /* the name as sent, the value without white space at its ends */
    enum header_id id;
};

/* The id of a name, whatever its case; HEADER_UNKNOWN for any other bytes. One hash and one
 * comparison. */
enum header_id header_lookup(struct slice name);

/* The name as it is usually written; empty for HEADER_UNKNOWN. The slice is NUL-terminated. */
struct slice header_name(enum header_id id);

enum header_join header_join(enum header_id id);

/* Whether the field concerns one connection only and is not handed on. */
bool header_is_hop(enum header_id id);

/* Whether the bytes are a field name: a token, so at least one byte. */
bool field_name_ok(struct slice name);

/* Whether the bytes may stand in a field's value: no control bytes (CR, LF, NUL, DEL and the rest)
 * but HTAB. Bytes above 0x7f (obs-text) are allowed, as is nothing at all. */
bool field_value_ok(struct slice value);

#endif
