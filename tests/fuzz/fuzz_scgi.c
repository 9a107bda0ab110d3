/* Fuzzes the decoder of SCGI heads.
 *
 * Claims: the bytes given as one and with one more at each call come to the same head; what is
 * taken lies within the bytes and the cap; variables lie within what was taken; encoded again, all
 * but those that the encoder writes itself come back. */
#include <stdint.h>

#include "check.h"
#include "proto/scgi.h"

enum { CAP = 2048, ROOM = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_own(const struct var *v)
{
    return slice_eq(v->name, SLICE("CONTENT_LENGTH")) || slice_eq(v->name, SLICE("SCGI"));
}

static void check_again(const struct vars *vars)
{
    struct var list[ROOM + 2];
    struct vars again = {.list = list, .room = ROOM + 2};
    unsigned at = 2;
    struct buf b;

    buf_init(&b, 1 << 16);
    CHECK(scgi_encode(&b, 7, vars) == 0);
    CHECK(scgi_decode(buf_bytes(&b), 1 << 16, &again) == (int)buf_len(&b));
    for (unsigned i = 0; i < vars->count; i++) {
        if (is_own(&vars->list[i]))
            continue;
        CHECK(at < again.count && slice_eq(list[at].name, vars->list[i].name));
        CHECK(slice_eq(list[at].value, vars->list[i].value));
        at++;
    }
    CHECK(at == again.count);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct var list[ROOM];
    struct vars whole = {.list = list, .room = ROOM}, part = {.list = list, .room = ROOM};
    int n = 0, taken;

    for (size_t len = 0; len <= size && n == 0; len++)
        n = scgi_decode(slice_of(in.ptr, len), CAP, &part);
    taken = scgi_decode(in, CAP, &whole);
    CHECK(n == taken && taken <= (int)size && taken <= CAP + 6 && -taken < ERR_COUNT);
    CHECK(taken > 0 || whole.count == 0);
    for (unsigned i = 0; i < whole.count; i++) {
        CHECK(list[i].name.len > 0 && list[i].name.ptr > in.ptr);
        CHECK(list[i].value.ptr + list[i].value.len < in.ptr + taken);
    }
    if (taken > 0)
        check_again(&whole);
    return 0;
}
