/* Tests src/base/errors.c: the columns of the table, from either sign, and numbers that are in no
 * row. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/errors.h"

static void each_row_is_found_by_either_sign(void **state)
{
    (void)state;
#define ERR(name, text, status, level)                                                             \
    for (int sign = -1; sign <= 1; sign += 2) {                                                    \
        assert_string_equal(err_name(sign *ERR_##name), #name);                                    \
        assert_string_equal(err_text(sign *ERR_##name), text);                                     \
        assert_int_equal(err_status(sign *ERR_##name), status);                                    \
        assert_int_equal(err_level(sign *ERR_##name), LOG_##level);                                \
    }
#include "base/errors.def"
#undef ERR
}

static void statuses_are_those_of_errors(void **state)
{
    (void)state;
    for (int err = 1; err < ERR_COUNT; err++) {
        int status = err_status(err);

        assert_true(status == 0 || (status >= 400 && status <= 599));
        assert_true(strlen(err_text(err)) > 0);
    }
}

static void unknown_numbers_have_a_row(void **state)
{
    static const int numbers[] = {ERR_COUNT, -ERR_COUNT, INT_MAX, INT_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_string_equal(err_text(numbers[i]), "unknown error");
        assert_string_equal(err_name(numbers[i]), "UNKNOWN");
        assert_int_equal(err_status(numbers[i]), 500);
        assert_int_equal(err_level(numbers[i]), LOG_ERROR);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_found_by_either_sign),
        cmocka_unit_test(statuses_are_those_of_errors),
        cmocka_unit_test(unknown_numbers_have_a_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
