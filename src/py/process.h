/* What workers and templates have in common: their channel, what the master told them, and their
 * log.
 *
 * Threads: the main one. None of it needs the GIL. */
#ifndef PENSTOCK_PY_PROCESS_H
#define PENSTOCK_PY_PROCESS_H

#include "base/exits.h"
#include "base/log.h"
#include "base/meter.h"
#include "base/scoreboard.h"
#include "config/config.h"
#include "net/channel.h"

struct process {
    int channel;
    struct setup setup;
    struct config config;
    const struct app_options *app; /* of config */
    struct scoreboard *board;
    struct meter meter; /* of a worker, where setup.has_meter */
    struct log log;
    int error_fd;
    int access_fd; /* -1: there is none */
    int listeners[CHANNEL_FDS];
};

/* Says HELLO on the channel, waits for SETUP and does what it says. Returns 0, or the status to
 * exit with, having said why in the log or, before there is one, on the standard error. */
int process_begin(struct process *p, int channel);

/* Lets go of everything but the log, which applications may go on to use while the process leaves.
 */
void process_end(struct process *p);

/* Takes the descriptors of reopened logs out of a message, and the place of the old. */
void process_move_logs(struct process *p, const struct message *m);

/* Ends the process with `status` if it is still there in `patience` ms: for what an application
 * does at exit. */
void process_leave_within(struct process *p, int patience, int status);

/* Shows "penstock: worker 3 of shop" or, for a template, "penstock: template of shop". */
void process_title(const struct process *p);

#endif
