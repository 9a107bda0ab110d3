/* SipHash-2-4, as in its authors' paper, for little-endian and other machines alike. */
#include "base/siphash.h"

#include <endian.h>

static uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static void rounds(uint64_t v[4], int count)
{
    for (int i = 0; i < count; i++) {
        v[0] += v[1];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[0] = rotl(v[0], 32);
        v[2] += v[3];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[2] = rotl(v[2], 32);
    }
}

static void take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
}

uint64_t siphash(const struct siphash_key *key, struct slice bytes)
{
    uint64_t v[4] = {key->k[0] ^ 0x736f6d6570736575, key->k[1] ^ 0x646f72616e646f6d,
                     key->k[0] ^ 0x6c7967656e657261, key->k[1] ^ 0x7465646279746573};
    uint64_t word, last = 0;
    size_t len = bytes.len;

    for (; bytes.len >= sizeof word; bytes = slice_skip(bytes, sizeof word)) {
        memcpy(&word, bytes.ptr, sizeof word);
        take(v, le64toh(word));
    }
    if (bytes.len)
        memcpy(&last, bytes.ptr, bytes.len);
    take(v, le64toh(last) | (uint64_t)len << 56);
    v[2] ^= 0xff;
    rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
