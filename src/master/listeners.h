/* The master's listening sockets: bound before anything is started, handed to workers.
 *
 * A socket can be used by several editions of the configuration at once: a reload keeps those whose
 * address did not change, so that no connection finds them closed. It is closed when the last
 * edition that uses it lets go. */
#ifndef PENSTOCK_MASTER_LISTENERS_H
#define PENSTOCK_MASTER_LISTENERS_H

#include <stddef.h>

#include "base/log.h"
#include "config/config.h"
#include "net/listen.h"

/* What an address was asked for as: kind, host and port, or path. */
enum { LISTENER_KEY = 320 };

struct listener {
    struct listener *next;
    int fd;
    unsigned users;          /* posts */
    bool adopted;            /* penstock was started with it */
    struct listen_spec spec; /* its address as bound: with the port that the kernel chose */
    char key[LISTENER_KEY];
};

/* Those of one edition, in the order of its configuration. */
struct post {
    struct listener *listener;
    const struct listen_options *options;
};

struct listeners {
    struct listener **all; /* the master's list of open sockets */
    struct post *items;
    unsigned count, most;
};

/* Finds or opens all listeners of the configuration, which must outlive them, or none; new ones are
 * added to *all. Returns 0, or a negative error and says in `why` which cannot be had. */
int listeners_open(struct listeners *l, struct listener **all, const struct config *c, char *why,
                   size_t size);

/* Gives sockets that were kept what can be changed of them: backlog, defer-accept, mode, owner. */
void listeners_apply(const struct listeners *l);

/* Says in the log which of them the kernel gives a shorter queue than was asked for. */
void listeners_warn(const struct config *c, struct log *log);

/* Writes the addresses of those that penstock was started with, separated by spaces; returns how
 * many there are. */
unsigned listeners_adopted(const struct listeners *l, char *names, size_t size);

/* Writes the descriptors of an application's listeners into fds, at most `most`; returns how many
 * it has. */
unsigned listeners_of(const struct listeners *l, const char *app, int *fds, unsigned most);

/* Lets go of them. The last user of a socket ends it, also for processes that still hold it, and
 * removes the file of a Unix socket. They may be closed already. */
void listeners_close(struct listeners *l);

#endif
