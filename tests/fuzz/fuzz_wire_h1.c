/* Fuzzes the whole HTTP/1 wire: a connection over a socket pair, a handler that answers in every
 * way, a clock that jumps.
 *
 * The input is a script. The first byte chooses how the handler takes bodies; then every byte is
 * sent, but 0xff, which makes the next one a command: turn the loop, jump ahead in time, close half
 * of the connection, read what came, answer a call that waits.
 *
 * Claims: no body is larger than max-body; every call can end; and when the client is gone, nothing
 * is left: no connection, no request, no hold, no block, no byte in a file. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container.h"
#include "check.h"
#include "http/wire_h1.h"

enum { LARGE = 300000, MAX_BODY = 100000, TURNS = 50, HOLDS = 10000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct loop loop;
    struct log log;
    struct app_options options;
    struct server server;
    struct handler handler;
    struct exchange *parked;
    struct hold holds;
    int64_t held; /* holds that were not released yet */
    int file;
    char large[LARGE];
};

static struct world *world_of(struct exchange *x)
{
    return x->server->owner;
}

static void released(struct hold *h)
{
    container_of(h, struct world, holds)->held--;
}

static struct hold *hold(struct world *w)
{
    w->held++;
    return &w->holds;
}

static int put(struct exchange *x, struct chunk c)
{
    int rc = x->wire->write(x, &c);
    if (rc == 1 && x->handler->ops->in_calls)
        rc = x->wire->wait(x);
    return rc < 0 ? rc : 0;
}

/* Reads the body as a call does. */
static int read_all(struct exchange *x)
{
    char bytes[1000];
    int64_t total = 0;
    int n;
    while ((n = x->wire->read(x, bytes, sizeof bytes)) > 0)
        total += n;
    CHECK(total <= MAX_BODY);
    return n;
}

static void content(struct exchange *x, char how)
{
    struct world *w = world_of(x);
    struct chunk small = {.kind = CHUNK_BYTES, .bytes = SLICE("hello")};
    struct chunk large = {.kind = CHUNK_BYTES, .bytes = {w->large, LARGE}};
    struct chunk file = {.kind = CHUNK_FILE, .fd = w->file, .length = LARGE};
    int err = put(x, small);
    for (int i = 0; i < 4 && !err && how == 'h'; i++) {
        large.hold = hold(w);
        err = put(x, large);
    }
    if (!err && how == 'f') {
        file.hold = hold(w);
        err = put(x, file);
    }
    if (!err && how == 'x')
        x->wire->abort(x, ERR_APP);
    else if (!err)
        x->wire->finish(x, NULL);
}

static void answer(struct exchange *x)
{
    struct slice path = x->request.path;
    char how = path.len > 1 ? path.ptr[1] : 0;
    const struct head head = {.status = how == 'n' ? 204 : 200};
    if (how == 'r' && x->handler->ops->in_calls)
        read_all(x);
    if (x->wire->start(x, &head, how == 'l' ? 5 : how == 'm' ? 6 : -1) == 0)
        content(x, how);
    x->wire->leave(x);
}

static int on_request(struct handler *h, struct exchange *x)
{
    struct world *w = world_of(x);
    (void)h;
    CHECK(x->body.length <= MAX_BODY);
    if (slice_eq(x->request.path, SLICE("/e")))
        return -ERR_APP;
    if (slice_eq(x->request.path, SLICE("/p")) && !w->parked)
        w->parked = x;
    else
        answer(x);
    return 0;
}

static void on_notice(struct handler *h, struct exchange *x)
{
    (void)h, (void)x;
}

static const struct handler_ops whole = {
    .name = "whole", .whole_body = true, .request = on_request, .gone = on_notice};
static const struct handler_ops calls = {.name = "calls",
                                         .whole_body = true,
                                         .in_calls = true,
                                         .request = on_request,
                                         .gone = on_notice};
static const struct handler_ops streams = {
    .name = "streams", .in_calls = true, .request = on_request, .gone = on_notice};

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    w->options = (struct app_options){
        .server_header = "fuzz",
        .head_timeout = 1000,
        .body_timeout = 1,
        .keep_alive = 1000,
        .send_timeout = 1,
        .queue_timeout = 1000,
        .queue_size = 1000,
        .connection_timeout = 100000,
        .body_min_rate = 240,
        .send_min_rate = 240,
        .max_request_line = 1000,
        .max_header_size = 20000,
        .max_header_fields = 20,
        .max_body = MAX_BODY,
        .spool_limit = 1000000,
        .max_response_spool = 700000,
    };
    CHECK(loop_init(&w->loop) == 0);
    log_open(&w->log, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_CRITICAL, LOG_PLAIN);
    w->file = memfd_create("file", MFD_CLOEXEC);
    CHECK(ftruncate(w->file, LARGE) == 0);
    w->holds.release = released;
    server_init(&w->server, &w->loop, &w->options, &w->log);
    w->server.handler = &w->handler;
    w->server.owner = w;
    return w;
}

static void turn(struct world *w)
{
    for (int i = 0; i < 3; i++)
        loop_turn(&w->loop, 0);
}

/* The timers see a later time; the loop's next turn looks at the real clock again. */
static void jump(struct world *w, int64_t ms)
{
    w->loop.clock.now += ms;
    timers_fire(&w->loop.timers, w->loop.clock.now, 64);
    turn(w);
}

static void go_on(struct world *w)
{
    struct exchange *x = w->parked;
    w->parked = NULL;
    if (x)
        answer(x);
    turn(w);
}

static void take(int fd)
{
    static char bytes[1 << 16];
    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
}

static void command(struct world *w, int fd, uint8_t what)
{
    switch (what & 7) {
    case 0: turn(w); break;
    case 1: jump(w, 500); break;
    case 2: jump(w, 200000); break;
    case 3: shutdown(fd, SHUT_WR); break;
    case 4: take(fd); break;
    case 5: go_on(w); break;
    case 6: shutdown(fd, SHUT_RD); break;
    case 7: server_drain(&w->server); break;
    }
}

/* Sends what stands before the next command; returns how many bytes of the script that was. */
static size_t send_some(int fd, const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0xff, size);
    size_t n = end ? (size_t)(end - data) : size;
    send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n;
}

/* The client leaves; everything has to end with it. */
static void leave(struct world *w, int fd)
{
    go_on(w);
    close(fd);
    for (int i = 0; i < TURNS && w->server.connections; i++) {
        turn(w);
        go_on(w);
        jump(w, 200000);
    }
    CHECK(w->server.connections == 0);
    CHECK(w->server.serving == 0);
    CHECK(w->server.own_slot.active == 0);
    CHECK(w->server.spools.used == 0);
    CHECK(w->held == 0);
    w->server.draining = false;
    pool_drain(&w->server.blocks); /* so that a block that did not come back is a leak */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct handler_ops *const ways[] = {&whole, &calls, &streams};
    static struct world *w;
    struct ends ends = {.peer.storage.ss_family = AF_UNIX, .local.storage.ss_family = AF_UNIX};
    int pair[2];
    if (!w)
        w = world_new();
    if (size == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        return 0;
    w->handler.ops = ways[data[0] % 3];
    CHECK(h1_open(&w->server, pair[1], &ends) == 0);
    for (size_t at = 1; at < size;) {
        at += send_some(pair[0], data + at, size - at);
        if (at + 1 < size)
            command(w, pair[0], data[at + 1]);
        at += 2;
    }
    turn(w);
    leave(w, pair[0]);
    return 0;
}
