/* The PROXY protocol: a table of headers, each cut everywhere, with what each has to become. */
#include "proto/proxyproto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/errors.h"

#define V2       "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(s) SLICE(s)
#define INET_12  "\x0a\x00\x00\x01\xc0\x00\x02\x09\x30\x39\x01\xbb"
#define INET_WHO "10.0.0.1 12345 192.0.2.9 443"
#define INET6_36                                                                                   \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2\x30\x39\x01\xbb"
#define PATH_108(a)                                                                                \
    a "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" \
      "\0"                                                                                         \
      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" \
      "\0"                                                                                         \
      "\0\0\0\0\0\0\0\0\0\0"

static void describe(const struct proxy_header *h, char *out, size_t size)
{
    const uint8_t *s = h->source.host, *d = h->destination.host;

    switch (h->family) {
    case PROXY_NOBODY: snprintf(out, size, h->local ? "local" : "nobody"); break;
    case PROXY_INET:
        snprintf(out, size, "%d.%d.%d.%d %d %d.%d.%d.%d %d", s[0], s[1], s[2], s[3], h->source.port,
                 d[0], d[1], d[2], d[3], h->destination.port);
        break;
    case PROXY_INET6:
        snprintf(out, size, "%02x%02x::%x %d %02x%02x::%x %d", s[0], s[1], s[15], h->source.port,
                 d[0], d[1], d[15], h->destination.port);
        break;
    case PROXY_UNIX:
        snprintf(out, size, "%.*s %.*s", (int)h->source.path.len, h->source.path.ptr,
                 (int)h->destination.path.len, h->destination.path.ptr);
        break;
    }
    if (h->secure)
        strncat(out, " tls", size - strlen(out) - 1);
}

static const struct {
    struct slice in;
    int result; /* 0: all of it */
    const char *who;
} cases[] = {
    {BYTES("PROXY TCP4 10.0.0.1 192.0.2.9 12345 443\r\n"), 0, INET_WHO},
    {BYTES("PROXY TCP6 2001:db8::1 ::2 12345 443\r\n"), 0, "2001::1 12345 0000::2 443"},
    {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), 0,
     "255.255.255.255 65535 255.255.255.255 65535"},
    {BYTES("PROXY UNKNOWN\r\n"), 0, "nobody"},
    {BYTES("PROXY UNKNOWN ffff::1 what ever 1\r\n"), 0, "nobody"},
    {BYTES("PROXY TCP4 10.0.0.1 192.0.2.9 12345 443\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0.1 192.0.2.9 12345 443 \r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0.1  192.0.2.9 12345 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0.1 192.0.2.9 12345 443 7\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0.1 192.0.2.9 12345\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0.1 192.0.2.9 12345 65536\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0.1 192.0.2.9 012 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0.1 192.0.2.9 +12 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0.01 192.0.2.9 12345 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0 192.0.2.9 12345 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 ::1 ::1 12345 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP6 10.0.0.1 10.0.0.1 12345 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP6 ::1%lo ::1 12345 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4 10.0.0.1\0 192.0.2.9 12345 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY UDP4 10.0.0.1 192.0.2.9 12345 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY tcp4 10.0.0.1 192.0.2.9 12345 443\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY \r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY TCP4\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("PROXY UNKNOWN a\rb\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("GET / HTTP/1.1\r\n\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES("\r\nPROXY UNKNOWN\r\n"), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x21\x11\0\x0c" INET_12), 0, INET_WHO},
    {BYTES(V2 "\x21\x12\0\x0c" INET_12), 0, INET_WHO},
    {BYTES(V2 "\x21\x21\0\x24" INET6_36), 0, "2001::1 12345 0000::2 443"},
    {BYTES(V2 "\x21\x31\0\xd8" PATH_108("/a/b/c") PATH_108("\0hello")), 0, NULL},
    {BYTES(V2 "\x20\0\0\0"), 0, "local"},
    {BYTES(V2 "\x20\x11\0\x0c" INET_12), 0, "local"},
    {BYTES(V2 "\x21\0\0\x05xxxxx"), 0, "nobody"},
    {BYTES(V2 "\x21\x10\0\x0c" INET_12), 0, "nobody"},
    /* extensions: ALPN, NOOP, one of a custom type; TLS of the client */
    {BYTES(V2 "\x21\x11\0\x15" INET_12 "\x01\0\x03h21\x04\0\0"), 0, INET_WHO},
    {BYTES(V2 "\x21\x11\0\x14" INET_12 "\x20\0\x05\x01\0\0\0\0"), 0, INET_WHO " tls"},
    {BYTES(V2 "\x21\x11\0\x14" INET_12 "\x20\0\x05\x00\0\0\0\1"), 0, INET_WHO},
    {BYTES(V2 "\x21\x11\0\x0f" INET_12 "\x20\0\0"), 0, INET_WHO},
    {BYTES(V2 "\x21\x11\0\x0e" INET_12 "\x04\0"), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x21\x11\0\x10" INET_12 "\x04\0\2x"), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x21\x11\0\x10" INET_12 "\x04\xff\xffx"), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x21\x11\0\x0b" INET_12), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x21\x21\0\x0c" INET_12), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x22\x11\0\x0c" INET_12), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x11\x11\0\x0c" INET_12), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x21\x41\0\x0c" INET_12), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x21\x13\0\x0c" INET_12), -ERR_PROXY_HEADER, NULL},
    {BYTES(V2 "\x21\x11\x0f\xf1"), -ERR_PROXY_TOO_LARGE, NULL},
    {BYTES(V2 "\x20\x00\xff\xff"), -ERR_PROXY_TOO_LARGE, NULL},
    {BYTES("\r\n\r\n\1"), -ERR_PROXY_HEADER, NULL},
};

enum { CASES = sizeof cases / sizeof *cases };

static const char behind[] = "GET / HTTP/1.1\r\n";

/* What is taken of `in` when it comes with other bytes behind it: they are not looked at. */
static void decodes_in_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CASES; i++) {
        struct proxy_header h;
        char who[300], bytes[600];
        struct slice in = cases[i].in;
        int expected = cases[i].result ? cases[i].result : (int)in.len;

        memcpy(bytes, in.ptr, in.len);
        memcpy(bytes + in.len, behind, sizeof behind);
        assert_int_equal(proxy_decode(slice_of(bytes, in.len + sizeof behind), &h), expected);
        if (cases[i].who) {
            describe(&h, who, sizeof who);
            assert_string_equal(who, cases[i].who);
        }
    }
}

/* A part is never an answer of its own: nothing yet, or the error that the whole is. */
static void decodes_every_cut(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CASES; i++) {
        for (size_t cut = 0; cut < cases[i].in.len; cut++) {
            struct proxy_header h;
            char *part = malloc(cut + 1); /* so that a sanitizer sees what is read behind it */
            int n;

            memcpy(part, cases[i].in.ptr, cut);
            n = proxy_decode(slice_of(part, cut), &h);
            assert_int_equal(h.family, PROXY_NOBODY);
            assert_true(n == 0 || n == cases[i].result);
            free(part);
        }
    }
}

static void keeps_paths(void **state)
{
    static const struct slice in =
        BYTES(V2 "\x21\x31\0\xd8" PATH_108("/a/b/c") PATH_108("\0hello"));
    struct proxy_header h;

    (void)state;
    assert_int_equal(proxy_decode(in, &h), in.len);
    assert_int_equal(h.family, PROXY_UNIX);
    assert_true(slice_eq(h.source.path, SLICE("/a/b/c")));
    assert_true(slice_eq(h.destination.path, SLICE("\0hello")));
}

static void caps_a_line(void **state)
{
    char line[PROXY_V1_MAX + 2];
    struct proxy_header h;

    (void)state;
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + PROXY_V1_MAX - 2, "\r\n", 2);
    assert_int_equal(proxy_decode(slice_of(line, PROXY_V1_MAX), &h), PROXY_V1_MAX);
    memcpy(line + PROXY_V1_MAX - 2, "x\r\n", 3);
    assert_int_equal(proxy_decode(slice_of(line, PROXY_V1_MAX - 1), &h), 0);
    assert_int_equal(proxy_decode(slice_of(line, PROXY_V1_MAX), &h), -ERR_PROXY_TOO_LARGE);
    assert_int_equal(proxy_decode(slice_of(line, PROXY_V1_MAX + 1), &h), -ERR_PROXY_TOO_LARGE);
}

static void caps_version_2(void **state)
{
    static char in[PROXY_V2_MAX] = V2 "\x20\x00\x0f\xf0";
    struct proxy_header h;

    (void)state;
    assert_int_equal(proxy_decode(slice_of(in, PROXY_V2_MAX), &h), PROXY_V2_MAX);
    in[15] = (char)0xf1;
    assert_int_equal(proxy_decode(slice_of(in, PROXY_V2_MAX), &h), -ERR_PROXY_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_in_one), cmocka_unit_test(decodes_every_cut),
        cmocka_unit_test(keeps_paths),    cmocka_unit_test(caps_a_line),
        cmocka_unit_test(caps_version_2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
