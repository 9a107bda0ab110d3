/* The token under random schedules: clients, connections and calls that sleep, burn and return at
 * once.
 *
 * Each connection is a socket pair. A client thread sends a byte that says how the call is to
 * behave, and waits for it to come back. The test's "wire" submits a call for each byte, and the
 * call answers as the HTTP wire does: through the loop when it holds the token, directly and by
 * loop_post() when it lost it. It is wrong when an answer is missing, when two threads are in the
 * loop at once, or when the threads do not leave. Meant to be run under ThreadSanitizer, too. */
#include "loop/token.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container.h"

enum { CONNECTIONS = 24, REQUESTS = 120, MICROSECOND = 1000 };

struct crew {
    struct token token;
    struct loop loop;
    _Atomic int inside; /* threads that turn the loop */
    _Atomic unsigned answered, detached, errands;
    struct deferred end;
    pthread_t threads[HANDS_MOST];
    struct hand hands[HANDS_MOST];
    unsigned started;
};

struct connection {
    struct crew *crew;
    struct watch watch;
    struct task task;
    struct deferred back;
    int client;
    char byte;
    bool busy; /* the loop's */
    bool again;
    unsigned seed;
    pthread_t thread;
};

static void pause_for(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void burn(int64_t ns)
{
    int64_t until = clock_ns() + ns;
    while (clock_ns() < until)
        ;
}

static void enter_loop(struct crew *c)
{
    assert_int_equal(atomic_fetch_add(&c->inside, 1), 0);
}

static void leave_loop(struct crew *c)
{
    atomic_fetch_sub(&c->inside, 1);
}

/* What the application does. */
static void behave(char how)
{
    switch (how) {
    case 's': pause_for(3 * 1000 * MICROSECOND); break;
    case 'b': burn(2500 * MICROSECOND); break;
    case 'n': pause_for(300 * MICROSECOND); break;
    default: break;
    }
}

static void take_byte(struct connection *c)
{
    if (c->busy) {
        c->again = true;
        return;
    }
    if (recv(c->watch.fd, &c->byte, 1, 0) != 1)
        return;
    if (c->seed % 3 == 0)
        token_errand(&c->crew->token, &c->crew->hands[0]);
    c->busy = true;
    c->task.route = (uint32_t)c->byte;
    token_submit(&c->crew->token, &c->task);
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct connection *c = container_of(w, struct connection, watch);
    (void)events;
    enter_loop(c->crew);
    take_byte(c);
    leave_loop(c->crew);
}

static void answer(struct connection *c)
{
    atomic_fetch_add(&c->crew->answered, 1);
    assert_int_equal(send(c->watch.fd, &c->byte, 1, MSG_NOSIGNAL), 1);
}

/* The connection is the loop's again. */
static void go_on(struct connection *c)
{
    c->busy = false;
    if (c->again) {
        c->again = false;
        take_byte(c);
    }
}

static void on_back(struct deferred *d)
{
    struct connection *c = container_of(d, struct connection, back);
    enter_loop(c->crew);
    go_on(c);
    leave_loop(c->crew);
}

static void run(struct hand *h, struct task *task)
{
    struct connection *c = container_of(task, struct connection, task);
    hand_begins(h, clock_ns());
    hand_enter(h);
    behave(c->byte);
    hand_ends(h, clock_ns());
    if (hand_return(h)) {
        enter_loop(c->crew);
        answer(c);
        go_on(c);
        leave_loop(c->crew);
        return;
    }
    atomic_fetch_add(&c->crew->detached, 1);
    answer(c);
    /* The holder takes it; the client may already have sent the next byte. */
    loop_post(&c->crew->loop, &c->back, (c->seed & 1) != 0);
}

static void idle(struct hand *h)
{
    assert_true(hand_holds(h));
}

static void errand(struct hand *h)
{
    assert_false(hand_holds(h));
    atomic_fetch_add(&((struct crew *)h->owner)->errands, 1);
}

static void *hand_main(void *arg)
{
    struct hand *h = arg;
    struct crew *c = h->owner;
    token_join(&c->token, h);
    token_left(&c->token);
    return NULL;
}

static bool spawn(struct token *t)
{
    struct crew *c = container_of(t, struct crew, token);
    struct hand *h = &c->hands[c->started];
    h->owner = c;
    return pthread_create(&c->threads[c->started++], NULL, hand_main, h) == 0;
}

static const struct token_ops ops = {.run = run, .idle = idle, .errand = errand, .spawn = spawn};

static void *client_main(void *arg)
{
    struct connection *c = arg;
    static const char kinds[] = "....nsb.";
    for (int i = 0; i < REQUESTS; i++) {
        char sent = kinds[(unsigned)rand_r(&c->seed) % (sizeof kinds - 1)], got = 0;
        if (rand_r(&c->seed) % 4 == 0)
            pause_for((rand_r(&c->seed) % 500) * MICROSECOND);
        assert_int_equal(send(c->client, &sent, 1, MSG_NOSIGNAL), 1);
        assert_int_equal(recv(c->client, &got, 1, 0), 1);
        assert_int_equal(got, sent);
    }
    return NULL;
}

static void on_end(struct deferred *d)
{
    loop_stop(&container_of(d, struct crew, end)->loop);
}

static void *clients_main(void *arg)
{
    struct connection *all = arg;
    for (int i = 0; i < CONNECTIONS; i++)
        pthread_create(&all[i].thread, NULL, client_main, &all[i]);
    for (int i = 0; i < CONNECTIONS; i++)
        pthread_join(all[i].thread, NULL);
    loop_post(&all->crew->loop, &all->crew->end, true);
    return NULL;
}

static void connect_all(struct crew *crew, struct connection *all)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        struct timeval limit = {.tv_sec = 20};
        setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        all[i] = (struct connection){
            .crew = crew, .client = ends[0], .seed = i * 7919 + crew->token.most};
        all[i].watch = (struct watch){.fd = ends[1], .ready = on_ready};
        all[i].back.run = on_back;
        assert_int_equal(loop_watch(&crew->loop, &all[i].watch, EPOLLIN | EPOLLET), 0);
    }
}

static void serve_all(unsigned threads)
{
    struct crew *crew = calloc(1, sizeof *crew);
    struct connection *all = calloc(CONNECTIONS, sizeof *all);
    pthread_t clients;
    crew->end.run = on_end;
    assert_int_equal(loop_init(&crew->loop), 0);
    assert_int_equal(token_init(&crew->token, &crew->loop, threads, &ops), 0);
    connect_all(crew, all);
    crew->started = 1;
    crew->hands[0].owner = crew;
    pthread_create(&clients, NULL, clients_main, all);
    assert_int_equal(token_join(&crew->token, &crew->hands[0]), 0);
    token_left(&crew->token);
    assert_true(token_free(&crew->token, 5000));
    pthread_join(clients, NULL);
    for (unsigned i = 1; i < crew->started; i++)
        pthread_join(crew->threads[i], NULL);
    assert_int_equal(crew->answered, CONNECTIONS * REQUESTS);
    assert_true(crew->started <= threads);
    assert_true(crew->detached > 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        close(all[i].client);
        close(all[i].watch.fd);
    }
    loop_free(&crew->loop);
    free(all);
    free(crew);
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

static void more_threads_than_connections(void **state)
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
        cmocka_unit_test(more_threads_than_connections),
    };
    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
