/* A connection that speaks HTTP/1: what wire_h1.c (requests in) and h1_answer.c (responses out)
 * share. Private to them.
 *
 * Threads: the loop's holder, but for the wire's table, where exchange.h says who calls. From
 * request() to leave() of a handler whose calls run on any thread (handler_ops.in_calls) everything
 * a response needs (out, full, keep_alive, lost, cut, sent and the exchange) is the call's; the
 * loop then only notes events. A call that lost the loop posts `back`, which makes it the loop's
 * again. */
#ifndef PENSTOCK_HTTP_H1_CONN_H
#define PENSTOCK_HTTP_H1_CONN_H

#include "http/output.h"
#include "http/server.h"
#include "proto/chunked.h"
#include "proto/h1.h"

/* States of a connection: STATE(name, what it waits for). */
#define H1_STATES(STATE)                                                                           \
    STATE(IDLE, "the first byte of a request")                                                     \
    STATE(HEAD, "the rest of a head")                                                              \
    STATE(BODY, "the rest of a body that is taken in whole")                                       \
    STATE(ANSWER, "the handler to leave and its response to be sent")                              \
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
    uint64_t sent;    /* bytes sent and not yet counted in the scoreboard */
    uint32_t missed;  /* events that came while the connection was its call's */
    int64_t since;    /* when this state began: loop time, ms */
    int64_t progress; /* when bytes last went in or out */
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
    int64_t left;  /* of the response's announced length */
    bool finished; /* finish() or abort() was called */
    bool waited;   /* the time it may wait for its call is over, or does not matter any more */
    _Alignas(16) char memory[]; /* the arena's first block: the rest of a block of the pool */
};

static inline struct h1_exchange *h1_of(struct exchange *x)
{
    return (struct h1_exchange *)(void *)x;
}

/* The table of h1_answer.c. */
extern const struct wire_ops h1_wire;

/* Sends what is queued, as far as the socket takes it. By whoever owns the output. */
void h1_send(struct h1_conn *c);

/* Goes on with the machine, as far as it goes. loop */
void h1_run(struct h1_conn *c);

/* The client is gone or was given up: what is queued is dropped, the handler is told, the
 * connection closes when the handler has left. */
void h1_lose(struct h1_conn *c, enum err why);

/* Has the connection go on at the end of this batch of events. */
void h1_go_on(struct h1_conn *c);

#endif
