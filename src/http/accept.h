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
        local; /* as bound: asked once, each connection's own end only where it can differ */
    bool any;  /* bound to a wildcard: ask each connection for its local address */
    bool used; /* a connection came since it was settled */
};

struct door {
    struct server *server;
    struct acceptor *acceptors;
    unsigned count;
    struct circle circle;
    struct settle settle;
    struct timer look;  /* while others have precedence: when to look again */
    struct timer rest;  /* while nothing can be accepted at all: its end */
    int64_t interval;   /* of looks, ms */
    uint64_t accepted;  /* by the others, at the last look */
    bool waited;        /* a connection waited at the last look */
    bool open;          /* the listeners are watched */
    bool resting;
    bool used;          /* as the acceptors' */
    bool closed;
    int reserve;        /* a descriptor to be given up when there are no others; -1: it is */
    int64_t complained; /* when the log was last told that descriptors are out */
    uint64_t shed;      /* connections answered 503 since */
};

/* Begins to accept from `count` listening sockets (the caller's to close, later than the door). The
 * scoreboard is that of all workers, or NULL, and server->slot is in it; the circle's name is told
 * by circle_name(). Returns 0, -ERR_MEMORY or -ERR_SYSTEM. */
int door_open(struct door *d, struct server *server, const int *fds, unsigned count);
void door_share(struct door *d, const struct scoreboard *board, uint64_t name);

/* Stops; the sockets are taken out of epoll first, since the master and other workers still hold
 * them. Nothing if it is closed or was never opened (all zero). */
void door_close(struct door *d);

#endif
