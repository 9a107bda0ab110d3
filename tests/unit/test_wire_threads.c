/* The HTTP/1 wire with calls that lose the loop: pipelining, disconnects, sleeps and CPU at random.
 *
 * The handler is written in C and does what the WSGI handler does with the token and the wire, but
 * without Python, so that ThreadSanitizer sees every access. Each client sends batches of requests,
 * whose paths say how the calls behave and what they answer, and checks every byte of every answer;
 * some leave in the middle. */
#include "http/wire_h1.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container.h"

enum { CLIENTS = 40, ROUNDS = 12, BATCH = 5, LARGE = 600000 };

struct site {
    struct handler handler;
    struct loop loop;
    struct log log;
    int log_fd;
    struct app_options options;
    struct server server;
    struct token token;
    struct hand hands[HANDS_MOST];
    pthread_t threads[HANDS_MOST];
    unsigned started;
    _Atomic int inside, most;
    struct deferred end;
};

struct job {
    struct task task;
    struct exchange *x;
};

struct client {
    struct site *site;
    struct deferred open;
    pthread_t thread;
    unsigned seed;
    int theirs; /* the server's end, while it is handed over */
    _Atomic bool opened;
};

static char large[LARGE];

static void behave(char how)
{
    int64_t until = clock_ns() + 1500000;
    switch (how) {
    case 's': nanosleep(&(struct timespec){.tv_nsec = 2500000}, NULL); break;
    case 'n': nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); break;
    case 'b':
        while (clock_ns() < until)
            ;
        break;
    default: break;
    }
}

static void released(struct hold *h)
{
    free(h);
}

/* "/KIND/NUMBER" is answered by the path itself, and by LARGE bytes more for kind 'l'. */
static void respond(struct hand *h, struct exchange *x)
{
    bool is_large = x->request.path.ptr[1] == 'l';
    int64_t length = (int64_t)x->request.path.len + (is_large ? LARGE : 0);
    struct chunk c = {.kind = CHUNK_BYTES, .bytes = x->request.path};
    int err = x->wire->start(x, &(struct head){.status = 200}, length);
    if (err >= 0)
        err = x->wire->write(x, &c);
    if (err >= 0 && is_large) {
        c = (struct chunk){
            .kind = CHUNK_BYTES, .bytes = {large, LARGE}, .hold = malloc(sizeof *c.hold)};
        c.hold->release = released;
        err = x->wire->write(x, &c);
    }
    if (err == 1) {
        hand_enter(h);
        err = x->wire->wait(x);
        x->detached = !hand_return(h);
    }
    if (err >= 0)
        x->wire->finish(x, NULL);
}

static void run(struct hand *h, struct task *t)
{
    struct exchange *x = container_of(t, struct job, task)->x;
    struct site *s = container_of(x->handler, struct site, handler);
    x->detached = !hand_holds(h);
    hand_begins(h, clock_ns());
    hand_enter(h);
    int now = atomic_fetch_add(&s->inside, 1) + 1;
    if (now > atomic_load(&s->most))
        atomic_store(&s->most, now);
    behave(x->request.path.ptr[1]);
    atomic_fetch_sub(&s->inside, 1);
    hand_ends(h, clock_ns());
    x->detached = !hand_return(h);
    respond(h, x);
    x->times.returned = clock_ns();
    x->wire->leave(x);
}

static int on_request(struct handler *h, struct exchange *x)
{
    struct job *j = arena_alloc(&x->arena, sizeof *j);
    *j = (struct job){.task.route = (uint32_t)x->request.path.ptr[1], .x = x};
    token_submit(&container_of(h, struct site, handler)->token, &j->task);
    return 0;
}

static const struct handler_ops ops = {
    .name = "random", .whole_body = true, .in_calls = true, .request = on_request};

static void nothing(struct hand *h)
{
    (void)h;
}

static void *hand_main(void *arg)
{
    struct hand *h = arg;
    struct site *s = h->owner;
    token_join(&s->token, h);
    token_left(&s->token);
    return NULL;
}

static bool spawn(struct token *t)
{
    struct site *s = container_of(t, struct site, token);
    struct hand *h = &s->hands[s->started];
    h->owner = s;
    return pthread_create(&s->threads[s->started++], NULL, hand_main, h) == 0;
}

static const struct token_ops token_ops = {
    .run = run, .idle = nothing, .errand = nothing, .spawn = spawn};

/* On the loop: takes a client's connection over. */
static void on_open(struct deferred *d)
{
    struct client *c = container_of(d, struct client, open);
    const struct ends who = {.peer.storage.ss_family = AF_UNIX, .local.storage.ss_family = AF_UNIX};
    assert_int_equal(h1_open(&c->site->server, c->theirs, &who), 0);
    atomic_store(&c->opened, true);
}

static int connect_client(struct client *c)
{
    int ends[2];
    struct timeval limit = {.tv_sec = 30};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    c->theirs = ends[1];
    atomic_store(&c->opened, false);
    loop_post(&c->site->loop, &c->open, true);
    while (!atomic_load(&c->opened))
        sched_yield();
    return ends[0];
}

static void read_exactly(FILE *in, char *out, size_t n)
{
    assert_int_equal(fread(out, 1, n, in), n);
}

/* Reads one response and checks that it answers `path`. */
static void check_answer(FILE *in, const char *path)
{
    char line[256], body[64];
    long length = -1;
    assert_non_null(fgets(line, sizeof line, in));
    assert_string_equal(line, "HTTP/1.1 200 OK\r\n");
    while (fgets(line, sizeof line, in) && strcmp(line, "\r\n") != 0)
        if (strncmp(line, "Content-Length: ", 16) == 0)
            length = strtol(line + 16, NULL, 10);
    size_t n = strlen(path);
    assert_int_equal(length, path[1] == 'l' ? n + LARGE : n);
    read_exactly(in, body, n);
    assert_memory_equal(body, path, n);
    if (path[1] != 'l')
        return;
    char *rest = malloc(LARGE);
    read_exactly(in, rest, LARGE);
    assert_memory_equal(rest, large, LARGE);
    free(rest);
}

static void one_round(struct client *c, int round)
{
    static const char kinds[] = "....nsbl";
    char paths[BATCH][32], batch[BATCH * 80];
    size_t used = 0;
    int count = rand_r(&c->seed) % BATCH + 1, fd = connect_client(c);
    for (int i = 0; i < count; i++) {
        unsigned kind = (unsigned)rand_r(&c->seed) % (sizeof kinds - 1);
        snprintf(paths[i], sizeof paths[i], "/%c/%d-%d", kinds[kind], round, i);
        used += (size_t)snprintf(batch + used, sizeof batch - used,
                                 "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
    }
    assert_int_equal(send(fd, batch, used, MSG_NOSIGNAL), used);
    FILE *in = fdopen(fd, "r");
    bool leaves = rand_r(&c->seed) % 4 == 0;
    for (int i = 0; i < count && !leaves; i++)
        check_answer(in, paths[i]);
    fclose(in);
}

static void *client_main(void *arg)
{
    struct client *c = arg;
    for (int round = 0; round < ROUNDS; round++)
        one_round(c, round);
    return NULL;
}

static void on_end(struct deferred *d)
{
    server_drain(&container_of(d, struct site, end)->server);
}

static void on_idle(struct server *s)
{
    loop_stop(s->loop);
}

static void *clients_main(void *arg)
{
    struct site *s = arg;
    struct client *clients = calloc(CLIENTS, sizeof *clients);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.site = s, .open.run = on_open, .seed = i * 7919 + 1};
        pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(clients[i].thread, NULL);
    loop_post(&s->loop, &s->end, true);
    free(clients);
    return NULL;
}

static void make_site(struct site *s, unsigned threads)
{
    s->options = (struct app_options){
        .server_header = "penstock",
        .head_timeout = 30000,
        .body_timeout = 30000,
        .keep_alive = 30000,
        .send_timeout = 30000,
        .queue_timeout = 30000,
        .queue_size = 1000,
        .max_request_line = 1000,
        .max_header_size = 4000,
        .max_header_fields = 20,
        .max_body = 1000,
        .spool_limit = 2 * LARGE, /* so that some calls use a file and others wait */
        .max_response_spool = 1 << 30,
    };
    s->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_open(&s->log, s->log_fd, LOG_ERROR, LOG_PLAIN);
    assert_int_equal(loop_init(&s->loop), 0);
    assert_int_equal(token_init(&s->token, &s->loop, threads, &token_ops), 0);
    server_init(&s->server, &s->loop, &s->options, &s->log);
    s->handler.ops = &ops;
    s->server.handler = &s->handler;
    s->server.token = &s->token;
    s->server.on_idle = on_idle;
    s->end.run = on_end;
}

static void serve_all(unsigned threads)
{
    struct site *s = calloc(1, sizeof *s);
    pthread_t clients;
    memset(large, 'x', LARGE);
    make_site(s, threads);
    s->started = 1;
    s->hands[0].owner = s;
    pthread_create(&clients, NULL, clients_main, s);
    assert_int_equal(token_join(&s->token, &s->hands[0]), 0);
    token_left(&s->token);
    assert_true(token_free(&s->token, 10000));
    pthread_join(clients, NULL);
    for (unsigned i = 1; i < s->started; i++)
        pthread_join(s->threads[i], NULL);
    assert_int_equal(s->server.connections, 0);
    assert_int_equal(s->server.serving, 0);
    assert_true(s->most <= (int)threads);
    assert_true(threads == 1 || s->most > 1);
    loop_free(&s->loop);
    assert_int_equal(s->server.spools.used, 0);
    server_free(&s->server);
    log_close(&s->log);
    close(s->log_fd);
    free(s);
}

static void one_thread(void **state)
{
    (void)state;
    serve_all(1);
}

static void two_threads(void **state)
{
    (void)state;
    serve_all(2);
}

static void eight_threads(void **state)
{
    (void)state;
    serve_all(8);
}

static void more_threads_than_clients(void **state)
{
    (void)state;
    serve_all(64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread),
        cmocka_unit_test(two_threads),
        cmocka_unit_test(eight_threads),
        cmocka_unit_test(more_threads_than_clients),
    };
    return cmocka_run_group_tests_name("wire_threads", tests, NULL, NULL);
}
