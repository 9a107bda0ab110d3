/* The HTTP/1 wire over real sockets, with a handler written in C: what goes in, what comes out, and
 * what is released.
 *
 * The handler does what the request's path says. Each test turns the loop by hand until what it
 * waits for has happened; the limits are small, so that a time limit is a wait of milliseconds for
 * a condition, not a sleep. */
#include "http/wire_h1.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container.h"
#include "http/h1_conn.h"

struct fixture {
    struct loop loop;
    struct log log;
    struct app_options options;
    struct server server;
    struct handler handler;
    unsigned calls;
    unsigned released;
    unsigned gone;
    bool idle;
    bool in_file; /* the last body came in a file */
    int file;     /* of 4000 bytes */
    int log_fd;
    struct exchange *parked; /* an exchange whose call "still runs" */
    char reply[1 << 20];
    size_t reply_len;
    char body[1 << 16];
    size_t body_len;
    int64_t body_length; /* of all of it */
};

struct held {
    struct hold hold;
    struct fixture *f;
};

static void released(struct hold *h)
{
    container_of(h, struct held, hold)->f->released++;
}

static struct held *hold_of(struct fixture *f, struct exchange *x)
{
    struct held *h = arena_alloc(&x->arena, sizeof *h);
    *h = (struct held){{released}, f};
    return h;
}

static const char megabyte[1 << 20];

static int answer(struct exchange *x, int64_t length, const struct chunk *chunks, int count)
{
    const struct head head = {.status = 200};
    int err = x->wire->start(x, &head, length);
    for (int i = 0; i < count && err >= 0; i++)
        err = x->wire->write(x, &chunks[i]);
    if (err >= 0)
        err = x->wire->finish(x, NULL);
    x->wire->leave(x);
    return 0;
}

static struct chunk text(const char *s)
{
    return (struct chunk){.kind = CHUNK_BYTES, .bytes = slice_text(s)};
}

/* What a handler with whole_body is given, from wherever it is. */
static void keep_body(struct fixture *f, struct exchange *x)
{
    int64_t n = f->body_length = x->body.length;
    f->body_len = (size_t)n < sizeof f->body ? (size_t)n : sizeof f->body;
    f->in_file = x->body.fd >= 0;
    if (f->in_file)
        assert_int_equal(pread(x->body.fd, f->body, f->body_len, 0), f->body_len);
    else if (f->body_len)
        memcpy(f->body, x->body.bytes.ptr, f->body_len);
}

static int on_request(struct handler *h, struct exchange *x)
{
    struct fixture *f = container_of(h, struct fixture, handler);
    struct slice path = x->request.path;
    f->calls++;
    keep_body(f, x);
    if (slice_eq(path, SLICE("/stream")))
        return answer(x, -1, (struct chunk[]){text("one"), text("two")}, 2);
    if (slice_eq(path, SLICE("/short")))
        return answer(x, 10, (struct chunk[]){text("one")}, 1);
    if (slice_eq(path, SLICE("/error")))
        return -ERR_APP;
    if (slice_eq(path, SLICE("/park"))) {
        f->parked = x;
        return 0;
    }
    if (slice_eq(path, SLICE("/held"))) {
        struct chunk c = {.kind = CHUNK_BYTES, .bytes = {megabyte, 100000}};
        c.hold = &hold_of(f, x)->hold;
        return answer(x, 100000, &c, 1);
    }
    if (slice_eq(path, SLICE("/file"))) {
        struct chunk c = {.kind = CHUNK_FILE, .fd = f->file, .offset = 0, .length = 4000};
        c.hold = &hold_of(f, x)->hold;
        return answer(x, 4000, &c, 1);
    }
    return answer(x, 5, (struct chunk[]){text("hello")}, 1);
}

static void on_gone(struct handler *h, struct exchange *x)
{
    (void)x;
    container_of(h, struct fixture, handler)->gone++;
}

static const struct handler_ops ops = {
    .name = "fake", .whole_body = true, .request = on_request, .gone = on_gone};

static void on_idle(struct server *s)
{
    ((struct fixture *)s->owner)->idle = true;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->options = (struct app_options){
        .server_header = "penstock",
        .head_timeout = 10000,
        .body_timeout = 10000,
        .keep_alive = 10000,
        .send_timeout = 10000,
        .max_request_line = 1000,
        .max_header_size = 40000,
        .max_header_fields = 20,
        .max_body = 50000,
        .spool_limit = 1 << 20,
    };
    assert_int_equal(loop_init(&f->loop), 0);
    f->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_open(&f->log, f->log_fd, LOG_ERROR, LOG_PLAIN);
    f->file = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(ftruncate(f->file, 4000), 0);
    f->handler.ops = &ops;
    server_init(&f->server, &f->loop, &f->options, &f->log);
    f->server.handler = &f->handler;
    f->server.owner = f;
    f->server.on_idle = on_idle;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    server_cut(&f->server);
    while (f->server.connections)
        loop_turn(&f->loop, 0);
    server_free(&f->server);
    loop_free(&f->loop);
    log_close(&f->log);
    close(f->log_fd);
    close(f->file);
    free(f);
    return 0;
}

static int connect_pair(struct fixture *f)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    struct ends who = {.peer.storage.ss_family = AF_UNIX, .local.storage.ss_family = AF_UNIX};
    assert_int_equal(h1_open(&f->server, ends[1], &who), 0);
    f->reply_len = 0;
    return ends[0];
}

static void send_all(int fd, struct slice bytes)
{
    assert_int_equal(send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), bytes.len);
}

/* Turns the loop until nothing happens any more, reading what comes. Returns true at the end of the
 * connection. */
static bool settle(struct fixture *f, int fd)
{
    for (int quiet = 0; quiet < 3;) {
        loop_turn(&f->loop, 0);
        ssize_t n = recv(fd, f->reply + f->reply_len, sizeof f->reply - 1 - f->reply_len, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
        if (n > 0)
            f->reply_len += (size_t)n;
        quiet = n > 0 ? 0 : quiet + 1;
    }
    f->reply[f->reply_len] = '\0';
    return false;
}

static bool closes(struct fixture *f, int fd)
{
    int64_t limit = clock_ns() + 5 * 1000000000LL;
    while (clock_ns() < limit) {
        loop_turn(&f->loop, 10);
        if (settle(f, fd)) {
            f->reply[f->reply_len] = '\0';
            return true;
        }
    }
    return false;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

static void answers_and_keeps_alive(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(fd, SLICE("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_false(settle(f, fd));
    assert_memory_equal(f->reply, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(f->reply, "\r\nContent-Length: 5\r\n"));
    assert_non_null(strstr(f->reply, "\r\nDate: "));
    assert_non_null(strstr(f->reply, "\r\nServer: penstock\r\n"));
    assert_null(strstr(f->reply, "Connection"));
    assert_non_null(strstr(f->reply, "\r\n\r\nhello"));
    send_all(fd, SLICE("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_false(settle(f, fd));
    assert_int_equal(f->calls, 2);
    close(fd);
}

static void answers_every_cut(void **state)
{
    struct fixture *f = *state;
    const struct slice post =
        SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
              "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
              "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n");
    for (size_t cut = 1; cut < post.len; cut++) {
        int fd = connect_pair(f);
        f->calls = 0;
        send_all(fd, slice_of(post.ptr, cut));
        assert_false(settle(f, fd));
        send_all(fd, slice_skip(post, cut));
        assert_false(settle(f, fd));
        assert_int_equal(f->calls, 2);
        assert_int_equal(count(f->reply, "hello"), 2);
        assert_int_equal(f->body_len, 4);
        assert_memory_equal(f->body, "body", 4);
        close(fd);
        settle(f, fd);
    }
}

static void answers_pipelined_requests_in_order(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    char many[200 * 40] = "";
    for (int i = 0; i < 100; i++)
        strcat(many, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    strcat(many, "GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    send_all(fd, slice_text(many));
    assert_true(closes(f, fd));
    assert_int_equal(f->calls, 101);
    assert_int_equal(count(f->reply, "hello"), 100);
    assert_non_null(strstr(f->reply, "Connection: close\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
}

static void answers_a_client_that_closed_its_half(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(fd, SLICE("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    shutdown(fd, SHUT_WR);
    assert_true(closes(f, fd));
    assert_int_equal(count(f->reply, "hello"), 1);
    close(fd);
}

static void frames_as_the_version_allows(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(fd, SLICE("GET /stream HTTP/1.0\r\n\r\n"));
    assert_true(closes(f, fd));
    assert_null(strstr(f->reply, "chunked"));
    assert_non_null(strstr(f->reply, "\r\n\r\nonetwo"));
    close(fd);
    fd = connect_pair(f);
    send_all(fd, SLICE("HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.0\r\nConnection: "
                       "keep-alive\r\n\r\n"));
    assert_false(settle(f, fd));
    assert_null(strstr(f->reply, "one"));
    assert_null(strstr(f->reply, "hello"));
    assert_non_null(strstr(f->reply, "Content-Length: 5\r\nConnection: keep-alive\r\n\r\n"));
    close(fd);
}

static void invites_a_body_and_refuses_one_too_large(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(
        fd,
        SLICE("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
    assert_false(settle(f, fd));
    assert_string_equal(f->reply, "HTTP/1.1 100 Continue\r\n\r\n");
    send_all(fd, SLICE("body"));
    assert_false(settle(f, fd));
    assert_int_equal(count(f->reply, "hello"), 1);
    close(fd);
    fd = connect_pair(f);
    send_all(
        fd,
        SLICE(
            "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 50001\r\n\r\n"));
    settle(f, fd);
    assert_memory_equal(f->reply, "HTTP/1.1 413 ", 13);
    shutdown(fd, SHUT_WR);
    assert_true(closes(f, fd));
    assert_int_equal(f->calls, 1);
    close(fd);
}

/* Sends `total` bytes of a body while the loop turns. */
static void send_body(struct fixture *f, int fd, size_t total)
{
    while (total) {
        size_t n = total < 5000 ? total : 5000;
        send_all(fd, slice_of(megabyte, n));
        total -= n;
        settle(f, fd);
    }
}

static void puts_large_bodies_into_a_file(void **state)
{
    struct fixture *f = *state;
    f->options.max_body = 1 << 20;
    int fd = connect_pair(f);
    send_all(fd, SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n"));
    send_body(f, fd, 65536);
    assert_int_equal(f->calls, 1);
    assert_false(f->in_file);
    send_all(fd, SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n"));
    send_body(f, fd, 65537);
    assert_int_equal(f->calls, 2);
    assert_true(f->in_file);
    assert_memory_equal(f->body, megabyte, sizeof f->body);
    assert_int_equal(f->server.spools.used, 0);
    send_all(fd, SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"));
    send_body(f, fd, 90000);
    assert_true(f->server.spools.used >= 65536);
    close(fd);
    settle(f, fd);
    assert_int_equal(f->server.spools.used, 0);
}

/* How often this process has called write() and its like (proc_pid_io(5)); -1 where nobody counts.
 */
static long writes(void)
{
    char text[512] = "";
    int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    const char *line = n > 0 ? strstr(text, "syscw: ") : NULL;
    if (fd >= 0)
        close(fd);
    return line ? strtol(line + strlen("syscw: "), NULL, 10) : -1;
}

static void writes_small_chunks_together(void **state)
{
    struct fixture *f = *state;
    enum { CHUNKS = 100000, AT_ONCE = 500 };
    static const char chunk[] = "1\r\nx\r\n";
    char many[AT_ONCE * sizeof chunk] = "";
    for (int i = 0; i < AT_ONCE; i++)
        memcpy(many + (size_t)i * (sizeof chunk - 1), chunk, sizeof chunk);
    f->options.max_body = 1 << 20;
    int fd = connect_pair(f);
    long before = writes();
    send_all(fd, SLICE("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < CHUNKS / AT_ONCE; i++) {
        send_all(fd, slice_text(many));
        settle(f, fd);
    }
    send_all(fd, SLICE("0\r\n\r\n"));
    assert_false(settle(f, fd));
    assert_int_equal(f->calls, 1);
    assert_true(f->in_file);
    assert_int_equal(f->body_length, CHUNKS);
    assert_true(before < 0 || writes() - before < 100);
    close(fd);
}

static void refuses_what_its_files_cannot_hold(void **state)
{
    struct fixture *f = *state;
    f->options.max_body = 1 << 20;
    f->options.spool_limit = 80000;
    int fd = connect_pair(f);
    send_all(fd, SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"));
    send_body(f, fd, 100000);
    assert_memory_equal(f->reply, "HTTP/1.1 503 ", 13);
    assert_int_equal(f->calls, 0);
    shutdown(fd, SHUT_WR);
    assert_true(closes(f, fd));
    assert_int_equal(f->server.spools.used, 0);
    close(fd);
}

static void a_pace_has_a_deadline(void **state)
{
    (void)state;
    struct pace p = {.since = 1000, .progress = 1000};
    assert_int_equal(pace_deadline(&p, 500, 100), 1500);
    p.progress = 1400;
    assert_int_equal(pace_deadline(&p, 500, 100), 1500); /* something came, but too little */
    p.bytes = 20;
    assert_int_equal(pace_deadline(&p, 500, 100), 1700);
    p.bytes = 1000000;
    assert_int_equal(pace_deadline(&p, 500, 100), 1900); /* fast, and then still */
    p.bytes = 0;
    assert_int_equal(pace_deadline(&p, 500, 0), 1900);
}

static void a_connection_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct h1_conn) <= 800); /* of the 1024 that it may cost, all told */
}

static void refuses_what_is_malformed(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(
        fd, SLICE("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    settle(f, fd);
    assert_memory_equal(f->reply, "HTTP/1.1 400 ", 13);
    assert_int_equal(count(f->reply, "HTTP/1.1"), 1);
    assert_int_equal(f->calls, 0);
    shutdown(fd, SHUT_WR);
    assert_true(closes(f, fd));
    close(fd);
}

static void cuts_a_short_response_visibly(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(fd, SLICE("GET /short HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_true(closes(f, fd));
    assert_non_null(strstr(f->reply, "Content-Length: 10\r\n"));
    assert_int_equal(count(f->reply, "HTTP/1.1"), 1);
    close(fd);
}

static void answers_for_a_handler_that_failed(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(fd, SLICE("GET /error HTTP/1.1\r\nHost: x\r\n\r\n"));
    shutdown(fd, SHUT_WR);
    assert_true(closes(f, fd));
    assert_memory_equal(f->reply, "HTTP/1.1 500 ", 13);
    close(fd);
}

static void releases_what_it_held(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(fd, SLICE("GET /held HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_false(settle(f, fd));
    assert_int_equal(f->released, 1);
    assert_true(f->reply_len > 100000);
    send_all(fd, SLICE("GET /file HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_false(settle(f, fd));
    assert_int_equal(f->released, 2);
    close(fd);
    settle(f, fd);
    fd = connect_pair(f);
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    send_all(fd, SLICE("GET /held HTTP/1.1\r\nHost: x\r\n\r\n"));
    loop_turn(&f->loop, 0);
    loop_turn(&f->loop, 0);
    close(fd);
    while (f->server.connections)
        loop_turn(&f->loop, 10);
    assert_int_equal(f->released, 3);
}

static void waits_for_a_call_that_still_runs(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(fd, SLICE("GET /park HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_false(settle(f, fd));
    assert_int_equal(f->calls, 1);
    assert_int_equal(f->reply_len, 0);
    answer(f->parked, 6, (struct chunk[]){text("parked")}, 1);
    assert_false(settle(f, fd));
    assert_int_equal(f->calls, 2);
    assert_true(strstr(f->reply, "parked") < strstr(f->reply, "hello"));
    send_all(fd, SLICE("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_false(settle(f, fd));
    close(fd);
    settle(f, fd);
    assert_int_equal(f->gone, 1);
    assert_int_equal(f->server.connections, 1);
    assert_int_equal(f->parked->wire->start(f->parked, &(struct head){.status = 200}, 0),
                     -ERR_CLOSED);
    f->parked->wire->leave(f->parked);
    settle(f, fd);
    assert_int_equal(f->server.connections, 0);
}

static void ends_what_takes_too_long(void **state)
{
    struct fixture *f = *state;
    f->options.head_timeout = f->options.body_timeout = f->options.keep_alive = 20;
    int fd = connect_pair(f);
    assert_true(closes(f, fd));
    assert_int_equal(f->reply_len, 0);
    close(fd);
    fd = connect_pair(f);
    send_all(fd, SLICE("GET / HT"));
    while (!count(f->reply, "408"))
        loop_turn(&f->loop, 10), settle(f, fd);
    shutdown(fd, SHUT_WR);
    assert_true(closes(f, fd));
    close(fd);
    fd = connect_pair(f);
    f->reply[0] = '\0';
    send_all(fd, SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo"));
    while (!count(f->reply, "408"))
        loop_turn(&f->loop, 10), settle(f, fd);
    shutdown(fd, SHUT_WR);
    assert_true(closes(f, fd));
    close(fd);
    fd = connect_pair(f);
    send_all(fd, SLICE("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_true(closes(f, fd));
    assert_int_equal(count(f->reply, "hello"), 1);
    close(fd);
}

static void gives_up_a_client_that_does_not_read(void **state)
{
    struct fixture *f = *state;
    f->options.send_timeout = 20;
    int fd = connect_pair(f);
    for (int i = 0; i < 20; i++)
        send_all(fd, SLICE("GET /held HTTP/1.1\r\nHost: x\r\n\r\n"));
    int64_t limit = clock_ns() + 5 * 1000000000LL;
    loop_turn(&f->loop, 0);
    while (f->server.connections && clock_ns() < limit)
        loop_turn(&f->loop, 10);
    assert_int_equal(f->server.connections, 0);
    assert_int_equal(f->released, f->calls);
    assert_true(f->calls < 20);
    close(fd);
}

static void drains(void **state)
{
    struct fixture *f = *state;
    int fd = connect_pair(f);
    send_all(fd, SLICE("GET /park HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_false(settle(f, fd));
    server_drain(&f->server);
    assert_false(settle(f, fd));
    assert_false(f->idle);
    answer(f->parked, 6, (struct chunk[]){text("parked")}, 1);
    assert_true(closes(f, fd));
    assert_non_null(strstr(f->reply, "Connection: close"));
    assert_true(f->idle);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(answers_and_keeps_alive),
        TEST(answers_every_cut),
        TEST(answers_pipelined_requests_in_order),
        TEST(answers_a_client_that_closed_its_half),
        TEST(frames_as_the_version_allows),
        TEST(invites_a_body_and_refuses_one_too_large),
        TEST(puts_large_bodies_into_a_file),
        TEST(writes_small_chunks_together),
        TEST(refuses_what_its_files_cannot_hold),
        TEST(a_pace_has_a_deadline),
        TEST(a_connection_is_small),
        TEST(refuses_what_is_malformed),
        TEST(cuts_a_short_response_visibly),
        TEST(answers_for_a_handler_that_failed),
        TEST(releases_what_it_held),
        TEST(waits_for_a_call_that_still_runs),
        TEST(ends_what_takes_too_long),
        TEST(gives_up_a_client_that_does_not_read),
        TEST(drains),
#undef TEST
    };
    return cmocka_run_group_tests_name("wire_h1", tests, NULL, NULL);
}
