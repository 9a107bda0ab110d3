/* The log files: opened by the master, handed to every child, opened anew on order. */
#ifndef PENSTOCK_MASTER_LOGS_H
#define PENSTOCK_MASTER_LOGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"
#include "config/options.h"

struct logs {
    struct log log; /* the master's own lines */
    int fds[2];     /* error log, access log, as children get them; -1: off */
    const struct server_options *options;
};

/* Opens both logs. Returns 0, or -ERR_CONFIG and says in `why` which file cannot be had. */
int logs_open(struct logs *l, const struct server_options *options, char *why, size_t size);

/* How many descriptors children get: logs->fds[0], and fds[1] where there is an access log. */
unsigned logs_count(const struct logs *l);

/* Opens the files anew: after they were renamed. What cannot be opened goes on as it is, and a
 * line says why. */
void logs_reopen(struct logs *l);

void logs_close(struct logs *l);

#endif
