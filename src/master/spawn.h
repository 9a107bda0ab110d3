/* Starting a Python process: fork, become who it is to be, execute. */
#ifndef PENSTOCK_MASTER_SPAWN_H
#define PENSTOCK_MASTER_SPAWN_H

#include <sys/resource.h>
#include <sys/types.h>

#include "base/log.h"
#include "config/options.h"

/* Where every child finds its end of the channel. */
enum { SPAWN_CHANNEL = 3 };

struct spawn_order {
    const struct app_options *app;
    const char *package; /* the folder of the penstock package, with _boot.py */
    const char *role;    /* "worker" or "template": the first argument of _boot.py */
    int channel;         /* the child's end; stays the caller's */
    struct rlimit files; /* the limit of descriptors that the master found */
    struct log *log;     /* where the child says why it could not be executed */
};

/* Returns the child's pid, or -ERR_SYSTEM with errno set. What fails in the child ends it with
 * EXIT_START and a line in the log. */
pid_t spawn(const struct spawn_order *o);

#endif
