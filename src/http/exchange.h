/* The exchange: one request and its response, between a wire and a handler that do not know each
 * other.
 *
 * A wire turns bytes into an exchange and its response back into bytes; a handler answers it. Each
 * sees the other through a table of functions only. docs/internals/exchange.md walks through every
 * way in which an exchange can go.
 *
 * Life. The wire makes the exchange and fills `request`; exchange_begin() hands it to the handler,
 * at once or when the body is in; the handler answers through the wire's table; it calls leave()
 * when its call has returned and it will not touch the exchange again; the wire ends the exchange
 * (exchange_end) when the handler has left and the response is out or lost. Only there the arena is
 * freed; nothing that outlives the exchange points into it.
 *
 * Claim. OPEN until somebody answers: start() takes it to STARTED, a time limit to TIMED_OUT, a
 * lost client to GONE, each by compare-and-swap; who wins answers. A 504 is sent from OPEN only;
 * later, a limit can only cut.
 *
 * Threads. "loop" is the holder of the event loop; "call" is the thread that runs the handler's
 * call of this exchange (today both are one). Each function says which may call it. */
#ifndef PENSTOCK_HTTP_EXCHANGE_H
#define PENSTOCK_HTTP_EXCHANGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/errors.h"
#include "base/slice.h"
#include "http/spool.h"
#include "net/address.h"
#include "proto/fields.h"

struct exchange;
struct server;

/* The streams that a request may bring. */
enum stream {
    STREAM_BODY,   /* the request's content; FastCGI's STDIN */
    STREAM_DATA,   /* FastCGI Filter's second stream: the file to be filtered */
    STREAM_TUNNEL, /* raw bytes after tunnel() */
};

/* Who is told when the wire no longer needs bytes or a descriptor that it was given. Embedded in
 * its owner. */
struct hold {
    void (*release)(struct hold *h); /* loop or call; assumes no GIL */
};

enum chunk_kind { CHUNK_BYTES, CHUNK_FILE };

/* A piece of a response's content. */
struct chunk {
    enum chunk_kind kind;
    int fd;             /* CHUNK_FILE: the range [offset, offset + length) of this file */
    struct slice bytes; /* CHUNK_BYTES */
    int64_t offset, length;
    struct hold *hold; /* NULL: bytes are copied before write() returns. Otherwise they, or the
                          descriptor, stay valid until release() is called: exactly once, perhaps
                          within write(), also when it fails */
};

/* The head of a response, or its trailers (then status is 0). Slices are copied before the call
 * that takes it returns. */
struct head {
    int status;
    struct slice reason; /* empty: the standard phrase */
    const struct field *fields;
    unsigned count;
    bool close; /* the handler asks to end the connection after this response */
};

/* What a handler asks of the wire. All return 0 or a positive count when done, or a negative enum
 * err; after an error the exchange is lost and only leave() is left to call. */
struct wire_ops {
    const char *name; /* "h1" */

    /* Sends an interim response (100, 103). Before start() only. call */
    int (*inform)(struct exchange *x, const struct head *head);

    /* Takes the claim and sends the final head. `length`: bytes of content to come, or -1 when
     * unknown; the wire then frames as its protocol can. It adds Date, Server and framing fields
     * itself. -ERR_CLOSED when the claim was lost. call */
    int (*start)(struct exchange *x, const struct head *head, int64_t length);

    /* Sends content. 0: there is room for more; 1: taken, but the handler should wait for
     * writable() or call wait(). Bytes past the announced length are refused with -ERR_PROTOCOL.
     * call */
    int (*write)(struct exchange *x, const struct chunk *chunk);

    /* Sends on at once what start() and write() have only queued (they leave it to the end of the
     * batch of events). call */
    int (*flush)(struct exchange *x);

    /* Makes room for more: what the client does not take goes into a file, as far as that may grow;
     * past it, waits until the client has taken enough, is lost, or a time limit passes. Never
     * called by the loop. call */
    int (*wait)(struct exchange *x);

    /* For a handler in_calls without whole_body: the next bytes of the body, at most `size`, into
     * `out`. Waits for them; the client's 100 (Continue) goes out with the first. Returns how many,
     * 0 at the end of the body, -ERR_BODY_TIMEOUT, -ERR_BODY_TOO_LARGE, -ERR_CLOSED when the client
     * is gone or has ended too early, or what is wrong with the body. call */
    int (*read)(struct exchange *x, char *out, size_t size);

    /* Ends the response; fewer bytes than announced make it a visible cut. `trailers` may be NULL.
     * call */
    int (*finish)(struct exchange *x, const struct head *trailers);

    /* From here on raw bytes both ways, after a 101 or a 2xx to CONNECT was started. -ERR_PROTOCOL
     * where the wire cannot. call */
    int (*tunnel)(struct exchange *x);

    /* The handler has room for more of the request's streams (those that are not taken in whole).
     * call */
    void (*read_more)(struct exchange *x);

    /* Cuts the response so that the client can see it. call, loop */
    void (*abort)(struct exchange *x, enum err why);

    /* The handler's call has returned; it will not touch `x` again. Exactly once for each
     * request(). call */
    void (*leave)(struct exchange *x);
};

struct handler;

/* What the wire tells the handler. */
struct handler_ops {
    const char *name; /* "wsgi" */

    /* True: request() is called only when the body is in whole (exchange.body); false: it is called
     * at the end of the head, and the streams come through body() or, in_calls, are read(). */
    bool whole_body;

    /* True: request() leads to a call that may run on any thread; until it leaves, the response is
     * its own and the loop only notes what happens to the connection (no writable, no gone). False:
     * all of this handler happens on the loop. */
    bool in_calls;

    /* Answer this. An error returned is answered for the handler (err_status), and it must not have
     * called leave(). loop */
    int (*request)(struct handler *h, struct exchange *x);

    /* The next bytes of a stream; valid during the call. `last`: its end. Returns how many were
     * taken: fewer than all means "no more until read_more()". Never called when whole_body, but
     * for STREAM_DATA and STREAM_TUNNEL. loop */
    int (*body)(struct handler *h, struct exchange *x, enum stream stream, struct slice bytes,
                bool last);

    /* There is room after a write() that returned 1. loop */
    void (*writable)(struct handler *h, struct exchange *x);

    /* The client is gone; what is written from now on is lost. loop */
    void (*gone)(struct handler *h, struct exchange *x);

    /* The request's time is over and its claim was taken; the call may still run. loop */
    void (*timeout)(struct handler *h, struct exchange *x);

    /* Takes back a request whose call waits for its turn. True: it will never run, nor leave. loop
     */
    bool (*withdraw)(struct handler *h, struct exchange *x);
};

struct handler {
    const struct handler_ops *ops;
};

enum claim { CLAIM_OPEN, CLAIM_STARTED, CLAIM_TIMED_OUT, CLAIM_GONE };

/* Both ends of a connection as text, made once for each connection and shared by its exchanges. */
struct ends {
    struct address peer, local;
    bool secure;   /* the client used TLS */
    bool proxied;  /* a PROXY header comes first, and tells the ends */
    bool stranger; /* it told that the client is somebody else, and not who */
};

/* A request as every wire gives it. Slices live as long as the exchange. */
struct request {
    struct slice method;    /* "GET" */
    struct slice target;    /* as the client sent it: REQUEST_URI */
    struct slice scheme;    /* "http" or "https" */
    struct slice authority; /* host and port: the target's, else Host; may be empty */
    struct slice path;      /* still percent-encoded; empty for `OPTIONS *` */
    struct slice query;     /* without the '?'; ptr is NULL when there was none */
    uint8_t major, minor;   /* of HTTP as the client spoke it */
    bool
        chunked; /* the body had no announced length; once taken in whole, `length` is its length */
    bool expect_continue;
    bool upgrade;
    int64_t length;         /* of the body; -1: not known yet */
    bool told_host;         /* a proxy told the authority: the server's name and port follow it */
    struct slice told_port; /* that the client connected to, as a proxy told; may be empty */
    struct slice prefix;    /* of the path, that a proxy has taken off; may be empty */
    const struct field *fields;
    unsigned count;
};

/* When what happened: monotonic nanoseconds, 0 if it did not. The phases of the access log are
 * their differences. */
struct times {
    int64_t begun;    /* first byte of the head */
    int64_t complete; /* head, or with whole_body the body, was in */
    int64_t gil;      /* of which the call waited for the GIL: a duration */
    int64_t reading;  /* of the call: it waited for the body that it reads itself: a duration */
    int64_t sending;  /* of the call: it waited for the client to take the response: a duration */
    int64_t called;   /* the application was entered */
    int64_t returned; /* it was left */
    int64_t ended;    /* the last byte was handed to the kernel */
    int64_t ahead;    /* it waited in front of us, as a proxy told: a duration */
};

/* The body of a request that was taken in whole: in memory or, when it is large, in a file. */
struct body {
    struct slice bytes; /* when fd is -1: all of it */
    int64_t length;
    int fd; /* the file; it is read by pread() alone */
};

/* How much of a body is kept in memory. */
enum { BODY_MEMORY = 64 * 1024 };

struct exchange {
    const struct wire_ops *wire;
    struct handler *handler;
    struct server *server;
    const struct ends *ends;   /* the client's, as far as trusted proxies told it */
    const struct address *via; /* the peer, when `ends` has another; else NULL */
    struct slice told_id;      /* the id that a proxy gave the request; empty: it has ours */
    struct arena arena;
    struct request request;
    struct body body;    /* whole_body: all of it, once request() is called */
    struct buf gathered; /* where `body` is gathered when it comes in pieces, up to BODY_MEMORY */
    struct spool spool;  /* all of it, when it is larger */
    struct times times;
    void *call;             /* the handler's own, from request() to leave() */
    uint64_t id;            /* of the request: unique for this worker's life */
    _Atomic uint32_t claim; /* enum claim */
    int status;             /* of the final response; 0: none was started */
    enum err error;         /* what ended it, if something did */
    int64_t sent;           /* content bytes handed over for sending */
    bool in_parts;          /* the request did not come in one piece */
    bool begun;             /* the handler has had request() */
    bool detached;          /* its call lost the loop and must not touch it; the call's */
    bool left;              /* the handler has called leave() */
    const struct head
        *logged; /* copy of the response's head when the access log wants its fields; else NULL */
};

/* For wires
 * -------------------------------------------------------------------------------------------------------
 */

/* Makes an exchange whose arena begins with `size` bytes at `block` (the caller's). loop */
void exchange_init(struct exchange *x, struct server *server, const struct wire_ops *wire,
                   void *block, size_t size);

/* The head is complete: checks it against the limits, then calls the handler, or waits for the
 * body. Returns 0, or a negative error with which the wire is to refuse the request. loop */
int exchange_begin(struct exchange *x);

/* Whether the body is to be taken in before the handler is called. */
bool exchange_wants_body(const struct exchange *x);

/* The next bytes of the body, when it is taken in whole; with `last` the handler is called. Returns
 * 0 or a negative error with which to refuse (-ERR_BODY_TOO_LARGE, -ERR_SPOOL, ...). loop */
int exchange_take(struct exchange *x, struct slice bytes, bool last);

/* How much of the body was taken so far. */
int64_t exchange_taken(const struct exchange *x);

/* The whole body at once; the bytes stay valid as long as the exchange, so that nothing is copied.
 * loop */
int exchange_lend(struct exchange *x, struct slice bytes);

/* Takes the claim from OPEN to `to`; false when somebody else has it. loop, call */
bool exchange_claim(struct exchange *x, enum claim to);

/* Notes what was started, for the access log. To be called by every wire's start(). call */
void exchange_started(struct exchange *x, const struct head *head);

/* Writes the access log's line and the counters, and frees what the exchange holds. It may then be
 * made anew. loop */
void exchange_end(struct exchange *x);

/* For handlers
 * ----------------------------------------------------------------------------------------------------
 */

/* Answers with a short page for `status`: a head, a body for people, finish. `detail` may be empty.
 * call */
int exchange_page(struct exchange *x, int status, struct slice detail);

/* The request's id as a proxy gave it, or else ours. `out` is room for that. */
#define EXCHANGE_ID 16
struct slice exchange_name(const struct exchange *x, char out[static EXCHANGE_ID + 1]);

/* Our id as text: 16 hexadecimal digits. */
void exchange_id(const struct exchange *x, char out[static EXCHANGE_ID + 1]);

/* The first field of that name, or NULL. */
const struct field *request_field(const struct request *r, enum header_id id);

#endif
