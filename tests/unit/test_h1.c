/* Tests of src/proto/h1.c: what is accepted and as what, what is refused and why, limits, cuts,
 * encoding.
 *
 * An outcome is written as one line of text, which makes a case two strings. Every case is decoded
 * whole, byte by byte and in each two pieces, always from fresh memory of just the size, so that a
 * sanitizer sees a look behind the end and at bytes that were moved away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/errors.h"
#include "proto/h1.h"

enum { FIELDS = 8, TEXT = 4096 };

static const struct h1_limits limits = {.line = 256, .head = 1024, .fields = FIELDS};

struct outcome {
    char text[TEXT];
    size_t len;
};

static void add(struct outcome *o, const char *label, struct slice s)
{
    o->len += (size_t)snprintf(o->text + o->len, TEXT - o->len, "%s%.*s", label, (int)s.len,
                               s.ptr ? s.ptr : "");
}

static void add_flag(struct outcome *o, const char *name, bool flag)
{
    if (flag) {
        add(o, " ", slice_text(name));
    }
}

static void add_number(struct outcome *o, const char *label, long long number)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%lld", number);
    add(o, label, slice_text(digits));
}

/* "GET a /path?query 1.1 length=0 keep [Name=value]" and what bytes were left. */
static void describe(struct outcome *o, const struct h1_request *r, size_t left)
{
    add(o, "", r->method);
    add(o, r->scheme.len ? " " : "", r->scheme);
    add(o, r->scheme.len ? "://" : " ", r->authority);
    add(o, " ", r->path);
    add(o, r->query.ptr ? "?" : "", r->query);
    add_number(o, " 1.", r->minor);
    add_number(o, " length=", r->length);
    assert_true(r->chunked == (r->length == -1));
    add_flag(o, "keep", r->keep_alive);
    add_flag(o, "expect", r->expect_continue);
    add_flag(o, "upgrade", r->upgrade);
    for (unsigned i = 0; i < r->count; i++) {
        assert_int_equal(r->fields[i].id, header_lookup(r->fields[i].name));
        if (r->fields[i].id != HEADER_HOST) {
            add(o, " [", r->fields[i].name);
            add(o, "=", r->fields[i].value);
            add(o, "]", slice_of(NULL, 0));
        }
    }
    if (left) {
        add_number(o, " left=", (long long)left);
    }
}

/* Where the bytes are cut: at `cut`, or behind each byte. */
struct cuts {
    size_t cut;
    bool each;
};

static size_t next_cut(struct cuts cuts, size_t at, size_t len)
{
    if (cuts.each) {
        return at + 1;
    }
    return at < cuts.cut ? cuts.cut : len;
}

/* Decodes `in`, given in pieces, each time all bytes so far in memory of their own. */
static struct outcome decode(struct slice in, struct cuts cuts)
{
    struct outcome o = {0};
    struct field fields[FIELDS];
    struct h1_decoder d;
    struct h1_request r = {0};
    char *bytes = NULL;
    int got = 0;

    h1_decoder_init(&d, &limits, fields);
    for (size_t at = 0; at < in.len && got == 0;) {
        char *moved;

        at = next_cut(cuts, at, in.len);
        moved = malloc(at);
        assert_non_null(moved);
        memcpy(moved, in.ptr, at);
        free(bytes);
        bytes = moved;
        got = h1_decode_head(&d, slice_of(bytes, at), &r);
        assert_true(got <= (int)at);
    }
    if (got > 0) {
        describe(&o, &r, in.len - (size_t)got);
    } else {
        add(&o, "", slice_text(got ? err_name(got) : "more"));
    }
    free(bytes);
    return o;
}

/* The outcome of `in` is `expected`, however it is cut. */
static void expect(struct slice in, const char *expected)
{
    struct outcome whole = decode(in, (struct cuts){0});

    if (strcmp(whole.text, expected) != 0) {
        print_error("for: %.*s\n", (int)in.len, in.ptr);
    }
    assert_string_equal(whole.text, expected);
    assert_string_equal(decode(in, (struct cuts){.each = true}).text, expected);
    for (size_t cut = 1; cut < in.len; cut++) {
        struct outcome cut_in_two = decode(in, (struct cuts){.cut = cut});

        if (strcmp(cut_in_two.text, expected) != 0) {
            print_error("cut at %zu: %.*s\n", cut, (int)in.len, in.ptr);
        }
        assert_string_equal(cut_in_two.text, expected);
    }
}

struct sample {
    struct slice in;
    const char *outcome;
};

/* Bytes with NUL among them, too. */
#define CASE(bytes, outcome)                                                                       \
    {                                                                                              \
        {(bytes), sizeof(bytes) - 1}, outcome                                                      \
    }

/* A request line before good fields, fields behind a good request line. */
#define LINE(line, outcome)  CASE(line "\r\nHost: a\r\n\r\n", outcome)
#define FIELD(line, outcome) CASE("GET / HTTP/1.1\r\nHost: a\r\n" line "\r\n\r\n", outcome)
#define POST(lines, outcome) CASE("POST / HTTP/1.1\r\nHost: a\r\n" lines "\r\n\r\n", outcome)
#define OLD(lines, outcome)  CASE("POST / HTTP/1.0\r\n" lines "\r\n\r\n", outcome)
#define HOST(host, outcome)  CASE("GET / HTTP/1.1\r\nHost: " host "\r\n\r\n", outcome)

static void expect_all(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect(samples[i].in, samples[i].outcome);
    }
}

#define EXPECT_ALL(samples) expect_all((samples), sizeof(samples) / sizeof *(samples))

static void test_request_lines(void **state)
{
    static const struct sample samples[] = {
        LINE("GET / HTTP/1.1", "GET a / 1.1 length=0 keep"),
        LINE("GET /hello?name=x HTTP/1.1", "GET a /hello?name=x 1.1 length=0 keep"),
        LINE("GET /? HTTP/1.1", "GET a /? 1.1 length=0 keep"),
        LINE("GET /a?b?c=/d HTTP/1.1", "GET a /a?b?c=/d 1.1 length=0 keep"),
        LINE("GET // HTTP/1.1", "GET a // 1.1 length=0 keep"),
        LINE("GET //evil/x HTTP/1.1", "GET a //evil/x 1.1 length=0 keep"),
        LINE("GET /../.. HTTP/1.1", "GET a /../.. 1.1 length=0 keep"),
        LINE("GET /a%20b%2F%00 HTTP/1.1", "GET a /a%20b%2F%00 1.1 length=0 keep"),
        LINE("GET /;p=1/:@!$&'()*+,;=-._~ HTTP/1.1",
             "GET a /;p=1/:@!$&'()*+,;=-._~ 1.1 length=0 keep"),
        LINE("GET /a|b[c]^ HTTP/1.1", "GET a /a|b[c]^ 1.1 length=0 keep"),
        LINE("GET /?a[]=`{|}^ HTTP/1.1", "GET a /?a[]=`{|}^ 1.1 length=0 keep"),
        LINE("GET /?q=100% HTTP/1.1", "GET a /?q=100% 1.1 length=0 keep"),
        LINE("GET /?q=%zz HTTP/1.1", "GET a /?q=%zz 1.1 length=0 keep"),
        LINE("get / HTTP/1.1", "get a / 1.1 length=0 keep"),
        LINE("!#$%&'*+-.^_`|~09aZ / HTTP/1.1", "!#$%&'*+-.^_`|~09aZ a / 1.1 length=0 keep"),
        LINE("OPTIONS * HTTP/1.1", "OPTIONS a  1.1 length=0 keep"),
        LINE("OPTIONS / HTTP/1.1", "OPTIONS a / 1.1 length=0 keep"),
        LINE("GET http://b HTTP/1.1", "GET http://b / 1.1 length=0 keep"),
        LINE("GET http://b/ HTTP/1.1", "GET http://b / 1.1 length=0 keep"),
        LINE("GET http://b:81/c?d HTTP/1.1", "GET http://b:81 /c?d 1.1 length=0 keep"),
        LINE("GET HTTPS://[::1]?d HTTP/1.1", "GET HTTPS://[::1] /?d 1.1 length=0 keep"),
        LINE("OPTIONS http://b HTTP/1.1", "OPTIONS http://b  1.1 length=0 keep"),
        LINE("OPTIONS http://b/ HTTP/1.1", "OPTIONS http://b / 1.1 length=0 keep"),
        LINE("OPTIONS http://b?c HTTP/1.1", "OPTIONS http://b /?c 1.1 length=0 keep"),
        LINE("\r\nGET / HTTP/1.1", "GET a / 1.1 length=0 keep"),
        LINE("GET / HTTP/1.2", "GET a / 1.1 length=0 keep"),
        LINE("GET / HTTP/1.9", "GET a / 1.1 length=0 keep"),
        LINE("GET / HTTP/1.0", "GET a / 1.0 length=0"),
        CASE("GET / HTTP/1.0\r\n\r\n", "GET  / 1.0 length=0"),
        CASE("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /", "GET a / 1.1 length=0 keep left=5"),
        CASE("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", "GET a / 1.1 length=0 keep left=2"),
        CASE("GET / HTTP/1.1\r\nHost: a\r\n\r", "more"),
        CASE("GET / HTTP/1.1\r\nHost: a\r\n", "more"),
        CASE("\r", "more"),
        CASE("\r\n", "more"),
        CASE("G", "more"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_refused_request_lines(void **state)
{
    static const struct sample samples[] = {
        CASE("\x16\x03\x01\x02", "TLS_HELLO"),
        CASE("\x16", "TLS_HELLO"),
        CASE("\r\n\x16", "TLS_HELLO"),
        CASE("\n", "BARE_LF"),
        CASE("\r\n\n", "BARE_LF"),
        CASE("\rG", "BARE_CR"),
        CASE("\r\r\n", "BARE_CR"),
        CASE("\r\n\r", "METHOD"),
        CASE("\r\n\r\nGET / HTTP/1.1\r\n", "METHOD"),
        CASE(" ", "METHOD"),
        CASE("\t", "METHOD"),
        CASE("\0", "METHOD"),
        CASE("\x80", "METHOD"),
        CASE("{", "METHOD"),
        CASE("(", "METHOD"),
        CASE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "VERSION_UNKNOWN"),
        CASE("GET / HTTP/1.1\nHost: a\r\n\r\n", "BARE_LF"),
        CASE("GET / HTTP/1.1\rHost: a\r\n\r\n", "BARE_CR"),
        CASE("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "BARE_CR"),
        CASE("GET / HTTP/1.1\r", "more"),
        LINE("GET", "METHOD"),
        LINE("GET ", "METHOD"),
        LINE("GE(T / HTTP/1.1", "METHOD"),
        LINE("GET\t/ HTTP/1.1", "METHOD"),
        LINE("G\x80T / HTTP/1.1", "METHOD"),
        CASE("G\0T / HTTP/1.1\r\n", "METHOD"),
        CASE("GET\x0b/ HTTP/1.1\r\n", "METHOD"),
        LINE("GET:/ HTTP/1.1", "METHOD"),
        LINE(" GET / HTTP/1.1", "METHOD"),
        LINE("GET  / HTTP/1.1", "TARGET"),
        LINE("GET /  HTTP/1.1", "VERSION_BAD"),
        LINE("GET / HTTP/1.1 ", "VERSION_BAD"),
        LINE("GET / HTTP/1.1\t", "VERSION_BAD"),
        LINE("GET /", "VERSION_BAD"),
        LINE("GET / ", "VERSION_BAD"),
        LINE("GET /a b HTTP/1.1", "VERSION_BAD"),
        LINE("GET /\tHTTP/1.1", "VERSION_BAD"),
        LINE("GET / http/1.1", "VERSION_BAD"),
        LINE("GET / HTTP/1", "VERSION_BAD"),
        LINE("GET / HTTP/1.", "VERSION_BAD"),
        LINE("GET / HTTP/.1", "VERSION_BAD"),
        LINE("GET / HTTP/1.10", "VERSION_BAD"),
        LINE("GET / HTTP/01.1", "VERSION_BAD"),
        LINE("GET / HTTP/1,1", "VERSION_BAD"),
        LINE("GET / HTTP/1.x", "VERSION_BAD"),
        LINE("GET / HTTP /1.1", "VERSION_BAD"),
        LINE("GET / XTTP/1.1", "VERSION_BAD"),
        LINE("GET / HTTP/\xb1.1", "VERSION_BAD"),
        LINE("GET / HTTP/0.9", "VERSION_UNKNOWN"),
        LINE("GET / HTTP/2.0", "VERSION_UNKNOWN"),
        LINE("GET / HTTP/3.0", "VERSION_UNKNOWN"),
        LINE("GET / HTTP/9.9", "VERSION_UNKNOWN"),
        LINE("CONNECT a:443 HTTP/1.1", "CONNECT"),
        LINE("CONNECT / HTTP/1.1", "CONNECT"),
        LINE("connect a:443 HTTP/1.1", "TARGET"),
        LINE("GET * HTTP/1.1", "TARGET"),
        LINE("PRI * HTTP/1.1", "TARGET"),
        LINE("OPTIONS ** HTTP/1.1", "TARGET"),
        LINE("options * HTTP/1.1", "TARGET"),
        LINE("GET a HTTP/1.1", "TARGET"),
        LINE("GET a:80 HTTP/1.1", "TARGET"),
        LINE("GET ?a HTTP/1.1", "TARGET"),
        LINE("GET . HTTP/1.1", "TARGET"),
        LINE("GET \\ HTTP/1.1", "TARGET"),
        LINE("GET ftp://a/ HTTP/1.1", "TARGET"),
        LINE("GET http:/a HTTP/1.1", "TARGET"),
        LINE("GET http:a HTTP/1.1", "TARGET"),
        LINE("GET http HTTP/1.1", "TARGET"),
        LINE("GET http:\\\\a HTTP/1.1", "TARGET"),
        LINE("GET ws://a/ HTTP/1.1", "TARGET"),
        LINE("GET http:// HTTP/1.1", "HOST_BAD"),
        LINE("GET http:/// HTTP/1.1", "HOST_BAD"),
        LINE("GET http://:80/ HTTP/1.1", "HOST_BAD"),
        LINE("GET http://u@a/ HTTP/1.1", "HOST_BAD"),
        LINE("GET http://u:p@a/ HTTP/1.1", "HOST_BAD"),
        LINE("GET http://a:x/ HTTP/1.1", "HOST_BAD"),
        LINE("GET http://a\\b/ HTTP/1.1", "HOST_BAD"),
        LINE("GET http://a#b HTTP/1.1", "HOST_BAD"),
        LINE("GET http://[::1/ HTTP/1.1", "HOST_BAD"),
        LINE("GET http://a/#b HTTP/1.1", "TARGET"),
        LINE("GET http://a?# HTTP/1.1", "TARGET"),
        LINE("GET /# HTTP/1.1", "TARGET"),
        LINE("GET /?# HTTP/1.1", "TARGET"),
        LINE("GET /\" HTTP/1.1", "TARGET"),
        LINE("GET /< HTTP/1.1", "TARGET"),
        LINE("GET /> HTTP/1.1", "TARGET"),
        LINE("GET /\\ HTTP/1.1", "TARGET"),
        LINE("GET /{ HTTP/1.1", "TARGET"),
        LINE("GET /} HTTP/1.1", "TARGET"),
        LINE("GET /` HTTP/1.1", "TARGET"),
        LINE("GET /?\" HTTP/1.1", "TARGET"),
        LINE("GET /?< HTTP/1.1", "TARGET"),
        LINE("GET /?> HTTP/1.1", "TARGET"),
        LINE("GET /?\\ HTTP/1.1", "TARGET"),
        LINE("GET /\x80 HTTP/1.1", "TARGET"),
        LINE("GET /\xc3\xa9 HTTP/1.1", "TARGET"),
        LINE("GET /?\xc3\xa9 HTTP/1.1", "TARGET"),
        LINE("GET /\x7f HTTP/1.1", "TARGET"),
        LINE("GET /\x01 HTTP/1.1", "TARGET"),
        LINE("GET /\x1f HTTP/1.1", "TARGET"),
        CASE("GET /\0 HTTP/1.1\r\n", "TARGET"),
        LINE("GET /a\tb HTTP/1.1", "TARGET"),
        LINE("GET /% HTTP/1.1", "TARGET"),
        LINE("GET /%1 HTTP/1.1", "TARGET"),
        LINE("GET /%zz HTTP/1.1", "TARGET"),
        LINE("GET /%1/ HTTP/1.1", "TARGET"),
        LINE("GET /%g1 HTTP/1.1", "TARGET"),
        LINE("GET /%1g HTTP/1.1", "TARGET"),
        LINE("GET /%%41 HTTP/1.1", "TARGET"),
        LINE("GET /%?a HTTP/1.1", "TARGET"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_fields(void **state)
{
    static const struct sample samples[] = {
        FIELD("A:b", "GET a / 1.1 length=0 keep [A=b]"),
        FIELD("A: \t b \t ", "GET a / 1.1 length=0 keep [A=b]"),
        FIELD("A:", "GET a / 1.1 length=0 keep [A=]"),
        FIELD("A:  ", "GET a / 1.1 length=0 keep [A=]"),
        FIELD("A: b\tc d", "GET a / 1.1 length=0 keep [A=b\tc d]"),
        FIELD("A: b:c", "GET a / 1.1 length=0 keep [A=b:c]"),
        FIELD("A::", "GET a / 1.1 length=0 keep [A=:]"),
        FIELD("A: \x80\xff", "GET a / 1.1 length=0 keep [A=\x80\xff]"),
        FIELD("A_b: c", "GET a / 1.1 length=0 keep [A_b=c]"),
        FIELD("!#$%&'*+-.^_`|~09aZ: c", "GET a / 1.1 length=0 keep [!#$%&'*+-.^_`|~09aZ=c]"),
        FIELD("A: b\r\nA: c\r\na: d", "GET a / 1.1 length=0 keep [A=b] [A=c] [a=d]"),
        FIELD("Cookie: a=b; c=d, e", "GET a / 1.1 length=0 keep [Cookie=a=b; c=d, e]"),
        FIELD("A: \"b\\\"", "GET a / 1.1 length=0 keep [A=\"b\\\"]"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_refused_fields(void **state)
{
    static const struct sample samples[] = {
        CASE("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "OBS_FOLD"),
        CASE("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", "OBS_FOLD"),
        CASE("GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", "OBS_FOLD"),
        FIELD("A: b\r\n c", "OBS_FOLD"),
        FIELD("A: b\r\n\tc", "OBS_FOLD"),
        FIELD("A: b\r\n ", "OBS_FOLD"),
        FIELD("A:\r\n b", "OBS_FOLD"),
        FIELD(" : b", "OBS_FOLD"),
        FIELD("A : b", "SPACE_BEFORE_COLON"),
        FIELD("A\t: b", "SPACE_BEFORE_COLON"),
        FIELD("Content-Length : 1", "SPACE_BEFORE_COLON"),
        FIELD("Transfer-Encoding : chunked", "SPACE_BEFORE_COLON"),
        FIELD("Transfer-Encoding\t: chunked", "SPACE_BEFORE_COLON"),
        FIELD("Host : b", "SPACE_BEFORE_COLON"),
        FIELD("A", "FIELD_NAME"),
        FIELD("A b", "FIELD_NAME"),
        FIELD("A b: c", "FIELD_NAME"),
        FIELD(": b", "FIELD_NAME"),
        FIELD("A(: b", "FIELD_NAME"),
        FIELD("A/b: c", "FIELD_NAME"),
        FIELD("A\"b\": c", "FIELD_NAME"),
        FIELD("A@: c", "FIELD_NAME"),
        FIELD("A;: c", "FIELD_NAME"),
        FIELD("A=b: c", "FIELD_NAME"),
        FIELD("A[]: c", "FIELD_NAME"),
        FIELD("A{}: c", "FIELD_NAME"),
        FIELD("A\\: c", "FIELD_NAME"),
        FIELD("A,: c", "FIELD_NAME"),
        FIELD("\x80: c", "FIELD_NAME"),
        FIELD("Transfer\xad"
              "Encoding: c",
              "FIELD_NAME"),
        FIELD("A\x7f: c", "FIELD_NAME"),
        FIELD("A\x01: c", "FIELD_NAME"),
        FIELD("\x0bTransfer-Encoding: chunked", "FIELD_NAME"),
        FIELD("Transfer-Encoding\x0b: chunked", "FIELD_NAME"),
        CASE("GET / HTTP/1.1\r\nA\0: b\r\n", "FIELD_NAME"),
        CASE("GET / HTTP/1.1\r\nA: \0\r\n", "FIELD_VALUE"),
        FIELD("A: \x01", "FIELD_VALUE"),
        FIELD("A: \x08", "FIELD_VALUE"),
        FIELD("A: \x0b", "FIELD_VALUE"),
        FIELD("A: \x0c", "FIELD_VALUE"),
        FIELD("A: \x1b[0m", "FIELD_VALUE"),
        FIELD("A: \x1f", "FIELD_VALUE"),
        FIELD("A: \x7f", "FIELD_VALUE"),
        FIELD("Transfer-Encoding: \x0b"
              "chunked",
              "FIELD_VALUE"),
        FIELD("A: b\nC: d", "BARE_LF"),
        FIELD("A: b\n\nGET", "BARE_LF"),
        FIELD("\nA: b", "BARE_LF"),
        FIELD("A: b\rC: d", "BARE_CR"),
        FIELD("A: b\r\r\nC: d", "BARE_CR"),
        FIELD("A: b\r C: d", "BARE_CR"),
        FIELD("A\r: b", "BARE_CR"),
        CASE("GET / HTTP/1.1\r\nHost: a\r\n\rX", "BARE_CR"),
        CASE("GET / HTTP/1.1\r\nHost: a\r\n\n", "BARE_LF"),
        FIELD("1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:", "TOO_MANY_FIELDS"),
        FIELD("1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:",
              "GET a / 1.1 length=0 keep [1=] [2=] [3=] [4=] [5=] [6=] [7=]"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_host(void **state)
{
    static const struct sample samples[] = {
        HOST("example.com:8000", "GET example.com:8000 / 1.1 length=0 keep"),
        HOST("[::1]:8000", "GET [::1]:8000 / 1.1 length=0 keep"),
        HOST("\t127.0.0.1 ", "GET 127.0.0.1 / 1.1 length=0 keep"),
        CASE("GET / HTTP/1.1\r\n\r\n", "HOST_MISSING"),
        CASE("GET http://a/ HTTP/1.1\r\n\r\n", "HOST_MISSING"),
        CASE("OPTIONS * HTTP/1.1\r\n\r\n", "HOST_MISSING"),
        CASE("GET / HTTP/1.7\r\n\r\n", "HOST_MISSING"),
        CASE("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", "HOST_MISSING"),
        HOST("", "HOST_BAD"),
        HOST(":80", "HOST_BAD"),
        HOST("a b", "HOST_BAD"),
        HOST("a, b", "HOST_BAD"),
        HOST("u@a", "HOST_BAD"),
        HOST("a/b", "HOST_BAD"),
        HOST("a\\b", "HOST_BAD"),
        HOST("a:b", "HOST_BAD"),
        HOST("a:80:80", "HOST_BAD"),
        HOST("a:65536", "HOST_BAD"),
        HOST("::1", "HOST_BAD"),
        HOST("[::1", "HOST_BAD"),
        HOST("http://a", "HOST_BAD"),
        HOST("\xc3\xa9", "HOST_BAD"),
        CASE("GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n", "HOST_BAD"),
        CASE("GET / HTTP/1.0\r\nHost: b c\r\n\r\n", "HOST_BAD"),
        HOST("a\r\nHost: a", "HOST_REPEATED"),
        HOST("a\r\nhost: b", "HOST_REPEATED"),
        HOST("a\r\nX: y\r\nHOST: b", "HOST_REPEATED"),
        CASE("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "HOST_REPEATED"),
        CASE("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "HOST_REPEATED"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_lengths(void **state)
{
    static const struct sample samples[] = {
        POST("Content-Length: 5", "POST a / 1.1 length=5 keep [Content-Length=5]"),
        POST("content-LENGTH:5 ", "POST a / 1.1 length=5 keep [content-LENGTH=5]"),
        POST("Content-Length: 0", "POST a / 1.1 length=0 keep [Content-Length=0]"),
        POST("Content-Length: 007", "POST a / 1.1 length=7 keep [Content-Length=007]"),
        POST("Content-Length: 999999999999999999",
             "POST a / 1.1 length=999999999999999999 keep [Content-Length=999999999999999999]"),
        OLD("Content-Length: 5", "POST  / 1.0 length=5 [Content-Length=5]"),
        POST("Content-Length:", "LENGTH_BAD"),
        POST("Content-Length: +5", "LENGTH_BAD"),
        POST("Content-Length: -5", "LENGTH_BAD"),
        POST("Content-Length: -0", "LENGTH_BAD"),
        POST("Content-Length: 5 5", "LENGTH_BAD"),
        POST("Content-Length: 5, 5", "LENGTH_BAD"),
        POST("Content-Length: 5,5", "LENGTH_BAD"),
        POST("Content-Length: 5,6", "LENGTH_BAD"),
        POST("Content-Length: 5,", "LENGTH_BAD"),
        POST("Content-Length: ,5", "LENGTH_BAD"),
        POST("Content-Length: 0x5", "LENGTH_BAD"),
        POST("Content-Length: 5.0", "LENGTH_BAD"),
        POST("Content-Length: 5e0", "LENGTH_BAD"),
        POST("Content-Length: 5;", "LENGTH_BAD"),
        POST("Content-Length: 5_0", "LENGTH_BAD"),
        POST("Content-Length: \"5\"", "LENGTH_BAD"),
        POST("Content-Length: a", "LENGTH_BAD"),
        POST("Content-Length: \xb2", "LENGTH_BAD"),
        POST("Content-Length: 1000000000000000000", "LENGTH_BAD"),
        POST("Content-Length: 0000000000000000005", "LENGTH_BAD"),
        POST("Content-Length: 9223372036854775808", "LENGTH_BAD"),
        POST("Content-Length: 18446744073709551617", "LENGTH_BAD"),
        POST("Content-Length: 5\r\nContent-Length: 5", "LENGTH_REPEATED"),
        POST("Content-Length: 5\r\nContent-Length: 6", "LENGTH_REPEATED"),
        POST("Content-Length: 5\r\ncontent-length: x", "LENGTH_REPEATED"),
        OLD("Content-Length: 5\r\nContent-Length: 5", "LENGTH_REPEATED"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_codings(void **state)
{
    static const struct sample samples[] = {
        POST("Transfer-Encoding: chunked",
             "POST a / 1.1 length=-1 keep [Transfer-Encoding=chunked]"),
        POST("transfer-encoding:\tChUnKeD ",
             "POST a / 1.1 length=-1 keep [transfer-encoding=ChUnKeD]"),
        POST("Transfer-Encoding: chunked\r\nContent-Length: 5", "LENGTH_AND_CODING"),
        POST("Content-Length: 5\r\nTransfer-Encoding: chunked", "LENGTH_AND_CODING"),
        POST("Content-Length: 0\r\nTransfer-Encoding: chunked", "LENGTH_AND_CODING"),
        POST("Content-Length: 5\r\nTransfer-Encoding: gzip", "LENGTH_AND_CODING"),
        POST("Content-Length: 5\r\nTransfer-Encoding:", "LENGTH_AND_CODING"),
        POST("Transfer-Encoding: identity\r\nContent-Length: 5", "LENGTH_AND_CODING"),
        OLD("Transfer-Encoding: chunked", "CODING_IN_1_0"),
        OLD("Transfer-Encoding: identity", "CODING_IN_1_0"),
        OLD("Content-Length: 5\r\nTransfer-Encoding: chunked", "CODING_IN_1_0"),
        POST("Transfer-Encoding: gzip, chunked", "CODING_UNKNOWN"),
        POST("Transfer-Encoding: identity, chunked", "CODING_UNKNOWN"),
        POST("Transfer-Encoding: gzip;q=1, chunked", "CODING_UNKNOWN"),
        POST("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "CODING_UNKNOWN"),
        POST("Transfer-Encoding: gzip", "CODING_NOT_LAST"),
        POST("Transfer-Encoding: identity", "CODING_NOT_LAST"),
        POST("Transfer-Encoding: xchunked", "CODING_NOT_LAST"),
        POST("Transfer-Encoding: chunkedx", "CODING_NOT_LAST"),
        POST("Transfer-Encoding: chunked, gzip", "CODING_NOT_LAST"),
        POST("Transfer-Encoding: chunked, identity", "CODING_NOT_LAST"),
        POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "CODING_NOT_LAST"),
        POST("Transfer-Encoding: gzip;a=chunked", "CODING_NOT_LAST"),
        POST("Transfer-Encoding: chunked, chunked", "CODING_REPEATED"),
        POST("Transfer-Encoding: gzip, chunked, chunked", "CODING_REPEATED"),
        POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "CODING_REPEATED"),
        POST("Transfer-Encoding:", "CODING_BAD"),
        POST("Transfer-Encoding: ,", "CODING_BAD"),
        POST("Transfer-Encoding: ,chunked", "CODING_BAD"),
        POST("Transfer-Encoding: chunked,", "CODING_BAD"),
        POST("Transfer-Encoding: chunked,,gzip", "CODING_BAD"),
        POST("Transfer-Encoding: chunked;", "CODING_BAD"),
        POST("Transfer-Encoding: chunked;a=b", "CODING_BAD"),
        POST("Transfer-Encoding: chunked x", "CODING_BAD"),
        POST("Transfer-Encoding: \"chunked\"", "CODING_BAD"),
        POST("Transfer-Encoding: 'chunked'", "CODING_NOT_LAST"),
        POST("Transfer-Encoding: chunked\\", "CODING_BAD"),
        POST("Transfer-Encoding: \xa0"
             "chunked",
             "CODING_BAD"),
        POST("Transfer-Encoding: chunked\xa0", "CODING_BAD"),
        POST("Transfer-Encoding: gzip/2, chunked", "CODING_BAD"),
        POST("Transfer-Encoding: a;b=\"c,chunked\"", "CODING_BAD"),
        FIELD("Transfer_Encoding: chunked",
              "GET a / 1.1 length=0 keep [Transfer_Encoding=chunked]"),
        FIELD("TE: trailers", "GET a / 1.1 length=0 keep [TE=trailers]"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_connection(void **state)
{
    static const struct sample samples[] = {
        FIELD("Connection: close", "GET a / 1.1 length=0 [Connection=close]"),
        FIELD("Connection: CLOSE", "GET a / 1.1 length=0 [Connection=CLOSE]"),
        FIELD("Connection: keep-alive", "GET a / 1.1 length=0 keep [Connection=keep-alive]"),
        FIELD("Connection: x , close,", "GET a / 1.1 length=0 [Connection=x , close,]"),
        FIELD("Connection: keep-alive, close",
              "GET a / 1.1 length=0 [Connection=keep-alive, close]"),
        FIELD("Connection: close\r\nConnection: keep-alive",
              "GET a / 1.1 length=0 [Connection=close] [Connection=keep-alive]"),
        FIELD("Connection: closed", "GET a / 1.1 length=0 keep [Connection=closed]"),
        FIELD("Connection:", "GET a / 1.1 length=0 keep [Connection=]"),
        FIELD("Connection: ,, ,", "GET a / 1.1 length=0 keep [Connection=,, ,]"),
        OLD("Connection: Keep-Alive", "POST  / 1.0 length=0 keep [Connection=Keep-Alive]"),
        OLD("Connection: keep-alive, close", "POST  / 1.0 length=0 [Connection=keep-alive, close]"),
        OLD("Connection: x", "POST  / 1.0 length=0 [Connection=x]"),
        FIELD("Connection: Upgrade\r\nUpgrade: websocket",
              "GET a / 1.1 length=0 keep upgrade [Connection=Upgrade] [Upgrade=websocket]"),
        FIELD("Upgrade: websocket\r\nConnection: keep-alive, upgrade",
              "GET a / 1.1 length=0 keep upgrade [Upgrade=websocket] "
              "[Connection=keep-alive, upgrade]"),
        FIELD("Upgrade: websocket", "GET a / 1.1 length=0 keep [Upgrade=websocket]"),
        FIELD("Connection: upgrade", "GET a / 1.1 length=0 keep [Connection=upgrade]"),
        FIELD("Connection: upgrade\r\nUpgrade:",
              "GET a / 1.1 length=0 keep [Connection=upgrade] [Upgrade=]"),
        OLD("Connection: upgrade\r\nUpgrade: websocket",
            "POST  / 1.0 length=0 [Connection=upgrade] [Upgrade=websocket]"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_expect(void **state)
{
    static const struct sample samples[] = {
        POST("Expect: 100-continue\r\nContent-Length: 1",
             "POST a / 1.1 length=1 keep expect [Expect=100-continue] [Content-Length=1]"),
        POST("Transfer-Encoding: chunked\r\nExpect: 100-Continue",
             "POST a / 1.1 length=-1 keep expect [Transfer-Encoding=chunked] "
             "[Expect=100-Continue]"),
        POST("Expect: 100-continue", "POST a / 1.1 length=0 keep [Expect=100-continue]"),
        POST("Expect:", "POST a / 1.1 length=0 keep [Expect=]"),
        OLD("Expect: 100-continue\r\nContent-Length: 1",
            "POST  / 1.0 length=1 [Expect=100-continue] [Content-Length=1]"),
        POST("Expect: 200-ok", "EXPECTATION"),
        POST("Expect: 100-continue, x", "EXPECTATION"),
        POST("Expect: 100-continue\r\nExpect: x", "EXPECTATION"),
        POST("Expect: 100-continue;a", "EXPECTATION"),
        POST("Expect: 100-continue 100-continue", "EXPECTATION"),
        OLD("Expect: x", "EXPECTATION"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

/* A request of `len` bytes: `front`, as many 'x' as it takes, `back`. */
static struct slice padded(char *room, size_t len, const char *front, const char *back)
{
    memset(room, 'x', len);
    memcpy(room, front, strlen(front));
    memcpy(room + len - strlen(back), back, strlen(back));
    return slice_of(room, len);
}

/* The outcome as its first word: the method, or the error's name. */
static void expect_word(struct slice in, const char *word)
{
    struct outcome o = decode(in, (struct cuts){0});

    o.text[strcspn(o.text, " ")] = '\0';
    assert_string_equal(o.text, word);
    assert_memory_equal(decode(in, (struct cuts){.each = true}).text, word, strlen(word));
}

static void test_limits(void **state)
{
    char room[2048];
    const char *tail = " HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t line = limits.line + strlen("\r\nHost: a\r\n\r\n");
    size_t head = limits.head;
    char method[H1_METHOD_MAX + 2];

    (void)state;
    expect_word(padded(room, line, "GET /", tail), "GET");
    expect_word(padded(room, line + 1, "GET /", tail), "LINE_TOO_LONG");
    expect_word(padded(room, limits.line, "GET /", ""), "more");
    expect_word(padded(room, limits.line + 1, "GET /", ""), "LINE_TOO_LONG");
    expect_word(padded(room, limits.line + 2, "GET /", "\n"), "LINE_TOO_LONG");
    expect_word(padded(room, limits.line + 2, "\r\nGET /", ""), "more");
    expect_word(padded(room, 2048, "GET /", "\r\n"), "LINE_TOO_LONG");

    expect_word(padded(room, head, "GET / HTTP/1.1\r\nHost: a\r\nA: ", "\r\n\r\n"), "GET");
    expect_word(padded(room, head, "\r\nGET / HTTP/1.1\r\nHost: a\r\nA: ", "\r\n\r\n"), "GET");
    expect_word(padded(room, head + 1, "GET / HTTP/1.1\r\nHost: a\r\nA: ", "\r\n\r\n"),
                "HEAD_TOO_LARGE");
    expect_word(padded(room, head - 1, "GET / HTTP/1.1\r\nHost: a\r\nA: ", ""), "more");
    expect_word(padded(room, head, "GET / HTTP/1.1\r\nHost: a\r\nA: ", ""), "HEAD_TOO_LARGE");
    expect_word(padded(room, head + 9, "GET / HTTP/1.1\r\nA: ", "\x01\r\n"), "HEAD_TOO_LARGE");
    expect_word(padded(room, head, "GET / HTTP/1.1\r\nA: ", "\x01"), "FIELD_VALUE");

    memset(method, 'M', sizeof method);
    method[H1_METHOD_MAX] = '\0';
    expect_word(padded(room, 200, method, " / HTTP/1.1\r\nHost: a\r\n\r\n"), "METHOD_TOO_LONG");
    method[H1_METHOD_MAX - 1] = ' ';
    expect_word(padded(room, 200, method, " HTTP/1.1\r\nHost: a\r\n\r\n"), "TARGET");
}

static void test_longest_method(void **state)
{
    char room[256];
    char name[H1_METHOD_MAX + 1];

    (void)state;
    memset(name, 'M', H1_METHOD_MAX);
    name[H1_METHOD_MAX] = '\0';
    snprintf(room, sizeof room, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", name);
    expect_word(slice_text(room), name);
    snprintf(room, sizeof room, "M%s / HTTP/1.1\r\nHost: a\r\n\r\n", name);
    expect_word(slice_text(room), "METHOD_TOO_LONG");
}

/* What a refused request leaves for the log. */
static void test_refused_request_is_known(void **state)
{
    struct slice in = SLICE("GET /a?b HTTP/1.1\r\nHost: c\r\nX y: z\r\n");
    struct field fields[FIELDS];
    struct h1_decoder d;
    struct h1_request r;

    (void)state;
    h1_decoder_init(&d, &limits, fields);
    assert_int_equal(h1_decode_head(&d, in, &r), -ERR_FIELD_NAME);
    assert_true(slice_eq(r.method, SLICE("GET")));
    assert_true(slice_eq(r.target, SLICE("/a?b")));
    assert_true(slice_eq(r.path, SLICE("/a")));
    assert_true(slice_eq(r.authority, SLICE("c")));
    assert_int_equal(r.count, 1);
    assert_int_equal(h1_decode_head(&d, in, &r), -ERR_PROTOCOL);

    h1_decoder_init(&d, &limits, fields);
    in = SLICE("GET /\" HTTP/1.1\r\n");
    assert_int_equal(h1_decode_head(&d, in, &r), -ERR_TARGET);
    assert_true(slice_eq(r.target, SLICE("/\"")));
    assert_int_equal(r.path.len, 0);
}

static void test_statuses_of_refusals(void **state)
{
    (void)state;
    assert_int_equal(err_status(ERR_TARGET), 400);
    assert_int_equal(err_status(ERR_HOST_MISSING), 400);
    assert_int_equal(err_status(ERR_CODING_NOT_LAST), 400);
    assert_int_equal(err_status(ERR_LINE_TOO_LONG), 414);
    assert_int_equal(err_status(ERR_EXPECTATION), 417);
    assert_int_equal(err_status(ERR_HEAD_TOO_LARGE), 431);
    assert_int_equal(err_status(ERR_TOO_MANY_FIELDS), 431);
    assert_int_equal(err_status(ERR_CONNECT), 501);
    assert_int_equal(err_status(ERR_METHOD_TOO_LONG), 501);
    assert_int_equal(err_status(ERR_CODING_UNKNOWN), 501);
    assert_int_equal(err_status(ERR_VERSION_UNKNOWN), 505);
}

static void test_decoder_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct h1_decoder) <= 96);
}

static void test_encode(void **state)
{
    const struct field fields[] = {
        {.name = SLICE("Content-Type"), .value = SLICE("text/plain")},
        {.name = SLICE("X-Empty"), .value = SLICE("")},
    };
    const char *expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Empty: \r\n"
                           "Content-Length: 18446744073709551615\r\n\r\n"
                           "HTTP/1.1 404 Gone fishing\r\nContent-Length: 0\r\n\r\n"
                           "HTTP/1.1 799 \r\n\r\n";
    struct buf b;
    struct slice bytes;

    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(h1_encode_head(&b, 200, SLICE(""), fields, 2), 0);
    assert_int_equal(h1_encode_length(&b, UINT64_MAX), 0);
    assert_int_equal(h1_encode_end(&b), 0);
    assert_int_equal(h1_encode_head(&b, 404, SLICE("Gone fishing"), NULL, 0), 0);
    assert_int_equal(h1_encode_length(&b, 0), 0);
    assert_int_equal(h1_encode_end(&b), 0);
    assert_int_equal(h1_encode_head(&b, 799, SLICE(""), NULL, 0), 0);
    assert_int_equal(h1_encode_end(&b), 0);
    bytes = buf_bytes(&b);
    assert_int_equal(bytes.len, strlen(expected));
    assert_memory_equal(bytes.ptr, expected, bytes.len);
    buf_free(&b);
}

static void test_encode_into_full_buffer(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    assert_int_equal(h1_encode_head(&b, 200, SLICE(""), NULL, 0), -ERR_FULL);
    assert_int_equal(h1_encode_length(&b, 1), -ERR_FULL);
    assert_int_equal(buf_len(&b), 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_refused_request_lines),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_refused_fields),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_codings),
        cmocka_unit_test(test_connection),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_longest_method),
        cmocka_unit_test(test_refused_request_is_known),
        cmocka_unit_test(test_statuses_of_refusals),
        cmocka_unit_test(test_decoder_is_small),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_encode_into_full_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
