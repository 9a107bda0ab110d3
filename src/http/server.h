/* What all wires of one process share: loop, limits, logs, counters, pools, and the list of open
 * connections.
 *
 * Threads: the loop's holder, but for what says otherwise. */
#ifndef PENSTOCK_HTTP_SERVER_H
#define PENSTOCK_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/pool.h"
#include "base/scoreboard.h"
#include "config/options.h"
#include "http/client.h"
#include "http/exchange.h"
#include "http/quota.h"
#include "http/spool.h"
#include "loop/loop.h"
#include "loop/token.h"

struct access_log;

/* One open connection, whatever it speaks: embedded at the head of each wire's connection. */
struct link {
    struct link *next, **prev;
    void (*drain)(
        struct link *l); /* take nothing new: close when idle, or after the exchange that runs */
    void (*cut)(struct link *l); /* close now */
    int fd;                      /* of its socket: for server_forget */
    uint64_t quota;              /* under which it is counted; 0: it is not */
};

enum { SERVER_BLOCK = 16384 };

struct server {
    struct loop *loop;
    const struct app_options *options;
    struct log *log;
    struct access_log *access; /* NULL: off */
    struct handler *handler;   /* whom requests go to */
    struct slot *slot;         /* this worker's counters in the scoreboard, or own_slot */
    struct slot own_slot;
    struct pool blocks; /* of SERVER_BLOCK bytes: read buffers; exchanges with their arenas */
    struct spool_account spools;
    struct link *links;
    unsigned connections;
    unsigned serving;    /* requests that a handler has and that have not ended */
    struct token *token; /* of the threads that calls run in; NULL: there are none */
    uint64_t next_id;
    struct client_rules rules; /* client_rules_init(); without it nobody is trusted */
    struct quota quota;        /* its meter is set by the owner, who has it */
    _Atomic bool draining;
    struct slice software;             /* the Server field's value; empty: none is sent */
    void (*on_idle)(struct server *s); /* draining, and the last connection has closed */
    void *owner;                       /* the hook's */
};

/* Makes a server with everything but its handler; access log and slot may be set too. `options` and
 * `log` stay the caller's. */
void server_init(struct server *s, struct loop *loop, const struct app_options *options,
                 struct log *log);
void server_free(struct server *s);

/* Links a connection in and out; counted in the scoreboard. */
void server_join(struct server *s, struct link *l);
void server_part(struct server *s, struct link *l);

/* Whether there is no room for another request: too many are served or wait (limit-concurrency,
 * queue-size). */
bool server_is_full(const struct server *s);

/* What logs show of a request's target or of another URI: with redact-query nothing from the first
 * '?' or '#' on. Whatever a log says of one goes through here. */
struct slice server_shown(const struct server *s, struct slice uri);

/* Whether logs keep the values of this field to themselves (redact). */
bool server_redacts(const struct server *s, struct slice name);

/* Takes nothing new: every connection closes after what it is doing; on_idle tells when the last
 * has. */
void server_drain(struct server *s);

/* Closes every connection now. */
void server_cut(struct server *s);

/* In a process that the application forked: closes its copies of the connections' descriptors, and
 * does nothing else. */
void server_forget(struct server *s);

#endif
