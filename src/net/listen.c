/* Listening sockets, and the sentences that say why one could not be had.
 *
 * A Unix socket's file gets its mode from bind() itself: the mode of the socket before bind is the
 * mode of the file (less the umask, which is put aside for that call), so that there is no moment
 * in which the file is open to more than it should be, and no chmod by a name that someone could
 * have exchanged. Its owner can be changed only afterwards: by a descriptor of the file itself, if
 * that is a socket with no other name.
 *
 * A file that a dead server left behind refuses connections. It is taken out of the way by renaming
 * it, and removed only if what was renamed is what was probed: two servers that start at once
 * cannot remove each other's.
 *
 * Relies on: being called by one thread (umask is the process's). Never: removes anything but a
 * socket, waits. */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

/* Before the socket is closed: as long as it lives, its inode is not used again. */
static void remove_file(const struct listen_spec *spec)
{
    struct stat st;

    if (has_file(spec) && lstat(path_of(spec), &st) == 0 && S_ISSOCK(st.st_mode) &&
        st.st_dev == spec->device && st.st_ino == spec->inode)
        remove_socket(path_of(spec), &st);
}

static int bind_address(int fd, const struct listen_spec *spec)
{
    const struct sockaddr *sa = (const struct sockaddr *)&spec->address.storage;

    return bind(fd, sa, spec->address.len) == 0 ? 0 : -ERR_SYSTEM;
}

static int change_owner(int file, const struct listen_spec *spec)
{
    struct stat st;

    if (fstat(file, &st) < 0)
        return -ERR_SYSTEM;
    if (!S_ISSOCK(st.st_mode) || st.st_nlink != 1) {
        errno = EEXIST;
        return -ERR_SYSTEM;
    }
    return fchownat(file, "", spec->uid, spec->gid, AT_EMPTY_PATH) == 0 ? 0 : -ERR_SYSTEM;
}

static int give_file(const struct listen_spec *spec)
{
    int file = open(path_of(spec), O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int result, error;

    if (file < 0)
        return -ERR_SYSTEM;
    result = change_owner(file, spec);
    error = errno;
    close(file);
    errno = error == EPERM ? ENOTSUP : error; /* EPERM is for what bind() refuses */
    return result;
}

static int bind_file(int fd, struct listen_spec *spec)
{
    struct stat st;
    mode_t mask;
    int result;

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

static int bind_unix(int fd, struct listen_spec *spec)
{
    int result;

    if (!has_file(spec))
        return bind_address(fd, spec);
    result = bind_file(fd, spec);
    if (result == 0 && spec->chown) {
        result = give_file(spec);
        if (result < 0)
            remove_file(spec);
    }
    return result;
}

static int set_flag(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -ERR_SYSTEM;
}

static int bind_inet(int fd, const struct listen_spec *spec)
{

    bool inet6 = spec->address.storage.ss_family == AF_INET6;

    if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
        set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1) < 0 ||
        (inet6 && set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, !spec->both) < 0) ||
        (spec->reuse_port && set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0) ||
        (spec->defer_accept > 0 &&
         set_flag(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, spec->defer_accept) < 0))
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

static int number_in(const char *file, int otherwise)
{
    FILE *f = fopen(file, "re");
    char line[32];
    int number = otherwise;

    if (!f)
        return otherwise;
    if (fgets(line, sizeof line, f))
        number = atoi(line);
    fclose(f);
    return number;
}

/* The first port that needs no privilege, 1024 unless the machine's owner says otherwise. */
static int first_free_port(void)
{
    return number_in("/proc/sys/net/ipv4/ip_unprivileged_port_start", 1024);
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
    } else if (error == ENOTSUP) {
        snprintf(out, size, "no permission to give it to another owner or group");
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

/* What about a descriptor keeps it from being a listener, or NULL. */
static const char *unfit(int fd)
{
    int family, type, listens;
    socklen_t len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0)
        return errno == ENOTSOCK ? "it is not a socket" : strerror(errno);
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return "its socket is neither of TCP nor of Unix";
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return "its socket is not a stream socket";
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
        return "its socket does not listen";
    return NULL;
}

static int adopt(int fd, struct listen_spec *spec)
{
    int flags = fcntl(fd, F_GETFL);

    spec->address.len = sizeof spec->address.storage;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        getsockname(fd, (struct sockaddr *)&spec->address.storage, &spec->address.len) < 0 ||
        (!address_is_unix(&spec->address) && set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1) < 0))
        return -ERR_SYSTEM;
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int listen_adopt(int fd, struct listen_spec *spec, char *why, size_t size)
{
    const char *reason = unfit(fd);
    int made;

    if (reason) {
        snprintf(why, size, "cannot listen on descriptor %d: %s", fd, reason);
        return -ERR_CONFIG;
    }
    made = adopt(fd, spec);
    if (made < 0) {
        snprintf(why, size, "cannot listen on descriptor %d: %s", fd, strerror(errno));
        return -ERR_SYSTEM;
    }
    close(fd);
    return made;
}

void listen_close(int fd, const struct listen_spec *spec)
{
    remove_file(spec);
    close(fd);
}

int listen_most(void)
{
    return number_in("/proc/sys/net/core/somaxconn", 0);
}
