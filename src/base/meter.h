/* Meters: how many connections each client has, and how fast its requests come, over all workers.
 *
 * Clients are known by keys: keyed hashes, so that nobody can choose an address to share a place
 * with. The memory (a memfd, made by the master) has a fixed size: tables of places by hash. When
 * the places that a key can have are taken, it is not counted; a limit can so be too mild under
 * very many clients, and never too strict.
 *
 * Connections are counted by each worker in a part of its own, which only it writes; their sum is
 * what a limit is compared with. The part of a worker that died is not looked at, for the
 * scoreboard knows that it is gone, and is emptied by the next in its place. Rates are token
 * buckets that all workers share, each one number changed by compare-and-swap: the moment at which
 * the bucket is full again. What others write can at most change what is counted.
 *
 * Threads: the loop's holder. No function waits or makes a system call but create, open and close.
 */
#ifndef PENSTOCK_BASE_METER_H
#define PENSTOCK_BASE_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scoreboard.h"
#include "base/siphash.h"
#include "base/slice.h"

struct meter_shared;

struct meter {
    struct meter_shared *shared;
    size_t size;
    const struct scoreboard *board;
    struct siphash_key secret;
    unsigned slot; /* of this worker, in the scoreboard */
};

/* A token bucket: `burst` requests at once, and one more every `every` nanoseconds. */
struct meter_rate {
    int64_t every, burst;
};

/* Makes the memory for the workers of a scoreboard of `slots` slots, with a secret of its own.
 * Returns a descriptor (close-on-exec), or -ERR_SYSTEM with errno set. */
int meter_create(unsigned slots);

/* Maps it for the worker in `slot`, whose counts begin at zero. The descriptor may be closed
 * afterwards. Returns 0 or -ERR_SYSTEM with errno set (EPROTO: it is not of that board). */
int meter_open(struct meter *m, int fd, const struct scoreboard *board, unsigned slot);
void meter_close(struct meter *m);

/* The key of some bytes; never 0. */
uint64_t meter_key(const struct meter *m, struct slice bytes);

/* Counts a connection in. False when there would be more than `most` of them: it is then not
 * counted. */
bool meter_enter(struct meter *m, uint64_t key, uint32_t most);

/* Counts one out that was counted in. */
void meter_leave(struct meter *m, uint64_t key);

/* Takes a token. Returns 0, or how many nanoseconds it takes until there is one. `now` is
 * monotonic. */
int64_t meter_take(struct meter *m, uint64_t key, const struct meter_rate *rate, int64_t now);

#endif
