/* Tests src/base/log.c: the two formats, that nothing in a value can leave it, caps, losses, and
 * two threads. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"

/* A log into a pipe whose reader is the test. */
struct rig {
    struct log log;
    int ends[2];
    char text[1 << 19];
};

static int rig_open(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));

    *state = r;
    signal(SIGPIPE, SIG_IGN);
    if (!r || pipe2(r->ends, O_CLOEXEC) < 0 || fcntl(r->ends[1], F_SETPIPE_SZ, 1 << 18) < 0) {
        return -1;
    }
    log_open(&r->log, r->ends[1], LOG_INFO, LOG_PLAIN);
    return 0;
}

static int rig_close(void **state)
{
    struct rig *r = *state;

    log_close(&r->log);
    close(r->ends[0]);
    close(r->ends[1]);
    free(r);
    return 0;
}

/* All that can be read now, NUL-terminated. */
static const char *take_all(struct rig *r)
{
    struct pollfd p = {.fd = r->ends[0], .events = POLLIN};
    size_t len = 0;

    while (len < sizeof(r->text) - 1 && poll(&p, 1, 0) == 1) {
        ssize_t n = read(r->ends[0], r->text + len, sizeof(r->text) - 1 - len);

        assert_true(n > 0);
        len += (size_t)n;
    }
    r->text[len] = '\0';
    return r->text;
}

/* What follows the stamp, which must look like one. */
static const char *after_stamp(const char *line)
{
    int end = 0;

    assert_int_equal(sscanf(line, "%*4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ %n", &end), 0);
    assert_int_equal(end, CLOCK_STAMP_LEN + 1);
    return line + end;
}

static void expect_plain(struct rig *r, const char *rest)
{
    char full[4096];

    snprintf(full, sizeof(full), rest, (int)getpid());
    assert_string_equal(after_stamp(take_all(r)), full);
}

static void an_event_is_a_line(void **state)
{
    struct rig *r = *state;

    log_event(&r->log, LOG_INFO, "started");
    expect_plain(r, "info pid=%d started\n");
    log_who(&r->log, "shop", 3);
    log_event(&r->log, LOG_WARN, "request refused", LOG_STR("reason", "bare LF"),
              LOG_NUM("status", 400));
    expect_plain(r,
                 "warn app=shop worker=3 pid=%d request refused reason=\"bare LF\" status=400\n");
    log_who(&r->log, NULL, -1);
    log_event(&r->log, LOG_CRITICAL, "gone", LOG_NUM("n", INT64_MIN));
    expect_plain(r, "critical pid=%d gone n=-9223372036854775808\n");
}

static void what_the_event_names_takes_the_speakers_place(void **state)
{
    struct rig *r = *state;

    log_who(&r->log, "master", 1);
    log_event(&r->log, LOG_ERROR, "worker died", LOG_STR("app", "shop"), LOG_NUM("worker", 3),
              LOG_NUM("pid", 4711));
    expect_plain(r, "error worker died app=shop worker=3 pid=4711\n");
}

static void lesser_events_are_left_out(void **state)
{
    struct rig *r = *state;

    log_event(&r->log, LOG_DEBUG, "details");
    assert_string_equal(take_all(r), "");
    r->log.level = LOG_DEBUG;
    log_event(&r->log, LOG_DEBUG, "details");
    expect_plain(r, "debug pid=%d details\n");
}

static void the_level_is_coloured_where_asked(void **state)
{
    struct rig *r = *state;

    r->log.colour = true;
    log_event(&r->log, LOG_ERROR, "x");
    expect_plain(r, "\033[31merror\033[0m pid=%d x\n");
}

static void values_are_quoted_when_needed(void **state)
{
    static const struct {
        const char *value;
        const char *written;
    } cases[] = {
        {"plain", "plain"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"/path?a=b", "/path?a=b"},
        {"say \"hi\"", "\"say \\x22hi\\x22\""},
        {"back\\slash", "\"back\\x5Cslash\""},
        {"line\nfeed\r", "\"line\\x0Afeed\\x0D\""},
        {"\033[2J", "\"\\x1B[2J\""},
        {"\x7f", "\"\\x7F\""},
        {"\xc3\xa9", "\"\\xC3\\xA9\""},
        {"a\tb", "\"a\\x09b\""},
    };
    struct rig *r = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char rest[256];

        log_event(&r->log, LOG_INFO, "m", LOG_STR("k", cases[i].value), LOG_NUM("n", 1));
        snprintf(rest, sizeof(rest), "info pid=%d m k=%s n=1\n", (int)getpid(), cases[i].written);
        assert_string_equal(after_stamp(take_all(r)), rest);
    }
    log_event(&r->log, LOG_INFO, "m", LOG_SLICE("k", slice_of("a\0b", 3)), LOG_STR("none", NULL));
    expect_plain(r, "info pid=%d m k=\"a\\x00b\" none=\"\"\n");
}

static void blocks_follow_their_line(void **state)
{
    struct rig *r = *state;

    log_event(&r->log, LOG_ERROR, "failed",
              LOG_LINES("traceback", SLICE("File \"a\"\n\n  caf\xc3\xa9\t!\n")),
              LOG_NUM("status", 500));
    expect_plain(r, "error pid=%d failed status=500\n  File \"a\"\n  \n    caf\xc3\xa9\t!\n");
    log_event(&r->log, LOG_ERROR, "failed",
              LOG_LINES("traceback", SLICE("\033]0;x\a\r\n\xc2\x9b \xff \xed\xa0\x80")));
    expect_plain(
        r, "error pid=%d failed\n  \\x1B]0;x\\x07\\x0D\n  \\xC2\\x9B \\xFF \\xED\\xA0\\x80\n");
    log_event(&r->log, LOG_ERROR, "a\nb\xf0\x9f\x90\x8d");
    expect_plain(r, "error pid=%d a\\x0Ab\xf0\x9f\x90\x8d\n");
}

/* A reader of JSON as strict as RFC 8259, for flat objects: returns what follows the value, or
 * NULL. */
static const char *skip_string(const char *p)
{
    if (*p++ != '"') {
        return NULL;
    }
    while (*p != '"') {
        unsigned char c = (unsigned char)*p++;

        if (c < 0x20) {
            return NULL;
        }
        if (c == '\\' && *p == 'u' && strspn(p + 1, "0123456789abcdefABCDEF") >= 4) {
            p += 5;
        } else if (c == '\\' && !(*p && strchr("\"\\/bfnrt", *p++))) {
            return NULL;
        }
    }
    return p + 1;
}

static const char *skip_number(const char *p)
{
    size_t digits;

    p += *p == '-';
    digits = strspn(p, "0123456789");
    return digits == 0 || (*p == '0' && digits > 1) ? NULL : p + digits;
}

static const char *skip_object(const char *p)
{
    char end = '{';

    for (; end != '}'; end = *p++) {
        if (end != ',' && end != '{') {
            return NULL;
        }
        p = skip_string(end == '{' ? p + 1 : p);
        if (!p || *p++ != ':') {
            return NULL;
        }
        p = *p == '"' ? skip_string(p) : skip_number(p);
        if (!p) {
            return NULL;
        }
    }
    return p;
}

static void expect_json(struct rig *r, const char *rest)
{
    const char *line = take_all(r);
    char full[4096];

    assert_non_null(skip_object(line));
    assert_string_equal(skip_object(line), "\n");
    assert_memory_equal(line, "{\"time\":\"", 9);
    snprintf(full, sizeof(full), rest, (int)getpid());
    assert_string_equal(line + 9 + CLOCK_STAMP_LEN, full);
}

static void json_has_the_same_names(void **state)
{
    struct rig *r = *state;

    r->log.format = LOG_JSON;
    log_event(&r->log, LOG_INFO, "started");
    expect_json(r, "\",\"level\":\"info\",\"pid\":%d,\"message\":\"started\"}\n");
    log_who(&r->log, "shop", 3);
    log_event(&r->log, LOG_WARN, "refused", LOG_STR("reason", "bare LF"), LOG_NUM("status", -400),
              LOG_LINES("traceback", SLICE("a\n  b\n")));
    expect_json(
        r, "\",\"level\":\"warn\",\"app\":\"shop\",\"worker\":3,\"pid\":%d,\"message\":\"refused\","
           "\"reason\":\"bare LF\",\"status\":-400,\"traceback\":\"a\\n  b\\n\"}\n");
    log_event(&r->log, LOG_WARN, "died", LOG_NUM("pid", 1), LOG_STR("app", ""),
              LOG_NUM("worker", 2));
    assert_non_null(strstr(take_all(r),
                           "\"warn\",\"message\":\"died\",\"pid\":1,\"app\":\"\",\"worker\":2}\n"));
}

static void json_escapes_what_it_must(void **state)
{
    struct rig *r = *state;

    r->log.format = LOG_JSON;
    log_event(&r->log, LOG_INFO, "m", LOG_SLICE("k", slice_of("\"\\\n\r\t\0\x1f\x7f/", 9)));
    expect_json(r, "\",\"level\":\"info\",\"pid\":%d,\"message\":\"m\","
                   "\"k\":\"\\\"\\\\\\n\\u000d\\u0009\\u0000\\u001f\\u007f/\"}\n");
    /* valid UTF-8 stays; control characters of two bytes and what is not valid does not */
    log_event(&r->log, LOG_INFO, "m",
              LOG_STR("k", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8d\xf4\x8f\xbf\xbf"));
    expect_json(r, "\",\"level\":\"info\",\"pid\":%d,\"message\":\"m\","
                   "\"k\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8d\xf4\x8f\xbf\xbf\"}\n");
    log_event(&r->log, LOG_INFO, "m",
              LOG_STR("k", "\xc2\x85\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82"));
    expect_json(
        r, "\",\"level\":\"info\",\"pid\":%d,\"message\":\"m\",\"k\":\"\\u00c2\\u0085\\u00c0\\u00af"
           "\\u00ed\\u00a0\\u0080\\u00f4\\u0090\\u0080\\u0080\\u00e2\\u0082\"}\n");
}

/* Every byte, alone and behind the start of a character of several. */
static void no_byte_leaves_its_value(void **state)
{
    struct rig *r = *state;

    for (int first = -1; first < 256; first++) {
        for (int c = 0; c < 256; c += first < 0 ? 1 : 15) {
            char text[] = {(char)c, (char)c};
            struct slice s = slice_of(text, first < 0 ? 1 : 2);

            text[0] = first < 0 ? text[0] : (char)first;
            r->log.format = LOG_JSON;
            log_event(&r->log, LOG_INFO, "m", LOG_SLICE("k", s));
            assert_string_equal(skip_object(take_all(r)), "\n");
            r->log.format = LOG_PLAIN;
            log_event(&r->log, LOG_INFO, "m", LOG_SLICE("k", s), LOG_LINES("b", s));
            take_all(r);
            assert_int_equal(strcspn(r->text, "\r\033\a\b\177"), strlen(r->text));
            assert_memory_equal(strchr(r->text, '\n'), "\n  ", 3);
        }
    }
}

static void long_events_are_cut(void **state)
{
    static char text[200000];
    struct rig *r = *state;
    size_t len;

    for (int byte = 0; byte < 4; byte++) {
        memset(text, "x\n\x01\xff"[byte], sizeof(text));
        r->log.format = LOG_PLAIN;
        log_event(&r->log, LOG_INFO, "m", LOG_SLICE("k", slice_of(text, sizeof(text))),
                  LOG_NUM("n", 7));
        len = strlen(take_all(r));
        assert_true(len > 8000 && len < 8192 + 100);
        assert_non_null(strstr(r->text, "[cut]"));
        assert_non_null(strstr(r->text, " n=7\n"));
        log_event(&r->log, LOG_INFO, "m", LOG_LINES("b", slice_of(text, sizeof(text))),
                  LOG_NUM("n", 7));
        len = strlen(take_all(r));
        assert_true(len > 60000 && len <= 65536);
        assert_string_equal(r->text + len - 6, "[cut]\n");
        r->log.format = LOG_JSON;
        log_event(&r->log, LOG_INFO, "m", LOG_LINES("b", slice_of(text, sizeof(text))),
                  LOG_LINES("c", slice_of(text, sizeof(text))), LOG_NUM("n", 7));
        len = strlen(take_all(r));
        assert_true(len > 60000 && len <= 65536);
        assert_string_equal(skip_object(r->text), "\n");
        assert_non_null(strstr(r->text, "[cut]\",\"c\":\"[cut]\",\"n\":7}\n"));
    }
    assert_int_equal(log_lost(&r->log), 0);
}

/* Names take no room from values, so only an event of far too many fields does not fit: it counts
 * as lost. */
static void an_event_without_room_is_lost(void **state)
{
    static char key[1000], text[8192];
    struct log_field fields[12] = {0};
    struct rig *r = *state;

    memset(key, 'k', sizeof(key) - 1);
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 11; i++) {
        fields[i] = LOG_SLICE(key, slice_of(text, sizeof(text)));
    }
    log_emit(&r->log, LOG_INFO, "m", fields);
    expect_plain(r, "warn pid=%d log lines were lost lines=1\n");
}

static void what_just_fits_is_not_cut(void **state)
{
    static char text[9000];
    struct rig *r = *state;

    memset(text, 'x', sizeof(text));
    log_event(&r->log, LOG_INFO, "m", LOG_SLICE("k", slice_of(text, 8192)));
    assert_null(strstr(take_all(r), "[cut]"));
    log_event(&r->log, LOG_INFO, "m", LOG_SLICE("k", slice_of(text, 8193)));
    assert_non_null(strstr(take_all(r), "x[cut]\n"));
}

static unsigned count_of(const char *text, const char *what)
{
    unsigned count = 0;

    for (; (text = strstr(text, what)); text++) {
        count++;
    }
    return count;
}

static void losses_are_told_when_there_is_room(void **state)
{
    struct rig *r = *state;
    unsigned exact = 0, all = 0;
    char told[64];

    for (int i = 0; i < 20000; i++) {
        log_event(&r->log, LOG_INFO, "noise", LOG_NUM("number", i));
    }
    assert_true(log_lost(&r->log) > 0);
    snprintf(told, sizeof(told), "log lines were lost lines=%llu\n",
             (unsigned long long)log_lost(&r->log));
    assert_int_equal(count_of(take_all(r), "lost"), 0);
    do {
        log_flush(&r->log);
        take_all(r);
        exact += count_of(r->text, told);
        all += count_of(r->text, "lost");
    } while (r->text[0]);
    assert_int_equal(exact, 1);
    assert_int_equal(all, 1);
    log_event(&r->log, LOG_INFO, "again");
    expect_plain(r, "info pid=%d again\n");
}

/* Neither the lines that say so nor repeated tries count. */
static void a_full_disk_is_counted_exactly(void **state)
{
    struct rig *r = *state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    log_move(&r->log, full);
    for (int i = 0; i < 5; i++) {
        log_event(&r->log, LOG_INFO, "x");
        log_flush(&r->log);
    }
    assert_int_equal(log_lost(&r->log), 5);
    log_move(&r->log, r->ends[1]);
    expect_plain(r, "warn pid=%d log lines were lost lines=5\n");
    close(full);
}

/* The first write after a failure succeeds and the one that would tell of it does not: what was
 * lost is still untold. */
static void telling_may_fail_too(void **state)
{
    struct rig *r = *state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    log_move(&r->log, full);
    log_event(&r->log, LOG_INFO, "x");
    r->log.sink.failing = false; /* as after a write that went well */
    log_flush(&r->log);
    assert_int_equal(log_lost(&r->log), 1);
    assert_int_equal(r->log.sink.lost_told, 0);
    log_move(&r->log, r->ends[1]);
    expect_plain(r, "warn pid=%d log lines were lost lines=1\n");
    close(full);
}

static void errno_is_left_alone(void **state)
{
    struct rig *r = *state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    log_move(&r->log, full);
    errno = EXDEV;
    log_event(&r->log, LOG_INFO, "x");
    assert_int_equal(errno, EXDEV);
    close(full);
}

static void a_child_speaks_for_itself(void **state)
{
    struct rig *r = *state;
    char rest[64];
    int status;
    pid_t child;

    log_who(&r->log, "shop", 1);
    sink_put(&r->log.sink, SLICE("the parent's\n"));
    pthread_mutex_lock(&r->log.lock); /* as a thread of the parent may have it */
    child = fork();
    if (child == 0) {
        log_who(&r->log, "shop", 2);
        log_event(&r->log, LOG_INFO, "hello");
        _exit(0);
    }
    pthread_mutex_unlock(&r->log.lock);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    snprintf(rest, sizeof(rest), "info app=shop worker=2 pid=%d hello\n", (int)child);
    assert_string_equal(after_stamp(take_all(r)), rest);
    log_flush(&r->log);
    assert_string_equal(take_all(r), "the parent's\n");
}

static void escaping_cuts_between_characters(void **state)
{
    char out[16];

    (void)state;
    assert_int_equal(log_escape(SLICE("a b\n"), out, sizeof(out)), 7);
    assert_memory_equal(out, "a b\\x0A", 7);
    assert_int_equal(log_escape(SLICE("ab\nc"), out, 5), 2);
    assert_int_equal(log_escape(SLICE("ab\nc"), out, 6), 6);
    assert_int_equal(log_escape(SLICE("abc"), out, 0), 0);
    assert_int_equal(log_escape(slice_of(NULL, 0), out, sizeof(out)), 0);
    assert_int_equal(log_escape(SLICE("\"\\\x7f\x80"), out, sizeof(out)), 16);
    assert_memory_equal(out, "\\x22\\x5C\\x7F\\x80", 16);
}

enum { EACH = 2000, THREADS = 3 };

static void *speak(void *log)
{
    for (int i = 0; i < EACH; i++) {
        log_event(log, LOG_INFO, "from a thread", LOG_NUM("number", i),
                  LOG_LINES("b", SLICE("one\ntwo\n")));
    }
    return NULL;
}

static void *listen_all(void *rig)
{
    struct rig *r = rig;
    FILE *in = fdopen(dup(r->ends[0]), "r");
    char line[256];
    uintptr_t whole = 0;

    while (fgets(line, sizeof(line), in) && !strstr(line, "the end")) {
        bool is_first = strstr(line, "from a thread number=") != NULL;

        whole += is_first && fgets(line, sizeof(line), in) && strcmp(line, "  one\n") == 0 &&
                 fgets(line, sizeof(line), in) && strcmp(line, "  two\n") == 0;
    }
    fclose(in);
    return (void *)whole;
}

static void threads_do_not_mix_their_lines(void **state)
{
    struct rig *r = *state;
    pthread_t speakers[THREADS], listener;
    void *whole;

    assert_int_equal(pthread_create(&listener, NULL, listen_all, r), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&speakers[i], NULL, speak, &r->log), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(speakers[i], NULL);
    }
    sink_drain(&r->log.sink, 10000);
    log_event(&r->log, LOG_INFO, "the end");
    pthread_join(listener, &whole);
    assert_int_equal((uintptr_t)whole + log_lost(&r->log), THREADS * EACH);
}

#define LOG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(an_event_is_a_line),
        LOG_TEST(what_the_event_names_takes_the_speakers_place),
        LOG_TEST(lesser_events_are_left_out),
        LOG_TEST(the_level_is_coloured_where_asked),
        LOG_TEST(values_are_quoted_when_needed),
        LOG_TEST(blocks_follow_their_line),
        LOG_TEST(json_has_the_same_names),
        LOG_TEST(json_escapes_what_it_must),
        LOG_TEST(no_byte_leaves_its_value),
        LOG_TEST(long_events_are_cut),
        LOG_TEST(an_event_without_room_is_lost),
        LOG_TEST(what_just_fits_is_not_cut),
        LOG_TEST(losses_are_told_when_there_is_room),
        LOG_TEST(a_full_disk_is_counted_exactly),
        LOG_TEST(telling_may_fail_too),
        LOG_TEST(errno_is_left_alone),
        LOG_TEST(a_child_speaks_for_itself),
        cmocka_unit_test(escaping_cuts_between_characters),
        LOG_TEST(threads_do_not_mix_their_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
