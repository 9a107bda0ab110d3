/* Accepting connections from shared listening sockets (accept.h has the contract).
 *
 * All workers hold the same sockets in their own epoll, EPOLLEXCLUSIVE, so that a connection wakes
 * one of them: the first in the kernel's list of those that sleep. Left alone, that is always the
 * same one. So a worker that took a connection and has more than another goes to the end of that
 * list, and one that another is much better placed than leaves it altogether, for as long as that
 * lasts. Nobody is woken for nothing, and no connection is handed on: a worker takes what it was
 * woken for.
 *
 * That no wake-up is lost rests on three things. Whether a worker is on the list is settled right
 * before it may sleep. Listeners come first in a batch of events, so nothing that the batch leads
 * to can make the worker unfit for what it was woken for. And of the workers that accept one always
 * stays. Should that one be stuck, those who left look at the listeners from time to time, and take
 * what has waited while nobody accepted anything.
 *
 * Relies on the loop being turned while all threads are in a call (token.h), and on the scoreboard.
 * Never waits; never closes a listening socket. */
#include "http/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container.h"
#include "http/h1_refuse.h"
#include "http/wire_h1.h"

enum {
    ACCEPT_BATCH = 8,       /* connections for one event */
    LOOK_FIRST = 1,         /* milliseconds between looks while connections come */
    LOOK_MOST = 20,         /* and when none has come for long */
    STUCK = 20,             /* for which a connection may wait while none is accepted */
    REST = 100,             /* milliseconds without accepting when even the reserve is gone */
    COMPLAIN_EVERY = 60000, /* milliseconds */
    SWEEP = 1000,           /* milliseconds at most for what is queued when the door closes */
};

/* Whether to accept
 * ----------------------------------------------------------------------------------------------------------
 */

static int64_t now_of(const struct door *d)
{
    return loop_now(d->server->loop);
}

static void unwatch_all(struct door *d)
{
    for (unsigned i = 0; i < d->count && d->open; i++)
        loop_unwatch(d->server->loop, &d->acceptors[i].watch);
    d->open = false;
}

static int watch_one(struct acceptor *a)
{
    return loop_watch(a->door->server->loop, &a->watch, EPOLLIN | EPOLLEXCLUSIVE);
}

static int watch_all(struct door *d)
{
    int err = 0;
    for (unsigned i = 0; i < d->count && !err; i++)
        err = watch_one(&d->acceptors[i]);
    d->open = true;
    return err;
}

static void rest(struct door *d)
{
    timer_set(&d->server->loop->timers, &d->rest, now_of(d) + REST);
    d->changed = true;
}

static bool is_resting(const struct door *d)
{
    return d->rest.deadline != TIMER_NEVER;
}

/* To the end of the kernel's list: the next connection is another's. */
static int fall_behind(struct door *d)
{
    int err = 0;
    for (unsigned i = 0; i < d->count && !err; i++) {
        struct acceptor *a = &d->acceptors[i];
        if (!a->used)
            continue;
        loop_unwatch(d->server->loop, &a->watch);
        err = watch_one(a);
    }
    return err;
}

/* Looks are close while connections come, and rare when all is quiet. */
static void look_later(struct door *d, uint64_t accepted)
{
    bool busy = accepted != d->accepted || d->waits != TIMER_NEVER || d->interval == 0;
    int64_t next = busy ? LOOK_FIRST : d->interval * 2;
    d->accepted = accepted;
    d->interval = next > LOOK_MOST ? LOOK_MOST : next;
    timer_set(&d->server->loop->timers, &d->look, now_of(d) + d->interval);
}

static void stop_looking(struct door *d)
{
    timer_set(&d->server->loop->timers, &d->look, TIMER_NEVER);
    d->interval = 0;
    d->waits = TIMER_NEVER;
}

/* Leaves accepting to others: until they are no better placed any more. */
static void stand_back(struct door *d, const struct sight *others)
{
    unwatch_all(d);
    look_later(d, others->accepted);
}

static void shut(struct door *d)
{
    circle_say(&d->circle, DOOR_SHUT);
    unwatch_all(d);
    stop_looking(d);
}

static void open_up(struct door *d, const struct sight *others)
{
    int err = 0;
    circle_say(&d->circle, DOOR_OPEN);
    stop_looking(d);
    if (!d->open)
        err = watch_all(d);
    else if (others->less)
        err = fall_behind(d);
    if (!err)
        return;
    log_event(d->server->log, LOG_ERROR, "a listener cannot be watched",
              LOG_STR("reason", strerror(errno)));
    shut(d);
    rest(d);
}

/* This one is open, and others, who stand back, are better placed by now: they will see it when
 * they look next, and it waits for that before it takes one more. It still counts as open. */
static void pause_once(struct door *d, const struct sight *others)
{
    circle_say(&d->circle, DOOR_OPEN);
    unwatch_all(d);
    d->accepted = others->accepted;
    timer_set(&d->server->loop->timers, &d->look, now_of(d) + LOOK_FIRST);
}

static bool has_taken(struct door *d)
{
    bool taken = false;
    for (unsigned i = 0; i < d->count; i++)
        taken = taken || d->acceptors[i].used;
    return taken;
}

static void derive(struct door *d)
{
    slot_set(d->server->slot, occupied, d->occupied);
    if (d->full || is_resting(d)) {
        shut(d);
        return;
    }
    bool yields = circle_yield(&d->circle, now_of(d));
    struct sight others = circle_look(&d->circle, now_of(d));
    d->shared = others.any;
    if (yields)
        stand_back(d, &others);
    else if (others.behind && (d->occupied || has_taken(d)))
        pause_once(d, &others);
    else
        open_up(d, &others);
    for (unsigned i = 0; i < d->count; i++)
        d->acceptors[i].used = false;
}

/* The loop's hook, in each turn: nothing to do unless something has changed. A token without a
 * leader is turned by the monitor, which no call can be given to. */
static void settle(struct settle *s)
{
    struct door *d = container_of(s, struct door, settle);
    const struct token *t = d->server->token;
    bool full = server_is_full(d->server), occupied = t && !t->leader;
    if (full == d->full && occupied == d->occupied && !d->changed)
        return;
    d->full = full;
    d->occupied = occupied;
    d->changed = false;
    derive(d);
}

/* Taking connections
 * ---------------------------------------------------------------------------------------------------------
 */

static void serve(struct acceptor *a, int fd, struct ends *ends)
{
    ends->local = a->local;
    ends->proxied = a->proxied;
    if (a->any) {
        ends->local.len = sizeof ends->local.storage;
        getsockname(fd, (struct sockaddr *)&ends->local.storage, &ends->local.len);
    }
    h1_open(a->door->server, fd, ends);
}

/* Errors of the connection that was to be accepted, not of ours (accept(2), "Error handling"). */
static bool is_passing(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
           error == ENOPROTOOPT || error == EHOSTDOWN || error == EHOSTUNREACH ||
           error == EOPNOTSUPP || error == ENETUNREACH || error == EPERM;
}

static void complain(struct door *d, int error)
{
    int64_t now = now_of(d);
    if (d->complained && now - d->complained < COMPLAIN_EVERY)
        return;
    d->complained = now;
    log_event(d->server->log, LOG_ERROR, "connections cannot be accepted",
              LOG_STR("error", strerror(error)), LOG_NUM("open", d->server->connections),
              LOG_NUM("answered_503", d->shed));
    d->shed = 0;
}

static void take_reserve(struct door *d)
{
    if (d->reserve < 0)
        d->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Out of descriptors: the reserve becomes one connection, which is answered and closed. False: it
 * did not do. */
static bool shed(struct acceptor *a)
{
    struct door *d = a->door;
    int fd;
    if (d->reserve < 0)
        return false;
    close(d->reserve);
    d->reserve = -1;
    fd = accept4(a->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    bool taken = fd >= 0 || errno == EAGAIN;
    if (fd >= 0) {
        h1_refuse(fd);
        close(fd);
        d->shed++;
        slot_add(d->server->slot, shed, 1u);
    }
    take_reserve(d);
    return taken && d->reserve >= 0;
}

/* Whether to go on accepting. What cannot be had stays in the kernel's queue; to ask again at once
 * would only spin. */
static bool failed(struct acceptor *a, int error)
{
    struct door *d = a->door;
    if (error == EAGAIN)
        return false;
    if (is_passing(error))
        return true;
    bool done = (error == EMFILE || error == ENFILE) && shed(a);
    complain(d, error);
    if (!done)
        rest(d);
    return done;
}

static bool take(struct acceptor *a)
{
    struct ends ends = {.peer.len = sizeof ends.peer.storage};
    int fd = accept4(a->watch.fd, (struct sockaddr *)&ends.peer.storage, &ends.peer.len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return failed(a, errno);
    a->used = a->door->changed = true;
    serve(a, fd, &ends);
    return true;
}

/* One at a time when others accept as well: each decides anew. */
static void on_connection(struct watch *w, uint32_t events)
{
    struct acceptor *a = container_of(w, struct acceptor, watch);
    (void)events;
    for (int i = 0; i < (a->door->shared ? 1 : ACCEPT_BATCH); i++)
        if (server_is_full(a->door->server) || !take(a))
            return;
}

static bool connection_waits(const struct acceptor *a)
{
    struct pollfd p = {.fd = a->watch.fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

static bool any_waits(const struct door *d)
{
    bool waits = false;
    for (unsigned i = 0; i < d->count && !waits; i++)
        waits = connection_waits(&d->acceptors[i]);
    return waits;
}

/* Others have precedence; but what has waited while none of them accepted anything is not left to
 * them any longer. */
static void look(struct timer *t)
{
    struct door *d = container_of(t, struct door, look);
    bool moved = circle_look(&d->circle, now_of(d)).accepted != d->accepted;
    d->changed = true;
    if (!any_waits(d))
        d->waits = TIMER_NEVER;
    else if (d->waits == TIMER_NEVER || moved)
        d->waits = now_of(d);
    if (d->waits > now_of(d) - STUCK || server_is_full(d->server))
        return;
    for (unsigned i = 0; i < d->count; i++)
        take(&d->acceptors[i]);
}

static void rest_is_over(struct timer *t)
{
    struct door *d = container_of(t, struct door, rest);
    take_reserve(d);
    d->changed = true;
}

/* The beginning and the end
 * --------------------------------------------------------------------------------------------------
 */

static bool is_wildcard(const struct address *a)
{
    if (a->storage.ss_family == AF_INET)
        return ((const struct sockaddr_in *)&a->storage)->sin_addr.s_addr == INADDR_ANY;
    return a->storage.ss_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&a->storage)->sin6_addr);
}

static int prepare(struct acceptor *a, struct door *d, int fd)
{
    *a = (struct acceptor){
        .watch = {.fd = fd, .first = true, .ready = on_connection},
        .door = d,
        .local.len = sizeof a->local.storage,
    };
    if (getsockname(fd, (struct sockaddr *)&a->local.storage, &a->local.len) < 0)
        return -ERR_SYSTEM;
    a->any = is_wildcard(&a->local);
    return 0;
}

static int fail(struct door *d, int err)
{
    int why = errno;
    door_close(d);
    errno = why;
    return err;
}

int door_open(struct door *d, const struct door_setup *setup)
{
    int err = 0;
    *d = (struct door){
        .server = setup->server,
        .circle = setup->circle,
        .acceptors = calloc(setup->count ? setup->count : 1, sizeof *d->acceptors),
        .settle.run = settle,
        .look = {.deadline = TIMER_NEVER, .fire = look},
        .rest = {.deadline = TIMER_NEVER, .fire = rest_is_over},
        .waits = TIMER_NEVER,
        .reserve = -1,
    };
    take_reserve(d);
    if (!d->acceptors)
        return fail(d, -ERR_MEMORY);
    for (unsigned i = 0; i < setup->count && !err; i++)
        err = prepare(&d->acceptors[i], d, setup->fds[i]);
    for (unsigned i = 0; i < setup->count && setup->proxied; i++)
        d->acceptors[i].proxied = setup->proxied[i];
    d->count = setup->count;
    if (!err)
        err = watch_all(d);
    if (err)
        return fail(d, err);
    circle_enter(&d->circle);
    d->changed = true;
    d->server->loop->settle = &d->settle;
    return 0;
}

/* Unwatched first: who comes later wakes others. */
void door_sweep(struct door *d)
{
    int64_t end = clock_ns() + (int64_t)SWEEP * 1000000;
    if (!d->server)
        return;
    unwatch_all(d);
    for (unsigned i = 0; i < d->count; i++)
        while (clock_ns() < end && take(&d->acceptors[i]))
            continue;
    door_close(d);
}

void door_close(struct door *d)
{
    if (!d->server)
        return;
    circle_leave(&d->circle);
    unwatch_all(d);
    timer_remove(&d->server->loop->timers, &d->look);
    timer_remove(&d->server->loop->timers, &d->rest);
    d->server->loop->settle = NULL;
    if (d->reserve >= 0)
        close(d->reserve);
    free(d->acceptors);
    *d = (struct door){0};
}
