/* Accepting: the door of a worker, through which connections come from the listening sockets that
 * it shares with other workers.
 *
 * Level-triggered with EPOLLEXCLUSIVE. Whether the listeners are watched follows from what the
 * worker is doing and is settled before each wait of the loop: not while it is full, and not while
 * another worker is much better placed to take the next connection (spread.h). Out of descriptors,
 * connections are answered 503, which is said once a minute and counted. Threads: the loop's
 * holder. */
#ifndef PENSTOCK_HTTP_ACCEPT_H
#define PENSTOCK_HTTP_ACCEPT_H

#include "http/server.h"
#include "http/spread.h"
#include "loop/loop.h"

struct acceptor {
    struct watch watch;
    struct door *door;
    struct address
        local;    /* as bound: asked once, each connection's own end only where it can differ */
    bool any;     /* bound to a wildcard: ask each connection for its local address */
    bool used;    /* it took a connection since the door was settled */
    bool proxied; /* connections begin with a PROXY header */
};

struct door {
    struct server *server; /* NULL: it was never opened, or is closed */
    struct circle circle;
    struct acceptor *acceptors;
    unsigned count;
    struct settle settle;
    struct timer look;  /* while others have precedence: when to look again */
    struct timer rest;  /* while nothing can be accepted: when to try again */
    int64_t interval;   /* of looks, ms */
    uint64_t accepted;  /* by the others, at the last look */
    int64_t waits;      /* since when a connection waits and nobody accepts; TIMER_NEVER: none */
    bool open;          /* the listeners are watched */
    bool full;          /* as it was when the door was settled; so is the next */
    bool occupied;      /* no thread was free */
    bool shared;        /* there are others who accept */
    bool changed;       /* it is to be settled anew */
    int reserve;        /* a descriptor to be given up when there are no others; -1: it is */
    int64_t complained; /* when the log was last told that descriptors are out; 0: never */
    uint64_t shed;      /* connections answered 503 that the log was not told of */
};

struct door_setup {
    struct server *server;
    struct circle circle; /* of the workers with the same listeners; its slot is the server's */
    const int *fds;       /* listening sockets: the caller's to close, later than the door */
    const bool *proxied;  /* for each: proxy-protocol; NULL: none */
    unsigned count;
};

/* Begins to accept. Returns 0, -ERR_MEMORY or -ERR_SYSTEM, and then the door is closed. */
int door_open(struct door *d, const struct door_setup *setup);

/* Takes what is queued by now, for at most a second, and stops: no connection is left that this
 * worker alone was woken for. */
void door_sweep(struct door *d);

/* Stops; the sockets are taken out of epoll first, since the master and other workers still hold
 * them. Nothing if it is closed or was never opened (all zero). */
void door_close(struct door *d);

#endif
