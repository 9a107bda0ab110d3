/* The pid file.
 *
 * Its owner holds a lock (flock) on it for as long as it lives, which the kernel lets go of however
 * it ends. So a file that is not locked is stale, whatever number it holds and whoever has that
 * number by now. Where the file system has no locks, every file is taken for stale.
 *
 * Never: waits for the lock, follows a symbolic link, removes a file that is not ours any more. */
#include "master/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"

/* Whether the path still leads to the file that is open: its last owner may just have removed it.
 */
static bool is_there(const struct pidfile *p)
{
    struct stat ours, there;

    return fstat(p->fd, &ours) == 0 && lstat(p->path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

static void drop(struct pidfile *p)
{
    close(p->fd);
    p->fd = -1;
}

static int refuse(struct pidfile *p, const char *what, char *why, size_t size)
{
    snprintf(why, size, "cannot write the pid file %s: %s", p->path, what);
    if (p->fd >= 0)
        drop(p);
    return -ERR_CONFIG;
}

static int refuse_live(struct pidfile *p, char *why, size_t size)
{
    char text[32] = "";
    ssize_t n = pread(p->fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    text[strspn(text, "0123456789")] = '\0';
    snprintf(why, size, "another server with the pid file %s is running (pid %s)", p->path, text);
    drop(p);
    return -ERR_CONFIG;
}

static int write_pid(struct pidfile *p, char *why, size_t size)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());

    if (ftruncate(p->fd, 0) < 0 || pwrite(p->fd, text, (size_t)len, 0) != len)
        return refuse(p, strerror(errno), why, size);
    return 0;
}

int pidfile_open(struct pidfile *p, const char *path, char *why, size_t size)
{
    struct stat st;

    *p = (struct pidfile){.fd = -1, .path = path};
    if (!path)
        return 0;
    for (;;) {
        p->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
        if (p->fd < 0)
            return refuse(p, strerror(errno), why, size);
        if (fstat(p->fd, &st) < 0 || !S_ISREG(st.st_mode))
            return refuse(p, "it is not a regular file", why, size);
        if (flock(p->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
            return refuse_live(p, why, size);
        if (is_there(p))
            return write_pid(p, why, size);
        drop(p);
    }
}

void pidfile_close(struct pidfile *p)
{
    if (p->fd < 0)
        return;
    if (is_there(p))
        unlink(p->path);
    drop(p);
}
