/* Tests of src/proto/fastcgi.c: what a connection's bytes mean, however they are cut, what is
 * refused, and what is sent.
 *
 * A connection's outcome is a line of text in which pieces of one stream are one. Every connection
 * is read whole, byte by byte and in each two pieces, from memory of just the size, so that a
 * sanitizer sees a look behind the end. */
#include "proto/fastcgi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROOM = 2, TEXT = 2048 };

/* Records by hand: type, id, content's length, padding. */
#define REC(type, id, len, pad) "\1" type "\0" id "\0" len pad "\0"
#define BEGIN(id, role, flags)  REC("\1", id, "\x08", "\0") "\0" role flags "\0\0\0\0\0"
#define END_OF(type, id)        REC(type, id, "\0", "\0")
#define ABORT(id)               REC("\2", id, "\0", "\0")
#define RESPONDER               "\1"
#define AUTHORIZER              "\2"
#define FILTER                  "\3"
#define PARAMS                  "\4"
#define STDIN                   "\5"
#define STDOUT                  "\6"
#define STDERR                  "\7"
#define DATA                    "\x08"

#define CASE(bytes, outcome)                                                                       \
    {                                                                                              \
        {(bytes), sizeof(bytes) - 1}, outcome                                                      \
    }

struct outcome {
    char text[TEXT];
    size_t len;
    enum fcgi_type open; /* the stream whose bytes came last */
    unsigned id;
};

__attribute__((format(printf, 2, 3))) static void add(struct outcome *o, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    o->len += (size_t)vsnprintf(o->text + o->len, TEXT - o->len, format, args);
    va_end(args);
    assert_true(o->len < TEXT);
}

static void add_bytes(struct outcome *o, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        add(o, s.ptr[i] >= ' ' && s.ptr[i] < 127 ? "%c" : "\\%d", s.ptr[i]);
}

static const char *const names[FCGI_TYPES] = {
    "nothing", "begin",  "abort", "end",    "params", "stdin",
    "stdout",  "stderr", "data",  "values", "result", "unknown",
};

static void describe_stream(struct outcome *o, const struct fcgi_event *e)
{
    if (o->open != e->type || o->id != e->id || e->last)
        add(o, " %s%u%s", names[e->type], e->id, e->last ? "." : ":");
    add_bytes(o, e->bytes);
    o->open = e->last ? FCGI_NOTHING : e->type;
    o->id = e->id;
}

static bool is_stream(enum fcgi_type type)
{
    return type == FCGI_PARAMS || type == FCGI_STDIN || type == FCGI_STDOUT ||
           type == FCGI_STDERR || type == FCGI_DATA;
}

static void describe(struct outcome *o, const struct fcgi_event *e)
{
    if (e->type == FCGI_NOTHING)
        return;
    if (is_stream(e->type)) {
        describe_stream(o, e);
        return;
    }
    o->open = FCGI_NOTHING;
    add(o, " %s%u", names[e->type], e->id);
    if (e->type == FCGI_BEGIN_REQUEST)
        add(o, "(role %u%s", e->role, e->keep ? " keep" : "");
    if (e->type == FCGI_BEGIN_REQUEST && !e->request)
        add(o, " refused %u", e->status);
    if (e->type == FCGI_BEGIN_REQUEST)
        add(o, ")");
    if (e->type == FCGI_END_REQUEST)
        add(o, "(%u %u)", e->app_status, e->status);
    if (e->type == FCGI_UNKNOWN_TYPE)
        add(o, "(%u)", e->unknown);
    if (e->bytes.len) {
        add(o, "(");
        add_bytes(o, e->bytes);
        add(o, ")");
    }
}

/* One connection: either an application's, or what is decoded as it is. */
struct reader {
    struct fcgi_request requests[ROOM];
    struct fcgi_acceptor acceptor;
    struct fcgi_decoder client;
    bool is_client;
    char *bytes; /* not taken yet */
    size_t len;
    struct outcome o;
    int err;
};

static int next(struct reader *r, struct fcgi_event *event)
{
    struct slice in = slice_of(r->bytes, r->len);

    return r->is_client ? fcgi_decode(&r->client, in, event) : fcgi_accept(&r->acceptor, in, event);
}

/* Gives a connection's next bytes, in memory of their own. */
static void give(struct reader *r, struct slice piece)
{
    char *joined = malloc(r->len + piece.len + 1);
    struct fcgi_event event;
    int taken = 1;

    memcpy(joined, r->bytes, r->len);
    memcpy(joined + r->len, piece.ptr, piece.len);
    free(r->bytes);
    r->len += piece.len;
    r->bytes = realloc(joined, r->len + !r->len);
    while (r->err == 0 && taken > 0) {
        taken = next(r, &event);
        if (taken < 0) {
            r->err = taken;
            assert_int_equal(next(r, &event), taken);
            break;
        }
        describe(&r->o, &event);
        r->len -= (size_t)taken;
        memmove(r->bytes, r->bytes + taken, r->len);
    }
}

static void reader_init(struct reader *r, bool is_client)
{
    *r = (struct reader){.is_client = is_client, .bytes = malloc(1)};
    fcgi_acceptor_init(&r->acceptor, r->requests, ROOM);
    fcgi_decoder_init(&r->client, FCGI_FROM_APPLICATION);
}

static void finish(struct reader *r, const char *expected)
{
    if (r->err)
        add(&r->o, " %s", err_name(r->err));
    else if (r->len)
        add(&r->o, " more");
    free(r->bytes);
    assert_string_equal(r->o.text, expected);
}

static void expect(struct slice in, bool is_client, const char *expected)
{
    struct reader r;

    for (size_t cut = 0; cut <= in.len; cut++) {
        reader_init(&r, is_client);
        give(&r, slice_of(in.ptr, cut));
        give(&r, slice_skip(in, cut));
        finish(&r, expected);
    }
    reader_init(&r, is_client);
    for (size_t i = 0; i < in.len; i++)
        give(&r, slice_of(in.ptr + i, 1));
    finish(&r, expected);
}

struct sample {
    struct slice in;
    const char *outcome;
};

static void test_requests(void **state)
{
    static const struct sample samples[] = {
        /* a Responder's whole life, with padding, a stream in two records, and KEEP_CONN */
        CASE(BEGIN("\1", RESPONDER, "\1")
                 REC(PARAMS, "\1", "\4", "\4") "\1\1Ab\0\0\0\0" END_OF(PARAMS, "\1")
                     REC(STDIN, "\1", "\3", "\5") "abc\0\0\0\0\0" REC(
                         STDIN, "\1", "\2", "\0") "de" END_OF(STDIN, "\1"),
             " begin1(role 1 keep) params1:\\1\\1Ab params1. stdin1:abcde stdin1."),
        CASE(BEGIN("\1", RESPONDER, "\0") END_OF(PARAMS, "\1") END_OF(STDIN, "\1"),
             " begin1(role 1) params1. stdin1."),
        /* an Authorizer has PARAMS alone; what comes as its STDIN is skipped */
        CASE(BEGIN("\1", AUTHORIZER, "\0") END_OF(PARAMS, "\1")
                 REC(STDIN, "\1", "\1", "\0") "x" END_OF(STDIN, "\1"),
             " begin1(role 2) params1."),
        CASE(BEGIN("\1", FILTER, "\0") END_OF(PARAMS, "\1") REC(STDIN, "\1", "\1", "\0") "x" END_OF(
                 STDIN, "\1") REC(DATA, "\1", "\1", "\0") "y" END_OF(DATA, "\1"),
             " begin1(role 3) params1. stdin1:x stdin1. data1:y data1."),
        /* two requests on one connection */
        CASE(BEGIN("\1", RESPONDER, "\1") BEGIN("\2", RESPONDER, "\1")
                 REC(PARAMS, "\2", "\1", "\0") "x" REC(PARAMS, "\1", "\1", "\0") "y" END_OF(
                     PARAMS, "\1") END_OF(PARAMS, "\2"),
             " begin1(role 1 keep) begin2(role 1 keep) params2:x params1:y params1. params2."),
        /* as many as there is room for, and one with a role that does not exist */
        CASE(BEGIN("\1", RESPONDER, "\1") BEGIN("\2", RESPONDER, "\1") BEGIN("\3", RESPONDER, "\1")
                 REC(PARAMS, "\3", "\1", "\0") "x" END_OF(PARAMS, "\2"),
             " begin1(role 1 keep) begin2(role 1 keep) begin3(role 1 keep refused 2) params2."),
        CASE(BEGIN("\1", "\4", "\0") REC(PARAMS, "\1", "\1", "\0") "x" ABORT("\1"),
             " begin1(role 4 refused 3)"),
        CASE(BEGIN("\1", "\0", "\0"), " begin1(role 0 refused 3)"),
        CASE(BEGIN("\1", RESPONDER, "\0") ABORT("\1"), " begin1(role 1) abort1"),
        /* nobody's records */
        CASE(REC(STDIN, "\7", "\1", "\1") "x\0" ABORT("\7") END_OF(PARAMS, "\7"), ""),
        /* streams that were ended already */
        CASE(BEGIN("\1", RESPONDER, "\0") END_OF(PARAMS, "\1") END_OF(PARAMS, "\1")
                 END_OF(STDIN, "\1") END_OF(STDIN, "\1"),
             " begin1(role 1) params1. stdin1."),
        /* about the connection */
        CASE(REC("\x09", "\0", "\x10", "\0") "\x0e\0FCGI_MAX_CONNS",
             " values0(\\14\\0FCGI_MAX_CONNS)"),
        CASE(REC("\x09", "\0", "\0", "\0"), " values0"),
        CASE(REC("\x0c", "\0", "\2", "\1") "xy\0" REC("\xff", "\0", "\0", "\0"),
             " unknown0(12) unknown0(255)"),
        CASE(REC("\x0c", "\1", "\2", "\0") "xy" ABORT("\1"), ""),
        CASE(REC("\0", "\0", "\0", "\0"), " unknown0(0)"),
        CASE("\1\1\0\1\0\x08", " more"),
        CASE(REC("\1", "\1", "\x08", "\0") "\0\1\0\0\0\0\0", " more"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        expect(samples[i].in, false, samples[i].outcome);
}

static void test_refused(void **state)
{
    static const struct sample samples[] = {
        CASE("\0", " FCGI_VERSION"),
        CASE("GET / HTTP/1.1\r\n", " FCGI_VERSION"),
        CASE(ABORT("\1") "\2", " FCGI_VERSION"),
        /* what only an application sends, and ids where there are none or none where there are */
        CASE(REC(STDOUT, "\1", "\0", "\0"), " FCGI_TYPE"),
        CASE(REC("\3", "\1", "\x08", "\0"), " FCGI_TYPE"),
        CASE(REC("\x0b", "\0", "\x08", "\0"), " FCGI_TYPE"),
        CASE(REC("\x0a", "\0", "\0", "\0"), " FCGI_TYPE"),
        CASE(REC("\x09", "\1", "\0", "\0"), " FCGI_TYPE"),
        CASE(BEGIN("\0", RESPONDER, "\0"), " FCGI_TYPE"),
        CASE(REC(STDIN, "\0", "\0", "\0"), " FCGI_TYPE"),
        /* contents of another size */
        CASE(REC("\1", "\1", "\7", "\0"), " FCGI_CONTENT"),
        CASE(REC("\1", "\1", "\x09", "\0"), " FCGI_CONTENT"),
        CASE(REC("\2", "\1", "\1", "\0"), " FCGI_CONTENT"),
        CASE("\1\x09\0\0\4\1\0\0", " FCGI_CONTENT"), /* FCGI_VALUES_MAX and one */
        /* streams out of order */
        CASE(BEGIN("\1", RESPONDER, "\0") BEGIN("\1", RESPONDER, "\0"),
             " begin1(role 1) FCGI_ORDER"),
        CASE(BEGIN("\1", RESPONDER, "\0") END_OF(STDIN, "\1"), " begin1(role 1) FCGI_ORDER"),
        CASE(BEGIN("\1", RESPONDER, "\0") END_OF(PARAMS, "\1") REC(PARAMS, "\1", "\1", "\0") "x",
             " begin1(role 1) params1. FCGI_ORDER"),
        CASE(BEGIN("\1", RESPONDER, "\0") END_OF(PARAMS, "\1") END_OF(STDIN, "\1")
                 REC(STDIN, "\1", "\1", "\0") "x",
             " begin1(role 1) params1. stdin1. FCGI_ORDER"),
        CASE(BEGIN("\1", RESPONDER, "\0") END_OF(PARAMS, "\1") END_OF(STDIN, "\1")
                 END_OF(DATA, "\1"),
             " begin1(role 1) params1. stdin1. FCGI_ORDER"),
        CASE(BEGIN("\1", FILTER, "\0") END_OF(PARAMS, "\1") END_OF(DATA, "\1"),
             " begin1(role 3) params1. FCGI_ORDER"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        expect(samples[i].in, false, samples[i].outcome);
}

static void test_answers(void **state)
{
    static const struct sample samples[] = {
        CASE(REC(STDOUT, "\1", "\3", "\5") "abc\0\0\0\0\0" REC(STDERR, "\1", "\1", "\0") "e" REC(
                 STDOUT, "\1", "\1", "\0") "d" END_OF(STDOUT, "\1")
                 REC("\3", "\1", "\x08", "\0") "\1\2\3\4\0\0\0\0",
             " stdout1:abc stderr1:e stdout1:d stdout1. end1(16909060 0)"),
        CASE(REC("\3", "\1", "\x08", "\0") "\0\0\0\0\2\0\0\0", " end1(0 2)"),
        CASE(REC("\x0b", "\0", "\x08", "\0") "\x63\0\0\0\0\0\0\0", " unknown0(99)"),
        CASE(REC("\x0a", "\0", "\4", "\0") "\1\1Ab", " result0(\\1\\1Ab)"),
        CASE(REC("\x0c", "\0", "\1", "\0") "x", ""),
        CASE(REC(STDIN, "\1", "\0", "\0"), " FCGI_TYPE"),
        CASE(BEGIN("\1", RESPONDER, "\0"), " FCGI_TYPE"),
        CASE(REC("\3", "\1", "\0", "\0"), " FCGI_CONTENT"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        expect(samples[i].in, true, samples[i].outcome);
}

/* What is on its way when a request ends is skipped, and its id is free again. */
static void test_rest_of_an_ended_request(void **state)
{
    static const char begin[] =
        BEGIN("\1", RESPONDER, "\1") END_OF(PARAMS, "\1") REC(STDIN, "\1", "\4", "\0") "ab";
    static const char rest[] =
        "cd" REC(STDIN, "\1", "\2", "\0") "ef" END_OF(STDIN, "\1") BEGIN("\1", AUTHORIZER, "\1");
    struct reader r;

    (void)state;
    reader_init(&r, false);
    give(&r, slice_of(begin, sizeof begin - 1));
    fcgi_ended(&r.requests[0]);
    give(&r, slice_of(rest, sizeof rest - 1));
    finish(&r, " begin1(role 1 keep) params1. stdin1:ab begin1(role 2 keep)");
}

/* With room for one there is no multiplexing. */
static void test_one_request_alone(void **state)
{
    static const char two[] = BEGIN("\1", RESPONDER, "\1") BEGIN("\2", RESPONDER, "\1");
    struct fcgi_request request = {0};
    struct fcgi_acceptor a;
    struct fcgi_event event;

    (void)state;
    fcgi_acceptor_init(&a, &request, 1);
    assert_int_equal(fcgi_accept(&a, slice_of(two, 16), &event), 16);
    assert_ptr_equal(event.request, &request);
    assert_true(request.keep);
    assert_int_equal(fcgi_accept(&a, slice_of(two + 16, 16), &event), 16);
    assert_null(event.request);
    assert_int_equal(event.status, FCGI_CANT_MPX_CONN);
}

/* ---- Pairs ---- */

static void test_pairs(void **state)
{
    static const struct sample samples[] = {
        CASE("", ""),
        CASE("\1\1Ab", "A=b "),
        CASE("\1\0A\2\1BCd", "A= BC=d "),
        CASE("\x80\0\0\1\1Ab", "A=b "), /* a long form where a short one would do */
        CASE("\1\x80\0\0\1Ab", "A=b "),
        CASE("\x80\0\0\1\x80\0\0\1Ab", "A=b "),
        CASE("\1\0A\1\0B\1\0C", "TOO_MANY_VARS"),
        CASE("\0\1b", "VARS"),
        CASE("\1", "VARS"),
        CASE("\1\1", "VARS"),
        CASE("\1\1A", "VARS"),
        CASE("\1\1Abc", "VARS"),
        CASE("\1\x80", "VARS"),
        CASE("\x80\0\0", "VARS"),
        CASE("\1\x80\0\0A", "VARS"),
        CASE("\xff\xff\xff\xff\xff\xff\xff\xff", "VARS"),
        CASE("\xff\xff\xff\xff\1Ab", "VARS"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct var list[2];
        struct vars vars = {.list = list, .room = 2};
        char *copy = malloc(samples[i].in.len + 1), text[TEXT] = "";
        int err;

        copy = realloc(copy, samples[i].in.len + !samples[i].in.len);
        memcpy(copy, samples[i].in.ptr, samples[i].in.len);
        err = fcgi_decode_pairs(slice_of(copy, samples[i].in.len), &vars);
        for (unsigned v = 0; v < vars.count; v++)
            snprintf(text + strlen(text), TEXT - strlen(text), "%.*s=%.*s ", (int)list[v].name.len,
                     list[v].name.ptr, (int)list[v].value.len, list[v].value.ptr);
        assert_string_equal(err ? err_name(err) : text, samples[i].outcome);
        free(copy);
    }
}

/* ---- Encoding ---- */

static void expect_bytes(struct buf *b, struct slice expected)
{
    assert_int_equal(buf_len(b), expected.len);
    assert_memory_equal(buf_bytes(b).ptr, expected.ptr, expected.len);
    buf_take(b, expected.len);
}

#define EXPECT_BYTES(b, bytes) expect_bytes((b), SLICE(bytes))

static void test_encodes(void **state)
{
    struct var list[] = {{SLICE("A"), SLICE("b")}};
    struct vars vars = {.list = list, .count = 1};
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(fcgi_encode_begin(&b, 1, FCGI_FILTER, true), 0);
    EXPECT_BYTES(&b, BEGIN("\1", FILTER, "\1"));
    assert_int_equal(fcgi_encode_begin(&b, 0x102, FCGI_RESPONDER, false), 0);
    EXPECT_BYTES(&b, "\1\1\1\2\0\x08\0\0\0\1\0\0\0\0\0\0");
    assert_int_equal(fcgi_encode_params(&b, 1, &vars), 0);
    EXPECT_BYTES(&b, REC(PARAMS, "\1", "\4", "\0") "\1\1Ab" END_OF(PARAMS, "\1"));
    vars.count = 0;
    assert_int_equal(fcgi_encode_params(&b, 1, &vars), 0);
    EXPECT_BYTES(&b, END_OF(PARAMS, "\1"));
    assert_int_equal(fcgi_encode_abort(&b, 1), 0);
    EXPECT_BYTES(&b, ABORT("\1"));
    assert_int_equal(fcgi_encode_stream(&b, FCGI_STDIN, 1, SLICE("abc")), 0);
    assert_int_equal(fcgi_encode_stream(&b, FCGI_STDIN, 1, SLICE("")), 0);
    EXPECT_BYTES(&b, REC(STDIN, "\1", "\3", "\0") "abc" END_OF(STDIN, "\1"));
    assert_int_equal(fcgi_encode_end(&b, 1, 0x01020380, FCGI_OVERLOADED), 0);
    EXPECT_BYTES(&b, REC("\3", "\1", "\x08", "\0") "\1\2\3\x80\2\0\0\0");
    assert_int_equal(fcgi_encode_unknown(&b, 200), 0);
    EXPECT_BYTES(&b, REC("\x0b", "\0", "\x08", "\0") "\xc8\0\0\0\0\0\0\0");
    buf_free(&b);
}

static void test_encodes_all_or_nothing(void **state)
{
    struct var list[] = {{SLICE("A"), SLICE("b")}};
    struct vars vars = {.list = list, .count = 1};
    struct buf b;

    (void)state;
    buf_init(&b, 15);
    assert_int_equal(fcgi_encode_begin(&b, 1, FCGI_FILTER, true), -ERR_FULL);
    assert_int_equal(fcgi_encode_params(&b, 1, &vars), -ERR_FULL);
    assert_int_equal(fcgi_encode_end(&b, 1, 0, FCGI_REQUEST_COMPLETE), -ERR_FULL);
    assert_int_equal(fcgi_encode_stream(&b, FCGI_STDOUT, 1, SLICE("abcdefgh")), -ERR_FULL);
    assert_int_equal(fcgi_encode_get_values(&b), -ERR_FULL);
    list[0].value.len = SIZE_MAX;
    assert_int_equal(fcgi_encode_params(&b, 1, &vars), -ERR_FULL);
    assert_int_equal(fcgi_encode_stream(&b, FCGI_STDOUT, 1, slice_of("", SIZE_MAX)), -ERR_FULL);
    assert_int_equal(buf_len(&b), 0);
    assert_int_equal(fcgi_encode_abort(&b, 1), 0);
    buf_free(&b);
}

/* What was encoded is decoded to the same, over the ends of records and of both forms of lengths.
 */
static void test_large_params(void **state)
{
    static const size_t sizes[] = {0, 127, 128, 65535 - 9, 65535, 200000};
    static char name[200000], value[200000];
    struct buf b, params;

    (void)state;
    memset(name, 'n', sizeof name);
    memset(value, 'v', sizeof value);
    buf_init(&b, 1 << 20);
    buf_init(&params, 1 << 20);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct var list[2] = {{SLICE("first"), {value, sizes[i]}}, {{name, sizes[i] + 1}, {0}}},
                   got[2];
        struct vars vars = {.list = list, .count = 2, .room = 2}, back = {.list = got, .room = 2};
        struct fcgi_request request = {0};
        struct fcgi_acceptor a;
        struct fcgi_event event = {0};

        if (list[1].name.len > sizeof name)
            list[1].name.len = sizeof name;
        fcgi_acceptor_init(&a, &request, 1);
        assert_int_equal(fcgi_encode_begin(&b, 9, FCGI_RESPONDER, false), 0);
        assert_int_equal(fcgi_encode_params(&b, 9, &vars), 0);
        while (!event.last) {
            int taken = fcgi_accept(&a, buf_bytes(&b), &event);

            assert_true(taken > 0);
            if (event.bytes.len)
                assert_int_equal(buf_put(&params, event.bytes), 0);
            buf_take(&b, (size_t)taken);
        }
        assert_int_equal(buf_len(&b), 0);
        assert_int_equal(fcgi_decode_pairs(buf_bytes(&params), &back), 0);
        assert_int_equal(back.count, 2);
        for (unsigned v = 0; v < 2; v++) {
            assert_true(slice_eq(got[v].name, list[v].name));
            assert_true(slice_eq(got[v].value, list[v].value));
        }
        buf_take(&params, buf_len(&params));
    }
    buf_free(&b);
    buf_free(&params);
}

/* A stream that fills a record to its end needs no empty one, which would end it. */
static void test_full_records(void **state)
{
    static char bytes[2 * FCGI_CONTENT_MAX];
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(fcgi_encode_stream(&b, FCGI_STDOUT, 1, slice_of(bytes, 2 * FCGI_CONTENT_MAX)),
                     0);
    assert_int_equal(buf_len(&b), 2 * (FCGI_HEAD + FCGI_CONTENT_MAX));
    assert_memory_equal(buf_bytes(&b).ptr + FCGI_HEAD + FCGI_CONTENT_MAX, "\1\6\0\1\xff\xff\0\0",
                        8);
    buf_free(&b);
}

static void test_head_with_padding(void **state)
{
    char head[FCGI_HEAD];

    (void)state;
    fcgi_encode_head(head, FCGI_STDOUT, 0x1234, 0xfedc, 4);
    assert_memory_equal(head, "\1\6\x12\x34\xfe\xdc\4\0", FCGI_HEAD);
}

/* ---- What an application says of itself ---- */

static void test_values(void **state)
{
    const struct fcgi_abilities ours = {.connections = 512, .requests = 8, .multiplexes = true};
    struct fcgi_abilities theirs = {.connections = 3};
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(fcgi_encode_get_values(&b), 0);
    EXPECT_BYTES(&b, REC("\x09", "\0", "\x30", "\0") "\x0e\0FCGI_MAX_CONNS\x0d\0FCGI_MAX_REQS\x0f"
                                                     "\0FCGI_MPXS_CONNS");
    /* asked twice, with an unknown name and with a value that means nothing */
    assert_int_equal(fcgi_encode_values(&b,
                                        SLICE("\x0d\0FCGI_MAX_REQS\1\0X\x0d\1FCGI_MAX_REQSy"
                                              "\x0f\0FCGI_MPXS_CONNS"),
                                        &ours),
                     0);
    EXPECT_BYTES(&b, REC("\x0a", "\0", "\x22", "\0") "\x0d\1FCGI_MAX_REQS8\x0f\1FCGI_MPXS_CONNS1");
    assert_int_equal(fcgi_encode_values(&b, SLICE(""), &ours), 0);
    EXPECT_BYTES(&b, REC("\x0a", "\0", "\0", "\0"));
    assert_int_equal(fcgi_encode_values(&b, SLICE("\x0d\0FCGI"), &ours), -ERR_VARS);
    assert_int_equal(
        fcgi_decode_values(SLICE("\x0d\3FCGI_MAX_REQS100\1\1Xy\x0f\1FCGI_MPXS_CONNS1"), &theirs),
        0);
    assert_int_equal(theirs.connections, 3);
    assert_int_equal(theirs.requests, 100);
    assert_true(theirs.multiplexes);
    assert_int_equal(fcgi_decode_values(SLICE("\x0d\1FCGI_MAX_REQSx"), &theirs), -ERR_VARS);
    assert_int_equal(fcgi_decode_values(SLICE("\x0d\0FCGI_MAX_REQS"), &theirs), -ERR_VARS);
    assert_int_equal(fcgi_decode_values(SLICE("\x0d\x0a"
                                              "FCGI_MAX_REQS4294967296"),
                                        &theirs),
                     -ERR_VARS);
    assert_int_equal(theirs.requests, 100);
    assert_int_equal(buf_len(&b), 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_answers),           cmocka_unit_test(test_rest_of_an_ended_request),
        cmocka_unit_test(test_one_request_alone), cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_encodes),           cmocka_unit_test(test_encodes_all_or_nothing),
        cmocka_unit_test(test_large_params),      cmocka_unit_test(test_full_records),
        cmocka_unit_test(test_head_with_padding), cmocka_unit_test(test_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
