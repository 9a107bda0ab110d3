/* Back-off: how long to wait before something that keeps ending is started again. */
#ifndef PENSTOCK_MASTER_BACKOFF_H
#define PENSTOCK_MASTER_BACKOFF_H

#include <stdint.h>

struct backoff {
    unsigned failures; /* in a row; stops counting when the delay has reached its most */
};

/* Milliseconds. */
enum { BACKOFF_FIRST = 100, BACKOFF_MOST = 30000, BACKOFF_FORGIVES = 10000 };

/* Milliseconds to wait now that it ended after serving for `served` ms: 0 the first time, since
 * most deaths are single ones, then BACKOFF_FIRST and twice as long each time, up to BACKOFF_MOST.
 * Who served for BACKOFF_FORGIVES begins anew. */
int64_t backoff_next(struct backoff *b, int64_t served);

#endif
