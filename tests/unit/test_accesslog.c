/* Tests of the access log: formats, atoms, escapes, caps, and what happens when nobody reads it.
 *
 * Lines go to a memfd, which is a file to the sink, and are read back after the flush of one turn
 * of the loop. */
#include "http/accesslog.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "http/server.h"

enum { TEXT = 65536, LINE_MOST = 8192 };

/* Everything a line is made of. */
struct world {
    struct loop loop;
    struct log log;
    struct app_options options;
    struct server server;
    struct ends ends;
    struct field fields[8];
    struct field answered[2];
    struct head head;
    struct exchange x;
    int file;  /* of the access log */
    int error; /* of the error log */
    char text[TEXT];
};

static struct field field(const char *name, const char *value)
{
    struct slice n = slice_text(name);
    return (struct field){n, slice_text(value), header_lookup(n)};
}

static void fill_request(struct world *w)
{
    struct request *r = &w->x.request;
    *r = (struct request){
        .method = SLICE("GET"),
        .target = SLICE("/a%20b?x=1&y=2"),
        .scheme = SLICE("http"),
        .authority = SLICE("example.com:8000"),
        .path = SLICE("/a%20b"),
        .query = SLICE("x=1&y=2"),
        .major = 1,
        .minor = 1,
        .fields = w->fields,
        .count = 4,
    };
    w->fields[0] = field("Host", "example.com:8000");
    w->fields[1] = field("Referer", "http://example.com/start");
    w->fields[2] = field("User-Agent", "curl/8.0");
    w->fields[3] = field("X-Forwarded-For", "203.0.113.9");
}

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->file = memfd_create("access", 0);
    w->error = memfd_create("error", 0);
    assert_int_equal(loop_init(&w->loop), 0);
    log_open(&w->log, w->error, LOG_INFO, LOG_PLAIN);
    w->server.loop = &w->loop;
    w->server.log = &w->log;
    w->server.options = &w->options;
    assert_int_equal(address_inet(&w->ends.peer, "192.0.2.17", 40000), 0);
    fill_request(w);
    w->answered[0] = field("Content-Type", "text/html");
    w->answered[1] = field("X-Answer", "42");
    w->head = (struct head){.status = 200, .fields = w->answered, .count = 2};
    w->x.server = &w->server;
    w->x.ends = &w->ends;
    w->x.id = 0x1234abcd;
    w->x.status = 200;
    w->x.sent = 1234;
    w->x.logged = &w->head;
    w->x.times = (struct times){.begun = 1000000000,
                                .complete = 1000250000,
                                .called = 1000300000,
                                .returned = 3000300000,
                                .ended = 3001234567};
    w->loop.clock.wall = 971211336;
    *state = w;
    return 0;
}

static int end_world(void **state)
{
    struct world *w = *state;
    log_close(&w->log);
    loop_free(&w->loop);
    close(w->file);
    close(w->error);
    free(w);
    return 0;
}

static char *read_all(struct world *w, int fd)
{
    ssize_t n = pread(fd, w->text, TEXT - 1, 0);
    assert_true(n >= 0);
    w->text[n] = '\0';
    return w->text;
}

/* The lines of `count` exchanges, all like w->x. */
static char *lines_of(struct world *w, const char *format, unsigned count)
{
    char why[256] = "";
    struct access_log *a = access_log_open(w->file, format, why, sizeof why);
    if (!a)
        fail_msg("%s", why);
    assert_int_equal(ftruncate(w->file, 0), 0);
    assert_int_equal(lseek(w->file, 0, SEEK_SET), 0);
    for (unsigned i = 0; i < count; i++)
        access_log_put(a, &w->loop, &w->x);
    access_log_close(a);
    return read_all(w, w->file);
}

static char *line_of(struct world *w, const char *format)
{
    char *text = lines_of(w, format, 1);
    char *newline = strchr(text, '\n');
    assert_non_null(newline);
    assert_string_equal(newline, "\n");
    *newline = '\0';
    return text;
}

static void test_combined(void **state)
{
    struct world *w = *state;
    assert_string_equal(
        line_of(w, "combined"),
        "192.0.2.17 - - [10/Oct/2000:13:55:36 -0700] \"GET /a%20b?x=1&y=2 HTTP/1.1\" "
        "200 1234 \"http://example.com/start\" \"curl/8.0\"");
}

static const char *const atoms[][2] = {
    {"%(h)s", "192.0.2.17"},
    {"%(l)s", "-"},
    {"%(u)s", "-"},
    {"%(t)s", "[10/Oct/2000:13:55:36 -0700]"},
    {"%(r)s", "GET /a%20b?x=1&y=2 HTTP/1.1"},
    {"%(m)s", "GET"},
    {"%(U)s", "/a%20b"},
    {"%(q)s", "x=1&y=2"},
    {"%(H)s", "HTTP/1.1"},
    {"%(s)s", "200"},
    {"%(B)s", "1234"},
    {"%(b)s", "1234"},
    {"%(f)s", "http://example.com/start"},
    {"%(a)s", "curl/8.0"},
    {"%(T)s", "2"},
    {"%(M)s", "2001"},
    {"%(D)s", "2001234"},
    {"%(L)s", "2.001234"},
    {"%(read)s", "250"},
    {"%(queue)s", "50"},
    {"%(app)s", "2000000"},
    {"%(send)s", "934"},
    {"%(id)s", "000000001234abcd"},
    {"%(S)s", "http"},
    {"%(host)s", "example.com:8000"},
    {"%(time)s", "2000-10-10T20:55:36Z"},
    {"%({X-Forwarded-For}i)s", "203.0.113.9"},
    {"%({x-forwarded-for}i)s", "203.0.113.9"},
    {"%({Not-There}i)s", "-"},
    {"%({x-answer}o)s", "42"},
    {"%({Not-There}o)s", "-"},
    {"%({PENSTOCK_TEST_VARIABLE}e)s", "of the environment"},
    {"%({PENSTOCK_TEST_NOTHING}e)s", "-"},
    {"100%%, %%(h)s", "100%, %(h)s"},
    {"%(m)s%(m)s", "GETGET"},
    {"<%(s)s> %(m)s.", "<200> GET."},
    {"only text", "only text"},
};

static void test_atoms(void **state)
{
    setenv("PENSTOCK_TEST_VARIABLE", "of the environment", 1);
    for (size_t i = 0; i < sizeof atoms / sizeof *atoms; i++)
        assert_string_equal(line_of(*state, atoms[i][0]), atoms[i][1]);
}

static void test_pid(void **state)
{
    char expected[32];
    snprintf(expected, sizeof expected, "<%d> %d", (int)getpid(), (int)getpid());
    assert_string_equal(line_of(*state, "%(p)s %(pid)s"), expected);
}

/* The environment is that of the moment when the log was opened, not a pointer into what changes
 * later. */
static void test_environment_is_copied(void **state)
{
    struct world *w = *state;
    char why[128];
    setenv("PENSTOCK_TEST_VARIABLE", "before", 1);
    struct access_log *a =
        access_log_open(w->file, "%({PENSTOCK_TEST_VARIABLE}e)s", why, sizeof why);
    setenv("PENSTOCK_TEST_VARIABLE", "afterwards, and longer", 1);
    access_log_put(a, &w->loop, &w->x);
    access_log_close(a);
    assert_string_equal(read_all(w, w->file), "before\n");
}

static void test_what_does_not_exist(void **state)
{
    struct world *w = *state;
    w->x.request.query = slice_of(NULL, 0);
    w->x.request.path = slice_of(NULL, 0);
    w->x.request.count = 0;
    w->x.status = 0;
    w->x.sent = 0;
    w->x.logged = NULL;
    w->x.times = (struct times){.begun = 1000000000, .ended = 1000001000};
    assert_string_equal(line_of(w, "%(U)s?%(q)s %(s)s %(b)s %(B)s %(f)s %(a)s %({x}o)s"),
                        "-? - - 0 - - -");
    assert_string_equal(line_of(w, "%(read)s %(queue)s %(app)s %(send)s %(D)s"), "- - - - 1");
}

static void test_peers(void **state)
{
    struct world *w = *state;
    address_inet(&w->ends.peer, "255.10.0.1", 1);
    assert_string_equal(line_of(w, "%(h)s"), "255.10.0.1");
    address_inet(&w->ends.peer, "2001:db8::1", 1);
    assert_string_equal(line_of(w, "%(h)s"), "2001:db8::1");
    address_inet(&w->ends.peer, "::ffff:198.51.100.7", 1);
    assert_string_equal(line_of(w, "%(h)s"), "198.51.100.7");
    address_unix(&w->ends.peer, "/run/x.sock");
    assert_string_equal(line_of(w, "%(h)s"), "-");
}

static const char *secret_names[] = {"authorization", "Cookie", "set-cookie", "user-agent"};

static const char *const redacted[][2] = {
    {"%({Cookie}i)s", "[redacted]"}, {"%({cookie}i)s", "[redacted]"},
    {"%({COOKIE}i)s", "[redacted]"}, {"%({Set-Cookie}o)s", "[redacted]"},
    {"%({Authorization}i)s", "-"}, /* there is none */
    {"%({X-Answer}o)s", "42"},       {"%({Referer}i)s", "http://example.com/start?token=secret"},
    {"%(a)s", "[redacted]"},
};

static void fill_secrets(struct world *w)
{
    w->fields[1] = field("Referer", "http://example.com/start?token=secret");
    w->fields[3] = field("cOOKIE", "session=secret");
    w->answered[0] = field("SET-Cookie", "session=secret");
}

/* Whatever case the option, the client and the format write a name in. */
static void test_fields_are_redacted(void **state)
{
    struct world *w = *state;
    fill_secrets(w);
    w->options.redact = (struct text_list){secret_names, 4};
    for (size_t i = 0; i < sizeof redacted / sizeof *redacted; i++)
        assert_string_equal(line_of(w, redacted[i][0]), redacted[i][1]);
    json_t *o = json_loads(line_of(w, "json"), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(o, "user_agent")), "[redacted]");
    json_decref(o);
}

static const char *const without_query[][2] = {
    {"%(r)s", "GET /a%20b HTTP/1.1"},      {"%(U)s?%(q)s|", "/a%20b?|"},
    {"%(f)s", "http://example.com/start"}, {"%({Referer}i)s", "http://example.com/start"},
    {"%({Location}o)s", "/next"},          {"%({Cookie}i)s", "session=secret"},
};

static void test_queries_are_redacted(void **state)
{
    struct world *w = *state;
    fill_secrets(w);
    w->answered[1] = field("Location", "/next#token=secret");
    w->options.redact_query = true;
    for (size_t i = 0; i < sizeof without_query / sizeof *without_query; i++)
        assert_string_equal(line_of(w, without_query[i][0]), without_query[i][1]);
    assert_null(strstr(line_of(w, "combined"), "secret"));
    json_t *o = json_loads(line_of(w, "json"), 0, NULL);
    assert_true(json_is_null(json_object_get(o, "query")));
    assert_string_equal(json_string_value(json_object_get(o, "referer")),
                        "http://example.com/start");
    json_decref(o);
    w->x.request.target = SLICE("?");
    assert_string_equal(line_of(w, "%(r)s"), "GET  HTTP/1.1");
}

static const char *const users[][2] = {
    {"Basic YWxpY2U6c2VjcmV0", "alice"},
    {"basic YWxpY2U6c2VjcmV0", "alice"},
    {"Basic   YWxpY2U6c2VjcmV0", "alice"},
    {"Basic YWxpY2U6", "alice"},
    {"Basic YTo=", "a"},
    {"Basic OnNlY3JldA==", "-"}, /* ":secret" */
    {"Basic c2VjcmV0", "-"},     /* "secret": no colon */
    {"Basic YWxp Y2U6c2VjcmV0", "-"},
    {"Basic ", "-"},
    {"Basic", "-"},
    {"Bearer YWxpY2U6c2VjcmV0", "-"},
    {"Basic IgpcOnNlY3JldA==", "\\x22\\x0A\\x5C"}, /* quote, newline, backslash */
};

static void test_users(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        w->fields[3] = field("Authorization", users[i][0]);
        assert_string_equal(line_of(w, "%(u)s"), users[i][1]);
    }
}

/* A password never reaches the log, however long it is. */
static void test_long_user(void **state)
{
    struct world *w = *state;
    char value[2048] = "Basic ";
    memset(value + 6, 'Y', 1500);
    w->fields[3] = field("Authorization", value);
    assert_string_equal(line_of(w, "%(u)s"), "-");
}

static void test_escapes(void **state)
{
    struct world *w = *state;
    w->fields[2] = field("User-Agent", "a\"b\\c\x1b[31m\x7f\xc3\xa9\t");
    assert_string_equal(line_of(w, "\"%(a)s\""), "\"a\\x22b\\x5Cc\\x1B[31m\\x7F\\xC3\\xA9\\x09\"");
}

static void test_long_values_are_cut(void **state)
{
    struct world *w = *state;
    static char long_value[20000];
    memset(long_value, 'x', sizeof long_value - 1);
    w->fields[2] = field("User-Agent", long_value);
    char *line = line_of(w, "%(a)s|");
    assert_int_equal(strlen(line), 2048 + 1);
    assert_string_equal(line + 2045, "...|");
    memset(long_value, '\x01', 2000);
    long_value[2000] = '\0';
    w->fields[2] = field("User-Agent", long_value);
    line = line_of(w, "%(a)s|");
    assert_true(strlen(line) <= 2048 + 1);
    assert_string_equal(line + strlen(line) - 8, "\\x01...|");
}

static void test_exact_fit_is_not_cut(void **state)
{
    struct world *w = *state;
    char value[2049];
    memset(value, 'x', 2048);
    value[2048] = '\0';
    w->fields[2] = field("User-Agent", value);
    assert_string_equal(line_of(w, "%(a)s"), value);
}

static void test_long_lines_are_cut(void **state)
{
    struct world *w = *state;
    static char long_value[3000];
    memset(long_value, 'x', sizeof long_value - 1);
    w->fields[2] = field("User-Agent", long_value);
    char *line = line_of(w, "%(a)s%(a)s%(a)s%(a)s%(a)s%(D)s end");
    size_t len = strlen(line);
    assert_true(len < LINE_MOST && len > LINE_MOST - 32);
    assert_string_equal(line + len - 3, "...");
}

/* Parses strictly: jansson refuses what is not UTF-8, duplicate keys and anything behind the
 * object. */
static json_t *parse(const char *line)
{
    json_error_t error;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        fail_msg("%s at %d in %s", error.text, error.position, line);
    return object;
}

static void test_json(void **state)
{
    json_t *o = parse(line_of(*state, "json"));
    char expected[1024];
    snprintf(
        expected, sizeof expected,
        "{\"time\":\"2000-10-10T20:55:36Z\",\"id\":\"000000001234abcd\",\"peer\":\"192.0.2.17\","
        "\"proxy\":null,"
        "\"user\":null,\"scheme\":\"http\",\"host\":\"example.com:8000\",\"method\":\"GET\","
        "\"path\":\"/a%%20b\",\"query\":\"x=1&y=2\",\"protocol\":\"HTTP/1.1\",\"status\":200,"
        "\"bytes\":1234,\"referer\":\"http://example.com/start\",\"user_agent\":\"curl/8.0\","
        "\"duration_us\":2001234,\"read_us\":250,\"queue_us\":50,\"gil_us\":0,\"app_us\":2000000,"
        "\"send_us\":934,\"pid\":%d}",
        (int)getpid());
    json_t *e = parse(expected);
    assert_true(json_equal(o, e));
    json_decref(o);
    json_decref(e);
}

static const char *const strings[][2] = {
    {"plain", "plain"},
    {"\"\\", "\"\\"},
    {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"caf\xe9!", "caf\xc3\xa9!"},                             /* a byte that is no UTF-8 */
    {"\xc0\xaf", "\xc3\x80\xc2\xaf"},                         /* overlong */
    {"\xe0\x80\xaf", "\xc3\xa0\xc2\x80\xc2\xaf"},             /* overlong */
    {"\xed\xa0\x80", "\xc3\xad\xc2\xa0\xc2\x80"},             /* surrogate */
    {"\xf4\x90\x80\x80", "\xc3\xb4\xc2\x90\xc2\x80\xc2\x80"}, /* past U+10FFFF */
    {"\xf5\x80", "\xc3\xb5\xc2\x80"},
    {"\xe2\x82", "\xc3\xa2\xc2\x82"},         /* cut short */
    {"\xc2\x9b[31m", "\xc3\x82\xc2\x9b[31m"}, /* a control character of U+0080 to U+009F */
    {"\x01\x1f\x7f\t", "\x01\x1f\x7f\t"},
};

static void test_json_strings(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        w->fields[2] = field("User-Agent", strings[i][0]);
        char *line = line_of(w, "json");
        for (const char *c = line; *c; c++)
            assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
        json_t *o = parse(line);
        assert_string_equal(json_string_value(json_object_get(o, "user_agent")), strings[i][1]);
        json_decref(o);
    }
}

/* A value of random bytes without NUL, which no field can hold. */
static void randomise(char *out, size_t len, unsigned *seed)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(1 + rand_r(seed) % 255);
    out[len] = '\0';
}

static void test_json_is_valid_whatever_comes(void **state)
{
    struct world *w = *state;
    static char bytes[6][9000];
    unsigned seed = 4711;
    for (unsigned round = 0; round < 200; round++) {
        for (size_t i = 0; i < 6; i++)
            randomise(bytes[i], (size_t)rand_r(&seed) % (round % 2 ? 8999 : 40), &seed);
        w->x.request.method = slice_text(bytes[0]);
        w->x.request.path = slice_text(bytes[1]);
        w->x.request.query = slice_text(bytes[2]);
        w->x.request.authority = slice_text(bytes[3]);
        w->fields[1] = field("Referer", bytes[4]);
        w->fields[2] = field("User-Agent", bytes[5]);
        w->fields[3] =
            field("Authorization", "Basic AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBATo=");
        char *line = line_of(w, "json");
        assert_true(strlen(line) < LINE_MOST);
        json_decref(parse(line));
    }
}

static const char *const bad_formats[][2] = {
    {"%(Q)s", "\"%(Q)s\"; did you mean \"%(q)s\"?"},
    {"%(status)s", "unknown atom \"%(status)s\""},
    {"%()s", "unknown atom"},
    {"x %h", "is expected at \"%h\""},
    {"%", "is expected at"},
    {"%(h)", "is expected at"},
    {"%(h)d", "is expected at"},
    {"%(h", "is expected at"},
    {"%({}i)s", "unknown atom"},
    {"%({x}z)s", "unknown atom \"%({x}z)s\""},
    {"%({x)s", "unknown atom"},
    {"%({)s", "unknown atom"},
};

static void test_bad_formats(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < sizeof bad_formats / sizeof *bad_formats; i++) {
        char why[256] = "";
        assert_null(access_log_open(w->file, bad_formats[i][0], why, sizeof why));
        if (!strstr(why, bad_formats[i][1]))
            fail_msg("for %s: %s", bad_formats[i][0], why);
    }
}

static void test_formats_have_a_cap(void **state)
{
    struct world *w = *state;
    char why[256], format[129 * 5 + 1] = "";
    for (unsigned i = 0; i < 129; i++)
        memcpy(format + (size_t)i * 5, "%(m)s", 6);
    assert_null(access_log_open(w->file, format, why, sizeof why));
    assert_non_null(strstr(why, "too many atoms"));
    static char long_format[5000];
    memset(long_format, 'x', sizeof long_format - 1);
    assert_null(access_log_open(w->file, long_format, why, sizeof why));
    assert_non_null(strstr(why, "too long"));
}

static void test_wants_head(void **state)
{
    struct world *w = *state;
    char why[128];
    struct access_log *a = access_log_open(w->file, "combined", why, sizeof why);
    assert_false(access_log_wants_head(a));
    access_log_close(a);
    a = access_log_open(w->file, "%({Content-Type}o)s", why, sizeof why);
    assert_true(access_log_wants_head(a));
    access_log_close(a);
}

static void test_stamps_follow_the_clock(void **state)
{
    struct world *w = *state;
    char why[128];
    struct access_log *a = access_log_open(w->file, "%(t)s %(time)s", why, sizeof why);
    access_log_put(a, &w->loop, &w->x);
    w->loop.clock.wall += 86400L * 90;
    access_log_put(a, &w->loop, &w->x);
    access_log_close(a);
    assert_string_equal(read_all(w, w->file),
                        "[10/Oct/2000:13:55:36 -0700] 2000-10-10T20:55:36Z\n"
                        "[08/Jan/2001:13:55:36 -0700] 2001-01-08T20:55:36Z\n");
}

static void test_east_of_greenwich(void **state)
{
    setenv("TZ", "IST-5:30", 1);
    assert_string_equal(line_of(*state, "%(t)s"), "[11/Oct/2000:02:25:36 +0530]");
    setenv("TZ", "PDT7", 1);
}

/* Nothing is written before the end of the batch, then all of it at once. */
static void test_flush_at_the_end_of_the_batch(void **state)
{
    struct world *w = *state;
    char why[128];
    struct access_log *a = access_log_open(w->file, "%(m)s", why, sizeof why);
    access_log_put(a, &w->loop, &w->x);
    access_log_put(a, &w->loop, &w->x);
    assert_string_equal(read_all(w, w->file), "");
    loop_turn(&w->loop, 0);
    assert_string_equal(read_all(w, w->file), "GET\nGET\n");
    access_log_close(a);
}

static void test_move(void **state)
{
    struct world *w = *state;
    char why[128];
    int other = memfd_create("other", 0);
    struct access_log *a = access_log_open(w->file, "%(m)s", why, sizeof why);
    access_log_put(a, &w->loop, &w->x);
    access_log_move(a, other);
    access_log_put(a, &w->loop, &w->x);
    loop_turn(&w->loop, 0);
    assert_string_equal(read_all(w, w->file), "GET\n");
    assert_string_equal(read_all(w, other), "GET\n");
    access_log_close(a);
    close(other);
}

static size_t drain(int fd)
{
    char bytes[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        total += (size_t)n;
    assert_true(n < 0 && errno == EAGAIN);
    return total;
}

/* A reader that falls asleep costs lines, never time; awake again, it gets what waited, without new
 * requests. */
static void test_a_reader_that_stalls(void **state)
{
    struct world *w = *state;
    char why[128];
    int ends[2];
    uint64_t put = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    struct access_log *a = access_log_open(ends[1], "%(m)s %(a)s", why, sizeof why);
    size_t len = strlen("GET curl/8.0\n");
    while (access_log_lost(a) < 100) {
        access_log_put(a, &w->loop, &w->x);
        put++;
        if (put % 1000 == 0)
            loop_turn(&w->loop, 0);
    }
    size_t got = 0, expected = len * (put - access_log_lost(a));
    for (int turns = 0; got < expected && turns < 1000; turns++) {
        got += drain(ends[0]);
        loop_turn(&w->loop, 10);
    }
    assert_int_equal(got, expected);
    assert_non_null(strstr(read_all(w, w->error), "access log lines were lost"));
    access_log_close(a);
    close(ends[0]);
    close(ends[1]);
}

static void test_a_full_disk(void **state)
{
    struct world *w = *state;
    char why[128];
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct access_log *a = access_log_open(full, "combined", why, sizeof why);
    for (unsigned i = 0; i < 10; i++) {
        access_log_put(a, &w->loop, &w->x);
        loop_turn(&w->loop, 0);
    }
    assert_int_equal(access_log_lost(a), 10);
    access_log_close(a);
    close(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
        TEST(test_combined),
        TEST(test_atoms),
        TEST(test_pid),
        TEST(test_environment_is_copied),
        TEST(test_what_does_not_exist),
        TEST(test_peers),
        TEST(test_fields_are_redacted),
        TEST(test_queries_are_redacted),
        TEST(test_users),
        TEST(test_long_user),
        TEST(test_escapes),
        TEST(test_long_values_are_cut),
        TEST(test_exact_fit_is_not_cut),
        TEST(test_long_lines_are_cut),
        TEST(test_json),
        TEST(test_json_strings),
        TEST(test_json_is_valid_whatever_comes),
        TEST(test_bad_formats),
        TEST(test_formats_have_a_cap),
        TEST(test_wants_head),
        TEST(test_stamps_follow_the_clock),
        TEST(test_east_of_greenwich),
        TEST(test_flush_at_the_end_of_the_batch),
        TEST(test_move),
        TEST(test_a_reader_that_stalls),
        TEST(test_a_full_disk),
#undef TEST
    };
    setenv("TZ", "PDT7", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
