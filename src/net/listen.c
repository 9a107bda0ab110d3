/* Listening sockets, and the sentences that say why one could not be had.
 *
 * A Unix socket's file gets its mode from bind() itself: the mode of the socket before bind is the
 * mode of the file (less the umask, which is put aside for that call), so that there is no moment
 * in which the file is open to more than it should be, and no chmod by a name that someone could
 * have exchanged.
 *
 * A file that a dead server left behind refuses connections. It is taken out of the way by renaming
 * it, and removed only if what was renamed is what was probed: two servers that start at once
 * cannot remove each other's.
 *
 * Relies on: being called by one thread (umask is the process's). Never: removes anything but a
 * socket, waits. */
#include "net/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/errors.h"
#include "net/holder.h"

static const char *path_of(const struct listen_spec *spec)
{
    return ((const struct sockaddr_un *)&spec->address.storage)->sun_path;
}

static bool has_file(const struct listen_spec *spec)
{
    return address_is_unix(&spec->address) && path_of(spec)[0] != '\0';
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Removes the file at `path` if it is `expected` and no other that took its place meanwhile. */
static int remove_socket(const char *path, const struct stat *expected)
{
    char aside[sizeof(struct sockaddr_un) + 32];
    struct stat st;

    snprintf(aside, sizeof aside, "%s.stale.%d", path, (int)getpid());
    if (rename(path, aside) < 0)
        return -ERR_SYSTEM;
    if (lstat(aside, &st) == 0 && same_file(&st, expected))
        return unlink(aside) == 0 ? 0 : -ERR_SYSTEM;
    /* Not ours to remove: back it goes, unless a third has taken the name. */
    if (link(aside, path) == 0)
        unlink(aside);
    errno = EADDRINUSE;
    return -ERR_SYSTEM;
}

/* Whether nobody listens behind the socket at this address. */
static bool is_stale(const struct address *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool stale;

    if (fd < 0)
        return false;
    stale = connect(fd, (const struct sockaddr *)&a->storage, a->len) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

/* Makes the path free for bind, if what is there may be removed. */
static int clear_path(const struct listen_spec *spec)
{
    struct stat st;

    if (lstat(path_of(spec), &st) < 0)
        return errno == ENOENT ? 0 : -ERR_SYSTEM;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return -ERR_SYSTEM;
    }
    if (!is_stale(&spec->address)) {
        errno = EADDRINUSE;
        return -ERR_SYSTEM;
    }
    return remove_socket(path_of(spec), &st);
}

static int bind_address(int fd, const struct listen_spec *spec)
{
    const struct sockaddr *sa = (const struct sockaddr *)&spec->address.storage;

    return bind(fd, sa, spec->address.len) == 0 ? 0 : -ERR_SYSTEM;
}

static int bind_unix(int fd, struct listen_spec *spec)
{
    struct stat st;
    mode_t mask;
    int result;

    if (!has_file(spec))
        return bind_address(fd, spec);
    if (clear_path(spec) < 0)
        return -ERR_SYSTEM;
    if (spec->mode >= 0) {
        if (fchmod(fd, (mode_t)spec->mode) < 0)
            return -ERR_SYSTEM;
        mask = umask(0);
        result = bind_address(fd, spec);
        umask(mask);
    } else {
        result = bind_address(fd, spec);
    }
    if (result == 0 && lstat(path_of(spec), &st) == 0) {
        spec->device = st.st_dev;
        spec->inode = st.st_ino;
    }
    return result;
}

static int bind_inet(int fd, const struct listen_spec *spec)
{
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        return -ERR_SYSTEM;
    if (spec->address.storage.ss_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        return -ERR_SYSTEM;
    return bind_address(fd, spec);
}

static int open_socket(struct listen_spec *spec)
{
    int fd = socket(spec->address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result, error;

    if (fd < 0)
        return -ERR_SYSTEM;
    result = address_is_unix(&spec->address) ? bind_unix(fd, spec) : bind_inet(fd, spec);
    if (result == 0 && listen(fd, spec->backlog) == 0)
        return fd;
    error = errno;
    if (result == 0)
        listen_close(fd, spec);
    else
        close(fd);
    errno = error;
    return -ERR_SYSTEM;
}

/* The first port that needs no privilege, 1024 unless the machine's owner says otherwise. */
static int first_free_port(void)
{
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    char line[32];
    int port = 1024;

    if (!f)
        return port;
    if (fgets(line, sizeof line, f))
        port = atoi(line);
    fclose(f);
    return port;
}

static void explain_inet(const struct listen_spec *spec, int error, char *out, size_t size)
{
    char holder[80];

    if (error == EADDRINUSE) {
        holder_text(&spec->address, holder, sizeof holder);
        snprintf(out, size, "the port is in use%s", holder);
    } else if (error == EACCES) {
        snprintf(out, size,
                 "no permission: ports below %d are for root or the capability "
                 "CAP_NET_BIND_SERVICE",
                 first_free_port());
    } else if (error == EADDRNOTAVAIL) {
        snprintf(out, size, "no interface of this machine has this address");
    } else if (error == EAFNOSUPPORT) {
        snprintf(out, size, "this machine has no support for this kind of address");
    } else {
        snprintf(out, size, "%s", strerror(error));
    }
}

static void explain_unix(const struct listen_spec *spec, int error, char *out, size_t size)
{
    char holder[80];

    if (error == EADDRINUSE) {
        holder_text(&spec->address, holder, sizeof holder);
        snprintf(out, size, "the socket is in use%s", holder);
    } else if (error == EACCES || error == EPERM || error == EROFS) {
        snprintf(out, size, "no permission to make a socket in its folder");
    } else if (error == ENOENT || error == ENOTDIR) {
        snprintf(out, size, "its folder does not exist");
    } else if (error == EEXIST) {
        snprintf(out, size, "there is a file of this name that is not a socket");
    } else {
        snprintf(out, size, "%s", strerror(error));
    }
}

static void explain(const struct listen_spec *spec, int error, char *why, size_t size)
{
    char address[ADDRESS_TEXT], reason[200];

    address_text(&spec->address, address);
    if (address_is_unix(&spec->address))
        explain_unix(spec, error, reason, sizeof reason);
    else
        explain_inet(spec, error, reason, sizeof reason);
    snprintf(why, size, "cannot listen on %s: %s", address, reason);
}

int listen_open(struct listen_spec *spec, char *why, size_t size)
{
    int fd = open_socket(spec);
    int error = errno;

    if (fd < 0) {
        explain(spec, error, why, size);
        errno = error;
    }
    return fd;
}

void listen_close(int fd, const struct listen_spec *spec)
{
    struct stat st;

    /* Before close(): as long as the socket lives its inode is not used again. */
    if (has_file(spec) && lstat(path_of(spec), &st) == 0 && S_ISSOCK(st.st_mode) &&
        st.st_dev == spec->device && st.st_ino == spec->inode)
        remove_socket(path_of(spec), &st);
    close(fd);
}
