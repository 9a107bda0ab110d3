/* Finding the process that listens where we want to.
 *
 * For TCP the tables in /proc/net name each listening socket's inode, and the process is the one
 * that has this inode among its descriptors; the lowest pid is taken, which is the parent where
 * several share it. For a Unix socket a connection tells the pid (SO_PEERCRED). All of it is best
 * effort: without the right to look into other users' processes, the answer is empty.
 *
 * Used when something has failed, since it looks at every process. Never: waits, keeps anything. */
#include "net/holder.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { STATE_LISTEN = 10, HEX_ADDRESS = 32 };

/* An address as /proc/net/tcp and tcp6 write it: each word of four bytes in hexadecimal, in the
 * machine's order. */
static void kernel_hex(const struct address *a, char out[static HEX_ADDRESS + 1])
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->storage;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->storage;
    uint32_t words[4];

    if (a->storage.ss_family == AF_INET) {
        snprintf(out, HEX_ADDRESS + 1, "%08" PRIX32, in->sin_addr.s_addr);
        return;
    }
    memcpy(words, &in6->sin6_addr, sizeof words);
    snprintf(out, HEX_ADDRESS + 1, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, words[0],
             words[1], words[2], words[3]);
}

static bool is_any(const char *hex)
{
    return strspn(hex, "0") == strlen(hex);
}

/* Whether a row of the table stands in the way of `a`; then *inode is that of its socket. */
static bool row_conflicts(const char *row, const struct address *a, unsigned long *inode)
{
    char theirs[HEX_ADDRESS + 1], ours[HEX_ADDRESS + 1];
    unsigned port, state;

    if (sscanf(row, " %*u: %32[0-9A-F]:%x %*s %x %*s %*s %*s %*u %*u %lu", theirs, &port, &state,
               inode) != 4)
        return false;
    kernel_hex(a, ours);
    return state == STATE_LISTEN && port == address_port(a) &&
           (is_any(theirs) || is_any(ours) || strcmp(theirs, ours) == 0);
}

static unsigned long find_inode(const char *table, const struct address *a)
{
    FILE *f = fopen(table, "re");
    unsigned long inode = 0;
    char row[512];
    bool found = false;

    if (!f)
        return 0;
    while (!found && fgets(row, sizeof row, f))
        found = row_conflicts(row, a, &inode);
    fclose(f);
    return found ? inode : 0;
}

static bool has_socket(const char *pid, const char *link)
{
    char path[64], target[64];
    struct dirent *e;
    bool found = false;
    ssize_t n;
    DIR *fds;

    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    fds = opendir(path);
    if (!fds)
        return false;
    while (!found && (e = readdir(fds)) != NULL) {
        n = readlinkat(dirfd(fds), e->d_name, target, sizeof target - 1);
        if (n > 0) {
            target[n] = '\0';
            found = strcmp(target, link) == 0;
        }
    }
    closedir(fds);
    return found;
}

/* Whether a process is a child of this one. */
static bool is_child(const char *pid)
{
    char path[64], text[512];
    ssize_t n = -1;
    int fd, parent = 0;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof text - 1);
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    /* Its name, in parentheses, is its own choice: what follows comes after the last one. */
    return strrchr(text, ')') && sscanf(strrchr(text, ')'), ") %*c %d", &parent) == 1 &&
           parent == getpid();
}

static bool is_any_process(const char *pid)
{
    (void)pid;
    return true;
}

static int find_process(unsigned long inode, bool (*counts)(const char *pid))
{
    char link[64];
    struct dirent *e;
    int best = 0, pid;
    DIR *proc = opendir("/proc");

    if (!proc)
        return 0;
    snprintf(link, sizeof link, "socket:[%lu]", inode);
    while ((e = readdir(proc)) != NULL) {
        pid = atoi(e->d_name);
        if (pid > 0 && (best == 0 || pid < best) && counts(e->d_name) &&
            has_socket(e->d_name, link))
            best = pid;
    }
    closedir(proc);
    return best;
}

static int inet_holder(const struct address *a)
{
    unsigned long inode = 0;

    if (a->storage.ss_family == AF_INET)
        inode = find_inode("/proc/net/tcp", a);
    if (inode == 0)
        inode = find_inode("/proc/net/tcp6", a);
    return inode != 0 ? find_process(inode, is_any_process) : 0;
}

pid_t holder_child(ino_t inode)
{
    return find_process((unsigned long)inode, is_child);
}

static int unix_holder(const struct address *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct ucred who = {0};
    socklen_t len = sizeof who;

    if (fd < 0)
        return 0;
    if (connect(fd, (const struct sockaddr *)&a->storage, a->len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        who.pid = 0;
    close(fd);
    return who.pid;
}

/* The program's name of a process, as it chose it: control bytes become "?". */
static void process_name(int pid, char *out, size_t size)
{
    char path[64];
    ssize_t n = 0;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, out, size - 1);
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    for (char *c = out; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

void holder_text(const struct address *a, char *out, size_t size)
{
    int pid = address_is_unix(a) ? unix_holder(a) : inet_holder(a);
    char name[32];

    out[0] = '\0';
    if (pid == 0)
        return;
    process_name(pid, name, sizeof name);
    if (name[0] != '\0')
        snprintf(out, size, " by %s (pid %d)", name, pid);
    else
        snprintf(out, size, " by pid %d", pid);
}
