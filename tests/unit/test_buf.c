/* Tests src/base/buf.c: the cap, that failures change nothing, and long mixed use against a plain
 * array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/errors.h"

static void holds_what_was_put_less_what_was_taken(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_int_equal(buf_len(&b), 0);
    assert_int_equal(buf_bytes(&b).len, 0);
    assert_int_equal(buf_put(&b, SLICE("hello ")), 0);
    assert_int_equal(buf_put(&b, SLICE("world")), 0);
    buf_take(&b, 6);
    assert_true(slice_eq(buf_bytes(&b), SLICE("world")));
    buf_take(&b, 5);
    assert_int_equal(buf_len(&b), 0);
    buf_free(&b);
}

static void an_empty_buffer_holds_no_memory(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_int_equal(buf_put(&b, slice_of(NULL, 0)), 0);
    assert_null(b.ptr);
    assert_int_equal(buf_put(&b, SLICE("x")), 0);
    assert_non_null(b.ptr);
    buf_free(&b);
    assert_null(b.ptr);
    assert_int_equal(b.size, 0);
    assert_int_equal(b.cap, 100);
    assert_int_equal(buf_put(&b, SLICE("y")), 0);
    assert_true(slice_eq(buf_bytes(&b), SLICE("y")));
    buf_free(&b);
}

static void the_cap_is_exact_and_failures_change_nothing(void **state)
{
    struct buf b, before;

    (void)state;
    buf_init(&b, 10);
    assert_int_equal(buf_put(&b, SLICE("12345678901")), -ERR_FULL);
    assert_null(b.ptr);
    assert_int_equal(buf_put(&b, SLICE("1234567890")), 0);
    before = b;
    assert_int_equal(buf_put(&b, SLICE("x")), -ERR_FULL);
    assert_null(buf_reserve(&b, 1));
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_memory_equal(&b, &before, sizeof(b));
    assert_true(b.size <= 10);
    buf_take(&b, 3);
    assert_int_equal(buf_put(&b, SLICE("abcd")), -ERR_FULL);
    assert_int_equal(buf_put(&b, SLICE("abc")), 0);
    assert_true(slice_eq(buf_bytes(&b), SLICE("4567890abc")));
    assert_true(b.size <= 10);
    buf_free(&b);
}

/* Sizes that no machine has are to fail as they do without the sanitizer. */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void without_memory_nothing_changes(void **state)
{
    struct buf b, before;

    (void)state;
    buf_init(&b, SIZE_MAX);
    assert_int_equal(buf_put(&b, SLICE("abc")), 0);
    buf_take(&b, 1);
    before = b;
    assert_int_equal(buf_put(&b, slice_of("x", PTRDIFF_MAX)), -ERR_MEMORY);
    assert_null(buf_reserve(&b, SIZE_MAX - 2));
    assert_null(buf_reserve(&b, SIZE_MAX - 1));
    assert_memory_equal(&b, &before, sizeof(b));
    assert_true(slice_eq(buf_bytes(&b), SLICE("bc")));
    buf_free(&b);
}

static void room_is_for_all_that_was_asked(void **state)
{
    struct buf b;
    char *room;

    (void)state;
    buf_init(&b, 1 << 20);
    for (size_t n = 1; n < 20000; n = n * 3 + 1) {
        room = buf_reserve(&b, n);
        assert_non_null(room);
        memset(room, 'x', n);
        buf_added(&b, n / 2 + 1);
    }
    buf_free(&b);
}

/* A fixed sequence, so that a failure can be seen again. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void long_use_agrees_with_an_array(void **state)
{
    enum { CAP = 3000 };
    static char model[CAP];
    size_t len = 0;
    uint32_t seed = 1;
    struct buf b;

    (void)state;
    buf_init(&b, CAP);
    for (int step = 0; step < 100000; step++) {
        char piece[400];
        size_t n = next_random(&seed) % sizeof(piece);

        if (next_random(&seed) % 2) {
            memset(piece, 'a' + step % 26, n);
            assert_int_equal(buf_put(&b, slice_of(piece, n)), n > CAP - len ? -ERR_FULL : 0);
            if (n <= CAP - len) {
                memcpy(model + len, piece, n);
                len += n;
            }
        } else {
            n = n < len ? n : len;
            buf_take(&b, n);
            memmove(model, model + n, len - n);
            len -= n;
        }
        assert_true(slice_eq(buf_bytes(&b), slice_of(model, len)));
        assert_true(b.size <= CAP);
    }
    buf_free(&b);
}

/* Bytes that are moved to the front make at least as much room, so little steps over much data stay
 * cheap. */
static void taking_little_does_not_move_much(void **state)
{
    struct buf b;
    size_t moved = 0;
    char much[16300] = {0}; /* little less than the memory that holds it */

    (void)state;
    buf_init(&b, 1 << 20);
    buf_put(&b, slice_of(much, sizeof(much)));
    for (int i = 0; i < 100000; i++) {
        size_t start;

        buf_take(&b, 1);
        start = b.start;
        buf_put(&b, SLICE("x"));
        moved += b.start < start ? buf_len(&b) : 0;
    }
    assert_true(moved < 3 * 100000);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_was_put_less_what_was_taken),
        cmocka_unit_test(an_empty_buffer_holds_no_memory),
        cmocka_unit_test(the_cap_is_exact_and_failures_change_nothing),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(room_is_for_all_that_was_asked),
        cmocka_unit_test(long_use_agrees_with_an_array),
        cmocka_unit_test(taking_little_does_not_move_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
