/* Searching for the first byte outside a class, sixteen at a time.
 *
 * Written with the compiler's portable vectors: SSE2 on x86-64, NEON on aarch64, words elsewhere;
 * no choice at run time, since heads are short. Each search has a scalar twin, which is also its
 * tail and what a unit test compares it with. Never reads behind `end`. */
#ifndef PENSTOCK_PROTO_SCAN_H
#define PENSTOCK_PROTO_SCAN_H

#include <stdint.h>
#include <string.h>

#include "proto/chars.h"

typedef uint8_t scan_bytes __attribute__((vector_size(16)));
typedef int8_t scan_hits __attribute__((vector_size(16))); /* -1 where a comparison holds, else 0 */

/* The index of the first lane that is not 0, or 16. */
static inline unsigned scan_first(scan_hits hits)
{
#ifdef __SSE2__
    typedef char lanes __attribute__((vector_size(16)));
    unsigned bits = (unsigned)__builtin_ia32_pmovmskb128((lanes)hits);

    return bits ? (unsigned)__builtin_ctz(bits) : 16;
#else
    uint64_t words[2];

    memcpy(words, &hits, sizeof words);
    if ((words[0] | words[1]) == 0) {
        return 16;
    }
    for (unsigned i = 0;; i++) {
        if (((const char *)words)[i]) {
            return i;
        }
    }
#endif
}

static inline const char *scan_scalar(const char *p, const char *end, unsigned class)
{
    while (p < end && char_is(*p, class)) {
        p++;
    }
    return p;
}

static inline __attribute__((always_inline)) const char *scan_while(
    const char *p, const char *end, scan_hits (*outside)(scan_bytes), unsigned class)
{
    for (; end - p >= 16; p += 16) {
        scan_bytes bytes;
        unsigned first;

        memcpy(&bytes, p, sizeof bytes);
        first = scan_first(outside(bytes));
        if (first < 16) {
            return p + first;
        }
    }
    return scan_scalar(p, end, class);
}

static inline scan_hits scan_not_text(scan_bytes b)
{
    return ((b < 0x20) & (b != '\t')) | (b == 0x7f);
}

static inline scan_hits scan_not_query(scan_bytes b)
{
    return ((b - 0x21) > 0x5d) | ((b & 0xfe) == '"') | ((b & 0xfd) == '<') | (b == '\\');
}

static inline scan_hits scan_not_path(scan_bytes b)
{
    return scan_not_query(b) | (b == '%') | (b == '?') | (b == '`') | (b == '{') | (b == '}');
}

/* The first control byte other than HTAB, or `end`. */
static inline const char *scan_text(const char *p, const char *end)
{
    return scan_while(p, end, scan_not_text, CHAR_TEXT);
}

/* The first byte that cannot stand in a query, or `end`. */
static inline const char *scan_query(const char *p, const char *end)
{
    return scan_while(p, end, scan_not_query, CHAR_QUERY);
}

/* The first byte that cannot stand in a path, also '%', '?', or `end`. */
static inline const char *scan_path(const char *p, const char *end)
{
    return scan_while(p, end, scan_not_path, CHAR_PATH);
}

#endif
