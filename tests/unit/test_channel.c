/* Tests src/net/channel.c: messages whole and broken, descriptors, both ends' deaths. */
#include "net/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/errors.h"

struct pair {
    int ends[2];
    struct message in;
};

static int setup(void **state)
{
    static struct pair p;

    *state = &p;
    return channel_pair(p.ends);
}

static int teardown(void **state)
{
    struct pair *p = *state;

    for (int i = 0; i < 2; i++) {
        if (p->ends[i] >= 0)
            close(p->ends[i]);
    }
    return 0;
}

static bool same_object(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int lowest_free(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

static void test_flags(void **state)
{
    struct pair *p = *state;

    for (int i = 0; i < 2; i++) {
        assert_true(fcntl(p->ends[i], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(p->ends[i], F_GETFL) & O_NONBLOCK);
    }
}

static void test_messages(void **state)
{
    struct pair *p = *state;
    struct hello hello = {CHANNEL_VERSION, 42};
    char large[CHANNEL_PAYLOAD];

    memset(large, 'x', sizeof large);
    assert_int_equal(channel_receive(p->ends[0], &p->in), 0);
    assert_int_equal(channel_send(p->ends[1], MESSAGE_HELLO, &hello, sizeof hello, NULL, 0), 0);
    assert_int_equal(channel_send(p->ends[1], MESSAGE_READY, NULL, 0, NULL, 0), 0);
    assert_int_equal(channel_send(p->ends[1], MESSAGE_LOGS, large, sizeof large, NULL, 0), 0);

    assert_int_equal(channel_receive(p->ends[0], &p->in), 1);
    assert_int_equal(p->in.kind, MESSAGE_HELLO);
    assert_int_equal(p->in.size, sizeof hello);
    assert_memory_equal(p->in.payload, &hello, sizeof hello);
    assert_int_equal(p->in.fd_count, 0);
    assert_int_equal(channel_receive(p->ends[0], &p->in), 1);
    assert_int_equal(p->in.kind, MESSAGE_READY);
    assert_int_equal(p->in.size, 0);
    assert_int_equal(channel_receive(p->ends[0], &p->in), 1);
    assert_int_equal(p->in.size, sizeof large);
    assert_memory_equal(p->in.payload, large, sizeof large);
    assert_int_equal(channel_receive(p->ends[0], &p->in), 0);
}

static void test_too_large(void **state)
{
    struct pair *p = *state;
    char large[CHANNEL_PAYLOAD + 1] = {0};
    int fds[CHANNEL_FDS + 1] = {0};

    assert_int_equal(channel_send(p->ends[0], MESSAGE_SETUP, large, sizeof large, NULL, 0),
                     -ERR_SYSTEM);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(channel_send(p->ends[0], MESSAGE_SETUP, large, 1, fds, CHANNEL_FDS + 1),
                     -ERR_SYSTEM);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(channel_receive(p->ends[1], &p->in), 0);
}

static void test_descriptors(void **state)
{
    struct pair *p = *state;
    int fds[CHANNEL_FDS], ends[2], lowest;

    assert_int_equal(pipe(ends), 0);
    for (unsigned i = 0; i < CHANNEL_FDS; i++)
        fds[i] = ends[i % 2];
    lowest = lowest_free();
    for (unsigned count = 1; count <= CHANNEL_FDS; count += CHANNEL_FDS - 1) {
        assert_int_equal(channel_send(p->ends[0], MESSAGE_SETUP, "x", 1, fds, count), 0);
        assert_int_equal(channel_receive(p->ends[1], &p->in), 1);
        assert_int_equal(p->in.fd_count, count);
        for (unsigned i = 0; i < count; i++) {
            assert_true(same_object(p->in.fds[i], ends[i % 2]));
            assert_true(fcntl(p->in.fds[i], F_GETFD) & FD_CLOEXEC);
            close(p->in.fds[i]);
        }
    }
    assert_int_equal(lowest_free(), lowest);
    close(ends[0]);
    close(ends[1]);
}

/* The kernel says who sent, whatever the payload says. */
static void test_sender(void **state)
{
    struct pair *p = *state;
    pid_t child;

    assert_int_equal(channel_send(p->ends[1], MESSAGE_READY, NULL, 0, NULL, 0), 0);
    assert_int_equal(channel_receive(p->ends[0], &p->in), 1);
    assert_int_equal(p->in.sender, getpid());
    assert_int_equal(channel_send(p->ends[0], MESSAGE_STOP, NULL, 0, NULL, 0), 0);
    assert_int_equal(channel_receive(p->ends[1], &p->in), 1);
    assert_int_equal(p->in.sender, 0);

    child = fork();
    if (child == 0)
        _exit(channel_send(p->ends[1], MESSAGE_READY, NULL, 0, NULL, 0) == 0 ? 0 : 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(channel_receive(p->ends[0], &p->in), 1);
    assert_int_equal(p->in.sender, child);
}

static void send_raw(int fd, const void *bytes, size_t size, const int *fds, unsigned count)
{
    char control[CMSG_SPACE(250 * sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec part = {(void *)bytes, size};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    struct cmsghdr *h;

    if (count > 0) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(count * sizeof(int));
        h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(h), fds, count * sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &m, 0), size);
}

static void test_malformed(void **state)
{
    static const struct {
        uint32_t words[4];
        size_t size;
    } cases[] = {
        {{MESSAGE_HELLO, 0, 0, 0}, 1},           /* no head */
        {{MESSAGE_HELLO, 0, 0, 0}, 7},           /* less than a head */
        {{MESSAGE_HELLO, 0, 0, 0}, 9},           /* more than it says */
        {{MESSAGE_HELLO, 8, 0, 0}, 15},          /* less than it says */
        {{MESSAGE_HELLO, UINT32_MAX, 0, 0}, 16}, /* far less */
        {{MESSAGE_COUNT, 8, 0, 0}, 16},          /* no such message */
        {{UINT32_MAX, 8, 0, 0}, 16},
    };
    struct pair *p = *state;
    int lowest = lowest_free(), zero = 0;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send_raw(p->ends[1], cases[i].words, cases[i].size, &zero, 1);
        assert_int_equal(channel_receive(p->ends[0], &p->in), -ERR_PROTOCOL);
        assert_int_equal(p->in.fd_count, 0);
        assert_int_equal(lowest_free(), lowest);
    }
    assert_int_equal(channel_receive(p->ends[0], &p->in), 0);
}

static void test_oversized(void **state)
{
    struct pair *p = *state;
    char packet[CHANNEL_PAYLOAD + 9] = {MESSAGE_LOGS};
    uint32_t ready[2] = {MESSAGE_READY, 0};
    int lowest = lowest_free(), fds[250] = {0};

    send_raw(p->ends[1], packet, sizeof packet, NULL, 0);
    assert_int_equal(channel_receive(p->ends[0], &p->in), -ERR_PROTOCOL);
    for (unsigned count = CHANNEL_FDS + 1; count <= 250; count++) {
        send_raw(p->ends[1], ready, sizeof ready, fds, count);
        assert_int_equal(channel_receive(p->ends[0], &p->in), -ERR_PROTOCOL);
        send_raw(p->ends[0], ready, sizeof ready, fds, count);
        assert_int_equal(channel_receive(p->ends[1], &p->in), -ERR_PROTOCOL);
        assert_int_equal(lowest_free(), lowest);
    }
}

static void test_closed(void **state)
{
    struct pair *p = *state;

    assert_int_equal(channel_send(p->ends[1], MESSAGE_READY, NULL, 0, NULL, 0), 0);
    close(p->ends[1]);
    p->ends[1] = -1;
    assert_int_equal(channel_receive(p->ends[0], &p->in), 1);
    assert_int_equal(channel_receive(p->ends[0], &p->in), -ERR_CLOSED);
    assert_int_equal(channel_send(p->ends[0], MESSAGE_STOP, NULL, 0, NULL, 0), -ERR_CLOSED);
}

static void test_full(void **state)
{
    struct pair *p = *state;
    char large[CHANNEL_PAYLOAD] = {0};
    int result = 0, sent = 0;

    while (result == 0 && sent < 10000) {
        result = channel_send(p->ends[0], MESSAGE_LOGS, large, sizeof large, NULL, 0);
        sent++;
    }
    assert_int_equal(result, -ERR_FULL);
    assert_int_equal(channel_receive(p->ends[1], &p->in), 1);
}

static void test_wait(void **state)
{
    struct pair *p = *state;
    int64_t begin = clock_ns();
    pid_t child;

    assert_int_equal(channel_wait(p->ends[0], &p->in, 20), 0);
    assert_true(clock_ns() - begin >= 20 * 1000000LL);
    assert_int_equal(channel_send(p->ends[1], MESSAGE_READY, NULL, 0, NULL, 0), 0);
    assert_int_equal(channel_wait(p->ends[0], &p->in, 20000), 1);
    child = fork();
    if (child == 0) {
        usleep(20000); /* the parent waits by then, or finds the message there: both must do */
        _exit(channel_send(p->ends[1], MESSAGE_READY, NULL, 0, NULL, 0) == 0 ? 0 : 1);
    }
    assert_int_equal(channel_wait(p->ends[0], &p->in, -1), 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(p->ends[1]);
    p->ends[1] = -1;
    assert_int_equal(channel_wait(p->ends[0], &p->in, 20000), -ERR_CLOSED);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(message_name(MESSAGE_SETUP), "SETUP");
    assert_string_equal(message_name(MESSAGE_READY), "READY");
    assert_string_equal(message_name(MESSAGE_COUNT), "unknown");
    assert_string_equal(message_name((enum message_kind) - 1), "unknown");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_flags),  TEST(test_messages),  TEST(test_too_large), TEST(test_descriptors),
        TEST(test_sender), TEST(test_malformed), TEST(test_oversized), TEST(test_closed),
        TEST(test_full),   TEST(test_wait),      TEST(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
