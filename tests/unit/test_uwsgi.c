/* Tests of src/proto/uwsgi.c: packets, each cut everywhere and from memory of just its size, and
 * back again. */
#include "proto/uwsgi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CAP = 200, ROOM = 3, TEXT = 1024 };

#define CASE(bytes, outcome)                                                                       \
    {                                                                                              \
        {(bytes), sizeof(bytes) - 1}, outcome                                                      \
    }

/* "0/0 A=b C=" for a packet, else the error's name or "more". */
static void decode(struct slice in, char text[static TEXT])
{
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    struct uwsgi_head head;
    char *copy = malloc(in.len + !in.len);
    int n, taken;

    memcpy(copy, in.ptr, in.len);
    taken = uwsgi_decode(slice_of(copy, in.len), CAP, &head, &vars);
    if (taken <= 0) {
        assert_int_equal(vars.count, 0);
        snprintf(text, TEXT, "%s", taken ? err_name(taken) : "more");
        free(copy);
        return;
    }
    assert_int_equal(taken, UWSGI_HEAD + head.size);
    n = snprintf(text, TEXT, "%d/%d", head.modifier1, head.modifier2);
    for (unsigned i = 0; i < vars.count; i++)
        n += snprintf(text + n, TEXT - (size_t)n, " %.*s=%.*s", (int)list[i].name.len,
                      list[i].name.ptr, (int)list[i].value.len, list[i].value.ptr);
    free(copy);
}

static const struct {
    struct slice in;
    const char *outcome;
} samples[] = {
    CASE("\0\0\0\0", "0/0"),
    CASE("\0\x06\0\0\1\0A\1\0b", "0/0 A=b"),
    CASE("\0\x0b\0\7\1\0A\1\0b\1\0C\0\0", "0/7 A=b C="),
    CASE("\x1e\x06\0\0\1\0A\1\0b", "30/0 A=b"),
    CASE("\x64\0\0\0", "100/0"),
    CASE("\x64\3\0\0abc", "100/0"), /* a ping says nothing */
    CASE("\0\x0f\0\0\1\0A\0\0\1\0B\0\0\1\0C\0\0", "0/0 A= B= C="),
    CASE("\0\x14\0\0\1\0A\0\0\1\0B\0\0\1\0C\0\0\1\0D\0\0", "TOO_MANY_VARS"),
    /* blocks that do not add up */
    CASE("\0\x01\0\0\1", "VARS"),
    CASE("\0\x03\0\0\1\0A", "VARS"),
    CASE("\0\x04\0\0\1\0A\0", "VARS"),
    CASE("\0\x05\0\0\1\0A\1\0", "VARS"),
    CASE("\0\x06\0\0\1\0A\2\0b", "VARS"),
    CASE("\0\x07\0\0\1\0A\1\0bc", "VARS"),
    CASE("\0\x05\0\0\xff\xff"
         "A\0\0",
         "VARS"),
    CASE("\0\x05\0\0\0\0\1\0b", "VARS"), /* no name */
    /* limits and other protocols */
    CASE("\0\xc9\0\0", "HEAD_TOO_LARGE"),
    CASE("\0\xff\xff\0", "HEAD_TOO_LARGE"),
    CASE("\1\0\0\0", "UWSGI_MODIFIER"),
    CASE("\x1f\0\0\0", "UWSGI_MODIFIER"),
    CASE("\xff\0\0\0", "UWSGI_MODIFIER"),
    CASE("GET / HTTP/1.1\r\n", "UWSGI_MODIFIER"),
};

static void test_packets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char text[TEXT];

        decode(samples[i].in, text);
        assert_string_equal(text, samples[i].outcome);
    }
}

/* A part of a packet is never a packet: it is not enough yet, or as wrong as the whole. */
static void test_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        for (size_t cut = 0; cut < samples[i].in.len; cut++) {
            char text[TEXT];

            decode(slice_of(samples[i].in.ptr, cut), text);
            if (strcmp(text, "more") != 0)
                assert_string_equal(text, samples[i].outcome);
        }
}

static void test_what_follows_is_left(void **state)
{
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    struct uwsgi_head head;

    (void)state;
    assert_int_equal(uwsgi_decode(SLICE("\0\x06\0\0\1\0A\1\0bbody"), CAP, &head, &vars), 10);
}

static void test_refuses_as_soon_as_it_can(void **state)
{
    struct vars none = {0};
    struct uwsgi_head head;

    (void)state;
    assert_int_equal(uwsgi_decode(SLICE("G"), CAP, &head, &none), -ERR_UWSGI_MODIFIER);
    assert_int_equal(uwsgi_decode(SLICE("\0\xc9\0\0"), CAP, &head, &none), -ERR_HEAD_TOO_LARGE);
    assert_int_equal(uwsgi_decode(SLICE("\0\xc8\0\0"), CAP, &head, &none), 0);
}

static void test_encodes(void **state)
{
    struct var list[] = {{SLICE("A"), SLICE("b")}, {SLICE("C"), {NULL, 0}}};
    struct vars vars = {.list = list, .count = 2, .room = 2};
    struct buf b;

    (void)state;
    buf_init(&b, 15);
    assert_int_equal(uwsgi_encode(&b, &vars), 0);
    assert_true(slice_eq(buf_bytes(&b), SLICE("\0\x0b\0\0\1\0A\1\0b\1\0C\0\0")));
    assert_int_equal(uwsgi_encode(&b, &vars), -ERR_FULL);
    assert_int_equal(buf_len(&b), 15);
    buf_free(&b);
}

/* The largest block there is goes through; one byte more is refused. */
static void test_the_formats_end(void **state)
{
    static char value[UWSGI_BLOCK_MAX];
    struct var list[] = {{SLICE("A"), {value, UWSGI_BLOCK_MAX - 5}}}, got[1];
    struct vars vars = {.list = list, .count = 1, .room = 1}, back = {.list = got, .room = 1};
    struct uwsgi_head head;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 17);
    assert_int_equal(uwsgi_encode(&b, &vars), 0);
    assert_int_equal(uwsgi_decode(buf_bytes(&b), UWSGI_BLOCK_MAX, &head, &back), 65539);
    assert_true(slice_eq(got[0].value, list[0].value));
    list[0].value.len++;
    assert_int_equal(uwsgi_encode(&b, &vars), -ERR_HEAD_TOO_LARGE);
    list[0].value.len = SIZE_MAX;
    assert_int_equal(uwsgi_encode(&b, &vars), -ERR_HEAD_TOO_LARGE);
    assert_int_equal(buf_len(&b), 65539);
    buf_free(&b);
}

static void test_pong(void **state)
{
    char out[UWSGI_HEAD];

    (void)state;
    uwsgi_encode_head(out, (struct uwsgi_head){.modifier1 = UWSGI_PING, .modifier2 = 1});
    assert_memory_equal(out, "\x64\0\0\1", UWSGI_HEAD);
    uwsgi_encode_head(out, (struct uwsgi_head){.size = 0x1234});
    assert_memory_equal(out, "\0\x34\x12\0", UWSGI_HEAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_what_follows_is_left),
        cmocka_unit_test(test_refuses_as_soon_as_it_can),
        cmocka_unit_test(test_encodes),
        cmocka_unit_test(test_the_formats_end),
        cmocka_unit_test(test_pong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
