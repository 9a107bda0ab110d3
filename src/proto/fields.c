/* Header fields: the table of known names, and what names and values may hold.
 *
 * The table comes from headers.def, and its perfect hash from tools/gen_headers_hash.py, which
 * looks at the same four bytes as header_lookup(). A name that hashes to a known one is compared
 * with it eight bytes at a time, each byte free in its case bit only where the known name has a
 * letter, so that no other byte can pass for one.
 *
 * Relies on the generated header. Never allocates, never looks behind a slice's end. */
#include "proto/fields.h"

#include <stdint.h>

#include "proto/headers_hash.h"
#include "proto/scan.h"

enum { HOP = true, END = false };

struct known {
    struct slice name;
    enum header_join join;
    bool hop;
};

static const struct known known[HEADER_COUNT] = {
#define HEADER(id, text, joined, hop)                                                              \
    [HEADER_##id] = {{(text), sizeof(text) - 1}, HEADER_JOIN_##joined, hop},
#include "proto/headers.def"
#undef HEADER
};

/* Whether the eight bytes at a and b differ in nothing but the bits of fold. */
static bool same_word(const char *a, const char *b, const char *fold)
{
    uint64_t x, y, mask;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    memcpy(&mask, fold, sizeof mask);
    return ((x ^ y) & ~mask) == 0;
}

static bool same_bytes(const char *a, const char *b, const char *fold, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((a[i] ^ b[i]) & ~fold[i]) {
            return false;
        }
    }
    return true;
}

/* The last word may overlap the one before it. */
static bool same_name(struct slice name, enum header_id id)
{
    const char *lower = header_folded[id].lower, *fold = header_folded[id].fold;
    size_t last = name.len - 8;

    if (name.len != header_folded[id].size) {
        return false;
    }
    if (name.len < 8) {
        return same_bytes(name.ptr, lower, fold, name.len);
    }
    for (size_t i = 0; i < last; i += 8) {
        if (!same_word(name.ptr + i, lower + i, fold + i)) {
            return false;
        }
    }
    return same_word(name.ptr + last, lower + last, fold + last);
}

static uint32_t folded_byte(struct slice name, size_t at)
{
    return (uint8_t)name.ptr[at] | 0x20u;
}

static uint32_t hash(struct slice name)
{
    uint32_t bytes = folded_byte(name, 0) | folded_byte(name, name.len / 2) << 8 |
                     folded_byte(name, name.len * 3 / 4) << 16 |
                     folded_byte(name, name.len - 1) << 24;

    return (bytes * HEADER_HASH_BYTES + (uint32_t)name.len * HEADER_HASH_SIZE) >>
           (32 - HEADER_HASH_BITS);
}

enum header_id header_lookup(struct slice name)
{
    enum header_id id;

    if (name.len == 0 || name.len > HEADER_NAME_MAX) {
        return HEADER_UNKNOWN;
    }
    id = header_slots[hash(name)];
    return same_name(name, id) ? id : HEADER_UNKNOWN;
}

struct slice header_name(enum header_id id)
{
    return known[id].name;
}

enum header_join header_join(enum header_id id)
{
    return known[id].join;
}

bool header_is_hop(enum header_id id)
{
    return known[id].hop;
}

bool field_name_ok(struct slice name)
{
    const char *p = name.ptr;

    return name.len > 0 && scan_scalar(p, p + name.len, CHAR_TOKEN) == p + name.len;
}

bool field_value_ok(struct slice value)
{
    const char *p = value.ptr;

    return value.len == 0 || scan_text(p, p + value.len) == p + value.len;
}
