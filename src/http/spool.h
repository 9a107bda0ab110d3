/* Spools: bytes that nobody takes yet, in a temporary file.
 *
 * A request's body and a response that its client does not take are kept in memory only up to a
 * bound; what follows goes here. A spool is one unlinked file that exists from its first byte to
 * spool_free(). All spools of a worker together are capped by spool-limit.
 *
 * Threads: a spool belongs to one thread at a time; the account of the worker to all of them. */
#ifndef PENSTOCK_HTTP_SPOOL_H
#define PENSTOCK_HTTP_SPOOL_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/slice.h"

struct server;

struct spool {
    struct server *server; /* whose account it is on */
    int fd;                /* -1: there is no file */
    int64_t size;          /* bytes in the file: whoever reads it keeps its own place */
};

/* What all spools of a worker share; zeroed, it is ready. */
struct spool_account {
    _Atomic int64_t used; /* bytes in files */
    _Atomic int64_t said; /* when the log was last told that one failed: monotonic ms */
};

static inline void spool_init(struct spool *s, struct server *server)
{
    *s = (struct spool){.server = server, .fd = -1};
}

/* Appends all of `bytes`. Returns 0, -ERR_SPOOL_LIMIT, or -ERR_SPOOL when the file cannot be made
 * or written (the log is then told, once a minute); nothing was appended then. */
int spool_put(struct spool *s, struct slice bytes);

/* Forgets what is in the file, and keeps the file to be used again. */
void spool_reset(struct spool *s);

/* Closes the file, if there is one; its space is free again. */
void spool_free(struct spool *s);

#endif
