/* Signals as events: a signalfd that the loop watches. For the master, which has one thread.
 *
 * The signals are blocked while they are watched. What is executed inherits a mask, so every child
 * calls signals_reset() first. Equal signals that wait are one: who watches SIGCHLD asks for every
 * child that ended.
 *
 * Threads: the loop's holder; signals_open() comes before any other thread is started, which then
 * inherits the mask. */
#ifndef PENSTOCK_LOOP_SIGNALS_H
#define PENSTOCK_LOOP_SIGNALS_H

#include <signal.h>
#include <sys/signalfd.h>

#include "loop/loop.h"

struct signals {
    struct watch watch; /* fd -1: not open */
    void (*on_signal)(struct signals *s, const struct signalfd_siginfo *info);
    sigset_t old_mask;
};

/* Blocks the signals of `set` and has s->on_signal, which the caller has set, called for each that
 * comes. Returns 0, or -ERR_SYSTEM with errno set, and then the mask is as it was. */
int signals_open(struct loop *l, struct signals *s, const sigset_t *set);

/* Gives the old mask back; a signal that waits then takes its usual course. May be called from
 * on_signal. */
void signals_close(struct loop *l, struct signals *s);

/* For a child after fork, before it executes anything: every signal at its default, none blocked.
 */
void signals_reset(void);

#endif
