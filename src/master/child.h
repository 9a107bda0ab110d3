/* Children: places for processes, and the life of the process in each.
 *
 * A place is a template's or that of the worker of one number; it outlives the processes that fill
 * it one after the other. What becomes of a place when its process is ready or gone is for its
 * generation to say (generation.h). */
#ifndef PENSTOCK_MASTER_CHILD_H
#define PENSTOCK_MASTER_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "loop/loop.h"
#include "master/backoff.h"

struct generation;

enum child_kind { CHILD_TEMPLATE, CHILD_WORKER };

/* STATE(name, what it means) */
#define CHILD_STATE_MAP(X)                                                                         \
    X(ABSENT, "there is no process, and none is due")                                              \
    X(RESTING, "there is none; one is started when the back-off is over")                          \
    X(ASKED, "the template was told to fork it; its pid is not known")                             \
    X(SPAWNED, "it was started and has not said HELLO")                                            \
    X(STARTING, "it was set up and loads the application")                                         \
    X(READY, "it has loaded the application and waits for ACCEPT")                                 \
    X(SERVING, "it serves requests, or, as a template, forks")                                     \
    X(DRAINING, "it finishes what it has")                                                         \
    X(STOPPING, "it was told to leave at once")                                                    \
    X(KILLED, "it was sent SIGKILL")

#define CHILD_STATE_ENUM(name, text) CHILD_##name,
enum child_state { CHILD_STATE_MAP(CHILD_STATE_ENUM) };
#undef CHILD_STATE_ENUM

struct child {
    struct generation *generation;
    enum child_kind kind;
    uint32_t number; /* of a worker within its application, from 1; 0: a template */
    uint32_t slot;   /* in the scoreboard: the place's */
    enum child_state state;
    bool leaves;            /* it was told to, and is not missed when it does */
    bool closed;            /* it accepts nothing any more */
    bool retires;           /* it has served for long enough */
    bool excused;           /* its end is no failure, even at the start */
    struct child *replaces; /* whose successor it is, until it is ready */
    int64_t since;          /* when it came to this state */
    int64_t begun;          /* when this process was asked for */
    int64_t ready;          /* when it was ready; 0: not yet */
    pid_t pid;              /* 0: not known */
    ino_t far_end;          /* the inode of its end of the channel, until its pid is known */
    int pidfd;              /* -1: not known */
    struct watch channel;   /* fd -1: closed */
    struct timer timer;
    struct backoff backoff;
    int64_t rest; /* how long it is to rest */
};

void child_init(struct child *c, struct generation *g, enum child_kind kind, uint32_t slot);

/* Takes an empty place out of the loop. */
void child_free(struct child *c);

/* Fills the place: executes a process, or has the template fork one. What fails is as if the
 * process had died at once. */
void child_spawn(struct child *c);
void child_ask(struct child *c, struct child *from);

/* Leaves the place empty for `delay` ms, after which generation_child_due() is called. */
void child_rest(struct child *c, int64_t delay);

/* Orders. They may come in any state. */
void child_accept(struct child *c); /* a template: it is in service now */
void child_drain(struct child *c);
void child_stop(struct child *c);
void child_kill(struct child *c);
void child_reopen(struct child *c); /* hands over the reopened log files */

/* Whether there is a process; whether it may still accept connections. */
bool child_is_here(const struct child *c);
bool child_accepts(const struct child *c);

/* Receives what a forked worker has said that is not known yet: it may have ended since. */
void child_hear(struct child *c);

/* The process has ended, and was reaped: `how` is what waitid() told. */
void child_ended(struct child *c, const siginfo_t *how);

const char *child_role(const struct child *c); /* "worker", "template" */
const char *child_state_name(enum child_state state);

#endif
