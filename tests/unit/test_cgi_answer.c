/* Tests of src/proto/cgi_answer.c: heads of answers, each cut everywhere and from memory of just
 * its size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/errors.h"
#include "proto/cgi.h"

enum { FIELDS = 3, TEXT = 1024 };

static const struct cgi_answer_limits limits = {.head = 120, .fields = FIELDS};

/* "200 OK length=3 [Name=value] left=1", the error's name, or "more". */
static void describe(const struct cgi_answer *a, size_t left, char text[static TEXT])
{
    int n = snprintf(text, TEXT, "%d%s%.*s%s%.*s", a->status, a->reason.len ? " " : "",
                     (int)a->reason.len, a->reason.ptr ? a->reason.ptr : "",
                     a->local.len ? " local " : "", (int)a->local.len,
                     a->local.ptr ? a->local.ptr : "");

    if (a->raw)
        n += snprintf(text + n, TEXT - (size_t)n, " raw");
    if (a->length >= 0)
        n += snprintf(text + n, TEXT - (size_t)n, " length=%lld", (long long)a->length);
    for (unsigned i = 0; i < a->count; i++)
        n += snprintf(text + n, TEXT - (size_t)n, " [%.*s=%.*s]", (int)a->fields[i].name.len,
                      a->fields[i].name.ptr, (int)a->fields[i].value.len, a->fields[i].value.ptr);
    if (left)
        snprintf(text + n, TEXT - (size_t)n, " left=%zu", left);
}

/* Decodes bytes that come `step` at a time behind the first `cut`, each time all so far in memory
 * of their own. */
static void decode(struct slice in, size_t cut, size_t step, char text[static TEXT])
{
    struct cgi_answer_decoder d = {0};
    struct field fields[FIELDS];
    struct cgi_answer a;
    int got = 0;

    for (size_t at = cut; got == 0; at = in.len - at < step ? in.len : at + step) {
        char *bytes = malloc(at + !at);

        memcpy(bytes, in.ptr, at);
        got = cgi_decode_answer(&d, slice_of(bytes, at), &limits, fields, &a);
        if (got > 0)
            describe(&a, in.len - (size_t)got, text);
        else
            snprintf(text, TEXT, "%s", got ? err_name(got) : "more");
        free(bytes);
        if (at == in.len)
            break;
    }
}

struct sample {
    const char *in, *outcome;
};

static void expect(const struct sample *s)
{
    struct slice in = slice_text(s->in);
    char text[TEXT];

    for (size_t cut = 0; cut <= in.len; cut++) {
        decode(in, cut, in.len + 1, text);
        if (strcmp(text, s->outcome) != 0)
            print_error("cut at %zu: %s\n", cut, s->in);
        assert_string_equal(text, s->outcome);
    }
    decode(in, 0, 1, text);
    assert_string_equal(text, s->outcome);
}

static void expect_all(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect(&samples[i]);
}

#define EXPECT_ALL(samples) expect_all((samples), sizeof(samples) / sizeof *(samples))

static void test_cgi(void **state)
{
    static const struct sample samples[] = {
        {"Content-Type: text/plain\r\n\r\nabc", "200 [Content-Type=text/plain] left=3"},
        {"Content-Type: text/plain\n\nabc", "200 [Content-Type=text/plain] left=3"},
        {"Content-Type:text/plain\n\r\n", "200 [Content-Type=text/plain]"},
        {"Status: 404 Not Found\nX-A: \t b \t\n\n", "404 Not Found [X-A=b]"},
        {"X-A: b\nstatus: 404\n\n", "404 [X-A=b]"},
        {"Status: 204\n\n", "204"},
        {"Status: 999 \n\n", "999"},
        {"Content-Length: 3\nContent-Type: a/b\n\nabc",
         "200 length=3 [Content-Length=3] [Content-Type=a/b] left=3"},
        {"Set-Cookie: a\nSet-Cookie: b\n\n", "200 [Set-Cookie=a] [Set-Cookie=b]"},
        {"A: b\nConnection: close\nKeep-Alive: x\n\n", "200 [A=b]"},
        {"A: b\nUpgrade: x\n\n", "200 [A=b]"},
        {"A:\n\n", "200 [A=]"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

/* RFC 3875 section 6.2. */
static void test_redirects(void **state)
{
    static const struct sample samples[] = {
        {"Location: /a?b\n\n", "302 local /a?b [Location=/a?b]"},
        {"Content-Type: a/b\nLocation: /a\n\n", "302 local /a [Content-Type=a/b] [Location=/a]"},
        {"Location: http://h/a\n\n", "302 [Location=http://h/a]"},
        {"Location: //h/a\n\n", "302 [Location=//h/a]"},
        {"Location: /a\nStatus: 303\n\n", "303 [Location=/a]"},
        {"Status: 301\nLocation: http://h/\n\n", "301 [Location=http://h/]"},
        {"Location:\n\n", "ANSWER_HEAD"},
        {"Location: /a\nLocation: /b\n\n", "ANSWER_HEAD"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_raw(void **state)
{
    static const struct sample samples[] = {
        {"HTTP/1.1 200 OK\r\nA: b\r\n\r\nabc", "200 OK raw [A=b] left=3"},
        {"HTTP/1.0 404 Not Found\n\n", "404 Not Found raw"},
        {"HTTP/1.1 204\r\n\r\n", "204 raw"},
        {"HTTP/1.1 200 \r\n\r\n", "200 raw"},
        {"HTTP/1.1 100 Continue\r\n\r\n", "100 Continue raw"},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
         "101 X raw [Upgrade=websocket]"},
        {"HTTP/1.1 200 OK\r\nStatus: 404\r\nLocation: /a\r\n\r\n",
         "200 OK raw [Status=404] [Location=/a]"},
        {"HTTP/1.1 20\r\n\r\n", "ANSWER_STATUS"},
        {"HTTP/1.1 2000\r\n\r\n", "ANSWER_STATUS"},
        {"HTTP/1.1 099 X\r\n\r\n", "ANSWER_STATUS"},
        {"HTTP/1.1 2x0 OK\r\n\r\n", "ANSWER_STATUS"},
        {"HTTP/1.1  200 OK\r\n\r\n", "ANSWER_STATUS"},
        {"HTTP/1.1200 OK\r\n\r\n", "ANSWER_STATUS"},
        {"HTTP/11 200 OK\r\n\r\n", "ANSWER_STATUS"},
        {"HTTP/1.1\r\n\r\n", "ANSWER_STATUS"},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", "ANSWER_STATUS"},
        {"A: b\nHTTP/1.1 200 OK\n\n", "ANSWER_HEAD"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_refused(void **state)
{
    static const struct sample samples[] = {
        {"", "more"},
        {"\n", "ANSWER_HEAD"},
        {"\r\nabc", "ANSWER_HEAD"},
        {"hello\n\n", "ANSWER_HEAD"},
        {"Content-Type: text/plain\n", "more"},
        {"Content-Type: text/plain\n\r", "more"},
        {": b\n\n", "FIELD_NAME"},
        {"A : b\n\n", "FIELD_NAME"},
        {"A: b\n c: d\n\n", "FIELD_NAME"},
        {"A: b\n c\n\n", "ANSWER_HEAD"},
        {"A: b\x01\n\n", "FIELD_VALUE"},
        {"A: b\r\r\n\r\n", "FIELD_VALUE"},
        {"A: b\rC: d\n\n", "FIELD_VALUE"},
        {"Status: 100\n\n", "ANSWER_STATUS"},
        {"Status: 1000\n\n", "ANSWER_STATUS"},
        {"Status: 20\n\n", "ANSWER_STATUS"},
        {"Status: abc\n\n", "ANSWER_STATUS"},
        {"Status: 200OK\n\n", "ANSWER_STATUS"},
        {"Status: 200\nStatus: 200\n\n", "ANSWER_STATUS"},
        {"Content-Length: x\n\n", "ANSWER_LENGTH"},
        {"Content-Length:\n\n", "ANSWER_LENGTH"},
        {"Content-Length: -1\n\n", "ANSWER_LENGTH"},
        {"Content-Length: 1, 1\n\n", "ANSWER_LENGTH"},
        {"Content-Length: 1\nContent-Length: 1\n\n", "ANSWER_LENGTH"},
        {"Content-Length: 1000000000000000000\n\n", "ANSWER_LENGTH"},
        {"Transfer-Encoding: chunked\n\n", "ANSWER_CODING"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "ANSWER_CODING"},
        {"A: 1\nB: 2\nC: 3\nD: 4\n\n", "ANSWER_TOO_LARGE"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

/* A head of just the limit is taken, one that might become longer is not waited for. */
static void test_size(void **state)
{
    char in[200];
    const struct sample fits = {in, "200 [A=x] left=1"}, longer = {in, "ANSWER_TOO_LARGE"};

    (void)state;
    memset(in, ' ', sizeof in);
    memcpy(in, "A: ", 3);
    memcpy(in + 117, "x\n\ny", 5);
    expect(&fits);
    memcpy(in + 117, "xy\n\n", 5);
    expect(&longer);
    memcpy(in + 117, "xyz", 4);
    expect(&longer);
    in[119] = '\0';
    expect(&(struct sample){in, "more"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cgi),  cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_raw),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
