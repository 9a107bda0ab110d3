/* Tests src/base/pool.c: blocks come back, no more are kept than may be, and a late use is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/poison.h"
#include "base/pool.h"

static void blocks_are_used_again(void **state)
{
    struct pool p;
    void *first, *second;

    (void)state;
    pool_init(&p, 100, 4);
    first = pool_get(&p);
    second = pool_get(&p);
    assert_ptr_not_equal(first, second);
    memset(first, 1, 100);
    pool_put(&p, first);
    pool_put(&p, second);
    assert_int_equal(p.kept, 2);
    assert_ptr_equal(pool_get(&p), second);
    assert_ptr_equal(pool_get(&p), first);
    assert_int_equal(p.kept, 0);
    memset(first, 2, 100);
    free(first);
    free(second);
}

static void no_more_are_kept_than_may_be(void **state)
{
    struct pool p;
    void *blocks[5];

    (void)state;
    pool_init(&p, 16, 3);
    for (int i = 0; i < 5; i++) {
        blocks[i] = pool_get(&p);
    }
    for (int i = 0; i < 5; i++) {
        pool_put(&p, blocks[i]);
    }
    assert_int_equal(p.kept, 3);
    pool_drain(&p);
    assert_int_equal(p.kept, 0);
    assert_null(p.first);
    pool_put(&p, pool_get(&p));
    assert_int_equal(p.kept, 1);
    pool_drain(&p);
}

static void nothing_may_be_put(void **state)
{
    struct pool p;

    (void)state;
    pool_init(&p, 16, 3);
    pool_put(&p, NULL);
    assert_int_equal(p.kept, 0);
}

static void a_block_holds_at_least_a_pointer(void **state)
{
    struct pool p;

    (void)state;
    pool_init(&p, 1, 1);
    assert_true(p.size >= sizeof(void *));
    pool_put(&p, pool_get(&p));
    pool_drain(&p);
}

static void kept_blocks_are_poisoned(void **state)
{
    (void)state;
#ifdef POISON_WORKS
    struct pool p;
    char *block;

    pool_init(&p, 64, 1);
    block = pool_get(&p);
    pool_put(&p, block);
    assert_true(__asan_address_is_poisoned(block));
    assert_true(__asan_address_is_poisoned(block + 63));
    assert_ptr_equal(pool_get(&p), block);
    assert_false(__asan_address_is_poisoned(block));
    assert_false(__asan_address_is_poisoned(block + 63));
    free(block);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_used_again),
        cmocka_unit_test(no_more_are_kept_than_may_be),
        cmocka_unit_test(nothing_may_be_put),
        cmocka_unit_test(a_block_holds_at_least_a_pointer),
        cmocka_unit_test(kept_blocks_are_poisoned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
