/* The scoreboard: what every worker is doing, in memory that master and workers share (a memfd).
 *
 * It holds numbers only; a worker that is stuck or dead can still be read. Fields are written by
 * the one process that scoreboard.def names.
 *
 * Every worker can write all of it, and an application that was taken over may: who maps it
 * believes no number for more than its face. Its size was sealed when it was made, so nobody can
 * cut it off under a reader, and the number of slots is remembered at mapping, outside of it. */
#ifndef PENSTOCK_BASE_SCOREBOARD_H
#define PENSTOCK_BASE_SCOREBOARD_H

#include <stdatomic.h>
#include <stdint.h>

enum worker_state {
    WORKER_FREE,
    WORKER_STARTING,
    WORKER_READY,
    WORKER_SERVING,
    WORKER_DRAINING,
    WORKER_LEAVING
};

struct slot {
#define SLOT(field, type, writer, text) _Atomic(type) field;
#include "base/scoreboard.def"
#undef SLOT
} __attribute__((aligned(64)));

struct scoreboard {
    uint32_t magic;   /* SCOREBOARD_MAGIC */
    uint32_t version; /* SCOREBOARD_VERSION */
    uint32_t count;   /* slots; see scoreboard_count() */
    uint32_t slot_size;
    struct slot slots[];
};

enum { SCOREBOARD_MAGIC = 0x50534342, SCOREBOARD_VERSION = 2 };

/* Makes a memfd (close-on-exec) that holds `count` free slots (at least one). Returns it, or
 * -ERR_SYSTEM with errno set. */
int scoreboard_create(unsigned count);

/* Maps the scoreboard behind `fd`; NULL with errno set when it cannot be mapped or is not one of
 * ours (EPROTO). The descriptor may be closed afterwards. */
struct scoreboard *scoreboard_map(int fd);
void scoreboard_unmap(struct scoreboard *b);

/* How many slots it had when it was mapped: what others write cannot change this. */
unsigned scoreboard_count(const struct scoreboard *b);

/* Slots are counters of one writer: no lock prefix is needed. */
#define slot_set(slot, field, value)                                                               \
    atomic_store_explicit(&(slot)->field, (value), memory_order_relaxed)
#define slot_get(slot, field)    atomic_load_explicit(&(slot)->field, memory_order_relaxed)
#define slot_add(slot, field, n) slot_set(slot, field, slot_get(slot, field) + (n))

#endif
