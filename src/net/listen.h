/* Listening sockets: bound by the master before anything else starts, inherited by workers. */
#ifndef PENSTOCK_NET_LISTEN_H
#define PENSTOCK_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "net/address.h"

struct listen_spec {
    struct address address;
    int backlog;
    int mode;   /* of a Unix socket's file; -1: as the umask makes it */
    bool chown; /* a Unix socket's file goes to uid and gid, (uid_t)-1 or (gid_t)-1: as it is */
    uid_t uid;
    gid_t gid;
    bool both;        /* [::] takes IPv4 connections as well */
    bool reuse_port;  /* SO_REUSEPORT: other sockets that say so may have the same port */
    int defer_accept; /* seconds that a TCP connection may wait for its first bytes; 0: it may not
                       */
    dev_t device;     /* which file a Unix socket was bound to: set by listen_open */
    ino_t inode;
};

/* Binds and listens: non-blocking, close-on-exec, SO_REUSEADDR; TCP_NODELAY is set for accepted
 * connections to inherit. A stale Unix socket is replaced, a live one refused (EADDRINUSE), and
 * anything else at the path is never removed (EEXIST). Returns the descriptor, or -ERR_SYSTEM with
 * errno set and in `why` a sentence for people that says which address, what failed, and who holds
 * the port where the kernel tells. */
int listen_open(struct listen_spec *spec, char *why, size_t size);

/* Takes over a listening socket that this process was started with: it becomes non-blocking,
 * close-on-exec and, with TCP, gets TCP_NODELAY; else it stays as it is. Returns a new descriptor,
 * `fd` is closed and spec->address is the socket's own; or -ERR_CONFIG with the reason in `why`
 * when it is no stream socket of TCP or Unix that listens, or -ERR_SYSTEM. */
int listen_adopt(int fd, struct listen_spec *spec, char *why, size_t size);

/* Closes a listener; removes the file of a Unix socket if it is still the one that was bound. */
void listen_close(int fd, const struct listen_spec *spec);

/* The largest backlog that the kernel grants (net.core.somaxconn); 0 when it does not tell. */
int listen_most(void);

#endif
