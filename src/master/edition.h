/* Editions: the configuration as it was read at one time, and all that goes by it: logs, listeners,
 * a scoreboard, and a generation of each application.
 *
 * The first one is made at the start, another by each reload. While the next one starts and the
 * last ones leave there are several; a process belongs to one of them for its whole life. */
#ifndef PENSTOCK_MASTER_EDITION_H
#define PENSTOCK_MASTER_EDITION_H

#include "base/scoreboard.h"
#include "config/config.h"
#include "loop/loop.h"
#include "master/generation.h"
#include "master/listeners.h"
#include "master/logs.h"

struct master;

struct edition {
    struct edition *next; /* an older one */
    struct master *master;
    uint32_t number; /* from 1 */
    struct config config;
    int config_fd;
    struct logs logs;
    struct listeners listeners;
    struct timer doors; /* when the listeners are closed at the latest, once it leaves */
    int board_fd;       /* -1: not open */
    struct scoreboard *board;
    int meter_fd; /* -1: no application has a limit for each client */
    struct generation *generations;
    unsigned count;
    bool served; /* it accepts, or did and has not stopped */
    bool gone;   /* no process of it is left, which the master was told */
    struct closing closing;
};

/* Reads the configuration behind `config_fd`, which is the edition's from here on, and opens its
 * logs. Returns the edition, or NULL and says in `why` what is wrong. */
struct edition *edition_make(int config_fd, char *why, size_t size);

/* Opens its listeners and makes its generations. Returns 0 or a negative error and says in `why`
 * what cannot be had. The edition is the caller's to free in any case. */
int edition_open(struct edition *e, struct master *m, char *why, size_t size);

/* Frees it: no process of it is left. In a running loop that is done by loop_close(). */
void edition_free(struct edition *e);

void edition_start(struct edition *e);

/* It serves, in the place of `old` (NULL: of none), which leaves: at once, or, in a rolling reload,
 * by and by. */
void edition_serve(struct edition *e, struct edition *old);

/* It is to take the place of `old`: for rolling reloads, which start fewer workers at a time. */
void edition_follow(struct edition *e, struct edition *old);

/* Orders for all of it. */
void edition_each(struct edition *e, void (*what)(struct generation *g));
void edition_drain(struct edition *e);
void edition_stop(struct edition *e);

/* Its generation of that application, or NULL. */
struct generation *edition_generation(struct edition *e, const char *app);

/* Something about its processes has changed: whether all are ready, have closed their doors, have
 * left. */
void edition_changed(struct edition *e);

/* Whether a process of it is left. */
bool edition_is_here(const struct edition *e);

#endif
