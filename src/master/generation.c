/* What becomes of a generation when its processes come and go.
 *
 *   STARTING   no worker accepts; when each is ready, or has failed once while another was ready,
 * all are told to accept. Before the first was ready, a death ends the start. SERVING    who dies
 * is replaced, at once and then slower and slower LEAVING    nobody is replaced
 *
 * A worker is executed by the master, or forked by the template where there is one; without a
 * template to fork it, it waits until there is one again. Nothing is started from within a report:
 * places that are to be filled rest, if only until the next turn of the loop. */
#include "master/generation.h"

#include <stdlib.h>

#include "master/master.h"
#include "master/report.h"

int generation_init(struct generation *g, struct master *m, const struct app_options *app,
                    uint32_t first_slot)
{
    unsigned count = (unsigned)app->workers;

    *g = (struct generation){.master = m,
                             .app = app,
                             .number = 1,
                             .first_slot = first_slot,
                             .has_template = count > 1,
                             .workers = calloc(count, sizeof(struct child)),
                             .count = count};
    if (!g->workers)
        return -ERR_MEMORY;
    child_init(&g->template, g, CHILD_TEMPLATE, 0);
    for (unsigned i = 0; i < count; i++)
        child_init(&g->workers[i], g, CHILD_WORKER, i + 1);
    return 0;
}

void generation_free(struct generation *g)
{
    free(g->workers);
    g->workers = NULL;
    g->count = 0;
}

static const char *state_name(enum generation_state state)
{
    static const char *const names[] = {[GENERATION_STARTING] = "STARTING",
                                        [GENERATION_SERVING] = "SERVING",
                                        [GENERATION_LEAVING] = "LEAVING"};

    return names[state];
}

static void set_state(struct generation *g, enum generation_state state)
{
    log_event(&g->master->logs.log, LOG_DEBUG, "generation", LOG_STR("app", g->app->name),
              LOG_NUM("number", g->number), LOG_STR("from", state_name(g->state)),
              LOG_STR("to", state_name(state)));
    g->state = state;
}

void generation_each(struct generation *g, void (*what)(struct child *c))
{
    what(&g->template);
    for (unsigned i = 0; i < g->count; i++)
        what(&g->workers[i]);
}

struct child *generation_find(struct generation *g, pid_t pid)
{
    if (g->template.pid == pid)
        return &g->template;
    for (unsigned i = 0; i < g->count; i++) {
        if (g->workers[i].pid == pid)
            return &g->workers[i];
    }
    return NULL;
}

bool generation_is_here(const struct generation *g)
{
    bool here = child_is_here(&g->template);

    for (unsigned i = 0; i < g->count; i++)
        here = here || child_is_here(&g->workers[i]);
    return here;
}

/* Fills a worker's place, if who is to do it is there. */
static void fill(struct child *worker)
{
    struct generation *g = worker->generation;

    if (worker->state != CHILD_ABSENT || worker->kind != CHILD_WORKER)
        return;
    if (!g->has_template)
        child_spawn(worker);
    else if (g->template.state == CHILD_SERVING)
        child_ask(worker, &g->template);
}

void generation_start(struct generation *g)
{
    if (g->state == GENERATION_LEAVING)
        return; /* another one has failed at once */
    if (g->has_template)
        child_spawn(&g->template);
    else
        fill(&g->workers[0]);
}

/* Whether it is on its first way to be ready. Who would have to be forked by a template that died
 * is not waited for. */
static bool still_begins(const struct child *c)
{
    const struct generation *g = c->generation;
    bool can = child_is_here(c) || !g->has_template || child_is_here(&g->template);

    return can && c->ready == 0 && c->backoff.failures == 0;
}

/* Serves when nobody is waited for any more. */
static void serve_if_ready(struct generation *g)
{
    bool waits = !g->proven;

    for (unsigned i = 0; i < g->count; i++)
        waits = waits || still_begins(&g->workers[i]);
    if (g->state != GENERATION_STARTING || waits)
        return;
    set_state(g, GENERATION_SERVING);
    for (unsigned i = 0; i < g->count; i++)
        child_accept(&g->workers[i]);
    master_generation_serves(g->master);
}

void generation_child_ready(struct child *c)
{
    struct generation *g = c->generation;

    if (c->kind == CHILD_TEMPLATE) {
        child_accept(c);
        generation_each(g, fill);
        return;
    }
    g->proven = true;
    if (g->state == GENERATION_SERVING)
        child_accept(c);
    else
        serve_if_ready(g);
}

/* The place rests for as long as the back-off says: at first, until the next turn. */
static void replace(struct child *c)
{
    struct master *m = c->generation->master;
    int64_t served = c->ready != 0 ? loop_now(&m->loop) - c->ready : 0;
    int64_t delay = backoff_next(&c->backoff, served);

    if (delay > 0)
        log_event(&m->logs.log, LOG_INFO, "a process is started again later",
                  LOG_STR("app", c->generation->app->name), report_role(c),
                  LOG_NUM("delay_ms", delay));
    child_rest(c, delay);
}

void generation_child_gone(struct child *c, enum exit_status status)
{
    struct generation *g = c->generation;

    switch (g->state) {
    case GENERATION_STARTING:
        if (!g->proven) {
            master_generation_failed(g->master, status);
            return;
        }
        replace(c);
        serve_if_ready(g);
        return;
    case GENERATION_SERVING: replace(c); return;
    case GENERATION_LEAVING:
        if (!generation_is_here(g))
            master_generation_left(g->master);
        return;
    }
}

void generation_child_due(struct child *c)
{
    if (c->kind == CHILD_TEMPLATE) {
        child_spawn(c);
        return;
    }
    fill(c);
}

static void leave(struct generation *g, void (*order)(struct child *c))
{
    if (g->state != GENERATION_LEAVING)
        set_state(g, GENERATION_LEAVING);
    generation_each(g, order);
}

void generation_drain(struct generation *g)
{
    leave(g, child_drain);
}

void generation_stop(struct generation *g)
{
    leave(g, child_stop);
}

void generation_kill(struct generation *g)
{
    leave(g, child_kill);
}
