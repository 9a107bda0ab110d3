/* What becomes of a generation when its processes come and go.
 *
 *   STARTING ─▶ READY ─▶ SERVING ─▶ YIELDING ─▶ LEAVING
 *                           └─▶ RESTING ─▶ SERVING
 *
 * Before the first worker was ready, a death ends the start. Later, who dies is replaced, at once
 * and then slower and slower. One that has served for long enough is replaced as well, but its
 * successor is ready first.
 *
 * How many workers there are to be follows from the state, in target() alone. settle() then starts
 * and drains what is missing or too many. It runs at the end of the turn, so that nothing starts
 * from within a report. A worker is executed by the master, or forked by the template where there
 * is one; without a template to fork it, it waits until there is one again. */
#include "master/generation.h"

#include <stdlib.h>

#include "base/container.h"
#include "master/edition.h"
#include "master/master.h"
#include "master/report.h"

static void settle(struct deferred *d);

int generation_init(struct generation *g, struct edition *e, const struct app_options *app,
                    struct places places)
{
    *g = (struct generation){.edition = e,
                             .master = e->master,
                             .app = app,
                             .has_template = app->workers > 1,
                             .workers = calloc(places.count, sizeof(struct child)),
                             .places = places,
                             .wanted = (unsigned)app->workers,
                             .settle.run = settle};
    if (!g->workers)
        return -ERR_MEMORY;
    child_init(&g->template, g, CHILD_TEMPLATE, places.first);
    for (unsigned i = 0; i < places.count; i++)
        child_init(&g->workers[i], g, CHILD_WORKER, places.first + i);
    return 0;
}

void generation_free(struct generation *g)
{
    generation_each(g, child_free);
    free(g->workers);
}

static void set_state(struct generation *g, enum generation_state state)
{
    static const char *const names[] = {
#define X(name, text) #name,
        GENERATION_STATE_MAP(X)
#undef X
    };

    log_event(master_log(g->master), LOG_DEBUG, "generation", LOG_STR("app", g->app->name),
              LOG_NUM("number", g->edition->number), LOG_STR("from", names[g->state]),
              LOG_STR("to", names[state]));
    g->state = state;
}

static void settle_later(struct generation *g)
{
    loop_defer(&g->master->loop, &g->settle);
}

void generation_each(struct generation *g, void (*what)(struct child *c))
{
    what(&g->template);
    for (unsigned i = 0; i < g->places.count; i++)
        what(&g->workers[i]);
}

struct child *generation_find(struct generation *g, pid_t pid)
{
    if (g->template.pid == pid)
        return &g->template;
    for (unsigned i = 0; i < g->places.count; i++) {
        if (g->workers[i].pid == pid)
            return &g->workers[i];
    }
    return NULL;
}

/* ---- Counting ---- */

static unsigned count(const struct generation *g, bool (*which)(const struct child *c))
{
    unsigned found = 0;

    for (unsigned i = 0; i < g->places.count; i++)
        found += which(&g->workers[i]);
    return found;
}

bool generation_is_here(const struct generation *g)
{
    return child_is_here(&g->template) || count(g, child_is_here) > 0;
}

bool generation_accepts(const struct generation *g)
{
    return count(g, child_accepts) > 0;
}

static bool serves(const struct child *c)
{
    return c->state == CHILD_SERVING;
}

/* Who fills one of the places wanted: there, or about to be. A successor does not before it has
 * taken over. */
static bool fills(const struct child *c)
{
    return c->state != CHILD_ABSENT && !c->leaves && !c->replaces;
}

static bool is_successor(const struct child *c)
{
    return c->state != CHILD_ABSENT && c->replaces;
}

static bool still_begins(const struct child *c)
{
    return child_is_here(c) && !c->leaves && c->ready == 0 && c->backoff.failures == 0;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned rolling(const struct generation *g)
{
    return (unsigned)g->app->rolling;
}

/* Of a rolling reload: so many more than serve already as the two generations together have room
 * for. */
static unsigned rolling_share(const struct generation *g)
{
    const struct generation *old = g->predecessor;
    unsigned own = count(g, serves), others = count(old, child_is_here);
    unsigned room = (old->wanted > g->wanted ? old->wanted : g->wanted) + rolling(g);
    unsigned more = own + others < room ? least(rolling(g), room - own - others) : 0;

    return least(g->wanted, own + more);
}

/* How many workers are to be there now. */
static unsigned target(const struct generation *g)
{
    unsigned next;

    switch (g->state) {
    case GENERATION_STARTING:
    case GENERATION_READY: return g->predecessor ? least(rolling(g), g->wanted) : g->wanted;
    case GENERATION_SERVING: return g->predecessor ? rolling_share(g) : g->wanted;
    case GENERATION_YIELDING:
        next = g->successor ? count(g->successor, serves) : g->wanted;
        return g->wanted > next ? least(g->wanted - next, count(g, fills)) : 0;
    case GENERATION_RESTING:
    case GENERATION_LEAVING: return 0;
    }
    __builtin_unreachable();
}

/* ---- Filling places ---- */

/* The lowest number that nobody has. */
static unsigned free_number(const struct generation *g)
{
    bool taken[GENERATION_PLACES + 1] = {false};
    unsigned number = 1;

    for (unsigned i = 0; i < g->places.count; i++) {
        if (fills(&g->workers[i]))
            taken[g->workers[i].number] = true;
    }
    while (taken[number])
        number++;
    return number;
}

/* The last one: it goes first. */
static struct child *find_last(const struct generation *g)
{
    struct child *last = NULL;

    for (unsigned i = 0; i < g->places.count; i++) {
        struct child *c = &g->workers[i];
        if (fills(c) && (!last || c->number > last->number))
            last = c;
    }
    return last;
}

/* A free place: the one of old, if it can be had, which knows how often it failed. */
static struct child *find_place(const struct generation *g, unsigned number)
{
    if (number <= g->places.count && g->workers[number - 1].state == CHILD_ABSENT)
        return &g->workers[number - 1];
    for (unsigned i = 0; i < g->places.count; i++) {
        if (g->workers[i].state == CHILD_ABSENT)
            return &g->workers[i];
    }
    return NULL;
}

static bool can_fill(const struct generation *g)
{
    return !g->has_template || g->template.state == CHILD_SERVING;
}

/* Fills a place, if who is to do it is there. */
static void fill(struct child *c)
{
    struct generation *g = c->generation;

    if (!can_fill(g))
        return;
    if (g->has_template)
        child_ask(c, &g->template);
    else
        child_spawn(c);
}

/* False when there is no place for it yet. */
static bool add_worker(struct generation *g, unsigned number, struct child *replaces)
{
    struct child *place = find_place(g, number);

    if (!place)
        return false;
    place->number = number;
    place->replaces = replaces;
    fill(place);
    return true;
}

static struct child *successor_of(const struct child *c)
{
    struct generation *g = c->generation;

    for (unsigned i = 0; i < g->places.count; i++) {
        if (is_successor(&g->workers[i]) && g->workers[i].replaces == c)
            return &g->workers[i];
    }
    return NULL;
}

/* It goes, and so does who was to replace it. */
static void dismiss(struct child *c)
{
    struct child *next = successor_of(c);

    if (next) {
        next->replaces = NULL;
        child_stop(next);
    }
    child_drain(c);
}

/* A quarter of the workers at a time, at least one. */
static void replace_retiring(struct generation *g)
{
    unsigned most = g->wanted / 4 > 0 ? g->wanted / 4 : 1;

    for (unsigned i = 0; i < g->places.count && count(g, is_successor) < most; i++) {
        struct child *c = &g->workers[i];
        if (c->retires && serves(c) && !successor_of(c) && can_fill(g))
            add_worker(g, c->number, c);
    }
}

static void settle_template(struct generation *g)
{
    if (g->has_template && g->template.state == CHILD_ABSENT && target(g) > 0)
        child_spawn(&g->template);
}

static void settle_workers(struct generation *g)
{
    while (can_fill(g) && count(g, fills) < target(g) && add_worker(g, free_number(g), NULL))
        continue; /* one that cannot be started rests, or has ended the start: both count */
    for (unsigned surplus = count(g, fills); surplus > target(g); surplus--)
        dismiss(find_last(g));
}

static bool is_ready(const struct generation *g)
{
    bool missing = child_is_here(&g->template) && count(g, fills) < target(g);

    return g->proven && !missing && count(g, still_begins) == 0;
}

static void settle(struct deferred *d)
{
    struct generation *g = container_of(d, struct generation, settle);

    settle_template(g);
    settle_workers(g);
    if (g->state == GENERATION_SERVING)
        replace_retiring(g);
    if (g->state == GENERATION_STARTING && is_ready(g))
        set_state(g, GENERATION_READY);
    if (g->state == GENERATION_YIELDING && target(g) == 0)
        generation_drain(g);
    edition_changed(g->edition);
}

/* ---- Orders ---- */

void generation_start(struct generation *g)
{
    settle_later(g);
}

void generation_follow(struct generation *g, struct generation *old)
{
    g->predecessor = rolling(g) > 0 ? old : NULL;
    if (g->predecessor)
        old->successor = g;
}

void generation_part(struct generation *g)
{
    if (g->predecessor)
        g->predecessor->successor = NULL;
    if (g->successor) {
        g->successor->predecessor = NULL;
        settle_later(g->successor);
    }
    g->predecessor = g->successor = NULL;
}

void generation_serve(struct generation *g)
{
    set_state(g, GENERATION_SERVING);
    for (unsigned i = 0; i < g->places.count; i++)
        child_accept(&g->workers[i]);
    settle_later(g);
}

void generation_yield(struct generation *g)
{
    if (!g->successor || g->state == GENERATION_LEAVING || g->state == GENERATION_YIELDING) {
        generation_drain(g);
        return;
    }
    set_state(g, GENERATION_YIELDING);
    settle_later(g);
}

void generation_more(struct generation *g)
{
    if (g->wanted < g->places.count - (unsigned)g->app->workers)
        g->wanted++;
    settle_later(g);
}

void generation_fewer(struct generation *g)
{
    if (g->wanted > 1)
        g->wanted--;
    settle_later(g);
}

static void leave(struct generation *g, enum generation_state state, void (*order)(struct child *c))
{
    if (g->state != state)
        set_state(g, state);
    generation_each(g, order);
    settle_later(g);
}

void generation_rest(struct generation *g)
{
    leave(g, GENERATION_RESTING, child_drain);
}

void generation_resume(struct generation *g)
{
    set_state(g, GENERATION_SERVING);
    settle_later(g);
}

void generation_drain(struct generation *g)
{
    leave(g, GENERATION_LEAVING, child_drain);
}

void generation_stop(struct generation *g)
{
    leave(g, GENERATION_LEAVING, child_stop);
}

void generation_kill(struct generation *g)
{
    leave(g, GENERATION_LEAVING, child_kill);
}

/* ---- Reports ---- */

void generation_child_ready(struct child *c)
{
    struct generation *g = c->generation;
    struct child *old = c->replaces;

    settle_later(g);
    if (c->kind == CHILD_TEMPLATE) {
        child_accept(c);
        return;
    }
    g->proven = true;
    if (g->state == GENERATION_SERVING || g->state == GENERATION_YIELDING)
        child_accept(c);
    c->replaces = NULL;
    if (old)
        child_drain(old);
    if (g->predecessor)
        settle_later(g->predecessor);
}

void generation_child_unfit(struct child *c)
{
    c->generation->unfit = true;
    c->excused = true;
}

void generation_child_retires(struct child *c)
{
    c->retires = true;
    settle_later(c->generation);
}

void generation_child_closed(struct child *c)
{
    settle_later(c->generation);
}

/* The place rests for as long as the back-off says: at first, until the next turn. */
static void replace(struct child *c)
{
    struct master *m = c->generation->master;
    int64_t served = c->ready != 0 ? loop_now(&m->loop) - c->ready : 0;
    int64_t delay = backoff_next(&c->backoff, served);

    if (delay > 0)
        log_event(master_log(m), LOG_INFO, "a process is started again later",
                  LOG_STR("app", c->generation->app->name), report_role(c),
                  LOG_NUM("delay_ms", delay));
    child_rest(c, delay);
}

/* Whether it was to go, or somebody is about to take its place. */
static bool is_expected(struct child *c)
{
    struct child *next = successor_of(c);
    bool excused = c->excused;

    c->excused = false;
    if (next)
        next->replaces = NULL;
    return c->leaves || excused || next;
}

void generation_child_gone(struct child *c, enum exit_status status)
{
    struct generation *g = c->generation;

    settle_later(g);
    if (g->predecessor)
        settle_later(g->predecessor);
    if (g->successor)
        settle_later(g->successor);
    if (is_expected(c) || target(g) == 0)
        return;
    if (g->state == GENERATION_STARTING && !g->proven)
        master_edition_failed(g->master, g->edition, status);
    else
        replace(c);
}

void generation_child_due(struct child *c)
{
    if (c->kind == CHILD_TEMPLATE)
        child_spawn(c);
    else if (can_fill(c->generation))
        fill(c);
    settle_later(c->generation);
}
