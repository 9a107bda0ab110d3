/* Classes of bytes, as the grammars of RFC 9110, 9112 and 3986 name them. */
#ifndef PENSTOCK_PROTO_CHARS_H
#define PENSTOCK_PROTO_CHARS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CHAR_TOKEN = 1,  /* tchar */
    CHAR_HEX = 2,    /* HEXDIG, in either case */
    CHAR_HOST = 4,   /* unreserved and sub-delims: a registered name's, but for percent-escapes */
    CHAR_PATH = 8,   /* what a path may hold, but for percent-escapes: see target.c */
    CHAR_QUERY = 16, /* what a query may hold, '%' too: see target.c */
    CHAR_TEXT = 32,  /* what a field's value may hold: HTAB, and no other control byte */
    CHAR_DIGIT = 64,
};

extern const uint8_t char_classes[256];

static inline bool char_is(char c, unsigned class)
{
    return (char_classes[(uint8_t)c] & class) != 0;
}

/* The value of a hexadecimal digit. */
static inline unsigned char_hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

#endif
