/* The scoreboard's memory: made once by the master, mapped by whoever holds its descriptor.
 *
 * A mapping has one private page in front of the shared ones, where the mapper keeps its size: what
 * is in the shared pages may be overwritten by any worker, and is checked once, at mapping.
 *
 * Relies on memfd_create and its seals. Never writes to a slot. */
#include "base/scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"

enum { SIZE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

/* What the mapper remembers, at the start of the private page. */
struct mapped {
    size_t front; /* of the private page */
    size_t shared;
    unsigned count;
};

/* The size of a scoreboard in bytes; false when it has none. */
static bool size_of(unsigned count, size_t *size)
{
    return count > 0 && !__builtin_mul_overflow(count, sizeof(struct slot), size) &&
           !__builtin_add_overflow(*size, sizeof(struct scoreboard), size) && *size <= INT_MAX;
}

static bool fill(int fd, unsigned count, size_t size)
{
    const struct scoreboard head = {
        .magic = SCOREBOARD_MAGIC,
        .version = SCOREBOARD_VERSION,
        .count = count,
        .slot_size = sizeof(struct slot),
    };

    return ftruncate(fd, (off_t)size) == 0 &&
           pwrite(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
           fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) == 0;
}

int scoreboard_create(unsigned count)
{
    size_t size;
    int fd;

    if (!size_of(count, &size)) {
        errno = EINVAL;
        return -ERR_SYSTEM;
    }
    fd = memfd_create("penstock-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return -ERR_SYSTEM;
    }
    if (!fill(fd, count, size)) {
        int why = errno;

        close(fd);
        errno = why;
        return -ERR_SYSTEM;
    }
    return fd;
}

/* Holds the head against the size of the file, which must be sealed, and takes the numbers from it.
 */
static bool is_ours(int fd, struct mapped *m)
{
    struct scoreboard head;
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & SIZE_SEALS) != SIZE_SEALS || fstat(fd, &st) < 0 ||
        pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head)) {
        return false;
    }
    if (head.magic != SCOREBOARD_MAGIC || head.version != SCOREBOARD_VERSION ||
        head.slot_size != sizeof(struct slot)) {
        return false;
    }
    m->count = head.count;
    return size_of(head.count, &m->shared) && (off_t)m->shared == st.st_size;
}

static struct mapped *remembered(const struct scoreboard *b)
{
    return (struct mapped *)(void *)((char *)(uintptr_t)b - sysconf(_SC_PAGESIZE));
}

/* Lays the shared pages behind the private one; NULL with errno set. */
static struct scoreboard *map_behind(char *front, const struct mapped *m, int fd)
{
    void *shared =
        mmap(front + m->front, m->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);

    if (shared == MAP_FAILED) {
        int why = errno;

        munmap(front, m->front + m->shared);
        errno = why;
        return NULL;
    }
    *(struct mapped *)(void *)front = *m;
    mprotect(front, m->front, PROT_READ);
    return shared;
}

struct scoreboard *scoreboard_map(int fd)
{
    struct mapped m = {.front = (size_t)sysconf(_SC_PAGESIZE)};
    void *front;

    if (!is_ours(fd, &m)) {
        errno = EPROTO;
        return NULL;
    }
    front =
        mmap(NULL, m.front + m.shared, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return front == MAP_FAILED ? NULL : map_behind(front, &m, fd);
}

void scoreboard_unmap(struct scoreboard *b)
{
    struct mapped m;

    if (b) {
        m = *remembered(b);
        munmap(remembered(b), m.front + m.shared);
    }
}

unsigned scoreboard_count(const struct scoreboard *b)
{
    return remembered(b)->count;
}
