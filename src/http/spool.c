/* Temporary files (spool.h has the contract).
 *
 * The file has no name: O_TMPFILE where the file system knows it, else it is made and unlinked at
 * once. So nothing is left behind, however the process ends. Writing goes to the page cache and
 * waits for a disk only when the kernel makes it; that is the price of a bounded memory.
 *
 * Bytes are put on the account before they are written, so that threads that spool at the same time
 * cannot pass the limit together. Never keeps what could not be written whole. */
#include "http/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/server.h"

enum { SAY_EVERY = 60000 /* ms */, PATH_SIZE = 4096 };

static const char *directory_of(const struct server *s)
{
    if (s->options->spool_directory)
        return s->options->spool_directory;
    const char *dir = secure_getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

/* O_TMPFILE is refused with these by file systems and kernels that do not know it (open(2)). */
static bool is_unknown(int error)
{
    return error == EOPNOTSUPP || error == EISDIR || error == EINVAL || error == ENOENT;
}

static int open_file(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || !is_unknown(errno))
        return fd;
    char path[PATH_SIZE];
    int n = snprintf(path, sizeof path, "%s/penstock-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

/* Puts `n` bytes on the account, or takes them off it. */
static void account(struct server *s, int64_t n)
{
    atomic_fetch_add(&s->spools.used, n);
    atomic_fetch_add_explicit(&s->slot->spooled, (uint64_t)n, memory_order_relaxed);
}

/* Says why, unless that was done within the last minute: who fills a disk gets no log on top. */
static int failed(struct server *s, int error)
{
    int64_t now = clock_ns() / 1000000, said = atomic_load(&s->spools.said);
    atomic_fetch_add_explicit(&s->slot->spool_failed, 1u, memory_order_relaxed);
    if ((said == 0 || now - said >= SAY_EVERY) &&
        atomic_compare_exchange_strong(&s->spools.said, &said, now))
        log_event(s->log, LOG_ERROR, "a temporary file cannot be written",
                  LOG_STR("error", strerror(error)), LOG_STR("directory", directory_of(s)),
                  LOG_NUM("spooled", atomic_load(&s->spools.used)));
    return -ERR_SPOOL;
}

static int limited(struct server *s)
{
    atomic_fetch_add_explicit(&s->slot->spool_failed, 1u, memory_order_relaxed);
    return -ERR_SPOOL_LIMIT;
}

/* Writes all of `bytes` at `at`. Returns 0 or an errno. */
static int write_at(int fd, struct slice bytes, int64_t at)
{
    while (bytes.len) {
        ssize_t n = pwrite(fd, bytes.ptr, bytes.len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENOSPC;
        bytes = slice_skip(bytes, (size_t)n);
        at += n;
    }
    return 0;
}

int spool_put(struct spool *s, struct slice bytes)
{
    struct server *server = s->server;
    int64_t n = (int64_t)bytes.len;
    account(server, n);
    if (atomic_load(&server->spools.used) > server->options->spool_limit) {
        account(server, -n);
        return limited(server);
    }
    if (s->fd < 0)
        s->fd = open_file(directory_of(server));
    int error = s->fd < 0 ? errno : write_at(s->fd, bytes, s->size);
    if (error) {
        account(server, -n);
        return failed(server, error);
    }
    s->size += n;
    return 0;
}

void spool_reset(struct spool *s)
{
    if (s->size == 0)
        return;
    account(s->server, -s->size);
    s->size = 0;
    if (ftruncate(s->fd, 0)) {
        close(s->fd);
        s->fd = -1;
    }
}

void spool_free(struct spool *s)
{
    if (s->fd < 0)
        return;
    account(s->server, -s->size);
    close(s->fd);
    spool_init(s, s->server);
}
