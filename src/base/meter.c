/* Meters (meter.h has the contract).
 *
 * Both tables are set-associative: a key has WAYS places, one cache line, and any of them will do.
 * A bucket whose moment has passed is full, the same as one that never was: so places become free
 * by themselves, without a clock that cleans up.
 *
 * Relies on memfd_create and its seals: nobody can cut the memory off. Never allocates. */
#include "base/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"

enum {
    WAYS = 4,
    BUCKETS = 65536, /* of all workers together */
    TALLIES = 8192,  /* of each worker */
    SIZE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW,
};

struct bucket {
    _Atomic uint64_t key; /* 0: it was never used */
    _Atomic int64_t full; /* when it is full again, if nothing is taken */
};

struct tally {
    _Atomic uint64_t key;
    _Atomic uint32_t count; /* 0: the place is free */
};

struct meter_shared {
    struct siphash_key secret;
    _Alignas(64) struct bucket buckets[BUCKETS];
    _Alignas(64) struct tally tallies[][TALLIES];
};

static bool size_of(unsigned slots, size_t *size)
{
    return slots > 0 && !__builtin_mul_overflow(slots, sizeof(struct tally) * TALLIES, size) &&
           !__builtin_add_overflow(*size, sizeof(struct meter_shared), size) && *size <= INT_MAX;
}

static bool fill(int fd, size_t size)
{
    struct siphash_key secret;

    return getrandom(&secret, sizeof secret, 0) == sizeof secret &&
           ftruncate(fd, (off_t)size) == 0 &&
           pwrite(fd, &secret, sizeof secret, 0) == sizeof secret &&
           fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) == 0;
}

int meter_create(unsigned slots)
{
    size_t size;
    int fd;

    if (!size_of(slots, &size)) {
        errno = EINVAL;
        return -ERR_SYSTEM;
    }
    fd = memfd_create("penstock-meter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -ERR_SYSTEM;
    if (!fill(fd, size)) {
        int why = errno;

        close(fd);
        errno = why;
        return -ERR_SYSTEM;
    }
    return fd;
}

static bool is_ours(int fd, size_t size)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    return seals >= 0 && (seals & SIZE_SEALS) == SIZE_SEALS && fstat(fd, &st) == 0 &&
           (size_t)st.st_size == size;
}

int meter_open(struct meter *m, int fd, const struct scoreboard *board, unsigned slot)
{
    void *shared;

    *m = (struct meter){.board = board, .slot = slot};
    if (slot >= scoreboard_count(board) || !size_of(scoreboard_count(board), &m->size) ||
        !is_ours(fd, m->size)) {
        errno = EPROTO;
        return -ERR_SYSTEM;
    }
    shared = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        return -ERR_SYSTEM;
    m->shared = shared;
    m->secret = m->shared->secret;
    for (unsigned i = 0; i < TALLIES; i++)
        atomic_store_explicit(&m->shared->tallies[slot][i].count, 0, memory_order_relaxed);
    return 0;
}

void meter_close(struct meter *m)
{
    if (m->shared)
        munmap(m->shared, m->size);
    m->shared = NULL;
}

uint64_t meter_key(const struct meter *m, struct slice bytes)
{
    uint64_t key = siphash(&m->secret, bytes);

    return key ? key : 1;
}

/* ---- Connections ---- */

static struct tally *set_of(struct meter *m, unsigned slot, uint64_t key)
{
    return &m->shared->tallies[slot][key % (TALLIES / WAYS) * WAYS];
}

/* The worker's count of that key; NULL when there is none. */
static struct tally *find_tally(struct meter *m, unsigned slot, uint64_t key)
{
    struct tally *set = set_of(m, slot, key);

    for (unsigned i = 0; i < WAYS; i++) {
        if (atomic_load(&set[i].key) == key && atomic_load(&set[i].count) > 0)
            return &set[i];
    }
    return NULL;
}

static struct tally *free_tally(struct meter *m, uint64_t key)
{
    struct tally *set = set_of(m, m->slot, key);

    for (unsigned i = 0; i < WAYS; i++) {
        if (atomic_load(&set[i].count) == 0) {
            atomic_store(&set[i].key, key);
            return &set[i];
        }
    }
    return NULL;
}

/* What the other workers that live have counted. */
static uint64_t others(struct meter *m, uint64_t key)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < scoreboard_count(m->board); i++) {
        const struct tally *t;

        if (i == m->slot || slot_get(&m->board->slots[i], pid) == 0)
            continue;
        t = find_tally(m, i, key);
        sum += t ? atomic_load(&t->count) : 0;
    }
    return sum;
}

/* Counted first and compared then: two workers that take the last place at the same time may both
 * give it up, but cannot both have it. */
bool meter_enter(struct meter *m, uint64_t key, uint32_t most)
{
    struct tally *own = find_tally(m, m->slot, key);

    if (!own)
        own = free_tally(m, key);
    if (!own)
        return true;
    atomic_fetch_add(&own->count, 1);
    if (others(m, key) + atomic_load(&own->count) <= most)
        return true;
    atomic_fetch_sub(&own->count, 1);
    return false;
}

void meter_leave(struct meter *m, uint64_t key)
{
    struct tally *own = find_tally(m, m->slot, key);

    if (own)
        atomic_fetch_sub(&own->count, 1);
}

/* ---- Rates ---- */

/* The key's bucket, or one that is full and becomes its own; NULL when all of its places are in
 * use. Who loses the race for a place goes without this once. */
static struct bucket *find_bucket(struct meter *m, uint64_t key, int64_t now)
{
    struct bucket *set = &m->shared->buckets[key % (BUCKETS / WAYS) * WAYS];

    for (unsigned i = 0; i < WAYS; i++) {
        if (atomic_load(&set[i].key) == key)
            return &set[i];
    }
    for (unsigned i = 0; i < WAYS; i++) {
        uint64_t before = atomic_load(&set[i].key);

        if (atomic_load(&set[i].full) <= now &&
            (before == key || atomic_compare_exchange_strong(&set[i].key, &before, key)))
            return &set[i];
    }
    return NULL;
}

int64_t meter_take(struct meter *m, uint64_t key, const struct meter_rate *rate, int64_t now)
{
    struct bucket *b = find_bucket(m, key, now);
    int64_t most = rate->every * rate->burst;
    int64_t full = b ? atomic_load(&b->full) : 0;

    while (b) {
        int64_t from = full < now ? now : full - now > most ? now + most : full;

        if (from + rate->every - now > most)
            return from + rate->every - now - most;
        if (atomic_compare_exchange_weak(&b->full, &full, from + rate->every))
            break;
    }
    return 0;
}
