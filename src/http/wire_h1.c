/* The HTTP/1 wire: a connection's life and its requests (wire_h1.h, h1_conn.h).
 *
 * A connection is a state machine (h1_step) that runs until it needs bytes, room or its handler. It
 * is registered with epoll once, edge-triggered for reading and writing; `readable` and `full`
 * remember what the kernel last said, so a state that does not read costs nothing and loses
 * nothing. The deadline follows from the state, in h1_deadline alone. A head is decoded where it
 * was read; a body that is whole in the same block is lent to the exchange without a copy.
 *
 * It relies on the loop to free a connection only at the end of a turn, and on the handler to call
 * leave(). It never reads while an exchange is being answered, and never keeps a block while it is
 * idle. */
#include "http/wire_h1.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container.h"
#include "http/h1_conn.h"
#include "http/h1_refuse.h"

enum {
    PIPELINE = 64,             /* steps of one connection before the others have their turn */
    TURN = 2,                  /* ms of calls for one connection before that */
    EXTENSIONS = 4096,         /* bytes of all chunk extensions of a body */
    TRAILERS = 4096,           /* bytes of its trailer section */
    LINGER_TIME = 5000,        /* ms that a client has to take our last bytes */
    LINGER_MOST = 1024 * 1024, /* bytes read and dropped meanwhile, in one go */
    REST_MOST = 256 * 1024,    /* bytes of a body that are dropped to keep the connection */
    DRAIN_IDLE = 2000,         /* ms in which a request on its way is still served */
    BLOCK_MEMORY = SERVER_BLOCK - sizeof(struct h1_exchange),
};

/* Bytes in
 * ----------------------------------------------------------------------------------------------------------
 */

static void put_block(struct server *s, char *block, uint32_t size)
{
    if (size == SERVER_BLOCK)
        pool_put(&s->blocks, block);
    else
        free(block);
}

static char *get_block(struct server *s, uint32_t size)
{
    return size == SERVER_BLOCK ? pool_get(&s->blocks) : malloc(size);
}

static void drop_input(struct h1_conn *c)
{
    if (c->in)
        put_block(c->server, c->in, c->in_size);
    c->in = NULL;
    c->in_start = c->in_end = c->in_size = 0;
}

/* Makes room behind the unread bytes: a block if there is none, a larger one if they fill it. */
static bool make_room(struct h1_conn *c)
{
    if (c->in_end < c->in_size)
        return true;
    uint32_t held = c->in_end - c->in_start;
    uint32_t size = !c->in ? SERVER_BLOCK : c->in_start ? c->in_size : c->in_size * 2;
    char *block = get_block(c->server, size);
    if (!block)
        return false;
    if (held)
        memcpy(block, c->in + c->in_start, held);
    drop_input(c);
    c->in = block;
    c->in_size = size;
    c->in_end = held;
    return true;
}

/* Reads once. True when bytes came; false when there are none now, at the end, or when the client
 * is lost. */
static bool fill(struct h1_conn *c)
{
    if (!c->readable || c->eof || c->lost)
        return false;
    if (!make_room(c)) {
        h1_lose(c, ERR_MEMORY);
        return false;
    }
    uint32_t room = c->in_size - c->in_end;
    ssize_t n = recv(c->watch.fd, c->in + c->in_end, room, 0);
    if (n > 0) {
        c->in_end += (uint32_t)n;
        c->readable = (uint32_t)n == room || c->hup;
        c->reading.progress = loop_now(c->server->loop);
        c->reading.bytes += (uint64_t)n;
        slot_add(c->server->slot, bytes_in, (uint64_t)n);
        return true;
    }
    c->readable = n < 0 && errno == EINTR;
    c->eof = n == 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        h1_lose(c, ERR_RESET);
    return c->readable && fill(c);
}

/* The exchange keeps the block its head is in; what came behind it moves to another, where reading
 * goes on. */
static bool split_input(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    if (hx->head_bytes)
        return true;
    struct slice rest = h1_unread(c);
    char *block = get_block(c->server, c->in_size);
    if (!block)
        return false;
    if (rest.len)
        memcpy(block, rest.ptr, rest.len);
    hx->head_bytes = c->in;
    hx->head_size = c->in_size;
    c->in = block;
    c->in_start = 0;
    c->in_end = (uint32_t)rest.len;
    return true;
}

/* States
 * ------------------------------------------------------------------------------------------------------------
 */

static void enter(struct h1_conn *c, enum h1_state state)
{
    c->state = state;
    c->since = loop_now(c->server->loop);
    c->reading = (struct pace){c->since, c->since, 0};
}

static void h1_release(struct closing *closing)
{
    free(container_of(closing, struct h1_conn, closing));
}

/* What went through since the last look, perhaps by a call that must not touch the scoreboard. */
static void count_bytes(struct h1_conn *c)
{
    if (c->given != c->counted)
        slot_add(c->server->slot, bytes_out, c->given - c->counted);
    c->counted = c->given;
    if (c->got)
        slot_add(c->server->slot, bytes_in, c->got);
    c->got = 0;
}

static void h1_end(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    struct server *s = c->server;
    exchange_end(&hx->x);
    if (hx->head_bytes)
        put_block(s, hx->head_bytes, hx->head_size);
    pool_put(&s->blocks, hx);
    c->x = NULL;
    c->used = true;
}

/* Lets go of everything; the memory is freed at the end of the turn. shutdown() first, since a
 * child that the application forked may hold a copy of the descriptor. */
static void h1_close(struct h1_conn *c)
{
    struct server *s = c->server;
    if (c->state == H1_CLOSED)
        return;
    output_drop(&c->out);
    count_bytes(c);
    if (c->x)
        h1_end(c);
    drop_input(c);
    timer_remove(&s->loop->timers, &c->timer);
    loop_unwatch(s->loop, &c->watch);
    shutdown(c->watch.fd, SHUT_RDWR);
    close(c->watch.fd);
    c->watch.fd = -1;
    enter(c, H1_CLOSED);
    server_part(s, &c->link);
    loop_close(s->loop, &c->closing);
}

/* Ends the connection so that the client sees the response was cut: connect() to nowhere makes TCP
 * send RST, whoever else holds the socket; on a Unix socket it fails, and the missing end of the
 * framing is all there is. */
static void h1_reset(struct h1_conn *c)
{
    h1_send(c);
    connect(c->watch.fd, &(const struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
    h1_close(c);
}

void h1_lose(struct h1_conn *c, enum err why)
{
    if (c->lost)
        return;
    c->lost = true;
    c->cut = c->cut || (c->x && c->x->x.status) || c->out.count;
    output_drop(&c->out);
    h1_go_on(c);
    if (!c->x)
        return;
    struct exchange *x = &c->x->x;
    x->error = why;
    exchange_claim(x, CLAIM_GONE);
    if (x->begun && !x->left && !x->handler->ops->in_calls && x->handler->ops->gone)
        x->handler->ops->gone(x->handler, x);
}

/* Whether the response is a call's, which may run on another thread right now. */
static bool is_away(const struct h1_conn *c)
{
    const struct exchange *x = c->x ? &c->x->x : NULL;
    return x && x->begun && !x->left && x->handler->ops->in_calls;
}

/* Nobody but us will answer: the connection ends after the response, whether or not all of the
 * request was read. */
static bool answer_ourselves(struct h1_conn *c, enum err why)
{
    struct exchange *x = &c->x->x;
    c->keep_alive = false;
    c->discard = true;
    x->left = true;
    x->error = why;
    enter(c, H1_ANSWER);
    if (atomic_load(&x->claim) != CLAIM_OPEN || err_status((int)why) == 0)
        x->wire->abort(x, why);
    else
        exchange_page(x, err_status((int)why), slice_text(err_text((int)why)));
    return true;
}

static bool refuse(struct h1_conn *c, int err)
{
    struct h1_exchange *hx = c->x;
    char peer[ADDRESS_TEXT];
    address_text(&hx->x.ends->peer, peer);
    log_event(c->server->log, err_level(err), "request refused", LOG_STR("reason", err_text(err)),
              LOG_NUM("status", err_status(err)), LOG_STR("peer", peer),
              LOG_SLICE("method", hx->head.method),
              LOG_SLICE("target", server_shown(c->server, hx->head.target)));
    slot_add(c->server->slot, refused, 1u);
    return answer_ourselves(c, (enum err)(err < 0 ? -err : err));
}

/* The header has not come, or not in whole. */
static bool wait_for_proxy(struct h1_conn *c)
{
    if (c->eof)
        h1_lose(c, ERR_CLOSED);
    if (c->in_start == c->in_end)
        drop_input(c);
    return false;
}

/* The connection tells, before anything else, whose it is. */
static bool h1_proxy(struct h1_conn *c)
{
    int n = client_read_proxy(c->server, h1_unread(c), &c->ends);
    if (n < 0) {
        slot_add(c->server->slot, refused, 1u);
        h1_give_up(c, (enum err) - n);
        return false;
    }
    if (n == 0)
        return fill(c) || wait_for_proxy(c);
    c->in_start += (uint32_t)n;
    if (!quota_enter(c->server, &c->link, &c->ends)) {
        h1_refuse_client(c->watch.fd);
        h1_lose(c, ERR_TOO_MANY_CONNECTIONS);
        return false;
    }
    enter(c, H1_IDLE);
    return true;
}

static bool h1_idle(struct h1_conn *c)
{
    if (c->out.pending >= OUTPUT_FULL)
        return false; /* who does not take the answers gets no more of them */
    if (c->in_start == c->in_end && !fill(c)) {
        drop_input(c);
        if (c->eof)
            enter(c, H1_LINGER);
        return c->eof;
    }
    struct h1_exchange *hx = pool_get(&c->server->blocks);
    if (!hx) {
        h1_lose(c, ERR_MEMORY);
        return false;
    }
    const struct app_options *o = c->server->options;
    exchange_init(&hx->x, c->server, &h1_wire, hx->memory, BLOCK_MEMORY);
    hx->x.ends = &c->ends;
    hx->conn = c;
    hx->head = (struct h1_request){.method = {0}};
    hx->head_bytes = NULL;
    hx->finished = false;
    hx->waited = false;
    hx->streamed = false;
    hx->framing = H1_NO_BODY;
    hx->limits = (struct h1_limits){(size_t)o->max_request_line, (size_t)o->max_header_size,
                                    (unsigned)o->max_header_fields};
    c->x = hx;
    struct field *fields = arena_alloc(&hx->x.arena, hx->limits.fields * sizeof *fields);
    if (!fields) {
        h1_lose(c, ERR_MEMORY);
        return false;
    }
    h1_decoder_init(&hx->decoder, &hx->limits, fields);
    enter(c, H1_HEAD);
    return true;
}

static void fill_request(struct h1_exchange *hx)
{
    const struct h1_request *h = &hx->head;
    hx->x.request = (struct request){
        .method = h->method,
        .target = h->target,
        .scheme = hx->conn->ends.secure ? SLICE("https") : SLICE("http"),
        .authority = h->authority,
        .path = h->path,
        .query = h->query,
        .major = 1,
        .minor = h->minor,
        .chunked = h->chunked,
        .expect_continue = h->expect_continue,
        .upgrade = h->upgrade,
        .length = h->length,
        .fields = h->fields,
        .count = h->count,
    };
}

/* A client that waits for 100 (Continue) sends its body after it; one that sent already needs none.
 */
static void invite_body(struct h1_conn *c)
{
    const struct head go_on = {.status = 100};
    if (c->x->head.expect_continue && c->in_start == c->in_end)
        c->x->x.wire->inform(&c->x->x, &go_on);
}

/* Whether the handler reads the body by itself; then the block behind the head is made before the
 * connection is the call's. */
static bool begin_stream(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    const struct handler_ops *ops = hx->x.handler->ops;
    hx->streamed = !ops->whole_body && ops->in_calls && hx->head.length != 0;
    if (!hx->streamed)
        return true;
    hx->body_left = hx->head.chunked ? 0 : hx->head.length;
    hx->body_taken = 0;
    hx->body_error = 0;
    hx->invited = !hx->head.expect_continue || c->in_start != c->in_end;
    chunked_init(&hx->chunked, EXTENSIONS, TRAILERS);
    return split_input(c);
}

/* The head is in. */
static bool begin(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    fill_request(hx);
    if (!begin_stream(c)) {
        h1_lose(c, ERR_MEMORY);
        return true;
    }
    c->keep_alive = hx->head.keep_alive && !c->server->draining;
    enter(c, H1_ANSWER);
    int err = exchange_begin(&hx->x);
    if (err < 0)
        return hx->x.begun ? answer_ourselves(c, (enum err) - err) : refuse(c, err);
    if (hx->x.begun)
        return true;
    enter(c, H1_BODY);
    chunked_init(&hx->chunked, EXTENSIONS, TRAILERS);
    invite_body(c);
    return true;
}

/* The client ended before its request did: that one has no answer, those before it still do. */
static bool cut_short(struct h1_conn *c)
{
    if (!c->eof)
        return false;
    c->x->x.error = ERR_CLOSED;
    h1_end(c);
    c->in_start = c->in_end = 0;
    enter(c, H1_LINGER);
    return true;
}

static bool h1_head(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    int n = h1_decode_head(&hx->decoder, h1_unread(c), &hx->head);
    if (n < 0) {
        fill_request(hx);
        return refuse(c, n);
    }
    if (n == 0) {
        hx->x.in_parts = true;
        return fill(c) || cut_short(c);
    }
    c->in_start += (uint32_t)n;
    return begin(c);
}

/* Gives the exchange what is here of a body in chunks. 1 when that was all of it, 0 when not. */
static int take_chunks(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    while (c->in_start < c->in_end && !hx->chunked.done) {
        struct slice data;
        int n = chunked_decode(&hx->chunked, h1_unread(c), &data);
        if (n < 0)
            return n;
        c->in_start += (uint32_t)n;
        n = data.len ? exchange_take(&hx->x, data, false) : 0;
        if (n < 0)
            return n;
        if (hx->chunked.left > (uint64_t)(c->server->options->max_body - exchange_taken(&hx->x)))
            return -ERR_BODY_TOO_LARGE; /* the size alone tells: no need to wait for the bytes */
    }
    if (!hx->chunked.done)
        return 0;
    enter(c, H1_ANSWER);
    int err = exchange_take(&hx->x, SLICE(""), true);
    return err < 0 ? err : 1;
}

/* The same for one of announced length. */
static int take_length(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    struct slice here = h1_unread(c);
    int64_t taken = exchange_taken(&hx->x);
    uint64_t want = (uint64_t)(hx->head.length - taken);
    bool last = here.len >= want;
    here.len = last ? (size_t)want : here.len;
    c->in_start += (uint32_t)here.len;
    if (last)
        enter(c, H1_ANSWER);
    int err = last && taken == 0 ? exchange_lend(&hx->x, here) : exchange_take(&hx->x, here, last);
    return err < 0 ? err : last;
}

static bool h1_body(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    bool whole = !hx->head.chunked && (int64_t)h1_unread(c).len >= hx->head.length;
    if (!whole && !split_input(c)) {
        h1_lose(c, ERR_MEMORY);
        return true;
    }
    int rc = hx->head.chunked ? take_chunks(c) : take_length(c);
    if (rc < 0)
        return hx->x.begun ? answer_ourselves(c, (enum err) - rc) : refuse(c, rc);
    if (rc > 0)
        return true;
    hx->x.in_parts = true;
    c->in_start = c->in_end = 0;
    return fill(c) || cut_short(c);
}

static bool next_request(struct h1_conn *c)
{
    h1_end(c);
    enter(c, c->keep_alive ? H1_IDLE : H1_LINGER);
    return true;
}

static bool h1_answering(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    if (!hx->x.left)
        return false;
    if (!hx->finished)
        hx->x.wire->abort(&hx->x, ERR_APP);
    if (c->cut) {
        h1_reset(c);
        return false;
    }
    if (c->out.held)
        return false; /* what is still to be sent may belong to the exchange */
    if (!h1_body_done(hx) && c->keep_alive) {
        enter(c, H1_REST);
        return true;
    }
    c->discard = c->discard || !h1_body_done(hx);
    return next_request(c);
}

/* What the client still sends is of no use: it only has to take the answer. */
static bool last_request(struct h1_conn *c)
{
    c->keep_alive = false;
    c->discard = true;
    return next_request(c);
}

/* Reads and drops the rest of a body; too large a one, or one that is not well formed, ends the
 * connection. */
static bool h1_rest(struct h1_conn *c)
{
    struct h1_exchange *hx = c->x;
    struct slice piece;
    int rc;
    while ((rc = h1_body_next(hx, SIZE_MAX, &piece)) > 0)
        ;
    if (rc == 0 && h1_body_done(hx))
        return next_request(c);
    if (rc < 0 || c->eof || c->reading.bytes > REST_MOST)
        return last_request(c);
    c->in_start = c->in_end = 0;
    return fill(c) || c->eof;
}

/* Reads and drops what the client still sends; at its end, or after a bounded amount at once, it is
 * closed. */
static void h1_drop_rest(struct h1_conn *c)
{
    size_t dropped = 0;
    c->in_start = c->in_end = 0;
    while (fill(c) && dropped < LINGER_MOST) {
        dropped += c->in_end;
        c->in_end = 0;
    }
    if (c->eof || dropped >= LINGER_MOST)
        h1_close(c);
    else
        drop_input(c);
}

/* The end of a connection: the last bytes go out first, then our end of sending, and if the client
 * may still be sending, its bytes are read, or the kernel would answer them with a reset that can
 * overtake our response (RFC 9112, section 9.6). */
static bool h1_linger(struct h1_conn *c)
{
    if (c->out.count)
        return false;
    if (!c->discard && c->in_start == c->in_end && !c->readable) {
        h1_close(c);
        return false;
    }
    if (!c->shut)
        shutdown(c->watch.fd, SHUT_WR);
    c->shut = true;
    h1_drop_rest(c);
    return false;
}

/* One step of the machine; false when it has to wait. */
static bool h1_step(struct h1_conn *c)
{
    if (c->lost && c->state != H1_CLOSED && (!c->x || !c->x->x.begun || c->x->x.left)) {
        if (c->cut)
            h1_reset(c);
        else
            h1_close(c);
        return false;
    }
    switch (c->state) {
    case H1_PROXY: return h1_proxy(c);
    case H1_IDLE: return h1_idle(c);
    case H1_HEAD: return h1_head(c);
    case H1_BODY: return h1_body(c);
    case H1_ANSWER: return h1_answering(c);
    case H1_REST: return h1_rest(c);
    case H1_LINGER: return h1_linger(c);
    case H1_CLOSED: return false;
    }
    __builtin_unreachable();
}

/* Time
 * --------------------------------------------------------------------------------------------------------------
 */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t idle_deadline(const struct h1_conn *c)
{
    const struct app_options *o = c->server->options;
    if (c->server->draining)
        return c->since + DRAIN_IDLE;
    return c->since + (c->used ? o->keep_alive : o->head_timeout);
}

/* When the state at hand has lasted too long. */
static int64_t h1_deadline(const struct h1_conn *c)
{
    const struct app_options *o = c->server->options;
    if (!is_away(c) && c->full)
        return h1_send_deadline(c);
    switch (c->state) {
    case H1_PROXY:
    case H1_IDLE: return sooner(idle_deadline(c), h1_last_moment(c));
    case H1_HEAD: return sooner(c->since + o->head_timeout, h1_last_moment(c));
    case H1_BODY:
    case H1_REST:
        return sooner(pace_deadline(&c->reading, o->body_timeout, o->body_min_rate),
                      h1_last_moment(c));
    case H1_LINGER: return c->since + LINGER_TIME;
    case H1_ANSWER: return is_away(c) && !c->x->waited ? c->since + o->queue_timeout : TIMER_NEVER;
    case H1_CLOSED: return TIMER_NEVER;
    }
    __builtin_unreachable();
}

void h1_run(struct h1_conn *c)
{
    int steps = PIPELINE;
    c->running = true;
    while (steps > 0 && h1_step(c))
        steps--;
    c->running = false;
    if (c->state == H1_CLOSED)
        return;
    if (steps == 0)
        h1_go_on(c);
    timer_set(&c->server->loop->timers, &c->timer, h1_deadline(c));
}

/* Sends, and goes on with what that made possible. */
static void send_and_run(struct h1_conn *c)
{
    c->turn = loop_now(c->server->loop);
    h1_send(c);
    count_bytes(c);
    h1_run(c);
}

static void h1_later(struct deferred *d)
{
    struct h1_conn *c = container_of(d, struct h1_conn, later);
    if (c->state != H1_CLOSED && !is_away(c))
        send_and_run(c);
}

static void note_events(struct h1_conn *c, uint32_t events)
{
    const uint32_t ends = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    c->hup = c->hup || (events & ends);
    c->readable = c->readable || (events & (EPOLLIN | ends));
    c->full = c->full && !(events & EPOLLOUT);
    if (events & (EPOLLHUP | EPOLLERR) && c->state != H1_LINGER && c->x && c->x->x.begun)
        h1_lose(c, ERR_RESET);
}

/* What happened while the connection was its call's: it is the loop's again. */
static void note_missed(struct h1_conn *c)
{
    uint32_t events = c->missed;
    c->missed = 0;
    if (c->doomed)
        h1_lose(c, ERR_STOPPING);
    note_events(c, events);
}

void h1_resume(struct h1_conn *c)
{
    int64_t now = c->x->x.times.returned / 1000000;
    note_missed(c);
    if (now - c->turn >= TURN)
        h1_go_on(c);
    else
        h1_run(c);
}

/* Whether nothing but the line ends before a request has come: then there is no request to answer.
 */
static bool only_line_ends(const struct h1_conn *c)
{
    struct slice s = h1_unread(c);
    return s.len == 0 || slice_eq(s, SLICE("\r")) || slice_eq(s, SLICE("\r\n"));
}

void h1_give_up(struct h1_conn *c, enum err why)
{
    char peer[ADDRESS_TEXT];
    address_text(&c->ends.peer, peer);
    log_event(c->server->log, err_level((int)why), "connection closed",
              LOG_STR("reason", err_text((int)why)), LOG_STR("peer", peer));
    h1_lose(c, why);
}

/* The limit of the queue has passed: a call that has not begun is taken back and refused. */
static void waited_too_long(struct h1_conn *c)
{
    struct exchange *x = &c->x->x;
    c->x->waited = true;
    if (!x->handler->ops->withdraw || !x->handler->ops->withdraw(x->handler, x))
        return;
    note_missed(c);
    refuse(c, -ERR_QUEUE_TIMEOUT);
}

/* The limit that has passed: the connection's own comes before the state's. */
static enum err over(const struct h1_conn *c, enum err state)
{
    return loop_now(c->server->loop) >= h1_last_moment(c) ? ERR_CONNECTION_TIMEOUT : state;
}

/* The state at hand has lasted too long. */
static void expire(struct h1_conn *c)
{
    switch (c->state) {
    case H1_PROXY: h1_give_up(c, over(c, ERR_PROXY_TIMEOUT)); return;
    case H1_HEAD:
        if (only_line_ends(c))
            h1_lose(c, ERR_IDLE_TIMEOUT);
        else
            refuse(c, -(int)over(c, ERR_HEAD_TIMEOUT));
        return;
    case H1_BODY: refuse(c, -(int)over(c, ERR_BODY_TIMEOUT)); return;
    case H1_ANSWER: waited_too_long(c); return;
    case H1_REST: last_request(c); return; /* it is answered: nothing is left to be said */
    case H1_IDLE:
    case H1_LINGER: h1_lose(c, ERR_IDLE_TIMEOUT); return;
    case H1_CLOSED: return;
    }
    __builtin_unreachable();
}

static void h1_time_is_over(struct timer *t)
{
    struct h1_conn *c = container_of(t, struct h1_conn, timer);
    int64_t now = loop_now(c->server->loop);
    if (is_away(c) || !c->full) {
        expire(c);
    } else {
        h1_ask_client(c, now);
        if (h1_deadline(c) <= now)
            h1_give_up(c, over(c, ERR_SEND_TIMEOUT));
    }
    h1_run(c);
}

/* Events
 * ------------------------------------------------------------------------------------------------------------
 */

static void h1_ready(struct watch *w, uint32_t events)
{
    struct h1_conn *c = container_of(w, struct h1_conn, watch);
    if (is_away(c)) {
        c->missed |= events;
        return;
    }
    note_events(c, events);
    send_and_run(c);
}

/* A call that had lost the loop has left. It may have found the socket full. */
static void h1_back(struct deferred *d)
{
    struct h1_conn *c = container_of(d, struct h1_conn, back);
    c->x->x.detached = false;
    c->x->x.left = true;
    c->missed |= EPOLLOUT;
    note_missed(c);
    send_and_run(c);
}

/* Whose response has begun without saying that it is the last may send one more request: keep_alive
 * is for the next response to decide. */
static void h1_drain(struct link *l)
{
    struct h1_conn *c = container_of(l, struct h1_conn, link);
    if (is_away(c))
        return; /* it looks by itself when it ends */
    if (c->state == H1_IDLE)
        enter(c, H1_IDLE);
    timer_set(&c->server->loop->timers, &c->timer, h1_deadline(c));
}

static void log_cut(const struct h1_conn *c)
{
    const struct h1_exchange *hx = c->x;
    char id[EXCHANGE_ID + 1], peer[ADDRESS_TEXT];
    if (!hx || !hx->x.request.method.len || (!is_away(c) && hx->finished))
        return;
    exchange_id(&hx->x, id);
    address_text(&c->ends.peer, peer);
    log_event(c->server->log, LOG_WARN, "a request is cut: the worker leaves",
              LOG_SLICE("method", hx->x.request.method),
              LOG_SLICE("target", server_shown(c->server, hx->x.request.target)), LOG_STR("id", id),
              LOG_STR("peer", peer), LOG_NUM("age_ms", loop_now(c->server->loop) - c->since));
}

static void h1_cut(struct link *l)
{
    struct h1_conn *c = container_of(l, struct h1_conn, link);
    if (!c->doomed && !c->lost)
        log_cut(c);
    if (is_away(c)) {
        c->doomed = true;
        shutdown(c->watch.fd, SHUT_RDWR);
        return;
    }
    h1_lose(c, ERR_STOPPING);
}

int h1_open(struct server *server, int fd, const struct ends *ends)
{
    struct h1_conn *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return -ERR_MEMORY;
    }
    c->server = server;
    c->ends = *ends;
    c->link = (struct link){.drain = h1_drain, .cut = h1_cut, .fd = fd};
    c->watch = (struct watch){.fd = fd, .ready = h1_ready};
    if (!ends->proxied && !quota_enter(server, &c->link, ends)) {
        h1_refuse_client(fd);
        close(fd);
        free(c);
        return -ERR_TOO_MANY_CONNECTIONS;
    }
    c->timer = (struct timer){.deadline = TIMER_NEVER, .fire = h1_time_is_over};
    c->later.run = h1_later;
    c->back.run = h1_back;
    c->closing.release = h1_release;
    c->keep_alive = true;
    output_init(&c->out, server);
    enter(c, ends->proxied ? H1_PROXY : H1_IDLE);
    c->opened = c->since;
    int err = loop_watch(server->loop, &c->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    if (!err)
        err = timer_set(&server->loop->timers, &c->timer, h1_deadline(c));
    if (err) {
        quota_leave(server, &c->link);
        close(fd);
        free(c);
        return err;
    }
    server_join(server, &c->link);
    return 0;
}
