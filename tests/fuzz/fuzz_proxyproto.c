/* Fuzzes the decoder of PROXY headers.
 *
 * Claims: the bytes given as one and with one more at each call come to the same header; what is
 * taken lies within the bytes and the caps; paths lie within what was taken; a header needs no byte
 * behind it. */
#include <stdint.h>

#include "base/errors.h"
#include "check.h"
#include "proto/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_end(const struct proxy_end *a, const struct proxy_end *b)
{
    CHECK(memcmp(a->host, b->host, sizeof a->host) == 0 && a->port == b->port);
    CHECK(slice_eq(a->path, b->path));
}

static void within(struct slice path, struct slice in)
{
    CHECK(path.len == 0 || (path.ptr >= in.ptr && path.ptr + path.len <= in.ptr + in.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct proxy_header whole, part;
    int taken = proxy_decode(in, &whole), n = 0;

    CHECK(taken <= (int)size && taken <= PROXY_V2_MAX && -taken < ERR_COUNT);
    for (size_t len = 0; len <= size && n == 0; len++)
        n = proxy_decode(slice_of(in.ptr, len), &part);
    CHECK(n == taken && part.family == whole.family && part.secure == whole.secure);
    if (taken <= 0)
        return 0;
    same_end(&part.source, &whole.source);
    same_end(&part.destination, &whole.destination);
    within(whole.source.path, slice_of(in.ptr, (size_t)taken));
    within(whole.destination.path, slice_of(in.ptr, (size_t)taken));
    return 0;
}
