/* Tests src/http/accept.c and h1_refuse.c with real sockets: when the listeners are watched, who
 * takes a connection, and what happens without descriptors.
 *
 * Two doors in one process, each with a loop and a server of its own, stand for two workers. */
#include "http/accept.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 2, TURNS = 2000, CLIENTS = 64 };

struct worker {
    struct loop loop;
    struct server server;
    struct token token; /* only its leader and its queue are looked at */
    struct door door;
};

struct fixture {
    struct worker workers[WORKERS];
    struct app_options options;
    struct scoreboard *board;
    struct log log;
    int log_fd;
    int listener;
    struct sockaddr_in address;
    int clients[CLIENTS];
    int count;
};

static void open_worker(struct fixture *f, int i)
{
    struct worker *w = &f->workers[i];
    struct door_setup setup = {.server = &w->server, .fds = &f->listener, .count = 1};

    assert_int_equal(loop_init(&w->loop), 0);
    server_init(&w->server, &w->loop, &f->options, &f->log);
    w->server.slot = &f->board->slots[i];
    w->server.token = &w->token;
    w->token.leader = (struct hand *)w; /* somebody */
    setup.circle = (struct circle){f->board, w->server.slot, circle_name("shop", 1)};
    slot_set(w->server.slot, state, WORKER_SERVING);
    slot_set(w->server.slot, heartbeat, loop_now(&w->loop));
    assert_int_equal(door_open(&w->door, &setup), 0);
}

static int setup(void **state)
{
    static struct fixture f;
    socklen_t len = sizeof f.address;
    int board = scoreboard_create(WORKERS);

    f = (struct fixture){.options = {.keep_alive = 60000,
                                     .head_timeout = 60000,
                                     .queue_size = 10,
                                     .limit_concurrency = 2,
                                     .server_header = ""}};
    f.board = scoreboard_map(board);
    close(board);
    f.log_fd = memfd_create("log", MFD_CLOEXEC);
    log_open(&f.log, f.log_fd, LOG_DEBUG, LOG_PLAIN);
    f.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    f.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(f.listener, (struct sockaddr *)&f.address, sizeof f.address) < 0 ||
        listen(f.listener, 128) < 0 ||
        getsockname(f.listener, (struct sockaddr *)&f.address, &len) < 0)
        return -1;
    for (int i = 0; i < WORKERS; i++)
        open_worker(&f, i);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &f->workers[i];

        door_close(&w->door);
        server_cut(&w->server);
        loop_turn(&w->loop, 0);
        loop_free(&w->loop);
        server_free(&w->server);
    }
    for (int i = 0; i < f->count; i++)
        close(f->clients[i]);
    close(f->listener);
    log_close(&f->log);
    close(f->log_fd);
    scoreboard_unmap(f->board);
    return 0;
}

static int connect_one(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&f->address, sizeof f->address), 0);
    f->clients[f->count++] = fd;
    return fd;
}

static unsigned connections(const struct fixture *f, int i)
{
    return f->workers[i].server.connections;
}

/* Turns a worker's loop, a millisecond each, until it has so many connections. */
static bool turn_until(struct fixture *f, int i, unsigned wanted)
{
    for (int n = 0; n < TURNS && connections(f, i) < wanted; n++)
        assert_int_equal(loop_turn(&f->workers[i].loop, 1), 0);
    return connections(f, i) >= wanted;
}

static void turn(struct fixture *f, int i, int times)
{
    while (times-- > 0)
        assert_int_equal(loop_turn(&f->workers[i].loop, 1), 0);
}

static bool waits(const struct fixture *f)
{
    struct pollfd p = {.fd = f->listener, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static enum door_state door_of(const struct fixture *f, int i)
{
    return slot_get(&f->board->slots[i], door);
}

static void test_takes(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i <= 3; i++) {
        connect_one(f);
        assert_true(turn_until(f, 0, i));
    }
    assert_int_equal(slot_get(&f->board->slots[0], accepted), 3);
}

/* With three more than the other it stands back, takes none although it is woken, and is open again
 * when the other has caught up. */
static void test_stands_back(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i <= 3; i++) {
        connect_one(f);
        assert_true(turn_until(f, 0, i));
    }
    turn(f, 0, 1);
    assert_int_equal(door_of(f, 0), DOOR_STAND);
    assert_int_equal(door_of(f, 1), DOOR_OPEN);
    connect_one(f);
    turn(f, 0, 3);
    assert_int_equal(connections(f, 0), 3);
    assert_true(turn_until(f, 1, 1));
    for (int n = 0; n < TURNS && door_of(f, 0) != DOOR_OPEN; n++)
        turn(f, 0, 1);
    assert_int_equal(door_of(f, 0), DOOR_OPEN);
}

/* The other one never turns: what nobody takes is taken after all. */
static void test_takes_what_nobody_takes(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i <= 6; i++) {
        connect_one(f);
        assert_true(turn_until(f, 0, i));
    }
}

static void test_without_a_free_thread(void **state)
{
    struct fixture *f = *state;

    f->workers[0].token.leader = NULL;
    turn(f, 0, 1);
    assert_int_equal(door_of(f, 0), DOOR_STAND);
    connect_one(f);
    assert_true(turn_until(f, 1, 1));
    f->workers[1].token.leader = NULL; /* now nobody has one */
    turn(f, 1, 1);
    assert_int_equal(door_of(f, 1), DOOR_OPEN);
    connect_one(f);
    for (int n = 0; n < TURNS && connections(f, 0) + connections(f, 1) < 2; n++) {
        turn(f, 0, 1);
        turn(f, 1, 1);
    }
    assert_int_equal(connections(f, 0) + connections(f, 1), 2);
    f->workers[0].token.leader = (struct hand *)f;
    for (int n = 0; n < TURNS && door_of(f, 0) != DOOR_OPEN; n++)
        turn(f, 0, 1);
    assert_int_equal(door_of(f, 0), DOOR_OPEN);
}

/* A full worker takes nothing, even alone, and needs no more than one turn to be back. */
static void test_full(void **state)
{
    struct fixture *f = *state;

    door_close(&f->workers[1].door);
    f->workers[0].server.serving = 2;
    turn(f, 0, 1);
    assert_int_equal(door_of(f, 0), DOOR_SHUT);
    connect_one(f);
    turn(f, 0, 30);
    assert_int_equal(connections(f, 0), 0);
    assert_true(waits(f));
    f->workers[0].server.serving = 1;
    turn(f, 0, 1);
    assert_int_equal(connections(f, 0), 1);
    f->workers[0].token.queued = 10;
    turn(f, 0, 1);
    assert_int_equal(door_of(f, 0), DOOR_SHUT);
    f->workers[0].token.queued = 0;
    turn(f, 0, 1);
    assert_int_equal(door_of(f, 0), DOOR_OPEN);
}

static void check_refused(int client)
{
    char answer[512];
    ssize_t got = recv(client, answer, sizeof answer - 1, MSG_WAITALL);

    assert_true(got > 0);
    answer[got] = '\0';
    assert_non_null(strstr(answer, "HTTP/1.1 503 Service Unavailable\r\n"));
    assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n503 Service Unavailable\n");
}

static unsigned lines_of(const struct fixture *f, const char *part)
{
    char text[8192];
    unsigned count = 0;
    ssize_t n;

    log_flush((struct log *)&f->log);
    n = pread(f->log_fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

/* The limit is put right above what is open, so that the reserve is all there is. */
static void forbid_more(struct rlimit *before)
{
    struct rlimit now;
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    close(next);
    now = (struct rlimit){(rlim_t)next, before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

static void test_out_of_descriptors(void **state)
{
    struct fixture *f = *state;
    struct slot *slot = &f->board->slots[0];
    struct rlimit before;
    int clients[20];

    door_close(&f->workers[1].door);
    for (int i = 0; i < 20; i++) {
        clients[i] = connect_one(f);
        assert_int_equal(send(clients[i], "GET / HTTP/1.1\r\n", 16, 0), 16);
    }
    forbid_more(&before);
    for (int n = 0; n < TURNS && slot_get(slot, shed) < 19; n++)
        turn(f, 0, 1);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(slot_get(slot, shed) >= 19); /* the second door's reserve is one more descriptor */
    for (int i = 20 - (int)slot_get(slot, shed); i < 20; i++)
        check_refused(clients[i]);
    assert_int_equal(lines_of(f, "connections cannot be accepted"), 1);
    connect_one(f);
    assert_true(turn_until(f, 0, connections(f, 0) + 1));
}

/* Not even the reserve is there: it rests, which is no end. */
static void test_without_the_reserve(void **state)
{
    struct fixture *f = *state;
    struct rlimit before;

    door_close(&f->workers[1].door);
    turn(f, 0, 1);
    close(f->workers[0].door.reserve);
    f->workers[0].door.reserve = -1;
    connect_one(f);
    getrlimit(RLIMIT_NOFILE, &before);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){3, before.rlim_max});
    turn(f, 0, 2);
    assert_int_equal(door_of(f, 0), DOOR_SHUT);
    assert_true(waits(f));
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(turn_until(f, 0, 1));
    assert_true(f->workers[0].door.reserve >= 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_takes),
        TEST(test_stands_back),
        TEST(test_takes_what_nobody_takes),
        TEST(test_without_a_free_thread),
        TEST(test_full),
        TEST(test_out_of_descriptors),
        TEST(test_without_the_reserve),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
