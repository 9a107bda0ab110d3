/* Networks: what their texts mean, and whom they hold. */
#include "net/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/errors.h"

static const struct {
    const char *network, *host; /* host "": a Unix socket */
    bool inside;
} cases[] = {
    {"*", "192.0.2.1", true},
    {"*", "", true},
    {"unix", "", true},
    {"unix", "127.0.0.1", false},
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"192.0.2.1", "::ffff:192.0.2.1", true},
    {"192.0.2.1", "", false},
    {"10.0.0.0/8", "10.255.255.255", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"192.0.2.128/25", "192.0.2.200", true},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "::1", false},
    {"::/0", "2001:db8::1", true},
    {"::/0", "203.0.113.9", false},
    {"::1", "::1", true},
    {"::1", "::2", false},
    {"2001:db8::/32", "2001:db8:ffff::1", true},
    {"2001:db8::/32", "2001:db9::1", false},
    {"2001:db8::/61", "2001:db8:0:7::1", true},
    {"2001:db8::/61", "2001:db8:0:8::1", false},
    {"::ffff:10.0.0.0/104", "10.1.2.3", true},
    {"::1", "", false},
};

static void holds(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address a;
        struct network n;

        assert_int_equal(network_read(cases[i].network, &n), 0);
        if (cases[i].host[0])
            assert_int_equal(address_inet(&a, cases[i].host, 80), 0);
        else
            assert_int_equal(address_unix(&a, "/tmp/x"), 0);
        assert_int_equal(network_has(&n, &a), cases[i].inside);
    }
}

static void refuses(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "unix:",
                                      "192.0.2",
                                      "192.0.2.1/33",
                                      "192.0.2.1/-1",
                                      "10.0.0.0/",
                                      "10.0.0.0/8x",
                                      "::/129",
                                      "localhost",
                                      "[::1]",
                                      "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/1000000"};
    struct network n;

    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(network_read(bad[i], &n), -ERR_CONFIG);
}

static void makes_addresses(void **state)
{
    char text[ADDRESS_TEXT];
    uint8_t host[16] = {192, 0, 2, 1};
    struct address a;

    (void)state;
    address_of_bytes(&a, host, 4, 4711);
    address_text(&a, text);
    assert_string_equal(text, "192.0.2.1:4711");
    memset(host, 0, sizeof host);
    host[15] = 1;
    address_of_bytes(&a, host, 16, 80);
    address_text(&a, text);
    assert_string_equal(text, "[::1]:80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds),
        cmocka_unit_test(refuses),
        cmocka_unit_test(makes_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
