/* Tests of src/proto/target.c: hosts, percent-escapes, targets by themselves (test_h1.c has them in
 * requests). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/errors.h"
#include "proto/target.h"

struct text {
    const char *bytes;
    size_t len;
};

#define T(bytes)                                                                                   \
    {                                                                                              \
        (bytes), sizeof(bytes) - 1                                                                 \
    }

/* The same bytes in memory of just their size, so that a sanitizer sees a look behind the end. */
static bool host_ok_alone(struct text host)
{
    char *copy = malloc(host.len + !host.len);
    bool ok;

    assert_non_null(copy);
    memcpy(copy, host.bytes, host.len);
    ok = host_ok(slice_of(copy, host.len));
    free(copy);
    return ok;
}

static void test_good_hosts(void **state)
{
    static const struct text hosts[] = {
        T("a"),
        T("example.com"),
        T("example.com."),
        T("EXAMPLE.com:80"),
        T("localhost:8000"),
        T("a:"),
        T("a:0"),
        T("a:65535"),
        T("a:00080"),
        T("under_score.example"),
        T("xn--bcher-kva.example"),
        T("127.0.0.1"),
        T("127.0.0.1:8000"),
        T("999.999.999.999"), /* a registered name */
        T("-._~!$&'()*+,;="),
        T("a%20b"),
        T("%41"),
        T("[::]"),
        T("[::1]"),
        T("[::1]:"),
        T("[::1]:443"),
        T("[2001:DB8:0:0:8:800:200C:417A]"),
        T("[2001:db8::1.2.3.4]"),
        T("[::ffff:127.0.0.1]:80"),
        T("[1:2:3:4:5:6:7::]"),
        T("[0000:0000:0000:0000:0000:ffff:255.255.255.255]"),
        T("[v1.a]"),
        T("[VF.a:b~!$&'()*+,;=]:1"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        if (!host_ok_alone(hosts[i])) {
            fail_msg("refused: %s", hosts[i].bytes);
        }
    }
}

static void test_bad_hosts(void **state)
{
    static const struct text hosts[] = {
        T(""),
        T(":"),
        T(":80"),
        T("a:b"),
        T("a:-1"),
        T("a:+1"),
        T("a: 80"),
        T("a:80 "),
        T("a:65536"),
        T("a:99999999999999999999"),
        T("a:80:80"),
        T("a::"),
        T("::1"),
        T("::1:80"),
        T("2001:db8::1"),
        T("user@a"),
        T("user:pass@a"),
        T("@a"),
        T("a@"),
        T("a b"),
        T(" a"),
        T("a "),
        T("a\tb"),
        T("a/b"),
        T("a/"),
        T("a?b"),
        T("a#b"),
        T("a\\b"),
        T("a\\"),
        T("\\\\a"),
        T("http://a"),
        T("a, b"),
        T("\"a\""),
        T("<a>"),
        T("a^"),
        T("a|b"),
        T("a`"),
        T("{a}"),
        T("a%"),
        T("a%4"),
        T("a%zz"),
        T("%"),
        T("\xc3\xa9"),
        T("a\x80"),
        T("a\x7f"),
        T("a\0"),
        T("a\0b"),
        T("["),
        T("]"),
        T("[]"),
        T("[]:80"),
        T("[::1"),
        T("::1]"),
        T("a]"),
        T("a[::1]"),
        T("[::1]a"),
        T("[::1]:b"),
        T("[::1]80"),
        T("[::1]]"),
        T("[[::1]]"),
        T("[:1]"),
        T("[1]"),
        T("[127.0.0.1]"),
        T("[a]"),
        T("[::g]"),
        T("[::1%25eth0]"),
        T("[::1%eth0]"),
        T("[fe80::1%1]"),
        T("[1::2::3]"),
        T("[1:2:3:4:5:6:7]"),
        T("[1:2:3:4:5:6:7:8:9]"),
        T("[00001::]"),
        T("[::1.2.3]"),
        T("[::1.2.3.256]"),
        T("[::01.2.3.4]"),
        T("[:: 1]"),
        T("[::1\0]"),
        T("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]"),
        T("[v]"),
        T("[v1]"),
        T("[v1.]"),
        T("[v.a]"),
        T("[vg.a]"),
        T("[v1.a/]"),
        T("[v1.a@b]"),
        T("[v1.\x80]"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        if (host_ok_alone(hosts[i])) {
            fail_msg("accepted: %s", hosts[i].bytes);
        }
    }
}

static void test_every_byte_in_a_host(void **state)
{
    const char *allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                          "-._~!$&'()*+,;=";

    (void)state;
    for (int c = 0; c < 256; c++) {
        char host[] = {'a', (char)c, 'a'};

        assert_int_equal(host_ok(slice_of(host, 3)), c != 0 && strchr(allowed, c) != NULL);
    }
}

static void expect_unquoted(struct slice path, struct slice expected)
{
    char out[64];
    int len = target_unquote(path, out);

    assert_int_equal(len, expected.len);
    assert_memory_equal(out, expected.ptr, expected.len);
}

static void test_unquote(void **state)
{
    (void)state;
    expect_unquoted(SLICE("/"), SLICE("/"));
    expect_unquoted(SLICE("/a%20b"), SLICE("/a b"));
    expect_unquoted(SLICE("%41%5a%5A"), SLICE("AZZ"));
    expect_unquoted(SLICE("/%2F%00%ff%FF"), SLICE("//\0\xff\xff"));
    expect_unquoted(SLICE("/%252e"), SLICE("/%2e"));
    expect_unquoted(SLICE("/a+b"), SLICE("/a+b"));
    expect_unquoted(SLICE("/%zz%4"), SLICE("/%zz%4"));
    expect_unquoted(SLICE("%"), SLICE("%"));
    expect_unquoted(SLICE("%%41"), SLICE("%A"));
    assert_int_equal(target_unquote(slice_of(NULL, 0), NULL), 0);
}

/* Which bytes a path and a query may hold, each byte tried in a short and in a long one. */
static void expect_byte(char c, const char *front, bool ok)
{
    char target[128];
    struct target parts;
    size_t len = strlen(front);

    memcpy(target, front, len);
    memset(target + len, 'x', 40);
    target[len] = c;
    assert_int_equal(target_split(slice_of(target, len + 1), false, &parts) == 0, ok);
    assert_int_equal(target_split(slice_of(target, len + 40), false, &parts) == 0, ok);
    memset(target + len, 'x', 40);
    target[len + 33] = c;
    assert_int_equal(target_split(slice_of(target, len + 40), false, &parts) == 0, ok);
}

static void test_every_byte_in_a_target(void **state)
{
    const char *allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                          "-._~!$&'()*+,;=:@/?[]^|";
    const char *query = "`{}%";

    (void)state;
    for (int c = 0; c < 256; c++) {
        bool ok = c != 0 && strchr(allowed, c);

        expect_byte((char)c, "/", ok);
        expect_byte((char)c, "/?", ok || (c != 0 && strchr(query, c)));
    }
}

static void test_split(void **state)
{
    struct target t;

    (void)state;
    assert_int_equal(target_split(slice_of("", 0), true, &t), -ERR_TARGET);
    assert_int_equal(target_split(SLICE("https://a:1/b%41?c"), false, &t), 0);
    assert_true(slice_eq(t.scheme, SLICE("https")));
    assert_true(slice_eq(t.authority, SLICE("a:1")));
    assert_true(slice_eq(t.path, SLICE("/b%41")));
    assert_true(slice_eq(t.query, SLICE("c")));
    assert_int_equal(target_split(SLICE("/b"), false, &t), 0);
    assert_null(t.query.ptr);
    assert_int_equal(t.authority.len, 0);
    assert_int_equal(target_split(SLICE("/b?"), false, &t), 0);
    assert_non_null(t.query.ptr);
    assert_int_equal(t.query.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_hosts),
        cmocka_unit_test(test_bad_hosts),
        cmocka_unit_test(test_every_byte_in_a_host),
        cmocka_unit_test(test_unquote),
        cmocka_unit_test(test_every_byte_in_a_target),
        cmocka_unit_test(test_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
