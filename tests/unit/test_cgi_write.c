/* Tests of src/proto/cgi_write.c: the variables of a request that is handed on, and that they say
 * the same when they are read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/errors.h"
#include "proto/cgi.h"

enum { ROOM = 40, TEXT = 2048 };

/* What every request says that says nothing else. */
#define ALWAYS                                                                                     \
    "GATEWAY_INTERFACE=CGI/1.1\nREQUEST_METHOD=GET\nSCRIPT_NAME=\nPATH_INFO=\nQUERY_STRING=\n"     \
    "SERVER_PROTOCOL=HTTP/1.1\n"

/* Appends one line for each variable. */
static void write_lines(const struct cgi_request *r, char text[static TEXT])
{
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    struct arena arena;
    int n = 0;

    arena_init(&arena, 1 << 16, NULL, 0);
    assert_int_equal(cgi_write_request(r, &arena, &vars), 0);
    for (unsigned i = 0; i < vars.count; i++)
        n += snprintf(text + n, TEXT - (size_t)n, "%.*s=%.*s\n", (int)list[i].name.len,
                      list[i].name.ptr, (int)list[i].value.len, list[i].value.ptr);
    arena_free(&arena);
}

static void expect(struct cgi_request r, const char *expected)
{
    char text[TEXT] = "";

    r.major = r.major ? r.major : 1;
    r.minor = r.major == 1 ? 1 : 0;
    r.method = r.method.len ? r.method : SLICE("GET");
    write_lines(&r, text);
    assert_string_equal(text, expected);
}

static void test_parts(void **state)
{
    struct var others[] = {{SLICE("SCRIPT_FILENAME"), SLICE("/a.php")}};

    (void)state;
    expect((struct cgi_request){.length = -1}, ALWAYS);
    expect(
        (struct cgi_request){
            .method = SLICE("POST"),
            .target = SLICE("/a%20b/c?d"),
            .scheme = SLICE("https"),
            .query = SLICE("d"),
            .major = 2,
            .length = 12,
            .script = SLICE("/a b"),
            .path_info = SLICE("/c"),
            .remote_addr = SLICE("::1"),
            .remote_port = 65535,
            .remote_user = SLICE("joe"),
            .server_name = SLICE("h"),
            .server_port = SLICE("443"),
            .others = {.list = others, .count = 1},
        },
        "GATEWAY_INTERFACE=CGI/1.1\nREQUEST_METHOD=POST\nREQUEST_URI=/a%20b/c?d\n"
        "SCRIPT_NAME=/a b\nPATH_INFO=/c\nQUERY_STRING=d\nSERVER_PROTOCOL=HTTP/2.0\n"
        "REQUEST_SCHEME=https\nHTTPS=on\nSERVER_NAME=h\nSERVER_PORT=443\nREMOTE_ADDR=::1\n"
        "REMOTE_PORT=65535\nREMOTE_USER=joe\nCONTENT_LENGTH=12\nSCRIPT_FILENAME=/a.php\n");
    expect((struct cgi_request){.length = 0, .scheme = SLICE("http")},
           ALWAYS "REQUEST_SCHEME=http\nCONTENT_LENGTH=0\n");
    expect((struct cgi_request){.length = INT64_MAX},
           ALWAYS "CONTENT_LENGTH=9223372036854775807\n");
}

struct pair {
    const char *name, *value;
};

static void expect_fields(const struct pair *pairs, unsigned count, const char *expected)
{
    struct field fields[10];
    struct cgi_request r = {.length = -1, .fields = fields, .count = count};
    char text[TEXT];

    for (unsigned i = 0; i < count; i++) {
        struct slice name = slice_text(pairs[i].name);

        fields[i] = (struct field){name, slice_text(pairs[i].value), header_lookup(name)};
    }
    snprintf(text, TEXT, ALWAYS "%s", expected);
    expect(r, text);
}

#define EXPECT_FIELDS(expected, ...)                                                               \
    expect_fields((const struct pair[]){__VA_ARGS__},                                              \
                  sizeof((const struct pair[]){__VA_ARGS__}) / sizeof(struct pair), (expected))

static void test_fields(void **state)
{
    (void)state;
    EXPECT_FIELDS("HTTP_HOST=h:8\n", {"Host", "h:8"});
    EXPECT_FIELDS("HTTP_ACCEPT_LANGUAGE=de\nHTTP_X_MY_9=a\n", {"accept-language", "de"},
                  {"x-My-9", "a"});
    EXPECT_FIELDS("CONTENT_TYPE=a/b\n", {"Content-Type", "a/b"});
    EXPECT_FIELDS("HTTP_X_A=\n", {"X-A", ""});
    EXPECT_FIELDS("HTTP_AUTHORIZATION=Basic x\n", {"Authorization", "Basic x"});
    /* repeated */
    EXPECT_FIELDS("HTTP_X_A=1, 2, 3\nHTTP_X_B=4\n", {"X-A", "1"}, {"x-a", "2"}, {"X-B", "4"},
                  {"X-A", "3"});
    EXPECT_FIELDS("HTTP_COOKIE=a; b\n", {"Cookie", "a"}, {"cookie", "b"});
    EXPECT_FIELDS("HTTP_ACCEPT=, a\n", {"Accept", NULL}, {"Accept", "a"});
    EXPECT_FIELDS("HTTP_X_A=1\nHTTP_X_B=2\n", {"X-A", "1"}, {"X-B", "2"});
    /* dropped */
    EXPECT_FIELDS("", {"Proxy", "http://evil/"}, {"Content-Length", "7"},
                  {"Expect", "100-continue"});
    EXPECT_FIELDS("", {"Connection", "close"}, {"Transfer-Encoding", "chunked"}, {"Upgrade", "x"},
                  {"Keep-Alive", "1"}, {"TE", "trailers"});
    EXPECT_FIELDS("HTTP_X_A=1\n", {"X-A", "1"}, {"X_A", "2"}, {"X.A", "3"}, {"X~A", "4"});
    EXPECT_FIELDS("", {"Content_Length", "7"}, {"Content_Type", "x"});
}

/* What is written says the same when it is read. */
static void test_round_trip(void **state)
{
    static const char *const lines[][2] = {
        {"REQUEST_METHOD", "POST"},
        {"REQUEST_URI", "/a%20b/c?d=e"},
        {"SCRIPT_NAME", "/a b"},
        {"PATH_INFO", "/c"},
        {"QUERY_STRING", "d=e"},
        {"SERVER_PROTOCOL", "HTTP/1.0"},
        {"HTTPS", "on"},
        {"HTTP_HOST", "example.org:81"},
        {"SERVER_NAME", "example.org"},
        {"SERVER_PORT", "81"},
        {"REMOTE_ADDR", "192.0.2.1"},
        {"REMOTE_PORT", "1234"},
        {"CONTENT_LENGTH", "3"},
        {"CONTENT_TYPE", "a/b"},
        {"HTTP_X_MY_FIELD", "x"},
        {"SSL_CLIENT_VERIFY", "NONE"},
        {"REMOTE_USER", "joe"},
    };
    const struct cgi_options options = {.target = 100, .fields = 10};
    struct var list[ROOM], again[ROOM];
    struct vars vars = {.list = list, .room = ROOM}, written = {.list = again, .room = ROOM};
    struct cgi_request first, second;
    char before[TEXT], after[TEXT];
    struct arena arena;

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        vars_add(&vars, slice_text(lines[i][0]), slice_text(lines[i][1]));
    arena_init(&arena, 1 << 16, NULL, 0);
    assert_int_equal(cgi_read_request(&vars, &options, &arena, &first), 0);
    assert_int_equal(cgi_write_request(&first, &arena, &written), 0);
    assert_int_equal(cgi_read_request(&written, &options, &arena, &second), 0);
    assert_true(slice_eq(first.authority, second.authority));
    assert_true(slice_eq(first.path, second.path));
    assert_true(slice_eq(first.script, second.script));
    assert_int_equal(second.minor, 0);
    assert_int_equal(first.count, second.count);
    first.others.count = second.others.count = 0; /* GATEWAY_INTERFACE is new among them */
    write_lines(&first, before);
    write_lines(&second, after);
    assert_string_equal(before, after);
    arena_free(&arena);
}

static void test_no_room(void **state)
{
    struct field fields[] = {{SLICE("X-A"), SLICE("b"), HEADER_UNKNOWN},
                             {SLICE("X-A"), SLICE("c"), HEADER_UNKNOWN}};
    const struct cgi_request r = {.major = 1, .remote_port = 8, .fields = fields, .count = 2};
    struct var list[ROOM];
    struct arena arena;
    int err = -ERR_MEMORY;

    (void)state;
    for (size_t cap = 0; err; cap += 8) {
        struct vars vars = {.list = list, .room = ROOM};

        arena_init(&arena, cap, NULL, 0);
        err = cgi_write_request(&r, &arena, &vars);
        assert_true(err == 0 || err == -ERR_MEMORY);
        arena_free(&arena);
        assert_true(cap < 4096);
    }
    for (unsigned room = 0; room < 8; room++) {
        struct vars vars = {.list = list, .room = room};

        arena_init(&arena, 1 << 16, NULL, 0);
        assert_int_equal(cgi_write_request(&r, &arena, &vars), -ERR_TOO_MANY_VARS);
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
