/* Who takes the next connection (spread.h has the contract).
 *
 * Another worker is better placed when it has a thread free and this one has none, or, if they are
 * equal in that, when it has clearly fewer connections: more than two and a sixteenth fewer. Two
 * workers cannot both be better placed than each other, so the best of all never stands back by
 * what is true; by what was true a moment ago all of them could, and circle_yield() is made so that
 * they cannot: who stands back says so first and then looks again (as in Dekker's algorithm, which
 * needs sequential consistency).
 *
 * A worker that has not turned its loop for seconds is not counted on. */
#include "http/spread.h"

#include <stddef.h>

enum {
    SLACK = 2,
    SLACK_PART = 16,
    STALE = 5000, /* ms without a heartbeat, which comes each second */
};

uint64_t circle_name(const char *app, uint32_t generation)
{
    uint64_t hash = 0xcbf29ce484222325u ^ generation; /* FNV-1a */
    for (; *app; app++)
        hash = (hash ^ (unsigned char)*app) * 0x100000001b3u;
    return hash | 1;
}

static bool is_of(const struct circle *c, const struct slot *s, int64_t now)
{
    return s != c->own && slot_get(s, circle) == c->name && slot_get(s, state) == WORKER_SERVING &&
           now - slot_get(s, heartbeat) < STALE;
}

static bool is_better(const struct slot *other, const struct slot *own)
{
    int64_t mine = slot_get(own, connections), theirs = slot_get(other, connections);
    bool occupied = slot_get(own, occupied) != 0;
    if (occupied != (slot_get(other, occupied) != 0))
        return occupied;
    return theirs + SLACK + mine / SLACK_PART < mine;
}

static void see(const struct circle *c, const struct slot *other, struct sight *sight)
{
    uint32_t door = atomic_load(&other->door);
    bool better = is_better(other, c->own);
    sight->accepted += slot_get(other, accepted);
    sight->any = sight->any || door != DOOR_SHUT;
    if (door == DOOR_STAND)
        sight->behind = sight->behind || better;
    if (door != DOOR_OPEN)
        return;
    sight->better = sight->better || better;
    sight->less = sight->less || slot_get(other, connections) < slot_get(c->own, connections);
}

struct sight circle_look(const struct circle *c, int64_t now)
{
    struct sight sight = {0};
    if (!c->board)
        return sight;
    for (unsigned i = 0; i < scoreboard_count(c->board); i++)
        if (is_of(c, &c->board->slots[i], now))
            see(c, &c->board->slots[i], &sight);
    return sight;
}

void circle_say(const struct circle *c, enum door_state state)
{
    atomic_store(&c->own->door, (uint32_t)state);
}

void circle_enter(const struct circle *c)
{
    circle_say(c, DOOR_OPEN);
    slot_set(c->own, circle, c->name);
}

void circle_leave(const struct circle *c)
{
    circle_say(c, DOOR_SHUT);
    slot_set(c->own, circle, 0);
}

bool circle_yield(const struct circle *c, int64_t now)
{
    if (!circle_look(c, now).better)
        return false;
    circle_say(c, DOOR_STAND);
    if (circle_look(c, now).better)
        return true;
    circle_say(c, DOOR_OPEN);
    return false;
}
