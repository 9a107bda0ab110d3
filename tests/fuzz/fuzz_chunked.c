/* Fuzzes the decoder of bodies in chunks.
 *
 * Claims: the bytes given as one and one after another come to the same payload and the same end;
 * payload lies within the bytes taken; every call takes something until the body is done; a broken
 * body stays broken. */
#include <stdint.h>

#include "base/errors.h"
#include "check.h"
#include "proto/chunked.h"

enum { EXTENSIONS = 100, TRAILERS = 100, BODY = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    size_t taken, len;
    int err;
    bool done;
    char body[BODY];
};

/* Decodes `in` in calls that see at most `step` bytes. */
static void decode(struct result *r, struct slice in, size_t step)
{
    struct chunked c;

    r->taken = r->len = 0;
    r->err = 0;
    chunked_init(&c, EXTENSIONS, TRAILERS);
    while (r->taken < in.len && !c.done) {
        struct slice rest = slice_skip(in, r->taken), data;
        int taken;

        rest.len = rest.len < step ? rest.len : step;
        taken = chunked_decode(&c, rest, &data);
        if (taken < 0) {
            r->err = taken;
            CHECK(-taken < ERR_COUNT && chunked_decode(&c, rest, &data) == taken);
            break;
        }
        CHECK(taken > 0 && (size_t)taken <= rest.len);
        CHECK(data.ptr >= rest.ptr && data.ptr + data.len <= rest.ptr + taken);
        CHECK(r->len + data.len <= BODY);
        memcpy(r->body + r->len, data.ptr, data.len);
        r->len += data.len;
        r->taken += (size_t)taken;
    }
    r->done = c.done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result whole, bytes;
    struct slice in = slice_of((const char *)data, size);

    if (size > BODY) {
        return -1;
    }
    decode(&whole, in, SIZE_MAX);
    decode(&bytes, in, 1);
    CHECK(whole.err == bytes.err && whole.done == bytes.done && whole.len == bytes.len);
    CHECK(whole.err || whole.taken == bytes.taken);
    CHECK(slice_eq(slice_of(whole.body, whole.len), slice_of(bytes.body, bytes.len)));
    return 0;
}
