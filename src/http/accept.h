/* Accepting: a listening socket shared by all workers, each of which takes connections from it.
 *
 * Level-triggered with EPOLLEXCLUSIVE, a bounded batch for each event. Out of descriptors,
 * accepting rests for a moment instead of spinning and says so once a minute. Threads: the loop's
 * holder. */
#ifndef PENSTOCK_HTTP_ACCEPT_H
#define PENSTOCK_HTTP_ACCEPT_H

#include "http/server.h"
#include "loop/loop.h"

struct acceptor {
    struct watch watch;
    struct timer rest;
    struct server *server;
    struct address
        local;    /* as bound: asked once, each connection's own end only where it can differ */
    bool any;     /* bound to a wildcard: ask each connection for its local address */
    bool watched; /* it is in epoll: not while it rests */
    int64_t complained; /* when the log was last told that descriptors are out */
};

/* Begins to accept from the listening socket `fd` (the caller's to close). Returns 0 or
 * -ERR_SYSTEM. */
int acceptor_open(struct acceptor *a, struct server *server, int fd);

/* Stops; the socket is taken out of epoll first, since the master and other workers still hold it.
 */
void acceptor_close(struct acceptor *a);

#endif
