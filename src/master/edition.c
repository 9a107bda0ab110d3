/* What becomes of an edition when its generations come and go (edition.h has the contract).
 *
 * Its listeners are closed when all of its workers have said that they accept nothing more, or a
 * second after they were told to drain: what was queued until then is served.
 *
 * Relies on the master to keep the list. Never starts or ends a process itself. */
#include "master/edition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/container.h"
#include "base/meter.h"
#include "master/master.h"

enum { DOORS_PATIENCE = 1000 };

/* Slots for twice the workers, since each can be replaced by one that is ready first, and some for
 * those that are added by signal. */
static unsigned places_of(const struct app_options *app)
{
    enum { ADDED = 16 };
    unsigned count = 2 * (unsigned)app->workers + ADDED;

    return count < GENERATION_PLACES ? count : GENERATION_PLACES;
}

/* From here on, whoever connects is served by the generation that came after it. */
static void close_doors(struct edition *e)
{
    listeners_close(&e->listeners);
    if (e->served)
        log_event(master_log(e->master), LOG_INFO, "a generation accepts nothing any more",
                  LOG_NUM("generation", e->number));
    e->served = false;
}

static void doors_time_is_over(struct timer *t)
{
    close_doors(container_of(t, struct edition, doors));
}

static void release(struct closing *c)
{
    edition_free(container_of(c, struct edition, closing));
}

struct edition *edition_make(int config_fd, char *why, size_t size)
{
    struct edition *e = calloc(1, sizeof *e);

    if (!e) {
        snprintf(why, size, "out of memory");
        close(config_fd);
        return NULL;
    }
    *e = (struct edition){.config_fd = config_fd,
                          .board_fd = -1,
                          .meter_fd = -1,
                          .doors = {.deadline = TIMER_NEVER, .fire = doors_time_is_over},
                          .closing.release = release};
    if (config_read(config_fd, &e->config, why, size) == 0 &&
        logs_open(&e->logs, &e->config.server, why, size) == 0)
        return e;
    edition_free(e);
    return NULL;
}

static unsigned count_places(const struct edition *e)
{
    unsigned count = 0;

    for (unsigned i = 0; i < e->config.app_count; i++)
        count += places_of(&e->config.app[i]);
    return count;
}

static int open_board(struct edition *e)
{
    e->board_fd = scoreboard_create(count_places(e));
    if (e->board_fd < 0)
        return -ERR_SYSTEM;
    e->board = scoreboard_map(e->board_fd);
    return e->board ? 0 : -ERR_SYSTEM;
}

/* Made only where it is needed: it is memory in every worker. */
static int open_meter(struct edition *e)
{
    bool limited = false;

    for (unsigned i = 0; i < e->config.app_count; i++)
        limited =
            limited || e->config.app[i].limit_requests || e->config.app[i].limit_connections_per_ip;
    if (limited)
        e->meter_fd = meter_create(count_places(e));
    return limited && e->meter_fd < 0 ? -ERR_SYSTEM : 0;
}

static int make_generations(struct edition *e)
{
    uint32_t slot = 0;

    e->generations = calloc(e->config.app_count, sizeof *e->generations);
    if (!e->generations)
        return -ERR_MEMORY;
    for (unsigned i = 0; i < e->config.app_count; i++) {
        const struct app_options *app = &e->config.app[i];
        unsigned places = places_of(app);

        if (generation_init(&e->generations[i], e, app, (struct places){slot, places}) < 0)
            return -ERR_MEMORY;
        e->count++;
        slot += places;
    }
    return 0;
}

int edition_open(struct edition *e, struct master *m, char *why, size_t size)
{
    int err;

    e->master = m;
    err = listeners_open(&e->listeners, &m->listeners, &e->config, why, size);
    if (err < 0)
        return err;
    err = open_board(e);
    if (err == 0)
        err = open_meter(e);
    if (err == 0)
        err = make_generations(e);
    if (err < 0)
        snprintf(why, size, "no memory for its processes: %s", strerror(errno));
    return err;
}

void edition_free(struct edition *e)
{
    listeners_close(&e->listeners);
    if (e->master)
        timer_remove(&e->master->loop.timers, &e->doors);
    edition_each(e, generation_free);
    free(e->generations);
    if (e->board)
        scoreboard_unmap(e->board);
    if (e->board_fd >= 0)
        close(e->board_fd);
    if (e->meter_fd >= 0)
        close(e->meter_fd);
    if (e->logs.options)
        logs_close(&e->logs);
    close(e->config_fd);
    config_free(&e->config);
    free(e);
}

void edition_each(struct edition *e, void (*what)(struct generation *g))
{
    for (unsigned i = 0; i < e->count; i++)
        what(&e->generations[i]);
}

struct generation *edition_generation(struct edition *e, const char *app)
{
    for (unsigned i = 0; i < e->count; i++) {
        if (strcmp(e->generations[i].app->name, app) == 0)
            return &e->generations[i];
    }
    return NULL;
}

static bool all_are(const struct edition *e, enum generation_state state)
{
    bool all = true;

    for (unsigned i = 0; i < e->count; i++)
        all = all && e->generations[i].state == state;
    return all;
}

bool edition_is_here(const struct edition *e)
{
    bool here = false;

    for (unsigned i = 0; i < e->count; i++)
        here = here || generation_is_here(&e->generations[i]);
    return here;
}

static bool accepts(const struct edition *e)
{
    bool accepts = false;

    for (unsigned i = 0; i < e->count; i++)
        accepts = accepts || generation_accepts(&e->generations[i]);
    return accepts;
}

static void leave(struct edition *e)
{
    struct master *m = e->master;

    if (!accepts(e))
        close_doors(e);
    else if (e->doors.deadline == TIMER_NEVER)
        timer_set(&m->loop.timers, &e->doors, loop_now(&m->loop) + DOORS_PATIENCE);
    if (edition_is_here(e) || e->gone)
        return;
    e->gone = true;
    edition_each(e, generation_part);
    master_edition_left(m, e);
}

void edition_changed(struct edition *e)
{
    if (all_are(e, GENERATION_READY))
        master_edition_ready(e->master, e);
    else if (all_are(e, GENERATION_LEAVING))
        leave(e);
}

void edition_start(struct edition *e)
{
    edition_each(e, generation_start);
}

void edition_follow(struct edition *e, struct edition *old)
{
    for (unsigned i = 0; i < e->count; i++)
        generation_follow(&e->generations[i],
                          old ? edition_generation(old, e->generations[i].app->name) : NULL);
}

void edition_serve(struct edition *e, struct edition *old)
{
    e->served = true;
    listeners_apply(&e->listeners);
    edition_each(e, generation_serve);
    if (!old)
        return;
    edition_each(old, generation_yield);
    edition_changed(old);
}

void edition_drain(struct edition *e)
{
    edition_each(e, generation_drain);
    edition_changed(e);
}

void edition_stop(struct edition *e)
{
    listeners_close(&e->listeners);
    edition_each(e, generation_stop);
    edition_changed(e);
}
