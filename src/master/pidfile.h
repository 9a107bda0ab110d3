/* The pid file: holds the master's process id while it runs, and keeps a second one from starting.
 */
#ifndef PENSTOCK_MASTER_PIDFILE_H
#define PENSTOCK_MASTER_PIDFILE_H

#include <stddef.h>

struct pidfile {
    int fd; /* holds the lock; -1: there is no pid file */
    const char *path;
};

/* Writes our pid to `path` (the caller's, to live as long as *p); NULL is none. A file that its
 * owner left behind is taken over. Returns 0, or -ERR_CONFIG when its owner is alive or the file
 * cannot be had, and says so in `why`. */
int pidfile_open(struct pidfile *p, const char *path, char *why, size_t size);

/* Removes the file if it is still the one that was written. */
void pidfile_close(struct pidfile *p);

#endif
