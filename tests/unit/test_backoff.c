/* Tests src/master/backoff.c: at once, then doubling to the most, and forgiven after serving. */
#include "master/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_doubles(void **state)
{
    static const int64_t delays[] = {0,    100,  200,   400,   800,   1600,
                                     3200, 6400, 12800, 25600, 30000, 30000};
    struct backoff b = {0};

    (void)state;
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++)
        assert_int_equal(backoff_next(&b, 0), delays[i]);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(backoff_next(&b, BACKOFF_FORGIVES - 1), BACKOFF_MOST);
}

static void test_forgives(void **state)
{
    struct backoff b = {0};

    (void)state;
    for (int i = 0; i < 20; i++)
        backoff_next(&b, 0);
    assert_int_equal(backoff_next(&b, BACKOFF_FORGIVES), 0);
    assert_int_equal(backoff_next(&b, 0), BACKOFF_FIRST);
    assert_int_equal(backoff_next(&b, INT64_MAX), 0);
    assert_int_equal(backoff_next(&b, INT64_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_doubles),
                                       cmocka_unit_test(test_forgives)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
