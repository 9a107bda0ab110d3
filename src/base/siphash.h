/* SipHash-2-4: a keyed hash of short inputs (Aumasson, Bernstein, 2012). Who does not know the key
 * cannot choose inputs that collide. */
#ifndef PENSTOCK_BASE_SIPHASH_H
#define PENSTOCK_BASE_SIPHASH_H

#include <stdint.h>

#include "base/slice.h"

struct siphash_key {
    uint64_t k[2];
};

uint64_t siphash(const struct siphash_key *key, struct slice bytes);

#endif
