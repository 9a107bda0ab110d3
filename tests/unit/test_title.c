/* Tests src/master/title.c in a copy of this program, whose arguments are its to overwrite. */
#include "master/title.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG = 4000 };

static const char *shown(void)
{
    static char text[2 * LONG];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);

    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static const char *const titles[] = {"x", "a title that is far longer than the arguments were"};

enum { TITLES = sizeof titles / sizeof titles[0] };

/* The copy: shows the title of this number, or one that nothing has room for, and checks that the
 * environment is as it was. Returns 0 or where it failed. */
static int run_copy(char **argv, int number)
{
    static char longest[2 * LONG];
    struct title title;

    memset(longest, 'x', sizeof longest - 1);
    title_open(&title, argv);
    title_show(&title, number == 0 ? titles[1] : titles[0]);
    title_show(&title, number < TITLES ? titles[number] : longest);
    if (number < TITLES && strcmp(shown(), titles[number]) != 0)
        return 1;
    if (number == TITLES && (strspn(shown(), "x") < 200 || strlen(shown()) >= sizeof longest - 1))
        return 2;
    return strcmp(getenv("FIRST"), "one") == 0 && strlen(getenv("SECOND")) == 200 ? 0 : 3;
}

static void check_title(int number)
{
    char second[208] = "SECOND=", digit[] = {(char)('0' + number), '\0'};
    char *argv[] = {(char *)"t", digit, NULL};
    char *env[] = {(char *)"FIRST=one", second, NULL};
    int status = -1;
    pid_t child;

    memset(second + 7, 's', 200);
    child = fork();
    if (child == 0) {
        execve("/proc/self/exe", argv, env);
        _exit(99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_titles(void **state)
{
    (void)state;
    for (int number = 0; number <= TITLES; number++)
        check_title(number);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_titles)};

    if (argc == 2)
        return run_copy(argv, atoi(argv[1]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
