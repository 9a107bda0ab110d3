/* A load generator that keeps to a rate, whatever the server does.
 *
 * Request k is due at begin + k / RATE. It is sent then on a free connection, or, when none is
 * free, as soon as one is; its latency counts from the moment it was due, so that a server that
 * stops for a while pays for every request that should have been sent meanwhile (wrk would wait
 * politely: coordinated omission). With --slow PATH EVERY, every EVERY-th request goes to that
 * other path, and the two are counted apart.
 *
 * How it works: one thread, one epoll, non-blocking connections with one request outstanding on
 * each. Latencies go into buckets as in an HDR histogram: 128 for each power of two of nanoseconds,
 * so that a value is off by 0.8 % at most. What comes before the warm-up has ended is sent, but not
 * counted. Requests unanswered a second after the end count as lost, with the latency they have by
 * then.
 *
 * It relies on answers with a Content-Length, and on a CPU of its own: it says how late it sent at
 * worst (the "lag" of requests that found a free connection), and figures below that mean nothing.
 *
 * It never retries: a connection that breaks is opened again, its request counts as an error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND     1000000000LL
#define SUB_BITS   7
#define SUB        (1 << SUB_BITS)
#define BUCKETS    (SUB * (64 - SUB_BITS + 1))
#define ANSWER_CAP 65536

enum kind { FAST, SLOW, KINDS };

struct tally {
    uint64_t count, errors, lost;
    int64_t max;
    uint64_t bucket[BUCKETS];
};

struct conn {
    int fd;
    bool busy;
    enum kind kind;
    int64_t due;
    size_t got, want; /* bytes of the answer; want is 0 until its head is complete */
    char answer[ANSWER_CAP];
};

struct plan {
    struct sockaddr_in address;
    double rate, seconds, warmup;
    int connections;
    int slow_every; /* 0: never */
    const char *path[KINDS];
};

struct load {
    struct plan plan;
    int epoll;
    struct conn *conns;
    struct conn **idle; /* a stack of the connections that wait for a request */
    int idle_count;
    uint64_t next;     /* the request that is due next */
    uint64_t answered; /* in all, with the warm-up */
    int64_t begin, counted_from, end, lag;
    size_t request_len[KINDS];
    char request[KINDS][1024];
    struct tally tally[KINDS];
};

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "openloop: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Bucket of a value: its power of two, and the seven bits that follow the first. */
static size_t bucket_of(int64_t value)
{
    uint64_t v = value < 1 ? 1 : (uint64_t)value;
    if (v < SUB)
        return (size_t)v;
    int shift = 63 - __builtin_clzll(v) - SUB_BITS;
    return (size_t)(shift + 1) * SUB + (size_t)((v >> shift) - SUB);
}

static int64_t value_of(size_t bucket)
{
    if (bucket < SUB)
        return (int64_t)bucket;
    size_t shift = bucket / SUB - 1;
    return (int64_t)((bucket % SUB + SUB + 1) << shift) - 1;
}

static void tally_add(struct tally *t, int64_t latency)
{
    t->count++;
    t->bucket[bucket_of(latency)]++;
    if (latency > t->max)
        t->max = latency;
}

static int64_t tally_quantile(const struct tally *t, double q)
{
    uint64_t seen = 0, rank = (uint64_t)((double)t->count * q);
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += t->bucket[i];
        if (seen > rank)
            return value_of(i) < t->max ? value_of(i) : t->max;
    }
    return t->max;
}

static int64_t due_at(const struct load *l, uint64_t k)
{
    return l->begin + (int64_t)((double)k * 1e9 / l->plan.rate);
}

static enum kind kind_of(const struct load *l, uint64_t k)
{
    int every = l->plan.slow_every;
    return every > 0 && k % (uint64_t)every == (uint64_t)every / 2 ? SLOW : FAST;
}

static void conn_open(struct load *l, struct conn *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    if (connect(c->fd, (const struct sockaddr *)&l->plan.address, sizeof l->plan.address) < 0)
        die("connect");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
        die("epoll_ctl");
}

static void conn_idle(struct load *l, struct conn *c)
{
    c->busy = false;
    c->got = c->want = 0;
    l->idle[l->idle_count++] = c;
}

static void conn_broken(struct load *l, struct conn *c)
{
    close(c->fd);
    conn_open(l, c);
    if (!c->busy)
        return;
    if (c->due >= l->counted_from)
        l->tally[c->kind].errors++;
    conn_idle(l, c);
}

/* Sends the next request on a free connection. `on_time`: it did not have to wait for one. */
static void load_send(struct load *l, int64_t at, bool on_time)
{
    struct conn *c = l->idle[--l->idle_count];
    c->kind = kind_of(l, l->next);
    c->due = due_at(l, l->next++);
    c->busy = true;
    if (on_time && at - c->due > l->lag)
        l->lag = at - c->due;
    ssize_t n = write(c->fd, l->request[c->kind], l->request_len[c->kind]);
    if (n != (ssize_t)l->request_len[c->kind])
        conn_broken(l, c);
}

/* How long the answer is, once its head is complete; 0 before, -1 if it cannot be measured or is no
 * 200. */
static ssize_t answer_length(const struct conn *c)
{
    const char *end = memmem(c->answer, c->got, "\r\n\r\n", 4);
    if (!end)
        return c->got < ANSWER_CAP ? 0 : -1;
    if (c->got < 13 || memcmp(c->answer + 8, " 200", 4) != 0)
        return -1;
    for (const char *line = c->answer; line < end;
         line = (const char *)memchr(line, '\n', (size_t)(end + 4 - line)) + 1)
        if (strncasecmp(line, "content-length:", 15) == 0)
            return end + 4 - c->answer + strtol(line + 15, NULL, 10);
    return -1;
}

static void conn_answered(struct load *l, struct conn *c, int64_t at)
{
    l->answered++;
    if (c->due >= l->counted_from && c->due < l->end)
        tally_add(&l->tally[c->kind], at - c->due);
    conn_idle(l, c);
}

static void conn_readable(struct load *l, struct conn *c, int64_t at)
{
    ssize_t n = read(c->fd, c->answer + c->got, ANSWER_CAP - c->got);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !c->busy) {
        conn_broken(l, c);
        return;
    }
    c->got += (size_t)n;
    ssize_t want = answer_length(c);
    if (want < 0 || (want > 0 && (size_t)want < c->got) || want > ANSWER_CAP)
        conn_broken(l, c);
    else if (want > 0 && (size_t)want == c->got)
        conn_answered(l, c, at);
}

/* Sends what is due. Returns how long nothing will be, 0 when all is sent, -1 while all connections
 * are busy. */
static int64_t load_send_due(struct load *l, bool on_time)
{
    for (int64_t at = now();; at = now()) {
        int64_t due = due_at(l, l->next);
        if (due >= l->end)
            return 0;
        if (due > at)
            return due - at;
        if (l->idle_count == 0)
            return -1;
        load_send(l, at, on_time);
    }
}

static void load_wait(struct load *l, int64_t nanoseconds)
{
    struct epoll_event events[256];
    struct timespec t = {.tv_sec = nanoseconds / SECOND, .tv_nsec = nanoseconds % SECOND};
    int n = epoll_pwait2(l->epoll, events, 256, &t, NULL);
    int64_t at = now();
    for (int i = 0; i < n; i++)
        conn_readable(l, events[i].data.ptr, at);
}

/* Until everything is sent and answered, or a second after the end. */
static void load_run(struct load *l)
{
    bool on_time = true;
    while (now() < l->end + SECOND) {
        int64_t wait = load_send_due(l, on_time);
        if (wait == 0 && l->idle_count == l->plan.connections)
            return;
        on_time = wait >= 0;
        load_wait(l, wait > 0 ? wait : SECOND / 100);
    }
}

/* What was never answered, or never found a free connection, counts with the latency that it has by
 * now. */
static void load_count_lost(struct load *l)
{
    int64_t at = now();
    for (int i = 0; i < l->plan.connections; i++) {
        struct conn *c = &l->conns[i];
        if (c->busy && c->due >= l->counted_from) {
            l->tally[c->kind].lost++;
            tally_add(&l->tally[c->kind], at - c->due);
        }
    }
    for (; due_at(l, l->next) < l->end; l->next++) {
        if (due_at(l, l->next) < l->counted_from)
            continue;
        struct tally *t = &l->tally[kind_of(l, l->next)];
        t->lost++;
        tally_add(t, at - due_at(l, l->next));
    }
}

static void load_prepare(struct load *l)
{
    const struct plan *p = &l->plan;
    for (int k = 0; k < KINDS; k++)
        l->request_len[k] = (size_t)snprintf(
            l->request[k], sizeof l->request[k], "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
            p->path[k] ? p->path[k] : "/", ntohs(p->address.sin_port));
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->conns = calloc((size_t)p->connections, sizeof *l->conns);
    l->idle = calloc((size_t)p->connections, sizeof(struct conn *));
    if (l->epoll < 0 || !l->conns || !l->idle)
        die("prepare");
    for (int i = 0; i < p->connections; i++) {
        conn_open(l, &l->conns[i]);
        conn_idle(l, &l->conns[i]);
    }
    l->begin = now() + SECOND / 100;
    l->counted_from = l->begin + (int64_t)(p->warmup * 1e9);
    l->end = l->counted_from + (int64_t)(p->seconds * 1e9);
}

static void tally_print(const struct tally *t, const char *path)
{
    static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    printf("{\"path\": \"%s\", \"count\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"max\": %" PRId64 ", \"quantiles\": [",
           path, t->count, t->errors, t->lost, t->max);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        printf("%s[%g, %" PRId64 "]", i ? ", " : "", quantiles[i], tally_quantile(t, quantiles[i]));
    printf("], \"histogram\": [");
    const char *comma = "";
    for (size_t i = 0; i < BUCKETS; i++) {
        if (!t->bucket[i])
            continue;
        printf("%s[%" PRId64 ", %" PRIu64 "]", comma, value_of(i), t->bucket[i]);
        comma = ", ";
    }
    printf("]}");
}

static void usage(void)
{
    fputs("usage: openloop PORT RATE CONNECTIONS SECONDS WARMUP PATH [SLOW-PATH EVERY]\n", stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc != 7 && argc != 9)
        usage();
    static struct load load; /* too large for the stack */
    load.plan = (struct plan){
        .address = {.sin_family = AF_INET,
                    .sin_port = htons((uint16_t)atoi(argv[1])),
                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .rate = atof(argv[2]),
        .connections = atoi(argv[3]),
        .seconds = atof(argv[4]),
        .warmup = atof(argv[5]),
        .path = {argv[6], argc == 9 ? argv[7] : NULL},
        .slow_every = argc == 9 ? atoi(argv[8]) : 0,
    };
    if (load.plan.rate <= 0 || load.plan.connections <= 0 || load.plan.seconds <= 0)
        usage();
    prctl(PR_SET_TIMERSLACK, 1UL); /* or the kernel wakes us up to 50 us late, on purpose */
    load_prepare(&load);
    load_run(&load);
    load_count_lost(&load);
    printf("{\"lag\": %" PRId64 ", \"answered\": %" PRIu64 ", \"paths\": [", load.lag,
           load.answered);
    tally_print(&load.tally[FAST], load.plan.path[FAST]);
    if (load.plan.slow_every > 0) {
        printf(", ");
        tally_print(&load.tally[SLOW], load.plan.path[SLOW]);
    }
    printf("]}\n");
    return 0;
}
