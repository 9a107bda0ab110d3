/* Tests src/base/clock.c: dates against the C library's over all years of four digits, and when the
 * clock writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void agrees_with_the_library(int64_t seconds)
{
    char ours[CLOCK_DATE_LEN + 1];
    char theirs[64];
    time_t t = (time_t)seconds;
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(theirs, sizeof(theirs), "%a, %d %b ", &tm);
    sprintf(theirs + strlen(theirs), "%04d", tm.tm_year + 1900);
    strftime(theirs + strlen(theirs), 20, " %H:%M:%S GMT", &tm);
    clock_http_date(seconds, ours);
    assert_string_equal(ours, theirs);
}

static void dates_are_those_of_the_library(void **state)
{
    (void)state;
    for (int64_t t = -62135596800; t < 253402300800; t += 86399 * 13) {
        agrees_with_the_library(t);
    }
    for (int64_t day = 0; day < 366 * 5; day++) {
        agrees_with_the_library(946684800 + day * 86400); /* from 2000 on */
        agrees_with_the_library(946684800 + day * 86400 - 1);
        agrees_with_the_library(4102444800 + day * 86400); /* from 2100 on: no leap year */
    }
}

static void the_date_of_the_rfc(void **state)
{
    char date[CLOCK_DATE_LEN + 1];

    (void)state;
    clock_http_date(784111777, date);
    assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");
}

static void dates_end_where_four_digits_do(void **state)
{
    char date[CLOCK_DATE_LEN + 1];

    (void)state;
    clock_http_date(INT64_MIN, date);
    assert_string_equal(date, "Mon, 01 Jan 0001 00:00:00 GMT");
    clock_http_date(INT64_MAX, date);
    assert_string_equal(date, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void stamp_is_the_time_now(void **state)
{
    char stamp[CLOCK_STAMP_LEN + 1];
    struct tm tm = {0};
    time_t before = time(NULL), stamped;
    int ms, end = 0;

    (void)state;
    clock_stamp(stamp);
    assert_int_equal(strlen(stamp), CLOCK_STAMP_LEN);
    assert_int_equal(sscanf(stamp, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &tm.tm_year, &tm.tm_mon,
                            &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms, &end),
                     7);
    assert_int_equal(end, CLOCK_STAMP_LEN);
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    stamped = timegm(&tm);
    assert_true(stamped >= before && stamped <= time(NULL));
}

static void an_update_makes_a_zeroed_clock_valid(void **state)
{
    struct clock c = {0};
    int64_t before = clock_ns() / 1000000;
    char date[CLOCK_DATE_LEN + 1];

    (void)state;
    clock_update(&c);
    assert_true(c.now >= before && c.now <= clock_ns() / 1000000);
    clock_http_date(c.wall, date);
    assert_true(slice_eq(clock_date(&c), slice_text(date)));
}

static void the_date_is_written_once_a_second(void **state)
{
    struct clock c = {0};
    int64_t second;

    (void)state;
    clock_update(&c);
    do {
        second = c.wall;
        c.date[0] = '?';
        clock_update(&c);
        assert_int_equal(c.date[0] == '?', c.wall == second);
    } while (c.wall != second);
    c.wall--;
    clock_update(&c);
    assert_int_not_equal(c.date[0], '?');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_those_of_the_library),
        cmocka_unit_test(the_date_of_the_rfc),
        cmocka_unit_test(dates_end_where_four_digits_do),
        cmocka_unit_test(stamp_is_the_time_now),
        cmocka_unit_test(an_update_makes_a_zeroed_clock_valid),
        cmocka_unit_test(the_date_is_written_once_a_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
