/* Numbers as text, without printf: for codecs, which do without stdio, and for lines that are
 * written all the time. */
#ifndef PENSTOCK_BASE_DECIMAL_H
#define PENSTOCK_BASE_DECIMAL_H

#include <stdint.h>

#include "base/slice.h"

enum { DECIMAL_MAX = 20 }; /* digits of UINT64_MAX */

/* Writes `n` in decimal to the end of `room`, and returns where it stands there. */
static inline struct slice decimal(uint64_t n, char room[static DECIMAL_MAX])
{
    char *at = room + DECIMAL_MAX;
    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return slice_of(at, (size_t)(room + DECIMAL_MAX - at));
}

#endif
