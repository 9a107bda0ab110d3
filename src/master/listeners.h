/* The master's listening sockets: bound before anything is started, handed to workers. */
#ifndef PENSTOCK_MASTER_LISTENERS_H
#define PENSTOCK_MASTER_LISTENERS_H

#include <stddef.h>

#include "base/log.h"
#include "config/config.h"
#include "net/listen.h"

struct listener {
    int fd;                  /* -1: closed */
    struct listen_spec spec; /* its address as bound: with the port that the kernel chose */
    const char *app;
};

struct listeners {
    struct listener *items;
    unsigned count;
};

/* Opens all listeners of the configuration, or none. Returns 0, or a negative error and says in
 * `why` which cannot be had. */
int listeners_open(struct listeners *l, const struct config *c, char *why, size_t size);

/* Says in the log which of them the kernel gives a shorter queue than was asked for. */
void listeners_warn(const struct config *c, struct log *log);

/* Writes the descriptors of an application's listeners into fds, at most `most`; returns how many
 * it has. */
unsigned listeners_of(const struct listeners *l, const char *app, int *fds, unsigned most);

/* Closes them all and removes the files of Unix sockets. They may be closed already. */
void listeners_close(struct listeners *l);
void listeners_free(struct listeners *l);

#endif
