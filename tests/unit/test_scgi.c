/* Tests of src/proto/scgi.c: heads, each cut everywhere and from memory of just its size, and back
 * again. */
#include "proto/scgi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CAP = 100, ROOM = 4, TEXT = 1024 };

#define CASE(bytes, outcome)                                                                       \
    {                                                                                              \
        {(bytes), sizeof(bytes) - 1}, outcome                                                      \
    }

#define LENGTH_0 "CONTENT_LENGTH\0000\0" /* 17 bytes */
#define SCGI_1   "SCGI\0001\0"           /* 7 bytes */

/* "A=b C=" for a head, with a number where bytes are left; else the error's name or "more". */
static void decode(struct slice in, char text[static TEXT])
{
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    char *copy = malloc(in.len + !in.len);
    int n = 0, taken;

    memcpy(copy, in.ptr, in.len);
    taken = scgi_decode(slice_of(copy, in.len), CAP, &vars);
    if (taken <= 0)
        assert_int_equal(vars.count, 0);
    snprintf(text, TEXT, "%s", taken < 0 ? err_name(taken) : "more");
    for (unsigned i = 0; i < vars.count; i++)
        n +=
            snprintf(text + n, TEXT - (size_t)n, "%s%.*s=%.*s", i ? " " : "", (int)list[i].name.len,
                     list[i].name.ptr, (int)list[i].value.len, list[i].value.ptr);
    if (taken > 0 && (size_t)taken < in.len)
        snprintf(text + n, TEXT - (size_t)n, " left=%zu", in.len - (size_t)taken);
    free(copy);
}

static const struct {
    struct slice in;
    const char *outcome;
} samples[] = {
    CASE("24:" LENGTH_0 SCGI_1 ",", "CONTENT_LENGTH=0 SCGI=1"),
    /* the specification's own example, shortened */
    CASE("70:CONTENT_LENGTH\00027\0SCGI\0001\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0,",
         "CONTENT_LENGTH=27 SCGI=1 REQUEST_METHOD=POST REQUEST_URI=/deepthought"),
    CASE("28:" LENGTH_0 "A\0b\0" SCGI_1 ",", "CONTENT_LENGTH=0 A=b SCGI=1"),
    CASE("27:" LENGTH_0 SCGI_1 "A\0\0,", "CONTENT_LENGTH=0 SCGI=1 A="),
    /* not what the specification asks for */
    CASE("24:" SCGI_1 LENGTH_0 ",", "SCGI_HEAD"),
    CASE("17:" LENGTH_0 ",", "SCGI_HEAD"),
    CASE("11:A\0001\0" SCGI_1 ",", "SCGI_HEAD"),
    CASE("7:" SCGI_1 ",", "SCGI_HEAD"),
    CASE("24:" LENGTH_0 "SCGI\0002\0,", "SCGI_HEAD"),
    CASE("23:CONTENT_LENGTH\0\0" SCGI_1 ",", "SCGI_HEAD"),
    CASE("24:CONTENT_LENGTH\0x\0" SCGI_1 ",", "SCGI_HEAD"),
    CASE("25:CONTENT_LENGTH\000+1\0" SCGI_1 ",", "SCGI_HEAD"),
    /* netstrings that are none */
    CASE("0:,", "SCGI_HEAD"),
    CASE("024:" LENGTH_0 SCGI_1 ",", "SCGI_HEAD"),
    CASE(":" LENGTH_0 SCGI_1 ",", "SCGI_HEAD"),
    CASE("-4:" LENGTH_0 SCGI_1 ",", "SCGI_HEAD"),
    CASE("2 4:" LENGTH_0 SCGI_1 ",", "SCGI_HEAD"),
    CASE("24:" LENGTH_0 SCGI_1 ";", "SCGI_HEAD"),
    CASE("23:" LENGTH_0 SCGI_1 ",", "SCGI_HEAD"),
    CASE("GET / HTTP/1.1\r\n", "SCGI_HEAD"),
    /* blocks that do not add up */
    CASE("23:" LENGTH_0 "SCGI\0001,", "VARS"),
    CASE("25:" LENGTH_0 SCGI_1 "A,", "VARS"),
    CASE("26:" LENGTH_0 SCGI_1 "A\0,", "VARS"),
    CASE("27:" LENGTH_0 SCGI_1 "\0b\0,", "VARS"),
    /* limits */
    CASE("101:", "HEAD_TOO_LARGE"),
    CASE("99999999999999999999999:", "HEAD_TOO_LARGE"),
    CASE("36:" LENGTH_0 SCGI_1 "A\0b\0A\0b\0A\0b\0,", "TOO_MANY_VARS"),
    CASE("24:" LENGTH_0 SCGI_1 ",body", "CONTENT_LENGTH=0 SCGI=1 left=4"),
};

static void test_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char text[TEXT];

        decode(samples[i].in, text);
        assert_string_equal(text, samples[i].outcome);
    }
}

/* A part is not enough yet, or as wrong as the whole; the last sample needs no byte of its body. */
static void test_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < sizeof samples / sizeof *samples; i++)
        for (size_t cut = 0; cut < samples[i].in.len; cut++) {
            char text[TEXT];

            decode(slice_of(samples[i].in.ptr, cut), text);
            if (strcmp(text, "more") != 0)
                assert_string_equal(text, samples[i].outcome);
        }
}

static void test_refuses_as_soon_as_it_can(void **state)
{
    struct vars none = {0};

    (void)state;
    assert_int_equal(scgi_decode(SLICE("G"), CAP, &none), -ERR_SCGI_HEAD);
    assert_int_equal(scgi_decode(SLICE("0"), CAP, &none), -ERR_SCGI_HEAD);
    assert_int_equal(scgi_decode(SLICE("100"), CAP, &none), 0);
    assert_int_equal(scgi_decode(SLICE("101"), CAP, &none), -ERR_HEAD_TOO_LARGE);
    assert_int_equal(scgi_decode(SLICE("1000"), CAP, &none), -ERR_HEAD_TOO_LARGE);
    assert_int_equal(scgi_decode(SLICE("99999999999999999999"), SIZE_MAX, &none),
                     -ERR_HEAD_TOO_LARGE);
}

static void test_encodes(void **state)
{
    struct var list[] = {{SLICE("CONTENT_LENGTH"), SLICE("99")},
                         {SLICE("A"), SLICE("b")},
                         {SLICE("SCGI"), SLICE("2")},
                         {SLICE("C"), {NULL, 0}}};
    struct vars vars = {.list = list, .count = 4, .room = 4};
    const struct slice expected = SLICE("32:CONTENT_LENGTH\00012\0" SCGI_1 "A\0b\0C\0\0,");
    struct buf b;

    (void)state;
    buf_init(&b, expected.len);
    assert_int_equal(scgi_encode(&b, 12, &vars), 0);
    assert_true(slice_eq(buf_bytes(&b), expected));
    assert_int_equal(scgi_encode(&b, 12, &vars), -ERR_FULL);
    buf_free(&b);
    buf_init(&b, expected.len - 1);
    assert_int_equal(scgi_encode(&b, 12, &vars), -ERR_FULL);
    list[1].value = SLICE("b\0c");
    assert_int_equal(scgi_encode(&b, 12, &vars), -ERR_VARS);
    list[1] = (struct var){SLICE(""), SLICE("b")};
    assert_int_equal(scgi_encode(&b, 12, &vars), -ERR_VARS);
    assert_int_equal(buf_len(&b), 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_refuses_as_soon_as_it_can),
        cmocka_unit_test(test_encodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
