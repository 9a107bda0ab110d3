/* A connection that speaks HTTP/1: what wire_h1.c (requests in) and h1_answer.c (responses out)
 * share. Private to them.
 *
 * Threads: the loop's holder, but for the wire's table, where exchange.h says who calls. From
 * request() to leave() of a handler whose calls run on any thread (handler_ops.in_calls) everything
 * a response needs (out, full, keep_alive, lost, cut, given, the paces and the exchange) is the
 * call's, and so is what read() needs (in and its ends, readable, eof, got); the loop then only
 * notes events. A call that lost the loop posts `back`, which makes it the loop's again. */
#ifndef PENSTOCK_HTTP_H1_CONN_H
#define PENSTOCK_HTTP_H1_CONN_H

#include "http/output.h"
#include "http/server.h"
#include "proto/chunked.h"
#include "proto/h1.h"

/* States of a connection: STATE(name, what it waits for). */
#define H1_STATES(STATE)                                                                           \
    STATE(PROXY, "the rest of a PROXY header")                                                     \
    STATE(IDLE, "the first byte of a request")                                                     \
    STATE(HEAD, "the rest of a head")                                                              \
    STATE(BODY, "the rest of a body that is taken in whole")                                       \
    STATE(ANSWER, "the handler to leave and its response to be sent")                              \
    STATE(REST, "the rest of a body that the handler did not read")                                \
    STATE(LINGER, "the last response to be sent, and the client to close")                         \
    STATE(CLOSED, "nothing: it is freed at the end of this turn")

enum h1_state {
#define STATE(name, text) H1_##name,
    H1_STATES(STATE)
#undef STATE
};

/* How the end of a response's content is told. */
enum h1_framing {
    H1_BY_LENGTH,
    H1_BY_CHUNKS,
    H1_BY_CLOSE,
    H1_NO_BODY, /* HEAD, 204, 205, 304: content is dropped */
};

/* How bytes move on in one direction: what the limits on idleness and rate are about. Monotonic ms.
 */
struct pace {
    int64_t since;    /* when it began; 0: nothing is waited for */
    int64_t progress; /* when bytes last moved */
    uint64_t bytes;   /* since it began */
};

/* When it was too slow: nothing moved for `idle` ms, or less than `rate` bytes a second (0: any) on
 * average, but for the first `idle` ms. */
int64_t pace_deadline(const struct pace *p, int64_t idle, int64_t rate);

struct h1_conn {
    struct link link;
    struct watch watch;
    struct timer timer;
    struct deferred later; /* at the end of the batch: send what was queued, then go on */
    struct deferred back;  /* posted by a call that left without holding the loop */
    struct closing closing;
    struct server *server;
    struct h1_exchange *x; /* the one exchange at hand; NULL when idle */
    char *in;              /* bytes read; NULL while there are none */
    uint32_t in_start, in_end, in_size;
    struct output out;
    uint64_t given;        /* bytes that the kernel was given */
    uint64_t counted;      /* of these, the scoreboard knows */
    uint64_t taken;        /* of these, the client had acknowledged when it was last asked */
    uint64_t got;          /* bytes read by calls and not yet counted in the scoreboard */
    uint32_t missed;       /* events that came while the connection was its call's */
    int64_t opened, since; /* when it, and when this state began: loop time, ms */
    int64_t turn;          /* when the loop came to it last: loop time */
    struct pace reading;   /* of a body */
    struct pace sending;   /* of what the socket does not take at once */
    enum h1_state state;
    bool readable;   /* the kernel may have bytes for us: not yet told otherwise (edge-triggered) */
    bool hup;        /* the client's end of sending was announced: read on until it comes */
    bool eof;        /* it came: requests already here are still answered */
    bool full;       /* the socket takes no more until EPOLLOUT */
    bool keep_alive; /* another request may follow the one at hand */
    bool used;       /* a request was served on it */
    bool discard; /* there may be bytes that nobody will read: linger, so that our last ones arrive
                   */
    bool shut;    /* our side is shut down */
    bool cut;     /* the response was aborted: reset the connection */
    bool lost;    /* the client is gone; nothing can be sent */
    bool doomed;  /* to be lost once its call has left: the server stops */
    bool running; /* h1_run is at work on it */
    struct ends ends;
};

struct h1_exchange {
    struct exchange x;
    struct h1_conn *conn;
    struct h1_limits limits;
    struct h1_decoder decoder;
    struct h1_request head;
    struct chunked chunked;
    char *head_bytes; /* what `head` points into, when reading goes on elsewhere; else NULL */
    uint32_t head_size;
    enum h1_framing framing;
    int64_t left;       /* of the response's announced length */
    int64_t body_left;  /* streamed, announced: bytes of the body that were not read yet */
    int64_t body_taken; /* streamed: bytes that were */
    int body_error;     /* streamed: what went wrong with it */
    bool streamed;      /* the handler reads the body by itself */
    bool invited;       /* streamed: the client was sent 100 (Continue), or need not be */
    bool finished;      /* finish() or abort() was called */
    bool waited;        /* the time it may wait for its call is over, or does not matter any more */
    _Alignas(16) char memory[]; /* the arena's first block: the rest of a block of the pool */
};

static inline struct h1_exchange *h1_of(struct exchange *x)
{
    return (struct h1_exchange *)(void *)x;
}

/* The table of h1_answer.c. */
extern const struct wire_ops h1_wire;

static inline struct slice h1_unread(const struct h1_conn *c)
{
    return slice_of(c->in + c->in_start, c->in_end - c->in_start);
}

/* Bodies that the handler reads by itself (h1_body.c). */

/* Whether nothing of the request is left to be read. */
bool h1_body_done(const struct h1_exchange *hx);

/* The next piece of it, of at most `most` bytes, among the bytes that are here: 1, or 0 when more
 * bytes are needed or it is done, or a negative error. By whoever owns the connection. */
int h1_body_next(struct h1_exchange *hx, size_t most, struct slice *piece);

/* Of wire_ops. */
int h1_read(struct exchange *x, char *out, size_t size);

/* Sends what is queued, as far as the socket takes it. By whoever owns the output. */
void h1_send(struct h1_conn *c);

/* When a client that does not take what is sent is given up, from what is known; h1_ask_client()
 * finds out what it took by now. By whoever owns the output. */
int64_t h1_send_deadline(const struct h1_conn *c);
void h1_ask_client(struct h1_conn *c, int64_t now);

/* When connection-timeout has passed; TIMER_NEVER without one. */
int64_t h1_last_moment(const struct h1_conn *c);

/* Goes on with the machine, as far as it goes. loop */
void h1_run(struct h1_conn *c);

/* A call has left without having lost the loop: goes on, with whatever happened meanwhile, unless
 * it is others' turn. loop */
void h1_resume(struct h1_conn *c);

/* The client is gone or was given up: what is queued is dropped, the handler is told, the
 * connection closes when the handler has left. */
void h1_lose(struct h1_conn *c, enum err why);

/* The same, told to the log. */
void h1_give_up(struct h1_conn *c, enum err why);

/* Has the connection go on at the end of this batch of events. */
void h1_go_on(struct h1_conn *c);

#endif
