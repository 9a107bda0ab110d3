/* Tests of src/proto/fields.c, of status.c, and of the vector searches in scan.h against their
 * scalar twins. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/fields.h"
#include "proto/scan.h"
#include "proto/status.h"

static struct slice copied(char *room, struct slice s, int (*change)(int))
{
    for (size_t i = 0; i < s.len; i++) {
        room[i] = (char)change((uint8_t)s.ptr[i]);
    }
    return slice_of(room, s.len);
}

static void test_every_known_name(void **state)
{
    char room[64];

    (void)state;
    for (enum header_id id = HEADER_UNKNOWN + 1; id < HEADER_COUNT; id++) {
        struct slice name = header_name(id);

        assert_true(name.len > 0 && name.len < sizeof room);
        assert_int_equal(name.ptr[name.len], '\0');
        assert_true(field_name_ok(name));
        assert_int_equal(header_lookup(name), id);
        assert_int_equal(header_lookup(copied(room, name, tolower)), id);
        assert_int_equal(header_lookup(copied(room, name, toupper)), id);
    }
}

/* Every other byte at every place of every name is another name. */
static void test_similar_names(void **state)
{
    char room[64];

    (void)state;
    for (enum header_id id = HEADER_UNKNOWN + 1; id < HEADER_COUNT; id++) {
        struct slice name = header_name(id);

        for (size_t i = 0; i < name.len; i++) {
            memcpy(room, name.ptr, name.len);
            for (int c = 0; c < 256; c++) {
                room[i] = (char)c;
                if (tolower(c) != tolower((uint8_t)name.ptr[i])) {
                    assert_int_not_equal(header_lookup(slice_of(room, name.len)), id);
                }
            }
        }
        assert_int_not_equal(header_lookup(slice_of(name.ptr, name.len - 1)), id);
        assert_int_not_equal(header_lookup(slice_of(name.ptr, name.len + 1)), id);
    }
}

static void test_unknown_names(void **state)
{
    char room[4096];

    (void)state;
    memset(room, 'a', sizeof room);
    for (size_t len = 0; len < sizeof room; len++) {
        assert_int_equal(header_lookup(slice_of(room, len)), HEADER_UNKNOWN);
    }
    assert_int_equal(header_lookup(slice_of(NULL, 0)), HEADER_UNKNOWN);
    assert_int_equal(header_lookup(SLICE("Content_Length")), HEADER_UNKNOWN);
    assert_int_equal(header_name(HEADER_UNKNOWN).len, 0);
    assert_int_equal(header_join(HEADER_UNKNOWN), HEADER_JOIN_COMMA);
    assert_false(header_is_hop(HEADER_UNKNOWN));
}

static void test_properties(void **state)
{
    (void)state;
    assert_int_equal(header_join(HEADER_HOST), HEADER_JOIN_SINGLE);
    assert_int_equal(header_join(HEADER_ACCEPT), HEADER_JOIN_COMMA);
    assert_int_equal(header_join(HEADER_COOKIE), HEADER_JOIN_COOKIE);
    assert_int_equal(header_join(HEADER_SET_COOKIE), HEADER_JOIN_NONE);
    assert_true(header_is_hop(HEADER_CONNECTION));
    assert_true(header_is_hop(HEADER_TRANSFER_ENCODING));
    assert_true(header_is_hop(HEADER_KEEP_ALIVE));
    assert_true(header_is_hop(HEADER_UPGRADE));
    assert_false(header_is_hop(HEADER_CONTENT_LENGTH));
    assert_true(slice_eq(header_name(HEADER_WWW_AUTHENTICATE), SLICE("WWW-Authenticate")));
}

/* RFC 9110 section 5.6.2 */
static void test_every_byte_in_a_name(void **state)
{
    const char *symbols = "!#$%&'*+-.^_`|~";

    (void)state;
    assert_false(field_name_ok(slice_of("", 0)));
    for (int c = 0; c < 256; c++) {
        char name[] = {'a', (char)c};
        bool ok = c < 128 && c != 0 && (isalnum(c) || strchr(symbols, c));

        assert_int_equal(field_name_ok(slice_of(name, 2)), ok);
        assert_int_equal(field_name_ok(slice_of(name + 1, 1)), ok);
    }
}

/* RFC 9110 section 5.5 */
static void test_every_byte_in_a_value(void **state)
{
    char value[40];

    (void)state;
    assert_true(field_value_ok(slice_of(NULL, 0)));
    for (int c = 0; c < 256; c++) {
        bool ok = c == '\t' || (c >= 0x20 && c != 0x7f);

        for (size_t at = 0; at < sizeof value; at++) {
            memset(value, 'x', sizeof value);
            value[at] = (char)c;
            assert_int_equal(field_value_ok(slice_of(value, sizeof value)), ok);
        }
    }
}

/* Bytes of a seeded generator, of which about one in `rare` is any byte and the rest is plain. */
static void fill(char *room, size_t len, unsigned *seed, unsigned rare)
{
    for (size_t i = 0; i < len; i++) {
        *seed = *seed * 1103515245u + 12345u;
        room[i] = (*seed >> 16) % rare ? 'x' : (char)(*seed >> 8);
    }
}

/* The searches in bytes that end where their memory ends. */
static void compare(const char *p, size_t len)
{
    char *copy = malloc(len + !len);
    const char *end = copy + len;

    assert_non_null(copy);
    memcpy(copy, p, len);
    assert_ptr_equal(scan_text(copy, end), scan_scalar(copy, end, CHAR_TEXT));
    assert_ptr_equal(scan_path(copy, end), scan_scalar(copy, end, CHAR_PATH));
    assert_ptr_equal(scan_query(copy, end), scan_scalar(copy, end, CHAR_QUERY));
    free(copy);
}

static void test_searches_equal_their_twins(void **state)
{
    char room[200];
    unsigned seed = 9112;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        size_t len = round % sizeof room;

        fill(room, len, &seed, 1 + round % 97);
        compare(room, len);
    }
}

static void test_searches_see_every_byte(void **state)
{
    char room[48];

    (void)state;
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < sizeof room; at++) {
            memset(room, 'x', sizeof room);
            room[at] = (char)c;
            compare(room, sizeof room);
        }
    }
}

static void test_phrases(void **state)
{
    (void)state;
    assert_true(slice_eq(status_phrase(100), SLICE("Continue")));
    assert_true(slice_eq(status_phrase(200), SLICE("OK")));
    assert_true(slice_eq(status_phrase(431), SLICE("Request Header Fields Too Large")));
    assert_true(slice_eq(status_phrase(511), SLICE("Network Authentication Required")));
    assert_int_equal(status_phrase(299).len, 0);
    assert_int_equal(status_phrase(512).len, 0);
    assert_int_equal(status_phrase(-1).len, 0);
    assert_int_equal(status_phrase(1 << 30).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_known_name),
        cmocka_unit_test(test_similar_names),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_every_byte_in_a_name),
        cmocka_unit_test(test_every_byte_in_a_value),
        cmocka_unit_test(test_searches_equal_their_twins),
        cmocka_unit_test(test_searches_see_every_byte),
        cmocka_unit_test(test_phrases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
