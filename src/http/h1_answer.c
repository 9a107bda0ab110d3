/* HTTP/1 responses: the wire's table for handlers (RFC 9112, RFC 9110 section 6.4.1 for who has
 * content).
 *
 * Everything is queued in the connection's output and leaves at the end of the batch of events, so
 * that head and content, and the answers to pipelined requests, share one write; flush() and wait()
 * send at once. Framing is chosen here and only here: by length where it is known, in chunks for
 * HTTP/1.1, by closing for 1.0. A response that ends before its announced length is cut by
 * resetting the connection.
 *
 * It never reads from the socket and never frees the exchange. */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "http/h1_conn.h"
#include "proto/status.h"

enum { MOMENT = 10 /* ms that a client may take before its response goes to a file */ };

void h1_go_on(struct h1_conn *c)
{
    if (c->x && c->x->x.detached)
        return; /* whoever takes the connection back goes on with it */
    loop_defer(c->server->loop, &c->later);
}

/* Bytes in the socket's queue that the peer has not acknowledged; 0 where the kernel cannot tell.
 */
static uint64_t unacknowledged(const struct h1_conn *c)
{
    int n = 0;
    return ioctl(c->watch.fd, SIOCOUTQ, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

/* The socket is full, or was: the client's pace counts from the moment when it was first, until all
 * is sent. */
static void note_pace(struct h1_conn *c, bool moved)
{
    int64_t now = clock_ns() / 1000000;
    if (!c->out.count) {
        c->sending.since = 0;
    } else if (!c->sending.since) {
        c->sending = (struct pace){now, now, 0};
        c->taken = c->given - unacknowledged(c);
    } else if (moved) {
        c->sending.progress = now;
    }
}

/* The kernel calls a socket writable only when a third of its queue is free; a slow client may need
 * longer for that than it may be still. So it counts what was acknowledged. */
void h1_ask_client(struct h1_conn *c, int64_t now)
{
    uint64_t taken = c->given - unacknowledged(c);
    if (taken == c->taken)
        return;
    c->sending.bytes += taken - c->taken;
    c->sending.progress = now;
    c->taken = taken;
}

int64_t h1_last_moment(const struct h1_conn *c)
{
    int64_t most = c->server->options->connection_timeout;
    return most ? c->opened + most : TIMER_NEVER;
}

int64_t h1_send_deadline(const struct h1_conn *c)
{
    const struct app_options *o = c->server->options;
    int64_t slow = pace_deadline(&c->sending, o->send_timeout, o->send_min_rate);
    int64_t last = h1_last_moment(c);
    return slow < last ? slow : last;
}

void h1_send(struct h1_conn *c)
{
    if (c->full || c->lost || !c->out.count)
        return;
    uint64_t before = c->given;
    int rc = output_flush(&c->out, c->watch.fd, &c->given);
    c->full = rc == 1;
    if (c->full || c->sending.since)
        note_pace(c, c->given != before);
    if (rc == 2)
        h1_go_on(c);
    if (rc == -ERR_SHORT_BODY)
        log_event(c->server->log, LOG_ERROR, "a file that is being sent became shorter");
    if (rc < 0)
        h1_lose(c, (enum err) - rc);
}

/* Whether a response with this status to this request has content. */
static bool has_content(const struct exchange *x, int status)
{
    return status >= 200 && status != 204 && status != 205 && status != 304 &&
           !slice_eq(x->request.method, SLICE("HEAD"));
}

static enum h1_framing choose_framing(const struct exchange *x, int status, int64_t length)
{
    if (!has_content(x, status))
        return H1_NO_BODY;
    if (length >= 0)
        return H1_BY_LENGTH;
    return x->request.minor >= 1 ? H1_BY_CHUNKS : H1_BY_CLOSE;
}

/* The line that frames the content. 204 has none; 304 and HEAD tell the length that the content
 * would have. */
static int put_framing(struct buf *b, const struct h1_exchange *hx, int status, int64_t length)
{
    if (hx->framing == H1_BY_CHUNKS)
        return buf_put(b, SLICE("Transfer-Encoding: chunked\r\n"));
    if (status == 205)
        return h1_encode_length(b, 0);
    if (length < 0 || status < 200 || status == 204 || (status == 304 && length == 0))
        return 0;
    return h1_encode_length(b, (uint64_t)length);
}

static int put_connection(struct buf *b, const struct h1_exchange *hx)
{
    if (!hx->conn->keep_alive)
        return buf_put(b, SLICE("Connection: close\r\n"));
    if (hx->x.request.minor == 0)
        return buf_put(b, SLICE("Connection: keep-alive\r\n"));
    return 0;
}

static int put_line(struct buf *b, struct slice name, struct slice value)
{
    int err = buf_put(b, name);
    if (!err)
        err = buf_put(b, value);
    return err ? err : buf_put(b, SLICE("\r\n"));
}

/* The loop's clock has the date at hand, but only its holder may look at it. */
static struct slice date_for(const struct exchange *x, char now[static CLOCK_DATE_LEN + 1])
{
    if (!x->detached)
        return clock_date(&x->server->loop->clock);
    clock_http_date(time(NULL), now);
    return slice_of(now, CLOCK_DATE_LEN);
}

/* Date and Server, unless the application sent its own. */
static int put_own_fields(struct buf *b, const struct exchange *x, const struct head *head)
{
    const struct server *s = x->server;
    bool date = true, software = s->software.len > 0;
    for (unsigned i = 0; i < head->count; i++) {
        date = date && head->fields[i].id != HEADER_DATE;
        software = software && head->fields[i].id != HEADER_SERVER;
    }
    char now[CLOCK_DATE_LEN + 1];
    int err = date ? put_line(b, SLICE("Date: "), date_for(x, now)) : 0;
    if (!err && software)
        err = put_line(b, SLICE("Server: "), s->software);
    return err;
}

static int put_head(struct buf *b, struct h1_exchange *hx, const struct head *head, int64_t length)
{
    int err = h1_encode_head(b, head->status, head->reason, head->fields, head->count);
    if (!err)
        err = put_own_fields(b, &hx->x, head);
    if (!err)
        err = put_framing(b, hx, head->status, length);
    if (!err)
        err = put_connection(b, hx);
    return err ? err : h1_encode_end(b);
}

/* What could not be queued cannot be made good: the response is cut. */
static int fail(struct h1_exchange *hx, int err)
{
    hx->x.wire->abort(&hx->x, (enum err) - err);
    return err;
}

/* Whether no request can follow: the connection is too old, or the client may never send the body
 * that it was not asked for. */
static bool is_last(const struct h1_exchange *hx)
{
    const struct h1_conn *c = hx->conn;
    if (hx->streamed && (!hx->invited || hx->body_left > BODY_MEMORY))
        return true;
    return c->server->options->connection_timeout && clock_ns() / 1000000 >= h1_last_moment(c);
}

static int h1_start(struct exchange *x, const struct head *head, int64_t length)
{
    struct h1_exchange *hx = h1_of(x);
    struct h1_conn *c = hx->conn;
    if (!exchange_claim(x, CLAIM_STARTED) || c->lost)
        return -ERR_CLOSED;
    hx->framing = choose_framing(x, head->status, length);
    hx->left = length;
    if (head->close || hx->framing == H1_BY_CLOSE || c->server->draining || is_last(hx))
        c->keep_alive = false;
    exchange_started(x, head);
    struct buf *b = output_buffer(&c->out);
    size_t before = b->end - b->start;
    int err = put_head(b, hx, head, length);
    if (!err)
        err = output_appended(&c->out, buf_len(b) - before);
    if (err)
        return fail(hx, err);
    h1_go_on(c);
    return 0;
}

static void release(const struct chunk *chunk)
{
    if (chunk->hold)
        chunk->hold->release(chunk->hold);
}

static int64_t chunk_length(const struct chunk *chunk)
{
    return chunk->kind == CHUNK_FILE ? chunk->length : (int64_t)chunk->bytes.len;
}

static int write_framed(struct h1_exchange *hx, const struct chunk *chunk)
{
    struct output *o = &hx->conn->out;
    if (hx->framing != H1_BY_CHUNKS)
        return output_chunk(o, chunk);
    char size[CHUNKED_SIZE_MAX];
    size_t n = chunked_encode_size(size, (uint64_t)chunk_length(chunk));
    int err = output_copy(o, slice_of(size, n));
    if (err)
        release(chunk);
    else
        err = output_chunk(o, chunk);
    return err ? err : output_copy(o, SLICE("\r\n"));
}

static int h1_write(struct exchange *x, const struct chunk *chunk)
{
    struct h1_exchange *hx = h1_of(x);
    struct h1_conn *c = hx->conn;
    int64_t length = chunk_length(chunk);
    bool too_long = hx->framing == H1_BY_LENGTH && length > hx->left;
    if (c->lost || hx->finished || too_long || length == 0 || hx->framing == H1_NO_BODY) {
        release(chunk);
        if (c->lost || hx->finished)
            return -ERR_CLOSED;
        return too_long ? -ERR_PROTOCOL : 0;
    }
    int err = write_framed(hx, chunk);
    if (err)
        return fail(hx, err);
    hx->left -= length;
    x->sent += length;
    h1_go_on(c);
    return output_memory(&c->out) >= OUTPUT_FULL;
}

static int h1_flush_now(struct exchange *x)
{
    struct h1_conn *c = h1_of(x)->conn;
    h1_send(c);
    return c->lost ? -ERR_CLOSED : output_memory(&c->out) >= OUTPUT_FULL;
}

/* Waits for the socket up to `patience` ms. True: something happened. */
static bool poll_socket(struct h1_conn *c, int64_t patience)
{
    struct pollfd p = {.fd = c->watch.fd, .events = POLLOUT};
    int n = poll(&p, 1, patience > INT32_MAX ? INT32_MAX : (int)patience);
    if (n > 0)
        c->full = false;
    return n > 0;
}

/* Waits for the client as long as its limits allow, and gives it up after that. */
static void wait_for_client(struct h1_conn *c)
{
    int64_t now = clock_ns() / 1000000, patience = h1_send_deadline(c) - now;
    if (poll_socket(c, patience > 0 ? patience : 0))
        return;
    now = clock_ns() / 1000000;
    h1_ask_client(c, now);
    if (h1_send_deadline(c) <= now)
        h1_give_up(c, now >= h1_last_moment(c) ? ERR_CONNECTION_TIMEOUT : ERR_SEND_TIMEOUT);
}

/* One step towards room. A client that takes what it gets within a moment needs no file. */
static void make_room(struct h1_conn *c)
{
    h1_send(c);
    if (!c->full || poll_socket(c, c->out.spooled ? 0 : MOMENT))
        return;
    if (output_spool(&c->out, c->server->options->max_response_spool))
        wait_for_client(c);
}

static int h1_wait(struct exchange *x)
{
    struct h1_conn *c = h1_of(x)->conn;
    int64_t begun = clock_ns();
    bool detached = x->detached;
    x->detached = true; /* while it waits, the token may be passed on */
    while (!c->lost && !c->cut && output_memory(&c->out) >= OUTPUT_FULL / 2)
        make_room(c);
    x->detached = detached;
    x->times.sending += clock_ns() - begun;
    return c->lost || c->cut ? -ERR_CLOSED : 0;
}

/* Trailers are only for a client that said it takes them (RFC 9110, section 6.5.1). */
static int put_trailers(struct buf *b, const struct exchange *x, const struct head *trailers)
{
    const struct field *te = request_field(&x->request, HEADER_TE);
    if (!trailers || !te || !slice_eq_nocase(te->value, SLICE("trailers")))
        return 0;
    int err = 0;
    for (unsigned i = 0; i < trailers->count && !err; i++) {
        const struct field *f = &trailers->fields[i];
        err = buf_put(b, f->name);
        if (!err)
            err = put_line(b, SLICE(": "), f->value);
    }
    return err;
}

static int put_last_chunk(struct h1_exchange *hx, const struct head *trailers)
{
    struct output *o = &hx->conn->out;
    struct buf *b = output_buffer(o);
    size_t before = buf_len(b);
    int err = buf_put(b, SLICE("0\r\n"));
    if (!err)
        err = put_trailers(b, &hx->x, trailers);
    if (!err)
        err = buf_put(b, SLICE("\r\n"));
    return err ? err : output_appended(o, buf_len(b) - before);
}

static int h1_finish(struct exchange *x, const struct head *trailers)
{
    struct h1_exchange *hx = h1_of(x);
    struct h1_conn *c = hx->conn;
    if (c->lost || hx->finished)
        return -ERR_CLOSED;
    if (hx->framing == H1_BY_LENGTH && hx->left > 0)
        return fail(hx, -ERR_SHORT_BODY);
    int err = hx->framing == H1_BY_CHUNKS ? put_last_chunk(hx, trailers) : 0;
    if (err)
        return fail(hx, err);
    hx->finished = true;
    h1_go_on(c);
    return 0;
}

static int h1_inform(struct exchange *x, const struct head *head)
{
    struct h1_exchange *hx = h1_of(x);
    struct h1_conn *c = hx->conn;
    if (c->lost || atomic_load(&x->claim) != CLAIM_OPEN)
        return -ERR_CLOSED;
    if (x->request.minor == 0)
        return 0; /* RFC 9110, section 15.2: never to a client of HTTP/1.0 */
    struct buf *b = output_buffer(&c->out);
    size_t before = buf_len(b);
    int err = h1_encode_head(b, head->status, head->reason, head->fields, head->count);
    if (!err)
        err = h1_encode_end(b);
    if (!err)
        err = output_appended(&c->out, buf_len(b) - before);
    if (err)
        return fail(hx, err);
    return h1_flush_now(x);
}

/* No handler of today takes a tunnel, so none is offered. */
static int h1_tunnel(struct exchange *x)
{
    (void)x;
    return -ERR_PROTOCOL;
}

/* Bodies are taken in whole before the handler is called, or it reads them: none is pushed. */
static void h1_read_more(struct exchange *x)
{
    (void)x;
}

static void h1_abort(struct exchange *x, enum err why)
{
    struct h1_exchange *hx = h1_of(x);
    struct h1_conn *c = hx->conn;
    if (hx->finished)
        return;
    x->error = why;
    c->keep_alive = false;
    if (atomic_load(&x->claim) == CLAIM_OPEN && !c->lost) {
        int status = err_status((int)why);
        exchange_page(x, status ? status : 500, SLICE(""));
        return;
    }
    hx->finished = true;
    c->cut = true;
    h1_go_on(c);
}

/* Whether the loop has something to do for the connection that cannot wait for its next turn. */
static bool is_urgent(const struct h1_conn *c)
{
    return c->out.count || c->lost || c->cut || !c->keep_alive || c->in_start != c->in_end;
}

static void h1_leave(struct exchange *x)
{
    struct h1_conn *c = h1_of(x)->conn;
    if (x->detached) {
        h1_send(c);
        loop_post(c->server->loop, &c->back, is_urgent(c));
        return;
    }
    x->left = true;
    x->times.ended = c->out.held ? 0 : x->times.returned;
    if (!c->running)
        h1_resume(c);
}

const struct wire_ops h1_wire = {
    .name = "h1",
    .inform = h1_inform,
    .start = h1_start,
    .write = h1_write,
    .flush = h1_flush_now,
    .wait = h1_wait,
    .read = h1_read,
    .finish = h1_finish,
    .tunnel = h1_tunnel,
    .read_more = h1_read_more,
    .abort = h1_abort,
    .leave = h1_leave,
};
