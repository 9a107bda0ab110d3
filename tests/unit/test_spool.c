/* Tests src/http/spool.c: what is put is there, the accounts agree, and what fails leaves nothing
 * behind. RLIMIT_FSIZE stands for a full disk. */
#include "http/spool.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/server.h"

struct fixture {
    struct log log;
    struct app_options options;
    struct server server;
    int told; /* the log, to be read */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    f->told = ends[0];
    log_open(&f->log, ends[1], LOG_ERROR, LOG_PLAIN);
    f->options.spool_limit = 10000;
    f->server.options = &f->options;
    f->server.log = &f->log;
    f->server.slot = &f->server.own_slot;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    log_close(&f->log);
    close(f->told);
    free(f);
    return 0;
}

static unsigned lines_told(struct fixture *f)
{
    char text[4096];
    unsigned lines = 0;
    log_flush(&f->log);
    ssize_t n = read(f->told, text, sizeof text);
    for (ssize_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

static int64_t used(struct fixture *f)
{
    assert_int_equal(f->server.own_slot.spooled, f->server.spools.used);
    return f->server.spools.used;
}

static void keeps_what_is_put(void **state)
{
    struct fixture *f = *state;
    struct spool s;
    char back[16] = "";
    spool_init(&s, &f->server);
    assert_int_equal(spool_put(&s, SLICE("one")), 0);
    assert_int_equal(spool_put(&s, SLICE(" two")), 0);
    assert_int_equal(s.size, 7);
    assert_int_equal(used(f), 7);
    assert_int_equal(pread(s.fd, back, sizeof back, 0), 7);
    assert_string_equal(back, "one two");
    spool_free(&s);
    assert_int_equal(s.fd, -1);
    assert_int_equal(used(f), 0);
    spool_free(&s);
    assert_int_equal(used(f), 0);
}

static void has_no_name_and_is_not_inherited(void **state)
{
    struct fixture *f = *state;
    struct spool s;
    struct stat st;
    spool_init(&s, &f->server);
    assert_int_equal(spool_put(&s, SLICE("x")), 0);
    assert_int_equal(fstat(s.fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
    spool_free(&s);
}

static void begins_anew(void **state)
{
    struct fixture *f = *state;
    struct spool s;
    struct stat st;
    char back[16] = "";
    spool_init(&s, &f->server);
    spool_reset(&s);
    assert_int_equal(spool_put(&s, SLICE("old content")), 0);
    spool_reset(&s);
    assert_int_equal(used(f), 0);
    assert_int_equal(fstat(s.fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(spool_put(&s, SLICE("new")), 0);
    assert_int_equal(pread(s.fd, back, sizeof back, 0), 3);
    assert_string_equal(back, "new");
    spool_free(&s);
}

static void the_limit_is_for_all_together(void **state)
{
    struct fixture *f = *state;
    static const char bytes[6000];
    struct spool one, two;
    spool_init(&one, &f->server);
    spool_init(&two, &f->server);
    assert_int_equal(spool_put(&one, slice_of(bytes, 6000)), 0);
    assert_int_equal(spool_put(&two, slice_of(bytes, 4001)), -ERR_SPOOL_LIMIT);
    assert_int_equal(two.fd, -1);
    assert_int_equal(used(f), 6000);
    assert_int_equal(spool_put(&two, slice_of(bytes, 4000)), 0);
    spool_free(&one);
    assert_int_equal(spool_put(&two, slice_of(bytes, 6000)), 0);
    assert_int_equal(used(f), 10000);
    assert_int_equal(f->server.own_slot.spool_failed, 1);
    spool_free(&two);
}

static void a_full_disk_leaves_all_as_it_was(void **state)
{
    struct fixture *f = *state;
    static const char bytes[5000];
    struct rlimit before, small;
    struct spool s;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){5500, before.rlim_max};
    spool_init(&s, &f->server);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(spool_put(&s, slice_of(bytes, 5000)), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(spool_put(&s, slice_of(bytes, 1000)), -ERR_SPOOL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(s.size, 5000);
    assert_int_equal(used(f), 5000);
    assert_int_equal(f->server.own_slot.spool_failed, 3);
    assert_int_equal(lines_told(f), 1);
    assert_int_equal(spool_put(&s, slice_of(bytes, 1000)), 0);
    assert_int_equal(s.size, 6000);
    spool_free(&s);
}

static void no_folder(void **state)
{
    struct fixture *f = *state;
    struct spool s;
    f->options.spool_directory = "/nonexistent/folder";
    spool_init(&s, &f->server);
    assert_int_equal(spool_put(&s, SLICE("x")), -ERR_SPOOL);
    assert_int_equal(s.fd, -1);
    assert_int_equal(used(f), 0);
    assert_int_equal(lines_told(f), 1);
    f->options.spool_directory = NULL;
    setenv("TMPDIR", "/nonexistent/other", 1);
    assert_int_equal(spool_put(&s, SLICE("x")), -ERR_SPOOL);
    unsetenv("TMPDIR");
    assert_int_equal(spool_put(&s, SLICE("x")), 0);
    spool_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(keeps_what_is_put),
        TEST(has_no_name_and_is_not_inherited),
        TEST(begins_anew),
        TEST(the_limit_is_for_all_together),
        TEST(a_full_disk_leaves_all_as_it_was),
        TEST(no_folder),
#undef TEST
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
