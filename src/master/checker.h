/* The checker: the launcher, run again for a reload.
 *
 * It is the command that started the server, in the same folder and environment, but that it hands
 * its configuration back instead of becoming a master (penstock/handback.py). */
#ifndef PENSTOCK_MASTER_CHECKER_H
#define PENSTOCK_MASTER_CHECKER_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/log.h"
#include "config/options.h"
#include "loop/loop.h"

/* Where the launcher finds the file for its answer, and the terminal that it would have had. */
enum { CHECKER_RESULT = 3, CHECKER_TERMINAL = 4, CHECKER_WORDS = 8192 };

struct checker {
    struct loop *loop;
    pid_t pid;          /* 0: none runs */
    int result;         /* a file in memory for its answer; -1: none */
    bool late;          /* it was ended by its time limit */
    struct watch words; /* what it says to people */
    char said[CHECKER_WORDS];
    size_t length;
    struct timer timer;
};

struct checker_order {
    const struct server_options *options;
    const char *sockets; /* listeners that penstock was started with: "fd://3 fd://4" */
    struct rlimit files; /* the limit of descriptors that it is to have */
    struct log *log;     /* where it says why it could not be executed */
};

void checker_init(struct checker *c, struct loop *loop);

/* Runs it. Returns 0, or -ERR_SYSTEM with errno set. */
int checker_start(struct checker *c, const struct checker_order *o);

/* The process has ended and was reaped. Returns a descriptor with the configuration, which is the
 * caller's, or -ERR_CONFIG: then c->said holds a text that says why. */
int checker_ended(struct checker *c, const siginfo_t *how);

/* Ends one that runs; its end is nobody's business then. */
void checker_cancel(struct checker *c);

#endif
