/* Forwarded and X-Forwarded-*: what is read, from which end, and what is refused. */
#include "proto/forwarded.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/errors.h"

static const struct {
    const char *text;
    const char *host; /* NULL: refused; "": hidden */
    unsigned port;
} nodes[] = {
    {"192.0.2.1", "192.0.2.1", 0},
    {"192.0.2.1:80", "192.0.2.1", 80},
    {"192.0.2.1:65535", "192.0.2.1", 65535},
    {"192.0.2.1:_p", "192.0.2.1", 0},
    {"2001:db8::1", "2001:db8::1", 0},
    {"[2001:db8::1]", "2001:db8::1", 0},
    {"[2001:DB8::1]:4711", "2001:db8::1", 4711},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.1", 0},
    {"::", "::", 0},
    {"unknown", "", 0},
    {"Unknown:12", "", 12},
    {"_hidden", "", 0},
    {"_SEVKISEK.a-b_c:_1", "", 0},
    {"", NULL, 0},
    {"192.0.2.1:", NULL, 0},
    {"192.0.2.1:65536", NULL, 0},
    {"192.0.2.1:8x", NULL, 0},
    {"192.0.2.256", NULL, 0},
    {"192.0.2.01", NULL, 0},
    {"192.0.2", NULL, 0},
    {"[192.0.2.1]", NULL, 0},
    {"[2001:db8::1", NULL, 0},
    {"[2001:db8::1]4711", NULL, 0},
    {"[2001:db8::1]:", NULL, 0},
    {"[]", NULL, 0},
    {"[", NULL, 0},
    {":80", NULL, 0},
    {"_", NULL, 0},
    {"_a b", NULL, 0},
    {"fe80::1%eth0", NULL, 0},
    {"1:2:3:4:5:6:7:8:9", NULL, 0},
    {"example.com", NULL, 0},
    {"192.0.2.1 ", NULL, 0},
};

static void reads_nodes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        struct node n;
        char text[64] = "";
        int err = node_read(slice_text(nodes[i].text), &n);

        if (!nodes[i].host) {
            assert_int_equal(err, -ERR_FORWARDED);
            continue;
        }
        assert_int_equal(err, 0);
        if (n.kind != NODE_HIDDEN)
            inet_ntop(n.kind == NODE_INET ? AF_INET : AF_INET6, n.host, text, sizeof text);
        assert_string_equal(text, nodes[i].host);
        assert_int_equal(n.port, nodes[i].port);
    }
}

/* Elements from the last to the first, "for|by|host|proto" each; "!" where the rest is refused. */
static void list_all(const char *text, char *out)
{
    struct slice list = slice_text(text);
    struct forwarded f;
    int n;

    *out = '\0';
    while ((n = forwarded_take_last(&list, &f)) > 0)
        out += sprintf(out, "%.*s|%.*s|%.*s|%.*s ", (int)f.client.len, f.client.ptr, (int)f.by.len,
                       f.by.ptr, (int)f.host.len, f.host.ptr, (int)f.proto.len, f.proto.ptr);
    if (n < 0)
        strcpy(out, "!");
}

static const struct {
    const char *in, *out;
} elements[] = {
    {"", ""},
    {" ,\t, ", ""},
    {"for=192.0.2.43", "192.0.2.43||| "},
    {"for=192.0.2.43, for=198.51.100.17", "198.51.100.17||| 192.0.2.43||| "},
    {"for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60|203.0.113.43||http "},
    {"For=\"[2001:db8:cafe::17]:4711\"", "[2001:db8:cafe::17]:4711||| "},
    {"for=_gazonk;HOST=a.example", "_gazonk||a.example| "},
    {",for=a, ,by=b,,", "|b|| a||| "},
    {"for=a;", "a||| "},
    {";;for=a ;; proto=http;", "a|||http "},
    {"for = a", "!"},
    {"secret=x;for=a;ext=\"q;,\\\"=\"", "a||| "},
    {"ext=1", "||| "},
    {"for=\"\"", "||| "},
    {"for=\"a,b;c\"", "a,b;c||| "},
    {"for=\"a\\\"b\\\\\"", "a\"b\\||| "},
    {"for=192.0.2.1:80", "192.0.2.1:80||| "},
    {"for=[::1]:80", "[::1]:80||| "},
    /* what a client wrote in front of a proxy's element does not matter */
    {"for=\"open, for=b", "b||| !"},
    {"\", for=b", "b||| !"},
    {"for=\"x\\, for=\"b\"", "b||| !"},
    {"garbage, for=\"[::1]:5\"", "[::1]:5||| !"},
    {"for=a by=b", "!"},
    {"for=a;for=b", "!"},
    {"for=", "!"},
    {"=a", "!"},
    {"for", "!"},
    {"for=a\"", "!"},
    {"for=\"a", "!"},
    {"for=\"a\\\"", "!"},
    {"\"a\"", "!"},
    {"for\"a\"", "!"},
    {"\"", "!"},
    {"for=a=b", "!"},
    {"for=(a)", "!"},
};

static void reads_elements_from_the_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof elements / sizeof *elements; i++) {
        char out[400];

        list_all(elements[i].in, out);
        assert_string_equal(out, elements[i].out);
    }
}

static void caps_what_it_unescapes(void **state)
{
    char text[FORWARDED_TEXT + 16] = "for=\"";
    struct slice list;
    struct forwarded f;

    (void)state;
    memset(text + 5, '\\', FORWARDED_TEXT);
    text[5 + FORWARDED_TEXT] = '"';
    list = slice_of(text, 6 + FORWARDED_TEXT);
    assert_int_equal(forwarded_take_last(&list, &f), 1);
    assert_int_equal(f.client.len, FORWARDED_TEXT / 2);
    memset(text + 5, '\\', FORWARDED_TEXT + 2);
    text[7 + FORWARDED_TEXT] = '"';
    list = slice_of(text, 8 + FORWARDED_TEXT);
    assert_int_equal(forwarded_take_last(&list, &f), -ERR_FORWARDED);
    assert_int_equal(list.len, 8 + FORWARDED_TEXT);
}

static void takes_lists_from_the_end(void **state)
{
    struct slice list = SLICE(" a, b\t,, c , "), item;

    (void)state;
    assert_true(list_take_last(&list, &item) && slice_eq(item, SLICE("c")));
    assert_true(list_take_last(&list, &item) && slice_eq(item, SLICE("b")));
    assert_true(list_take_last(&list, &item) && slice_eq(item, SLICE("a")));
    assert_false(list_take_last(&list, &item));
    list = slice_of(NULL, 0);
    assert_false(list_take_last(&list, &item));
}

static void reads_schemes_and_ports(void **state)
{
    bool secure;

    (void)state;
    assert_int_equal(forwarded_scheme(SLICE("HTTPS"), &secure), 0);
    assert_true(secure);
    assert_int_equal(forwarded_scheme(SLICE("wss"), &secure), 0);
    assert_true(secure);
    assert_int_equal(forwarded_scheme(SLICE("http"), &secure), 0);
    assert_false(secure);
    assert_int_equal(forwarded_scheme(SLICE("ftp"), &secure), -ERR_FORWARDED);
    assert_int_equal(forwarded_scheme(SLICE(""), &secure), -ERR_FORWARDED);
    assert_true(forwarded_port_ok(SLICE("1")) && forwarded_port_ok(SLICE("65535")));
    assert_false(forwarded_port_ok(SLICE("0")) || forwarded_port_ok(SLICE("65536")));
    assert_false(forwarded_port_ok(SLICE("")) || forwarded_port_ok(SLICE("443 ")));
    assert_false(forwarded_port_ok(SLICE("+80")) || forwarded_port_ok(SLICE("000080")));
}

static void reads_prefixes(void **state)
{
    static const char *const good[] = {"/a", "/a/b.c", "/a/", "/", "/~x"};
    static const char *const bad[] = {"a",       "//a",  "/a//b", "/a//", "//",   "/..",
                                      "/a/../b", "/a/.", "/a?b",  "/a#b", "/a b", "/%2e%2e"};
    struct slice out;

    (void)state;
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        struct slice text = slice_text(good[i]);

        assert_int_equal(forwarded_prefix(text, &out), 0);
        text.len -= text.len && text.ptr[text.len - 1] == '/';
        assert_true(slice_eq(out, text));
    }
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(forwarded_prefix(slice_text(bad[i]), &out), -ERR_FORWARDED);
}

static void caps_prefixes(void **state)
{
    char text[FORWARDED_PREFIX + 1];
    struct slice out;

    (void)state;
    memset(text, 'a', sizeof text);
    text[0] = '/';
    assert_int_equal(forwarded_prefix(slice_of(text, FORWARDED_PREFIX), &out), 0);
    assert_int_equal(forwarded_prefix(slice_of(text, sizeof text), &out), -ERR_FORWARDED);
}

static void judges_ids(void **state)
{
    char text[FORWARDED_ID + 1];

    (void)state;
    memset(text, 'a', sizeof text);
    assert_true(request_id_ok(slice_of(text, FORWARDED_ID)));
    assert_false(request_id_ok(slice_of(text, sizeof text)));
    assert_true(request_id_ok(SLICE("Root=1-67891233-abcdef012345678912345678")));
    assert_true(request_id_ok(SLICE("0b7d2e7c-7a49-4dd1-9c1a-6f0d8f4a3a5e")));
    assert_false(request_id_ok(SLICE("")) || request_id_ok(SLICE("a b")));
    assert_false(request_id_ok(SLICE("a\"b")) || request_id_ok(SLICE("a\0b")));
    assert_false(request_id_ok(SLICE("\xc3\xa4")) || request_id_ok(SLICE("a,b")));
}

static void reads_starts(void **state)
{
    (void)state;
    assert_int_equal(request_start(SLICE("t=1512379167.574")), 1512379167574000000);
    assert_int_equal(request_start(SLICE("1512379167.574")), 1512379167574000000);
    assert_int_equal(request_start(SLICE("1512379167")), 1512379167000000000);
    assert_int_equal(request_start(SLICE("t=1512379167574")), 1512379167574000000);
    assert_int_equal(request_start(SLICE("t=1512379167574123")), 1512379167574123000);
    assert_int_equal(request_start(SLICE("1.0000000019")), 1000000001);
    static const char *const bad[] = {"",    "t=", "t=x", "-1",    "1.",
                                      "1.x", "1 ", "1e9", "t=t=1", "99999999999999999"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(request_start(slice_text(bad[i])) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_nodes),
        cmocka_unit_test(reads_elements_from_the_end),
        cmocka_unit_test(caps_what_it_unescapes),
        cmocka_unit_test(takes_lists_from_the_end),
        cmocka_unit_test(reads_schemes_and_ports),
        cmocka_unit_test(reads_prefixes),
        cmocka_unit_test(caps_prefixes),
        cmocka_unit_test(judges_ids),
        cmocka_unit_test(reads_starts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
