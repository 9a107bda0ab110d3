/* Tests src/master/pidfile.c: written, kept from a second owner, taken over from a dead one. */
#include "master/pidfile.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/errors.h"

struct place {
    char folder[64];
    char path[96];
    struct pidfile file;
    char why[256];
};

static int setup(void **state)
{
    static struct place p;

    p = (struct place){.folder = "/tmp/penstock-pidfile-XXXXXX"};
    if (!mkdtemp(p.folder))
        return -1;
    snprintf(p.path, sizeof p.path, "%s/shop.pid", p.folder);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    unlink(p->path);
    return rmdir(p->folder);
}

static int open_file(struct place *p)
{
    return pidfile_open(&p->file, p->path, p->why, sizeof p->why);
}

static void check_content(const struct place *p)
{
    char expected[32], text[32] = "";
    int fd = open(p->path, O_RDONLY | O_CLOEXEC);

    snprintf(expected, sizeof expected, "%d\n", (int)getpid());
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) >= 0);
    assert_string_equal(text, expected);
    close(fd);
}

static void put_file(const struct place *p, const char *text)
{
    int fd = open(p->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_none(void **state)
{
    struct place *p = *state;

    assert_int_equal(pidfile_open(&p->file, NULL, p->why, sizeof p->why), 0);
    pidfile_close(&p->file);
}

static void test_written_and_removed(void **state)
{
    struct place *p = *state;

    assert_int_equal(open_file(p), 0);
    check_content(p);
    pidfile_close(&p->file);
    assert_int_equal(access(p->path, F_OK), -1);
    pidfile_close(&p->file);
}

/* Whatever number it holds, even that of a process that lives: its owner would have it locked. */
static void test_stale(void **state)
{
    static const char *const contents[] = {"", "1\n", "999999999999999999999999\n", "no number"};
    struct place *p = *state;

    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        put_file(p, contents[i]);
        assert_int_equal(open_file(p), 0);
        check_content(p);
        pidfile_close(&p->file);
    }
}

static void test_live(void **state)
{
    struct place *p = *state;
    char expected[256];
    int status = -1;
    pid_t child;

    assert_int_equal(open_file(p), 0);
    snprintf(expected, sizeof expected, "another server with the pid file %s is running (pid %d)",
             p->path, (int)getpid());
    child = fork();
    if (child == 0) {
        struct pidfile second;
        int result = pidfile_open(&second, p->path, p->why, sizeof p->why);

        _exit(result == -ERR_CONFIG && second.fd < 0 && strcmp(p->why, expected) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    check_content(p);
    pidfile_close(&p->file);
}

static void test_not_ours_any_more(void **state)
{
    struct place *p = *state;

    assert_int_equal(open_file(p), 0);
    unlink(p->path);
    put_file(p, "1\n");
    pidfile_close(&p->file);
    assert_int_equal(access(p->path, F_OK), 0);
}

static void test_refused(void **state)
{
    struct place *p = *state;
    struct stat st;

    assert_int_equal(symlink("/nowhere", p->path), 0);
    assert_int_equal(open_file(p), -ERR_CONFIG);
    assert_int_equal(lstat(p->path, &st), 0);
    unlink(p->path);
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_equal(open_file(p), -ERR_CONFIG);
    assert_non_null(strstr(p->why, "not a regular file"));
    assert_int_equal(p->file.fd, -1);
    assert_int_equal(pidfile_open(&p->file, "/nowhere/at/all", p->why, sizeof p->why), -ERR_CONFIG);
    assert_non_null(strstr(p->why, "/nowhere/at/all"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_none), TEST(test_written_and_removed), TEST(test_stale),
        TEST(test_live), TEST(test_not_ours_any_more),   TEST(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
