/* Limits for each client: connections at the same time, and requests a second.
 *
 * Clients are addresses as client.h finds them, IPv6 ones by their first 64 bits, which is what one
 * subscriber has. Unix sockets have none, and proxies that are trusted speak for many clients:
 * their connections are not counted. The counting is base/meter's, over all workers of the
 * application.
 *
 * Threads: the loop's holder. */
#ifndef PENSTOCK_HTTP_QUOTA_H
#define PENSTOCK_HTTP_QUOTA_H

#include "base/meter.h"
#include "http/exchange.h"

enum { QUOTA_TOLD = 256 };

/* In struct server; all zero when there is no limit. */
struct quota {
    struct meter *meter;       /* NULL: nothing is counted */
    uint64_t told[QUOTA_TOLD]; /* by key: key and second of what the log was last told */
    uint64_t untold;           /* refusals since, of whomever */
};

struct link;

/* Whether one more connection may come from there; it is then counted, and link->quota remembers
 * it. Otherwise it is logged and counted as limited, and the wire is to turn it away. */
bool quota_enter(struct server *s, struct link *l, const struct ends *ends);

/* The connection has ended. */
void quota_leave(struct server *s, struct link *l);

/* Whether the request may go on: 0, or -ERR_TOO_MANY_REQUESTS. */
int quota_take(struct exchange *x);

#endif
