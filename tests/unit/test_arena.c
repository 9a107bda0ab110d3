/* Tests src/base/arena.c: the cap, alignment, the lent block, and what AddressSanitizer is told. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/poison.h"

enum { ALIGN = alignof(max_align_t) };

/* Sizes that no machine has are to fail as they do without the sanitizer. */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static bool within(const void *piece, const char *block, size_t size)
{
    const char *at = piece;

    return at >= block && at < block + size;
}

static void pieces_are_aligned_and_apart(void **state)
{
    struct arena a;
    char *pieces[200];

    (void)state;
    arena_init(&a, 1 << 20, NULL, 0);
    for (size_t i = 0; i < 200; i++) {
        pieces[i] = arena_alloc(&a, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % ALIGN, 0);
        memset(pieces[i], (int)i, i);
    }
    for (size_t i = 0; i < 200; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_int_equal((unsigned char)pieces[i][k], i);
        }
    }
    arena_free(&a);
}

static void cap_counts_what_was_handed_out(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 10 * ALIGN, NULL, 0);
    for (int i = 0; i < 10; i++) {
        assert_non_null(arena_alloc(&a, 1));
    }
    assert_int_equal(a.used, 10 * ALIGN);
    assert_null(arena_alloc(&a, 0));
    assert_null(arena_alloc(&a, 1));
    arena_free(&a);
    assert_non_null(arena_alloc(&a, 10 * ALIGN));
    assert_null(arena_alloc(&a, 1));
    arena_free(&a);
}

static void sizes_do_not_wrap_around(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, SIZE_MAX, NULL, 0);
    for (size_t less = 0; less < 64; less++) {
        assert_null(arena_alloc(&a, SIZE_MAX - less));
    }
    assert_null(arena_copy(&a, slice_of("x", SIZE_MAX)).ptr);
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 8));
    arena_free(&a);
}

static void lent_block_is_used_first_and_never_freed(void **state)
{
    struct arena a;
    char block[1024];

    (void)state;
    arena_init(&a, 1 << 16, block, sizeof(block));
    assert_true(within(arena_alloc(&a, 100), block, sizeof(block)));
    assert_null(a.blocks);
    assert_false(within(arena_alloc(&a, 1000), block, sizeof(block)));
    assert_non_null(a.blocks);
    arena_free(&a);
    memset(block, 1, sizeof(block)); /* ours again: not poisoned */
    assert_false(within(arena_alloc(&a, 1), block, sizeof(block)));
    arena_free(&a);
}

static void lent_block_may_lie_anywhere(void **state)
{
    alignas(max_align_t) char block[256];

    (void)state;
    for (size_t size = 0; size < 40; size++) {
        for (size_t off = 0; off < ALIGN; off++) {
            struct arena a;
            char *piece;

            arena_init(&a, 1 << 12, block + off, size);
            piece = arena_alloc(&a, 8);
            assert_int_equal((uintptr_t)piece % ALIGN, 0);
            memset(piece, 0, 8);
            if (within(piece, block, sizeof(block))) {
                assert_true(piece >= block + off && piece + 8 <= block + off + size);
            }
            arena_free(&a);
        }
    }
}

static void large_pieces_do_not_end_the_block(void **state)
{
    struct arena a;
    char block[1024];

    (void)state;
    arena_init(&a, 1 << 20, block, sizeof(block));
    memset(arena_alloc(&a, 100000), 1, 100000);
    assert_true(within(arena_alloc(&a, 100), block, sizeof(block)));
    arena_free(&a);
}

static void copies_end_in_nul(void **state)
{
    struct arena a;
    struct slice copy;
    const char text[] = {'a', 'b', 'c'};

    (void)state;
    arena_init(&a, 2 * ALIGN, NULL, 0);
    copy = arena_copy(&a, slice_of(text, sizeof(text)));
    assert_string_equal(copy.ptr, "abc");
    assert_int_equal(copy.len, 3);
    copy = arena_copy(&a, slice_of(NULL, 0));
    assert_string_equal(copy.ptr, "");
    assert_null(arena_copy(&a, SLICE("x")).ptr);
    arena_free(&a);
}

/* Without the sanitizer there is nothing to see; ./dev test runs with it. */
static void what_was_not_handed_out_is_poisoned(void **state)
{
    (void)state;
#ifdef POISON_WORKS
    struct arena a;
    char block[1024];
    char *first, *second, *large;

    arena_init(&a, 4096, block, sizeof(block));
    first = arena_alloc(&a, 5);
    second = arena_alloc(&a, 16);
    assert_false(__asan_address_is_poisoned(first + 4));
    assert_true(__asan_address_is_poisoned(first + 5));
    assert_true(second > first + 16);
    assert_true(__asan_address_is_poisoned(first + 16));
    assert_true(__asan_address_is_poisoned(second + 16));
    large = arena_alloc(&a, 3001); /* of a block of its own */
    assert_false(__asan_address_is_poisoned(large + 3000));
    assert_true(__asan_address_is_poisoned(large + 3001));
    arena_free(&a);
    assert_false(__asan_address_is_poisoned(second + 16));
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(cap_counts_what_was_handed_out),
        cmocka_unit_test(sizes_do_not_wrap_around),
        cmocka_unit_test(lent_block_is_used_first_and_never_freed),
        cmocka_unit_test(lent_block_may_lie_anywhere),
        cmocka_unit_test(large_pieces_do_not_end_the_block),
        cmocka_unit_test(copies_end_in_nul),
        cmocka_unit_test(what_was_not_handed_out_is_poisoned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
