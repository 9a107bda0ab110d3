/* Tests src/base/sink.c: nothing waits, nothing is lost uncounted, lines stay whole, and the flags
 * of a descriptor that was lent are its owner's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sink.h"

enum { CAP = 64 * 1024, LINE = 100 };

/* Reads what is there. Returns the bytes, NUL-terminated, of one buffer that is used again by the
 * next call. */
static const char *take_all(int fd)
{
    static char text[1 << 20];
    size_t len = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (len < sizeof(text) - 1 && poll(&p, 1, 0) == 1) {
        ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);

        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    text[len] = '\0';
    return text;
}

/* A line of LINE bytes that says its number. */
static void put_numbered(struct sink *s, unsigned number)
{
    char line[LINE + 1];

    snprintf(line, sizeof(line), "%08u %0*d\n", number, LINE - 10, 0);
    sink_put(s, slice_of(line, LINE));
}

/* Counts the lines of `text`, each of which must be whole and later than the one before. */
static unsigned count_numbered(const char *text)
{
    unsigned count = 0;
    long last = -1;

    for (; *text; text += LINE, count++) {
        assert_true(strlen(text) >= LINE);
        assert_int_equal(text[LINE - 1], '\n');
        assert_ptr_equal(strchr(text, '\n'), text + LINE - 1);
        assert_true(strtol(text, NULL, 10) > last);
        last = strtol(text, NULL, 10);
    }
    return count;
}

static void lines_arrive(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sink_open(&s, ends[1], CAP);
    assert_int_equal(s.kind, SINK_STREAM);
    sink_put(&s, SLICE("one\n"));
    sink_put(&s, SLICE("two\n"));
    assert_string_equal(take_all(ends[0]), "");
    assert_int_equal(sink_flush(&s), 0);
    assert_string_equal(take_all(ends[0]), "one\ntwo\n");
    sink_close(&s, 0);
    close(ends[0]);
    close(ends[1]);
}

static void a_lent_descriptor_keeps_its_flags(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, 0), 0);
    sink_open(&s, ends[1], CAP);
    sink_put(&s, SLICE("x\n"));
    sink_flush(&s);
    assert_true(s.owned);
    assert_int_not_equal(s.fd, ends[1]);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
    sink_close(&s, 0);
    assert_int_equal(fcntl(ends[1], F_GETFD), 0); /* still open */
    close(ends[0]);
    close(ends[1]);
}

/* Fills whatever the sink writes to and far more, then reads it all. */
static void check_stalled(struct sink *s, int reader)
{
    enum { N = 20000 };
    unsigned seen;

    for (unsigned i = 0; i < N; i++) {
        put_numbered(s, i);
        sink_flush(s);
    }
    assert_true(s->lost > 0 && s->lost < N);
    assert_false(sink_has_news(s)); /* no room yet */
    assert_true(buf_len(&s->pending) > CAP - LINE);
    seen = 0;
    do {
        seen += count_numbered(take_all(reader));
    } while (sink_flush(s));
    seen += count_numbered(take_all(reader));
    assert_int_equal(seen + s->lost, N);
    assert_true(sink_has_news(s));
    assert_true(s->pending.size <= 16384);
}

static void a_pipe_that_nobody_reads_holds_up_nothing(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sink_open(&s, ends[1], CAP);
    check_stalled(&s, ends[0]);
    sink_close(&s, 0);
    close(ends[0]);
    close(ends[1]);
}

static void nor_does_a_socket(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    sink_open(&s, ends[1], CAP);
    assert_int_equal(s.kind, SINK_SOCKET);
    assert_int_equal(s.fd, ends[1]);
    check_stalled(&s, ends[0]);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    sink_close(&s, 0);
    close(ends[0]);
    close(ends[1]);
}

/* As when the pipe belongs to another user: what opens it again fails. */
static void nor_does_a_pipe_that_cannot_be_opened_again(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sink_open(&s, ends[1], CAP);
    close(s.fd);
    s.fd = ends[1];
    s.owned = false;
    s.kind = SINK_POLLED;
    check_stalled(&s, ends[0]);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    sink_close(&s, 0);
    close(ends[0]);
    close(ends[1]);
}

static void without_room_for_one_more_descriptor_it_is_polled(void **state)
{
    struct rlimit old, few;
    int ends[2];
    struct sink s;
    int next;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    next = dup(0);
    close(next);
    getrlimit(RLIMIT_NOFILE, &old);
    few = (struct rlimit){(rlim_t)next, old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    sink_open(&s, ends[1], CAP);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(s.kind, SINK_POLLED);
    assert_int_equal(s.fd, ends[1]);
    sink_put(&s, SLICE("x\n"));
    assert_int_equal(sink_flush(&s), 0);
    assert_string_equal(take_all(ends[0]), "x\n");
    sink_close(&s, 0);
    close(ends[0]);
    close(ends[1]);
}

/* Returns the terminal's descriptor; `master` is what a terminal's window holds. */
static int open_terminal(int *master)
{
    int terminal;

    *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(*master >= 0);
    assert_int_equal(grantpt(*master), 0);
    assert_int_equal(unlockpt(*master), 0);
    terminal = open(ptsname(*master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    return terminal;
}

/* A terminal knows no RWF_NOWAIT, so this is how a pipe is written to on kernels that do not. */
static void a_terminal_that_cannot_be_opened_again_is_polled(void **state)
{
    int master;
    int terminal = open_terminal(&master);
    struct sink s;

    (void)state;
    sink_open(&s, terminal, CAP);
    close(s.fd);
    s.fd = terminal;
    s.owned = false;
    s.kind = SINK_POLLED;
    sink_put(&s, SLICE("one\n"));
    assert_int_equal(sink_flush(&s), 0);
    assert_string_equal(take_all(master), "one\r\n");
    assert_int_equal(tcflow(terminal, TCOOFF), 0); /* as Ctrl-S does */
    sink_put(&s, SLICE("two\n"));
    assert_int_equal(sink_flush(&s), 4);
    assert_int_equal(tcflow(terminal, TCOON), 0);
    assert_int_equal(sink_drain(&s, 10000), 0);
    assert_string_equal(take_all(master), "two\r\n");
    sink_close(&s, 0);
    close(terminal);
    close(master);
}

static void a_terminal_is_written_to(void **state)
{
    int master;
    int terminal = open_terminal(&master);
    struct sink s;

    (void)state;
    sink_open(&s, terminal, CAP);
    assert_int_equal(s.kind, SINK_STREAM);
    for (unsigned i = 0; i < 5000; i++) {
        put_numbered(&s, i);
        sink_flush(&s);
    }
    assert_true(s.lost > 0);
    assert_int_equal(strncmp(take_all(master), "00000000 ", 9), 0);
    assert_int_equal(fcntl(terminal, F_GETFL) & O_NONBLOCK, 0);
    sink_close(&s, 0);
    close(terminal);
    close(master);
}

static void a_full_disk_counts_as_lost_and_goes_on(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sink_open(&s, full, CAP);
    sink_put(&s, SLICE("one\n"));
    sink_put(&s, SLICE("two\n  with more\n  of it\n"));
    assert_int_equal(sink_flush(&s), 0);
    assert_int_equal(s.lost, 2);
    assert_false(sink_has_news(&s)); /* it would be lost, too */
    sink_put(&s, SLICE("three\n"));
    sink_flush(&s);
    assert_int_equal(s.lost, 3);
    sink_move(&s, ends[1]);
    sink_put(&s, SLICE("four\n"));
    sink_flush(&s);
    assert_true(sink_has_news(&s));
    assert_string_equal(take_all(ends[0]), "four\n");
    sink_close(&s, 0);
    close(full);
    close(ends[0]);
    close(ends[1]);
}

/* A file that may not grow past `size`: the kernel then writes less than was asked, and after that
 * nothing. */
static void a_line_that_was_cut_is_ended(void **state)
{
    FILE *file = tmpfile();
    int fd = fileno(file);
    struct rlimit old, small;
    char text[64] = {0};
    struct sink s;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){10, old.rlim_max};
    sink_open(&s, fd, CAP);
    assert_int_equal(s.kind, SINK_FILE);
    setrlimit(RLIMIT_FSIZE, &small);
    sink_put(&s, SLICE("123456\n"));
    sink_put(&s, SLICE("abcdef\n"));
    sink_put(&s, SLICE("ABCDEF\n"));
    assert_int_equal(sink_flush(&s), 1);
    assert_int_equal(s.lost, 2);
    sink_put(&s, SLICE("again\n"));
    assert_int_equal(sink_flush(&s), 1);
    assert_int_equal(s.lost, 3);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    sink_put(&s, SLICE("last\n"));
    assert_int_equal(sink_flush(&s), 0);
    assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "123456\nabc\nlast\n");
    assert_int_equal(s.lost, 3);
    sink_close(&s, 0);
    fclose(file);
}

static void a_reader_that_is_gone_is_survived(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sink_open(&s, ends[1], CAP);
    close(ends[0]);
    sink_put(&s, SLICE("one\n"));
    assert_int_equal(sink_flush(&s), 0);
    assert_int_equal(s.lost, 1);
    assert_true(s.failing);
    sink_close(&s, 1000);
    close(ends[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    sink_open(&s, ends[1], CAP);
    close(ends[0]);
    sink_put(&s, SLICE("one\n"));
    sink_flush(&s);
    assert_int_equal(s.lost, 1);
    sink_close(&s, 1000);
    close(ends[1]);
}

/* Writes of more than PIPE_BUF bytes would be mixed; so would lines that a write ends within. */
static void lines_of_several_processes_do_not_mix(void **state)
{
    enum { WRITERS = 3, LINES = 3000 };
    int ends[2];
    char line[512];
    FILE *in;
    int lines = 0;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (int w = 0; w < WRITERS; w++) {
        if (fork() == 0) {
            struct sink s;
            char text[300];

            memset(text, 'a' + w, sizeof(text));
            sink_open(&s, ends[1], CAP);
            for (int i = 0; i < LINES; i++) {
                text[i % 290 + 9] = '\n';
                sink_put(&s, slice_of(text, (size_t)(i % 290) + 10));
                text[i % 290 + 9] = (char)('a' + w);
                if (i % 50 == 49) {
                    sink_drain(&s, 10000);
                }
            }
            sink_close(&s, 10000);
            _exit(s.lost == 0 ? 0 : 1);
        }
    }
    close(ends[1]);
    in = fdopen(ends[0], "r");
    for (; fgets(line, sizeof(line), in); lines++) {
        assert_int_equal(strspn(line, (char[]){line[0], '\0'}), strlen(line) - 1);
    }
    assert_int_equal(lines, WRITERS * LINES);
    fclose(in);
    for (int w = 0; w < WRITERS; w++) {
        int status;

        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
}

/* A line that is longer than a write may be goes out in pieces, in order, with its further lines
 * whole. */
static void long_lines_go_out_in_pieces(void **state)
{
    static char text[50000];
    size_t len = 0;
    int ends[2];
    struct sink s;

    (void)state;
    memset(text, 'x', 9000);
    len = 9000;
    text[len++] = '\n';
    while (len < 40000) {
        len += (size_t)sprintf(text + len, "  further %zu\n", len);
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sink_open(&s, ends[1], CAP);
    sink_put(&s, slice_of(text, len));
    sink_put(&s, SLICE("next\n"));
    assert_int_equal(sink_flush(&s), 0);
    text[len] = '\0';
    strcat(text, "next\n");
    assert_string_equal(take_all(ends[0]), text);
    sink_close(&s, 0);
    close(ends[0]);
    close(ends[1]);
}

/* The pipe takes a part of a long line; what follows it elsewhere is not glued to that part. */
static void moving_leaves_no_half_line(void **state)
{
    static char text[30000];
    int ends[2], others[2];
    struct sink s;

    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\n';
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(others, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 8192) >= 0);
    sink_open(&s, ends[1], CAP);
    sink_put(&s, slice_of(text, sizeof(text)));
    sink_put(&s, SLICE("next\n"));
    assert_true(sink_flush(&s) > 0);
    assert_true(s.begun);
    sink_move(&s, others[1]);
    assert_false(s.begun);
    sink_flush(&s);
    assert_string_equal(take_all(others[0]), "next\n");
    assert_int_equal(s.lost, 1);
    sink_close(&s, 0);
    close(ends[0]);
    close(ends[1]);
    close(others[0]);
    close(others[1]);
}

static void draining_waits_for_as_long_as_it_may(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sink_open(&s, ends[1], CAP);
    for (unsigned i = 0; i < 1200; i++) {
        put_numbered(&s, i);
        sink_flush(&s);
    }
    assert_true(sink_drain(&s, 5) > 0);
    if (fork() == 0) {
        close(ends[1]);
        close(s.fd);
        while (read(ends[0], (char[4096]){0}, 4096) > 0) {
        }
        _exit(0);
    }
    assert_int_equal(sink_drain(&s, 10000), 0);
    sink_close(&s, 0);
    assert_int_equal(s.lost, 0);
    close(ends[0]);
    close(ends[1]);
    wait(NULL);
}

static void closing_counts_what_it_drops(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
    sink_open(&s, ends[1], CAP);
    for (unsigned i = 0; i < 100; i++) {
        put_numbered(&s, i);
    }
    sink_close(&s, 1);
    assert_int_equal(count_numbered(take_all(ends[0])) + s.lost, 100);
    assert_null(s.pending.ptr);
    close(ends[0]);
    close(ends[1]);
}

static void without_a_descriptor_all_is_dropped_in_silence(void **state)
{
    struct sink s;

    (void)state;
    sink_open(&s, -1, CAP);
    sink_put(&s, SLICE("x\n"));
    assert_int_equal(sink_flush(&s), 0);
    assert_int_equal(s.lost, 0);
    assert_null(s.pending.ptr);
    sink_close(&s, 1000);
}

static void moving_to_no_descriptor_drops_what_waits(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sink_open(&s, ends[1], CAP);
    for (unsigned i = 0; i < 1000; i++) {
        put_numbered(&s, i);
        sink_flush(&s);
    }
    sink_move(&s, -1);
    assert_int_equal(sink_drain(&s, 10000), 0);
    assert_int_equal(s.lost, 0);
    sink_close(&s, 0);
    close(ends[0]);
    close(ends[1]);
}

static void a_child_forgets_what_its_parent_writes(void **state)
{
    int ends[2];
    struct sink s;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    sink_open(&s, ends[1], CAP);
    sink_put(&s, SLICE("x\n"));
    s.lost = 3;
    sink_forget(&s);
    assert_int_equal(sink_flush(&s), 0);
    assert_int_equal(s.lost, 0);
    assert_string_equal(take_all(ends[0]), "");
    sink_close(&s, 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_arrive),
        cmocka_unit_test(a_lent_descriptor_keeps_its_flags),
        cmocka_unit_test(a_pipe_that_nobody_reads_holds_up_nothing),
        cmocka_unit_test(nor_does_a_socket),
        cmocka_unit_test(nor_does_a_pipe_that_cannot_be_opened_again),
        cmocka_unit_test(without_room_for_one_more_descriptor_it_is_polled),
        cmocka_unit_test(a_terminal_is_written_to),
        cmocka_unit_test(a_terminal_that_cannot_be_opened_again_is_polled),
        cmocka_unit_test(a_full_disk_counts_as_lost_and_goes_on),
        cmocka_unit_test(a_line_that_was_cut_is_ended),
        cmocka_unit_test(a_reader_that_is_gone_is_survived),
        cmocka_unit_test(lines_of_several_processes_do_not_mix),
        cmocka_unit_test(long_lines_go_out_in_pieces),
        cmocka_unit_test(moving_leaves_no_half_line),
        cmocka_unit_test(draining_waits_for_as_long_as_it_may),
        cmocka_unit_test(closing_counts_what_it_drops),
        cmocka_unit_test(without_a_descriptor_all_is_dropped_in_silence),
        cmocka_unit_test(moving_to_no_descriptor_drops_what_waits),
        cmocka_unit_test(a_child_forgets_what_its_parent_writes),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
