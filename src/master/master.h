/* The master: the process that opens sockets and logs, and starts and watches all others. */
#ifndef PENSTOCK_MASTER_MASTER_H
#define PENSTOCK_MASTER_MASTER_H

#include <sys/resource.h>

#include "loop/loop.h"
#include "loop/signals.h"
#include "master/checker.h"
#include "master/edition.h"
#include "master/orders.h"
#include "master/pidfile.h"
#include "master/title.h"

enum { MASTER_WHY = CHECKER_WORDS };

struct master {
    struct loop loop;
    struct signals signals;
    struct log *log;        /* of the edition that serves, or starts first */
    struct timer log_retry; /* for lines that could not be written at once */
    struct title title;
    struct listener *listeners; /* all that are open, whoever uses them */
    struct pidfile pidfile;
    struct pidfile next_pidfile; /* of the edition that is tried, where it is another */
    struct rlimit files;         /* the limit of descriptors that the master found */
    struct checker checker;
    int checked;              /* the configuration that it handed back; -1: none */
    struct edition *editions; /* all that are left, the newest first */
    struct edition *current;  /* which serves; NULL: none yet */
    struct edition *trial;    /* which starts; NULL: none */
    uint32_t edition_count;
    struct deferred reaper;
    enum master_state state;
    enum exit_status failure; /* of the trial */
    enum exit_status status;  /* with which the server ends */
    char why[MASTER_WHY];     /* a reload was refused */
};

static inline struct log *master_log(const struct master *m)
{
    return m->log;
}

/* The steps of main(), in their order. What can fail returns EXIT_WELL or what to exit with, and
 * has said why. master_close() undoes whatever was done. */
enum exit_status master_configure(struct master *m, int config_fd);
enum exit_status master_open(struct master *m);
enum exit_status master_run(struct master *m);
void master_close(struct master *m);

/* What editions report: one is ready to serve; one has failed before it ever was; one that leaves
 * has no process left. */
void master_edition_ready(struct master *m, struct edition *e);
void master_edition_failed(struct master *m, struct edition *e, enum exit_status status);
void master_edition_left(struct master *m, struct edition *e);

#endif
