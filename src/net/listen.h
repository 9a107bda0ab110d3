/* Listening sockets: bound by the master before anything else starts, inherited by workers. */
#ifndef PENSTOCK_NET_LISTEN_H
#define PENSTOCK_NET_LISTEN_H

#include <stddef.h>
#include <sys/types.h>

#include "net/address.h"

struct listen_spec {
    struct address address;
    int backlog;
    int mode;     /* of a Unix socket's file; -1: as the umask makes it */
    dev_t device; /* which file a Unix socket was bound to: set by listen_open */
    ino_t inode;
};

/* Binds and listens: non-blocking, close-on-exec, SO_REUSEADDR; TCP_NODELAY is set for accepted
 * connections to inherit; IPv6 sockets take IPv6 only. A stale Unix socket is replaced, a live one
 * refused (EADDRINUSE), and anything else at the path is never removed (EEXIST). Returns the
 * descriptor, or -ERR_SYSTEM with errno set and in `why` a sentence for people that says which
 * address, what failed, and who holds the port where the kernel tells. */
int listen_open(struct listen_spec *spec, char *why, size_t size);

/* Closes a listener; removes the file of a Unix socket if it is still the one that was bound. */
void listen_close(int fd, const struct listen_spec *spec);

#endif
