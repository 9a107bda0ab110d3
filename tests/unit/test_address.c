/* Tests src/net/address.c: what is read, what is refused, and how each kind is written. */
#include "net/address.h"

#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/errors.h"

static void test_inet(void **state)
{
    static const struct {
        const char *host;
        uint16_t port;
        const char *text, *bare;
    } cases[] = {
        {"127.0.0.1", 8000, "127.0.0.1:8000", "127.0.0.1"},
        {"0.0.0.0", 0, "0.0.0.0:0", "0.0.0.0"},
        {"255.255.255.255", 65535, "255.255.255.255:65535", "255.255.255.255"},
        {"::1", 80, "[::1]:80", "::1"},
        {"[::1]", 80, "[::1]:80", "::1"},
        {"::", 443, "[::]:443", "::"},
        {"2001:DB8:0:0:0:0:0:1", 1, "[2001:db8::1]:1", "2001:db8::1"},
        {"::ffff:192.0.2.7", 9, "[::ffff:192.0.2.7]:9", "192.0.2.7"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 65535,
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    char out[ADDRESS_TEXT];
    struct address a;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(address_inet(&a, cases[i].host, cases[i].port), 0);
        assert_false(address_is_unix(&a));
        assert_int_equal(address_port(&a), cases[i].port);
        assert_int_equal(address_text(&a, out), strlen(cases[i].text));
        assert_string_equal(out, cases[i].text);
        assert_int_equal(address_host(&a, out), strlen(cases[i].bare));
        assert_string_equal(out, cases[i].bare);
    }
}

static void test_inet_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "localhost",
        "127.0.0.1 ",
        "127.0.0",
        "127.1",
        "0x7f.0.0.1",
        "[127.0.0.1]",
        "1.2.3.4.5",
        "256.0.0.1",
        "[",
        "[]",
        "[::1",
        "::1]",
        ":::",
        "::g",
        "::1%",
        "%lo",
        "::1%nosuch",
        "fe80::1%lo%lo",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%an-interface-of-a-name-that-is-far-too-long",
    };
    struct address a;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(address_inet(&a, cases[i], 80), -ERR_CONFIG);
        assert_int_equal(a.len, 0);
    }
}

static void test_zone(void **state)
{
    char out[ADDRESS_TEXT];
    struct address a;

    (void)state;
    assert_int_equal(address_inet(&a, "[fe80::1%lo]", 80), 0);
    assert_int_equal(((struct sockaddr_in6 *)&a.storage)->sin6_scope_id, if_nametoindex("lo"));
    address_text(&a, out);
    assert_string_equal(out, "[fe80::1%lo]:80");
    address_host(&a, out);
    assert_string_equal(out, "fe80::1%lo");
}

static void test_unix(void **state)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1], out[ADDRESS_TEXT];
    struct address a;

    (void)state;
    assert_int_equal(address_unix(&a, "/run/shop.sock"), 0);
    assert_true(address_is_unix(&a));
    assert_int_equal(address_port(&a), 0);
    assert_int_equal(address_text(&a, out), strlen("unix:/run/shop.sock"));
    assert_string_equal(out, "unix:/run/shop.sock");
    assert_int_equal(address_host(&a, out), 0);
    assert_string_equal(out, "");

    assert_int_equal(address_unix(&a, "@shop"), 0);
    assert_int_equal(((struct sockaddr_un *)&a.storage)->sun_path[0], '\0');
    assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + strlen("@shop"));
    address_text(&a, out);
    assert_string_equal(out, "unix:@shop");

    assert_int_equal(address_unix(&a, "@"), -ERR_CONFIG);
    assert_int_equal(address_unix(&a, ""), -ERR_CONFIG);
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(address_unix(&a, path), -ERR_CONFIG);
    path[sizeof path - 2] = '\0';
    assert_int_equal(address_unix(&a, path), 0);
    assert_int_equal(address_text(&a, out), strlen("unix:") + sizeof path - 2);
}

/* Peers as accept() gives them: without a name, with a path that fills the structure, with an
 * abstract name. */
static void test_unix_peers(void **state)
{
    struct address a = {.storage = {.ss_family = AF_UNIX}, .len = sizeof(sa_family_t)};
    struct sockaddr_un *un = (struct sockaddr_un *)&a.storage;
    char out[ADDRESS_TEXT];

    (void)state;
    address_text(&a, out);
    assert_string_equal(out, "unix:");
    memset(un->sun_path, 'p', sizeof un->sun_path);
    a.len = sizeof *un;
    assert_int_equal(address_text(&a, out), strlen("unix:") + sizeof un->sun_path);
    memcpy(un->sun_path, "\0a\0b", 4);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 4);
    address_text(&a, out);
    assert_string_equal(out, "unix:@a@b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inet),       cmocka_unit_test(test_inet_refused),
        cmocka_unit_test(test_zone),       cmocka_unit_test(test_unix),
        cmocka_unit_test(test_unix_peers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
