/* What the master tells people: of its children, and of itself when it serves. */
#ifndef PENSTOCK_MASTER_REPORT_H
#define PENSTOCK_MASTER_REPORT_H

#include <signal.h>

#include "base/log.h"
#include "master/child.h"

struct master;

/* The fields that say of whom an event is. */
#define REPORT_WHO(c)                                                                              \
    LOG_STR("app", (c)->generation->app->name), report_role(c), LOG_NUM("pid", (c)->pid)
struct log_field report_role(const struct child *c);

/* An event of a child, with what it was doing as the scoreboard has it. */
void report_event(const struct child *c, enum log_level level, const char *what);

/* A child has ended: how, and what it was doing. */
void report_end(const struct child *c, const siginfo_t *how);

/* All applications are served: on a terminal a banner, else a line for each listener. */
void report_serving(struct master *m);

#endif
