/* The master: the process that opens sockets and logs, and starts and watches all others. */
#ifndef PENSTOCK_MASTER_MASTER_H
#define PENSTOCK_MASTER_MASTER_H

#include <sys/resource.h>

#include "base/scoreboard.h"
#include "config/config.h"
#include "loop/loop.h"
#include "loop/signals.h"
#include "master/generation.h"
#include "master/listeners.h"
#include "master/logs.h"
#include "master/pidfile.h"

enum master_state { MASTER_STARTING, MASTER_SERVING, MASTER_DRAINING, MASTER_STOPPING };

struct master {
    struct loop loop;
    struct signals signals;
    struct logs logs;
    struct timer log_retry; /* for lines that could not be written at once */
    struct config config;
    int config_fd; /* -1: not open; so for the next */
    int board_fd;
    struct scoreboard *board;
    int meter_fd; /* -1: no application has a limit for each client */
    struct listeners listeners;
    struct pidfile pidfile;
    struct rlimit files; /* the limit of descriptors that the master found */
    struct generation *generations;
    unsigned generation_count;
    struct deferred reaper;
    enum master_state state;
    enum exit_status status; /* with which the server ends */
};

/* The steps of main(), in their order. What can fail returns EXIT_WELL or what to exit with, and
 * has said why. master_close() undoes whatever was done. */
enum exit_status master_configure(struct master *m, int config_fd);
enum exit_status master_open(struct master *m);
enum exit_status master_run(struct master *m);
void master_close(struct master *m);

/* What generations report: one serves; one has failed before it ever served; one has no process
 * left. */
void master_generation_serves(struct master *m);
void master_generation_failed(struct master *m, enum exit_status status);
void master_generation_left(struct master *m);

#endif
