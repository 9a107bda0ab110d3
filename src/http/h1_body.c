/* Bodies that the application reads by itself (request-buffering = false).
 *
 * From request() to leave() the connection is its call's, so the call reads from the socket, and
 * what it does not read stays in the kernel: that is all the backpressure there is. Bytes come
 * through the connection's block, since behind the body there may be the next request. The limits
 * are those of a body that is taken in whole, but only the time in which the call waits counts.
 *
 * It never reads past the block, and never touches the loop. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "http/h1_conn.h"

int64_t pace_deadline(const struct pace *p, int64_t idle, int64_t rate)
{
    int64_t still = p->progress + idle;
    int64_t slow = rate ? p->since + idle + (int64_t)(p->bytes * 1000) / rate : still;
    return slow < still ? slow : still;
}

bool h1_body_done(const struct h1_exchange *hx)
{
    if (!hx->streamed)
        return true;
    return hx->head.chunked ? hx->chunked.done : hx->body_left == 0;
}

static int next_chunked(struct h1_exchange *hx, size_t most, struct slice *piece)
{
    struct h1_conn *c = hx->conn;
    uint64_t room = (uint64_t)(hx->x.server->options->max_body - hx->body_taken);
    while (c->in_start < c->in_end && !hx->chunked.done) {
        struct slice here = h1_unread(c);
        here.len = here.len < most ? here.len : most;
        int n = chunked_decode(&hx->chunked, here, piece);
        if (n < 0)
            return n;
        c->in_start += (uint32_t)n;
        if (piece->len > room || hx->chunked.left > room - piece->len)
            return -ERR_BODY_TOO_LARGE;
        if (piece->len)
            return 1;
    }
    return 0;
}

int h1_body_next(struct h1_exchange *hx, size_t most, struct slice *piece)
{
    struct h1_conn *c = hx->conn;
    int rc;
    if (hx->head.chunked) {
        rc = next_chunked(hx, most, piece);
    } else {
        *piece = h1_unread(c);
        piece->len = piece->len < most ? piece->len : most;
        if ((int64_t)piece->len > hx->body_left)
            piece->len = (size_t)hx->body_left;
        c->in_start += (uint32_t)piece->len;
        hx->body_left -= (int64_t)piece->len;
        rc = piece->len > 0;
    }
    if (rc > 0)
        hx->body_taken += (int64_t)piece->len;
    return rc;
}

/* A client that waits for 100 (Continue) gets it when its body is wanted (RFC 9110, 10.1.1). */
static void invite(struct h1_exchange *hx)
{
    const struct head go_on = {.status = 100};
    if (!hx->invited && atomic_load(&hx->x.claim) == CLAIM_OPEN)
        hx->x.wire->inform(&hx->x, &go_on);
    hx->invited = true;
}

/* Waits until there is something to read, or for too long. */
static int wait_for_bytes(struct h1_conn *c)
{
    const struct app_options *o = c->server->options;
    int64_t deadline = pace_deadline(&c->reading, o->body_timeout, o->body_min_rate);
    int64_t last = h1_last_moment(c), now = clock_ns() / 1000000;
    if (now >= last)
        return -ERR_CONNECTION_TIMEOUT;
    if (now >= deadline)
        return -ERR_BODY_TIMEOUT;
    int64_t patience = (deadline < last ? deadline : last) - now;
    struct pollfd p = {.fd = c->watch.fd, .events = POLLIN};
    p.events |= c->out.count ? POLLOUT : 0;
    int n = poll(&p, 1, patience > INT32_MAX ? INT32_MAX : (int)patience);
    if (n < 0)
        return errno == EINTR ? 0 : -ERR_SYSTEM;
    if (p.revents & POLLOUT) {
        c->full = false;
        h1_send(c); /* the client may wait for what was answered so far */
    }
    return c->lost ? -ERR_CLOSED : 0;
}

/* Reads more into the block, which holds nothing any more. */
static int read_block(struct h1_conn *c)
{
    c->in_start = c->in_end = 0;
    for (;;) {
        ssize_t n = recv(c->watch.fd, c->in, c->in_size, 0);
        if (n > 0) {
            c->in_end = (uint32_t)n;
            c->got += (uint64_t)n;
            c->reading.bytes += (uint64_t)n;
            return 0;
        }
        c->eof = n == 0;
        if (n == 0)
            return -ERR_CLOSED;
        if (errno != EAGAIN && errno != EINTR) {
            h1_lose(c, ERR_RESET);
            return -ERR_CLOSED;
        }
        int err = wait_for_bytes(c);
        if (err)
            return err;
    }
}

/* What is here, at most `size` bytes: all of it, since a chunk may be one byte. */
static int take_here(struct h1_exchange *hx, char *out, size_t size)
{
    struct slice piece;
    size_t taken = 0;
    int rc = 1;
    while (taken < size && (rc = h1_body_next(hx, size - taken, &piece)) > 0) {
        memcpy(out + taken, piece.ptr, piece.len);
        taken += piece.len;
    }
    return rc < 0 ? rc : (int)taken;
}

static int read_some(struct h1_exchange *hx, char *out, size_t size)
{
    struct h1_conn *c = hx->conn;
    for (;;) {
        int rc = take_here(hx, out, size);
        if (rc != 0 || h1_body_done(hx))
            return rc;
        invite(hx);
        rc = c->lost ? -ERR_CLOSED : read_block(c);
        if (rc < 0)
            return rc;
    }
}

int h1_read(struct exchange *x, char *out, size_t size)
{
    struct h1_exchange *hx = h1_of(x);
    struct h1_conn *c = hx->conn;
    if (hx->body_error)
        return hx->body_error;
    int64_t begun = clock_ns(), now = begun / 1000000;
    c->reading.since = now - x->times.reading / 1000000;
    c->reading.progress = now;
    bool detached = x->detached;
    x->detached = true; /* while it waits, the token may be passed on */
    int n = read_some(hx, out, size < INT32_MAX ? size : INT32_MAX);
    x->detached = detached;
    x->times.reading += clock_ns() - begun;
    c->readable = true; /* the loop asks for itself */
    if (n < 0) {
        hx->body_error = n;
        c->keep_alive = false;
        c->discard = true;
    }
    return n;
}
