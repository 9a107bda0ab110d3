/* Tests of src/proto/chunked.c: bodies and what comes out, refusals, caps, cuts, sizes written.
 *
 * As in test_h1.c an outcome is a line of text, and every case is decoded whole, byte by byte and
 * in each two pieces, each piece in memory of just its size. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/errors.h"
#include "proto/chunked.h"

enum { TEXT = 512, CAP = 16 };

struct outcome {
    char text[TEXT];
    size_t len;
};

static void add(struct outcome *o, struct slice s)
{
    assert_true(o->len + s.len < TEXT);
    if (s.len) {
        memcpy(o->text + o->len, s.ptr, s.len);
    }
    o->len += s.len;
}

/* Decodes a piece to its end or the body's. Returns the bytes taken or an error. */
static int decode_piece(struct chunked *c, struct slice piece, struct outcome *o)
{
    size_t at = 0;

    while (at < piece.len && !c->done) {
        struct slice data;
        int taken = chunked_decode(c, slice_skip(piece, at), &data);

        if (taken < 0) {
            return taken;
        }
        assert_true(taken > 0 && data.len <= (size_t)taken);
        assert_true((size_t)taken <= piece.len - at);
        add(o, data);
        at += (size_t)taken;
    }
    return (int)at;
}

/* Decodes `in` in pieces that end at `cut`, or of one byte each if `each`. The outcome is the
 * payload, and how it ended: "." well, with the bytes left; "+" more are needed; "!" and the error.
 */
static struct outcome decode(struct slice in, size_t cut, bool each)
{
    struct outcome o = {0};
    struct chunked c;
    size_t at = 0, taken = 0;
    char end[64] = "+";
    int got = 0;

    chunked_init(&c, CAP, CAP);
    while (at < in.len && got >= 0 && !c.done) {
        size_t len = each ? 1 : at < cut ? cut - at : in.len - at;
        char *piece = malloc(len);

        assert_non_null(piece);
        memcpy(piece, in.ptr + at, len);
        got = decode_piece(&c, slice_of(piece, len), &o);
        taken += got > 0 ? (size_t)got : 0;
        at += len;
        free(piece);
    }
    if (got < 0) {
        struct slice data;

        snprintf(end, sizeof end, "!%s", err_name(got));
        assert_int_equal(chunked_decode(&c, in, &data), got);
    } else if (c.done) {
        snprintf(end, sizeof end, ".%zu", in.len - taken);
    }
    add(&o, slice_text(end));
    return o;
}

static void expect(struct slice in, const char *expected)
{
    for (size_t cut = 0; cut <= in.len; cut++) {
        struct outcome o = decode(in, cut, cut == in.len);

        if (strcmp(o.text, expected) != 0) {
            print_error("cut at %zu: %.*s\n", cut, (int)in.len, in.ptr);
        }
        assert_string_equal(o.text, expected);
    }
}

struct sample {
    struct slice in;
    const char *outcome;
};

#define CASE(bytes, outcome)                                                                       \
    {                                                                                              \
        {(bytes), sizeof(bytes) - 1}, outcome                                                      \
    }
#define SIZE(size, outcome) CASE(size "\r\nx\r\n0\r\n\r\n", outcome)

static void expect_all(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect(samples[i].in, samples[i].outcome);
    }
}

#define EXPECT_ALL(samples) expect_all((samples), sizeof(samples) / sizeof *(samples))

static void test_bodies(void **state)
{
    static const struct sample samples[] = {
        CASE("0\r\n\r\n", ".0"),
        CASE("0\r\n\r\nGET / HTTP/1.1\r\n", ".16"),
        CASE("5\r\nhello\r\n0\r\n\r\n", "hello.0"),
        CASE("5\r\nhello\r\n6\r\n, body\r\n0\r\n\r\n\r\n", "hello, body.2"),
        CASE("a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n0\r\n\r\n.0"),
        CASE("A\r\n0123456789\r\n000\r\n\r\n", "0123456789.0"),
        CASE("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello.0"),
        CASE("0000000000000000\r\n\r\n", ".0"),
        CASE("", "+"),
        CASE("5", "+"),
        CASE("5\r", "+"),
        CASE("5\r\nhel", "hel+"),
        CASE("5\r\nhello", "hello+"),
        CASE("5\r\nhello\r", "hello+"),
        CASE("5\r\nhello\r\n0\r\n", "hello+"),
        CASE("5\r\nhello\r\n0\r\n\r", "hello+"),
        CASE("7fffffffffffffff\r\nx", "x+"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_sizes_refused(void **state)
{
    static const struct sample samples[] = {
        SIZE("", "!CHUNK_SIZE"),
        SIZE(" 1", "!CHUNK_SIZE"),
        SIZE("\t1", "!CHUNK_SIZE"),
        SIZE("+1", "!CHUNK_SIZE"),
        SIZE("-1", "!CHUNK_SIZE"),
        SIZE("-0", "!CHUNK_SIZE"),
        SIZE("0x1", "!CHUNK_SIZE"),
        SIZE("x", "!CHUNK_SIZE"),
        SIZE("1_0", "!CHUNK_SIZE"),
        SIZE("1,1", "!CHUNK_SIZE"),
        SIZE("1.0", "!CHUNK_SIZE"),
        SIZE("1h", "!CHUNK_SIZE"),
        SIZE("\"1\"", "!CHUNK_SIZE"),
        SIZE("1\xa0", "!CHUNK_SIZE"),
        SIZE("1\x0b", "!CHUNK_SIZE"),
        CASE("1\0\r\nx\r\n0\r\n\r\n", "!CHUNK_SIZE"),
        SIZE("\xb1", "!CHUNK_SIZE"),
        SIZE("8000000000000000", "!CHUNK_SIZE"),
        SIZE("ffffffffffffffff", "!CHUNK_SIZE"),
        SIZE("10000000000000001", "!CHUNK_SIZE"),
        SIZE("00000000000000001", "!CHUNK_SIZE"),
        SIZE("1 ", "!CHUNK_EXTENSION"),
        SIZE("1\t", "!CHUNK_EXTENSION"),
        SIZE("1 1", "!CHUNK_EXTENSION"),
        CASE("1\nx\r\n0\r\n\r\n", "!BARE_LF"),
        CASE("\n1\r\nx", "!BARE_LF"),
        CASE("1\rx", "!BARE_CR"),
        CASE("1\r\r\nx\r\n0\r\n\r\n", "!BARE_CR"),
        CASE("1\r;a\r\nx\r\n", "!BARE_CR"),
        CASE("1\r\nx0\r\n\r\n", "x!CHUNK_END"),
        CASE("1\r\nxy\r\n0\r\n\r\n", "x!CHUNK_END"),
        CASE("1\r\nx\n0\r\n\r\n", "x!BARE_LF"),
        CASE("1\r\nx\r0\r\n\r\n", "x!CHUNK_END"),
        CASE("1\r\nx\r\n\r\n", "x!CHUNK_SIZE"),
        CASE("2\r\nx\r\n0\r\n\r\n", "x\r!BARE_LF"),
        CASE("0\r\n\n", "!BARE_LF"),
        CASE("0\n\r\n", "!BARE_LF"),
        CASE("0\r\n\rx", "!BARE_CR"),
        CASE("0\r\n\r\r\n", "!BARE_CR"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_extensions(void **state)
{
    static const struct sample samples[] = {
        SIZE("1;a", "x.0"),
        SIZE("1;a=b", "x.0"),
        SIZE("1;a=\"b c\"", "x.0"),
        SIZE("1;a=\"\\\"\\\\;\"", "x.0"),
        SIZE("1;a=\"\"", "x.0"),
        SIZE("1;a=\"\xe9\t\"", "x.0"),
        SIZE("1;a;b=c;d", "x.0"),
        SIZE("1 ; a = b ; c", "x.0"),
        SIZE("1\t;\ta\t=\t\"b\"\t;c", "x.0"),
        CASE("0;a=b\r\n\r\n", ".0"),
        SIZE("1;", "!CHUNK_EXTENSION"),
        SIZE("1; ", "!CHUNK_EXTENSION"),
        SIZE("1;;a", "!CHUNK_EXTENSION"),
        SIZE("1;a;", "!CHUNK_EXTENSION"),
        SIZE("1;a=", "!CHUNK_EXTENSION"),
        SIZE("1;=b", "!CHUNK_EXTENSION"),
        SIZE("1;a==b", "!CHUNK_EXTENSION"),
        SIZE("1;a=b=c", "!CHUNK_EXTENSION"),
        SIZE("1;a b", "!CHUNK_EXTENSION"),
        SIZE("1;a ", "!CHUNK_EXTENSION"),
        SIZE("1;a=b ", "!CHUNK_EXTENSION"),
        SIZE("1;a=\"b\" ", "!CHUNK_EXTENSION"),
        SIZE("1;a=\"b\"c", "!CHUNK_EXTENSION"),
        SIZE("1;a=b\"c\"", "!CHUNK_EXTENSION"),
        SIZE("1;a=\"b", "!CHUNK_EXTENSION"),
        SIZE("1;a=\"b\\", "!CHUNK_EXTENSION"),
        SIZE("1;a=\"\x01\"", "!CHUNK_EXTENSION"),
        SIZE("1;a=\"\\\x01\"", "!CHUNK_EXTENSION"),
        SIZE("1;a=\"\x7f\"", "!CHUNK_EXTENSION"),
        SIZE("1;\xe9", "!CHUNK_EXTENSION"),
        SIZE("1;a=\xe9", "!CHUNK_EXTENSION"),
        SIZE("1;a(", "!CHUNK_EXTENSION"),
        SIZE("1;a\x0b", "!CHUNK_EXTENSION"),
        CASE("1;a\0\r\n", "!CHUNK_EXTENSION"),
        CASE("1;a\nx\r\n0\r\n\r\n", "!BARE_LF"),
        CASE("1;\nx\r\n0\r\n\r\n", "!BARE_LF"),
        CASE("1;a=\nx\r\n", "!BARE_LF"),
        CASE("1;a=b\nx\r\n", "!BARE_LF"),
        CASE("1;a=\"\n\"\r\n", "!BARE_LF"),
        CASE("1;a=\"\\\n\"\r\n", "!BARE_LF"),
        CASE("1 \n", "!BARE_LF"),
        CASE("1;a\rb\r\n", "!BARE_CR"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_trailers(void **state)
{
    static const struct sample samples[] = {
        CASE("0\r\nA: b\r\n\r\n", ".0"),
        CASE("0\r\nA:\r\nB:\xe9\t\r\n\r\nx", ".1"),
        CASE("1\r\nx\r\n0\r\nA:b\r\n\r\n", "x.0"),
        CASE("0\r\nA: b\r\n", "+"),
        CASE("0\r\nA\r\n\r\n", "!TRAILER"),
        CASE("0\r\n: b\r\n\r\n", "!TRAILER"),
        CASE("0\r\nA : b\r\n\r\n", "!TRAILER"),
        CASE("0\r\n A: b\r\n\r\n", "!TRAILER"),
        CASE("0\r\n\tA: b\r\n\r\n", "!TRAILER"),
        CASE("0\r\nA: b\r\n c\r\n\r\n", "!TRAILER"),
        CASE("0\r\nA(: b\r\n\r\n", "!TRAILER"),
        CASE("0\r\nA: \x01\r\n\r\n", "!TRAILER"),
        CASE("0\r\nA: \x7f\r\n\r\n", "!TRAILER"),
        CASE("0\r\nA: \0\r\n\r\n", "!TRAILER"),
        CASE("0\r\nGET / HTTP/1.1\r\n\r\n", "!TRAILER"),
        CASE("0\r\nA: b\n\r\n", "!BARE_LF"),
        CASE("0\r\nA\n", "!BARE_LF"),
        CASE("0\r\nA: b\rc\r\n\r\n", "!BARE_CR"),
        CASE("0\r\nA: b\r\n\n", "!BARE_LF"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

/* Caps of CAP bytes: what is at them passes, one byte more does not. */
static void test_caps(void **state)
{
    static const struct sample samples[] = {
        SIZE("1;2345678901234567", "!CHUNK_EXTENSIONS_TOO_LARGE"),
        SIZE("1;234567890123456", "x.0"),
        SIZE("1;a=\"56789012345\"", "x.0"),
        SIZE("1;a=\"567890123456\"", "!CHUNK_EXTENSIONS_TOO_LARGE"),
        SIZE("1                 ;", "!CHUNK_EXTENSIONS_TOO_LARGE"),
        CASE("1;2345678\r\nx\r\n1;2345678\r\ny\r\n0\r\n\r\n", "xy.0"),
        CASE("1;2345678\r\nx\r\n1;23456789\r\ny\r\n0\r\n\r\n", "x!CHUNK_EXTENSIONS_TOO_LARGE"),
        CASE("0\r\nA: 45678901234\r\n\r\n", ".0"),
        CASE("0\r\nA: 456789012345\r\n\r\n", "!TRAILERS_TOO_LARGE"),
        CASE("0\r\nA23456789012345678", "!TRAILERS_TOO_LARGE"),
        CASE("0\r\nA:3456\r\nB:3456\r\n\r\n", ".0"),
        CASE("0\r\nA:3456\r\nB:34567\r\n\r\n", "!TRAILERS_TOO_LARGE"),
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void expect_size(uint64_t size)
{
    char out[CHUNKED_SIZE_MAX + 1] = {0}, expected[32];

    snprintf(expected, sizeof expected, "%" PRIx64 "\r\n", size);
    assert_int_equal(chunked_encode_size(out, size), strlen(expected));
    assert_string_equal(out, expected);
}

static void test_sizes_written(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        expect_size((uint64_t)1 << bit);
        expect_size(((uint64_t)2 << bit) - 1);
    }
    assert_true(slice_eq(CHUNKED_END, SLICE("0\r\n\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),     cmocka_unit_test(test_sizes_refused),
        cmocka_unit_test(test_extensions), cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_caps),       cmocka_unit_test(test_sizes_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
