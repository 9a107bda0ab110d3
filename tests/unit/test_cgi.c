/* Tests of src/proto/cgi.c: what variables say of a request.
 *
 * Variables are written as "NAME=value" lines and a request as one line of text, so that a case is
 * two strings. A case gives only what it is about; the rest is a usual request's. */
#include "proto/cgi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/errors.h"

enum { ROOM = 40, TEXT = 4096, FIELDS = 4 };

static const struct cgi_options usual = {.target = 100, .fields = FIELDS};

/* What every case has unless it says otherwise. */
#define USUAL "REQUEST_METHOD=GET\nREQUEST_URI=/\nSERVER_PROTOCOL=HTTP/1.1\n"

struct outcome {
    char text[TEXT];
    size_t len;
};

static void add(struct outcome *o, const char *label, struct slice s)
{
    o->len += (size_t)snprintf(o->text + o->len, TEXT - o->len, "%s%.*s", label, (int)s.len,
                               s.ptr ? s.ptr : "");
    assert_true(o->len < TEXT);
}

static void add_some(struct outcome *o, const char *label, struct slice s)
{
    if (s.len)
        add(o, label, s);
}

static void add_number(struct outcome *o, const char *label, long long n)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%lld", n);
    add(o, label, slice_text(digits));
}

/* "GET /target http host path?query 1.1 script|info" and what else there is. */
static void describe(struct outcome *o, const struct cgi_request *r)
{
    add(o, "", r->method);
    add(o, " ", r->target);
    add(o, " ", r->scheme);
    add(o, "://", r->authority);
    add(o, "", r->path);
    add(o, r->query.ptr ? "?" : "", r->query);
    add_number(o, " ", r->major);
    add_number(o, ".", r->minor);
    add(o, r->path_given ? " given " : " ", r->script);
    add(o, "|", r->path_info);
    if (r->length >= 0)
        add_number(o, " length=", r->length);
    add_some(o, " from ", r->remote_addr);
    if (r->remote_port)
        add_number(o, " port ", r->remote_port);
    add_some(o, " user ", r->remote_user);
    add_some(o, " at ", r->server_name);
    add_some(o, ":", r->server_port);
    for (unsigned i = 0; i < r->count; i++) {
        assert_int_equal(r->fields[i].id, header_lookup(r->fields[i].name));
        add(o, " [", r->fields[i].name);
        add(o, "=", r->fields[i].value);
        add(o, "]", SLICE(""));
    }
    for (unsigned i = 0; i < r->others.count; i++) {
        add(o, " ", r->others.list[i].name);
        add(o, "=", r->others.list[i].value);
    }
    add_some(o, " withheld ", r->withheld);
}

/* Adds the variables of "NAME=value\n" lines. */
static void read_lines(struct vars *vars, const char *lines)
{
    while (*lines) {
        const char *equals = strchr(lines, '='), *end = strchr(lines, '\n');

        assert_int_equal(vars_add(vars, slice_of(lines, (size_t)(equals - lines)),
                                  slice_of(equals + 1, (size_t)(end - equals - 1))),
                         0);
        lines = end + 1;
    }
}

static void expect_with(const struct cgi_options *options, const char *before, const char *lines,
                        const char *expected)
{
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    struct cgi_request r;
    struct outcome o = {0};
    struct arena arena;
    int err;

    arena_init(&arena, 1 << 16, NULL, 0);
    read_lines(&vars, before);
    read_lines(&vars, lines);
    err = cgi_read_request(&vars, options, &arena, &r);
    if (err)
        add(&o, "", slice_text(err_name(err)));
    else
        describe(&o, &r);
    if (strcmp(o.text, expected) != 0)
        print_error("for:\n%s", lines);
    assert_string_equal(o.text, expected);
    arena_free(&arena);
}

struct sample {
    const char *lines, *outcome;
};

static void expect_all(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_with(&usual, USUAL, samples[i].lines, samples[i].outcome);
}

#define EXPECT_ALL(samples) expect_all((samples), sizeof(samples) / sizeof *(samples))

static void test_request_line(void **state)
{
    static const struct sample samples[] = {
        {"", "GET / http:/// 1.1 |/"},
        {"REQUEST_METHOD=POST\n", "POST / http:/// 1.1 |/"},
        {"REQUEST_METHOD=1234567890123456789012345678901234567890123456789012345678901234\n",
         "1234567890123456789012345678901234567890123456789012345678901234 / http:/// 1.1 |/"},
        {"REQUEST_URI=/a%20b/c?d=%zz&e\n",
         "GET /a%20b/c?d=%zz&e http:///a%20b/c?d=%zz&e 1.1 |/a b/c"},
        {"REQUEST_URI=/a?\n", "GET /a? http:///a? 1.1 |/a"},
        {"REQUEST_URI=//a//b\n", "GET //a//b http:////a//b 1.1 |//a//b"},
        {"REQUEST_URI=/a%2Fb\n", "GET /a%2Fb http:///a%2Fb 1.1 |/a/b"},
        {"REQUEST_URI=http://h:8/a?b\n", "GET http://h:8/a?b http://h:8/a?b 1.1 |/a"},
        {"REQUEST_METHOD=OPTIONS\nREQUEST_URI=*\n", "OPTIONS * http:// 1.1 |"},
        {"REQUEST_URI=/a?b\nQUERY_STRING=c\n", "GET /a?b http:///a?c 1.1 |/a"},
        {"REQUEST_URI=/a?b\nQUERY_STRING=\n", "GET /a?b http:///a?b 1.1 |/a"},
        {"REQUEST_URI=/a\nQUERY_STRING=\n", "GET /a http:///a 1.1 |/a"},
        {"SERVER_PROTOCOL=HTTP/1.0\n", "GET / http:/// 1.0 |/"},
        {"SERVER_PROTOCOL=HTTP/2.0\n", "GET / http:/// 2.0 |/"},
        {"SERVER_PROTOCOL=HTTP/3\n", "GET / http:/// 3.0 |/"},
        {"SERVER_PROTOCOL=INCLUDED\n", "GET / http:/// 1.0 |/"},
        {"SERVER_PROTOCOL=\n", "GET / http:/// 1.0 |/"},
        /* refused */
        {"REQUEST_METHOD=\n", "METHOD"},
        {"REQUEST_METHOD=G T\n", "METHOD"},
        {"REQUEST_METHOD=G\rT\n", "METHOD"},
        {"REQUEST_METHOD=CONNECT\n", "CONNECT"},
        {"REQUEST_METHOD=12345678901234567890123456789012345678901234567890123456789012345\n",
         "METHOD_TOO_LONG"},
        {"REQUEST_URI=a\n", "TARGET"},
        {"REQUEST_URI=*\n", "TARGET"},
        {"REQUEST_URI=/a b\n", "TARGET"},
        {"REQUEST_URI=/a\rb\n", "TARGET"},
        {"REQUEST_URI=/%zz\n", "TARGET"},
        {"REQUEST_URI=/a\xc3\xa4\n", "TARGET"},
        {"REQUEST_URI=/a#b\n", "TARGET"},
        {"QUERY_STRING=a b\n", "TARGET"},
        {"QUERY_STRING=a\rb\n", "TARGET"},
        {"REQUEST_URI=/123456789012345678901234567890123456789012345678901234567890123456789012345"
         "67890123456789012345678901\n",
         "LINE_TOO_LONG"},
        {"SERVER_PROTOCOL=HTTP/x\n", "VERSION_BAD"},
        {"SERVER_PROTOCOL=HTTP/1.\n", "VERSION_BAD"},
        {"SERVER_PROTOCOL=HTTP/1,1\n", "VERSION_BAD"},
        {"SERVER_PROTOCOL=HTTP/1.10\n", "VERSION_BAD"},
        {"SERVER_PROTOCOL=SPDY/1\n", "VERSION_BAD"},
    };

    (void)state;
    EXPECT_ALL(samples);
    expect_with(&usual, "", "REQUEST_URI=/\n", "METHOD");
}

static void test_scheme(void **state)
{
    static const struct sample samples[] = {
        {"HTTPS=on\n", "GET / https:/// 1.1 |/"},
        {"HTTPS=1\n", "GET / https:/// 1.1 |/"},
        {"HTTPS=off\n", "GET / http:/// 1.1 |/"},
        {"HTTPS=0\n", "GET / http:/// 1.1 |/"},
        {"HTTPS=\n", "GET / http:/// 1.1 |/"},
        {"REQUEST_SCHEME=https\n", "GET / https:/// 1.1 |/"},
        {"REQUEST_SCHEME=HTTPS\n", "GET / https:/// 1.1 |/"},
        {"REQUEST_SCHEME=http\n", "GET / http:/// 1.1 |/"},
        {"REQUEST_SCHEME=javascript\n", "GET / http:/// 1.1 |/"},
        {"UWSGI_SCHEME=https\n", "GET / https:/// 1.1 |/"},
        {"HTTP_HTTPS=on\n", "GET / http:/// 1.1 |/ [Https=on]"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_hosts(void **state)
{
    static const struct sample samples[] = {
        {"HTTP_HOST=h:8\n", "GET / http://h:8/ 1.1 |/ [Host=h:8]"},
        {"HTTP_HOST=h\nHTTP_HOST=h\n", "GET / http://h/ 1.1 |/ [Host=h]"},
        {"HTTP_HOST=h\nHTTP_HOST=\n", "GET / http://h/ 1.1 |/ [Host=h]"},
        {"HTTP_HOST=h\nREQUEST_URI=http://g/\n", "GET http://g/ http://g/ 1.1 |/ [Host=h]"},
        {"SERVER_NAME=s\n", "GET / http://s/ 1.1 |/ at s"},
        {"SERVER_NAME=s\nSERVER_PORT=80\n", "GET / http://s/ 1.1 |/ at s:80"},
        {"SERVER_NAME=s\nSERVER_PORT=443\n", "GET / http://s:443/ 1.1 |/ at s:443"},
        {"SERVER_NAME=s\nSERVER_PORT=443\nHTTPS=on\n", "GET / https://s/ 1.1 |/ at s:443"},
        {"SERVER_NAME=s\nSERVER_PORT=70000\n", "GET / http://s/ 1.1 |/ at s"},
        {"SERVER_NAME=s\nSERVER_PORT=x\n", "GET / http://s/ 1.1 |/ at s"},
        {"SERVER_NAME=s\nHTTP_HOST=h\n", "GET / http://h/ 1.1 |/ at s [Host=h]"},
        {"SERVER_NAME=~^(www)/$\n", "GET / http:/// 1.1 |/ at ~^(www)/$"},
        {"HTTP_Host=h:8\n", "GET / http://h:8/ 1.1 |/ [Host=h:8]"},
        {"HTTP_Host=h/x\n", "HOST_BAD"},
        {"HTTP_HOST=h\nHTTP_Host=g\n", "HOST_REPEATED"},
        {"HTTP_HOST=h/x\n", "HOST_BAD"},
        {"HTTP_HOST=u@h\n", "HOST_BAD"},
        {"HTTP_HOST=h\nHTTP_HOST=g\n", "HOST_REPEATED"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_paths(void **state)
{
    static const struct sample samples[] = {
        /* as nginx's stock parameters for uwsgi, FastCGI and SCGI tell it */
        {"REQUEST_URI=/a//b%20c?d\nPATH_INFO=/a/b c\n",
         "GET /a//b%20c?d http:///a//b%20c?d 1.1 given |/a/b c"},
        {"REQUEST_URI=/a//b\nSCRIPT_NAME=/a/b\nDOCUMENT_URI=/a/b\n",
         "GET /a//b http:///a//b 1.1 |/a//b DOCUMENT_URI=/a/b"},
        {"REQUEST_URI=/a/b\nSCRIPT_NAME=/a\nPATH_INFO=/b\n",
         "GET /a/b http:///a/b 1.1 given /a|/b"},
        {"REQUEST_URI=/a\nSCRIPT_NAME=/a\nPATH_INFO=\n", "GET /a http:///a 1.1 given /a|"},
        {"SCRIPT_NAME=\nPATH_INFO=\n", "GET / http:/// 1.1 |/"},
        {"SCRIPT_NAME=/\nPATH_INFO=/b\n", "GET / http:/// 1.1 given |/b"},
        {"SCRIPT_NAME=/a//\nPATH_INFO=/b\n", "GET / http:/// 1.1 given /a|/b"},
        /* without REQUEST_URI, which is no variable of RFC 3875 */
        {"REQUEST_URI=\nSCRIPT_NAME=/a b\nPATH_INFO=/\xc3\xa4%?\nQUERY_STRING=c=d\n",
         "GET /a%20b/%C3%A4%25%3F?c=d http:///a%20b/%C3%A4%25%3F?c=d 1.1 given /a b|/\xc3\xa4%?"},
        {"REQUEST_URI=\n", "GET / http:/// 1.1 |/"},
        {"REQUEST_URI=\nSCRIPT_NAME=/a\n", "GET /a http:///a 1.1 |/a"},
        {"SCRIPT_NAME=a\nPATH_INFO=/b\n", "SCRIPT_PATH"},
        {"SCRIPT_NAME=/a\nPATH_INFO=b\n", "SCRIPT_PATH"},
        {"REQUEST_URI=\nPATH_INFO=b\n", "TARGET"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_mount(void **state)
{
    const struct cgi_options mounted = {.target = 100, .fields = FIELDS, .mount = SLICE("/shop")};

    (void)state;
    expect_with(&mounted, USUAL, "REQUEST_URI=/shop/a\n",
                "GET /shop/a http:///shop/a 1.1 /shop|/a");
    expect_with(&mounted, USUAL, "REQUEST_URI=/shop\n", "GET /shop http:///shop 1.1 /shop|");
    expect_with(&mounted, USUAL, "REQUEST_URI=/sh%6fp/a\n",
                "GET /sh%6fp/a http:///sh%6fp/a 1.1 /shop|/a");
    expect_with(&mounted, USUAL, "REQUEST_URI=/shopping\n",
                "GET /shopping http:///shopping 1.1 |/shopping");
    expect_with(&mounted, USUAL, "REQUEST_URI=/shop/a\nSCRIPT_NAME=/x\nPATH_INFO=/y\n",
                "GET /shop/a http:///shop/a 1.1 given /x|/y");
}

/* uwsgi's modifier 30. */
static void test_whole_path(void **state)
{
    const struct cgi_options whole = {.target = 100, .fields = FIELDS, .whole_path = true};

    (void)state;
    expect_with(&whole, USUAL, "SCRIPT_NAME=/a\nPATH_INFO=/a/b\n",
                "GET / http:/// 1.1 given /a|/b");
    expect_with(&whole, USUAL, "SCRIPT_NAME=/a\nPATH_INFO=/a\n", "GET / http:/// 1.1 given /a|");
    expect_with(&whole, USUAL, "SCRIPT_NAME=/a\nPATH_INFO=/ab\n",
                "GET / http:/// 1.1 given /a|/ab");
    expect_with(&whole, USUAL, "PATH_INFO=/a/b\n", "GET / http:/// 1.1 given |/a/b");
}

static void test_content(void **state)
{
    static const struct sample samples[] = {
        {"CONTENT_LENGTH=\nCONTENT_TYPE=\n", "GET / http:/// 1.1 |/"},
        {"CONTENT_LENGTH=0\n", "GET / http:/// 1.1 |/ length=0 [Content-Length=0]"},
        {"CONTENT_LENGTH=12\nCONTENT_TYPE=a/b\n",
         "GET / http:/// 1.1 |/ length=12 [Content-Type=a/b] [Content-Length=12]"},
        {"CONTENT_LENGTH=12\nCONTENT_LENGTH=12\n",
         "GET / http:/// 1.1 |/ length=12 [Content-Length=12]"},
        {"CONTENT_LENGTH=12\nCONTENT_LENGTH=\n",
         "GET / http:/// 1.1 |/ length=12 [Content-Length=12]"},
        {"CONTENT_LENGTH=12\nHTTP_CONTENT_LENGTH=13\nHTTP_CONTENT_TYPE=c/d\n",
         "GET / http:/// 1.1 |/ length=12 [Content-Length=12]"},
        {"CONTENT_LENGTH=999999999999999999\n",
         "GET / http:/// 1.1 |/ length=999999999999999999 [Content-Length=999999999999999999]"},
        {"CONTENT_LENGTH=12\nCONTENT_LENGTH=13\n", "LENGTH_REPEATED"},
        {"CONTENT_LENGTH=1000000000000000000\n", "LENGTH_BAD"},
        {"CONTENT_LENGTH=-1\n", "LENGTH_BAD"},
        {"CONTENT_LENGTH=+1\n", "LENGTH_BAD"},
        {"CONTENT_LENGTH= 1\n", "LENGTH_BAD"},
        {"CONTENT_LENGTH=1x\n", "LENGTH_BAD"},
        {"CONTENT_TYPE=a\rb\n", "FIELD_VALUE"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_fields(void **state)
{
    static const struct sample samples[] = {
        {"HTTP_ACCEPT_LANGUAGE=de\n", "GET / http:/// 1.1 |/ [Accept-Language=de]"},
        {"HTTP_X_MY_FIELD=a\n", "GET / http:/// 1.1 |/ [X-My-Field=a]"},
        {"HTTP_X_A=\n", "GET / http:/// 1.1 |/ [X-A=]"},
        {"HTTP_COOKIE=a\nHTTP_COOKIE=b\n", "GET / http:/// 1.1 |/ [Cookie=a] [Cookie=b]"},
        {"HTTP_X_A=1\nHTTP_X_A=2\nHTTP_X_B=3\nHTTP_X_C=4\n",
         "GET / http:/// 1.1 |/ [X-A=1] [X-A=2] [X-B=3] [X-C=4]"},
        {"HTTP_PROXY=http://evil/\n", "GET / http:/// 1.1 |/"},
        {"HTTP_TRANSFER_ENCODING=chunked\n", "GET / http:/// 1.1 |/"},
        {"HTTP_X_A=1\nHTTP_X_A=2\nHTTP_X_B=3\nHTTP_X_C=4\nHTTP_X_D=5\n", "TOO_MANY_FIELDS"},
        {"HTTP_X_A=1\nHTTP_X_A=2\nHTTP_X_B=3\nHTTP_X_C=4\nHTTP_HOST=h\n", "TOO_MANY_FIELDS"},
        {"HTTP_X_A=a\rb\n", "FIELD_VALUE"},
        {"HTTP_X A=a\n", "FIELD_NAME"},
        {"HTTP_=a\n", "FIELD_NAME"},
        {"HTTP_X:A=a\n", "FIELD_NAME"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_who(void **state)
{
    static const struct sample samples[] = {
        {"REMOTE_ADDR=192.0.2.1\nREMOTE_PORT=1234\nREMOTE_USER=joe\n",
         "GET / http:/// 1.1 |/ from 192.0.2.1 port 1234 user joe"},
        {"REMOTE_ADDR=2001:db8::1\n", "GET / http:/// 1.1 |/ from 2001:db8::1"},
        {"REMOTE_ADDR=unix:\nREMOTE_PORT=\nREMOTE_USER=\n", "GET / http:/// 1.1 |/"},
        {"REMOTE_ADDR=192.0.2.1, 10.0.0.1\n", "GET / http:/// 1.1 |/"},
        {"REMOTE_PORT=65536\n", "GET / http:/// 1.1 |/"},
        {"REMOTE_PORT=123456\n", "GET / http:/// 1.1 |/"},
        {"REMOTE_PORT=12x\n", "GET / http:/// 1.1 |/"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

static void test_others(void **state)
{
    static const struct sample samples[] = {
        {"SSL_CLIENT_VERIFY=NONE\nmy_var=a\rb\n",
         "GET / http:/// 1.1 |/ SSL_CLIENT_VERIFY=NONE my_var=a\rb"},
        {"UWSGI_SCRIPT=evil\n", "GET / http:/// 1.1 |/ withheld UWSGI_SCRIPT"},
        {"UWSGI_FILE=/tmp/evil.py\n", "GET / http:/// 1.1 |/ withheld UWSGI_FILE"},
        {"UWSGI_SETENV=A=b\n", "GET / http:/// 1.1 |/ withheld UWSGI_SETENV"},
        {"UWSGI_ANYTHING=x\n", "GET / http:/// 1.1 |/ withheld UWSGI_ANYTHING"},
        {"wsgi.input=x\n", "GET / http:/// 1.1 |/ withheld wsgi.input"},
        {"wsgi.url_scheme=x\n", "GET / http:/// 1.1 |/ withheld wsgi.url_scheme"},
        {"1X=x\n", "GET / http:/// 1.1 |/ withheld 1X"},
        {"X-Y=x\n", "GET / http:/// 1.1 |/ withheld X-Y"},
    };

    (void)state;
    EXPECT_ALL(samples);
}

/* Whatever the arena refuses is an error, never half a request. */
static void test_no_memory(void **state)
{
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    struct cgi_request r;
    struct arena arena;
    int err = -ERR_MEMORY;

    (void)state;
    read_lines(&vars, "REQUEST_METHOD=GET\nSCRIPT_NAME=/a\nQUERY_STRING=b\nSERVER_NAME=s\n"
                      "SERVER_PORT=81\nHTTP_X_A=b\nOTHER=x\n");
    for (size_t cap = 0; err; cap += 8) {
        arena_init(&arena, cap, NULL, 0);
        err = cgi_read_request(&vars, &usual, &arena, &r);
        assert_true(err == 0 || err == -ERR_MEMORY);
        arena_free(&arena);
        assert_true(cap < 4096);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_line), cmocka_unit_test(test_scheme),
        cmocka_unit_test(test_hosts),        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_mount),        cmocka_unit_test(test_whole_path),
        cmocka_unit_test(test_content),      cmocka_unit_test(test_fields),
        cmocka_unit_test(test_who),          cmocka_unit_test(test_others),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
