/* Fuzzes the decoder of uwsgi packets.
 *
 * Claims: the bytes given as one and with one more at each call come to the same packet; what is
 * taken lies within the bytes and the cap; variables lie within what was taken, and packed again
 * come to the same block. */
#include <stdint.h>
#include <stdlib.h>

#include "check.h"
#include "proto/uwsgi.h"

enum { CAP = 2048, ROOM = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was decoded encodes to the same block. */
static void check_block(struct slice block, const struct vars *vars)
{
    struct buf b;

    buf_init(&b, 1 << 17);
    CHECK(uwsgi_encode(&b, vars) == 0);
    CHECK(slice_eq(slice_skip(buf_bytes(&b), UWSGI_HEAD), block));
    buf_free(&b);
}

static void check_packet(struct slice in, int taken, struct uwsgi_head head,
                         const struct vars *vars)
{
    struct slice block = slice_of(in.ptr + UWSGI_HEAD, head.size);

    CHECK((size_t)taken == UWSGI_HEAD + block.len && (size_t)taken <= in.len && block.len <= CAP);
    for (unsigned i = 0; i < vars->count; i++) {
        struct var v = vars->list[i];

        CHECK(v.name.len > 0 && v.name.ptr >= block.ptr);
        CHECK(v.value.ptr + v.value.len <= block.ptr + block.len);
    }
    if (head.modifier1 != UWSGI_PING)
        check_block(block, vars);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct var list[ROOM];
    struct vars whole = {.list = list, .room = ROOM}, part = {.list = list, .room = ROOM};
    struct uwsgi_head head = {0};
    int n = 0, taken;

    for (size_t len = 0; len <= size && n == 0; len++)
        n = uwsgi_decode(slice_of(in.ptr, len), CAP, &head, &part);
    taken = uwsgi_decode(in, CAP, &head, &whole);
    CHECK(n == taken && -taken < ERR_COUNT && part.count == whole.count);
    if (taken > 0)
        check_packet(in, taken, head, &whole);
    else
        CHECK(whole.count == 0);
    return 0;
}
