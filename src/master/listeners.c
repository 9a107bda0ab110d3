/* The master's listening sockets, from the configuration's table of them. */
#include "master/listeners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "net/channel.h"

static int make_address(const struct listen_options *o, struct address *a)
{
    switch (o->kind) {
    case LISTEN_TCP4:
    case LISTEN_TCP6: return address_inet(a, o->host, (uint16_t)o->port);
    case LISTEN_UNIX: return address_unix(a, o->path);
    case LISTEN_FD: return 0; /* the socket tells it */
    }
    __builtin_unreachable();
}

static struct listen_spec make_spec(const struct listen_options *o)
{
    return (struct listen_spec){.backlog = (int)o->backlog,
                                .mode = (int)o->mode,
                                .chown = o->owner_uid >= 0 || o->owner_gid >= 0,
                                .uid = (uid_t)o->owner_uid,
                                .gid = (gid_t)o->owner_gid,
                                .both = o->kind == LISTEN_TCP6 && !o->ipv6_only,
                                .reuse_port = o->reuse_port,
                                .defer_accept = (int)((o->defer_accept + 999) / 1000)};
}

static int open_one(struct listener *l, const struct listen_options *o, char *why, size_t size)
{
    l->app = o->app;
    l->spec = make_spec(o);
    if (make_address(o, &l->spec.address) < 0) {
        snprintf(why, size, "cannot listen on %s: %s", o->address,
                 o->kind == LISTEN_UNIX ? "the path is too long for a Unix socket"
                                        : "not a numeric address, or no such interface");
        return -ERR_CONFIG;
    }
    if (o->kind == LISTEN_FD)
        l->fd = listen_adopt((int)o->fd, &l->spec, why, size);
    else
        l->fd = listen_open(&l->spec, why, size);
    if (l->fd < 0)
        return l->fd;
    if (!address_is_unix(&l->spec.address)) {
        l->spec.address.len = sizeof l->spec.address.storage;
        getsockname(l->fd, (struct sockaddr *)&l->spec.address.storage, &l->spec.address.len);
    }
    return 0;
}

/* One message has to carry all that a worker gets: its listeners, configuration, scoreboard, two
 * logs, the meter. */
static int check_counts(const struct listeners *l, const struct config *c, char *why, size_t size)
{
    enum { MOST = CHANNEL_FDS - 5 };

    for (unsigned i = 0; i < c->app_count; i++) {
        if (listeners_of(l, c->app[i].name, NULL, 0) > MOST) {
            snprintf(why, size, "the application %s has more than %d listeners", c->app[i].name,
                     MOST);
            return -ERR_CONFIG;
        }
    }
    return 0;
}

int listeners_open(struct listeners *l, const struct config *c, char *why, size_t size)
{
    int e = 0;

    *l = (struct listeners){.items = calloc(c->listen_count, sizeof(struct listener))};
    if (!l->items) {
        snprintf(why, size, "out of memory");
        return -ERR_MEMORY;
    }
    while (l->count < c->listen_count && e == 0) {
        e = open_one(&l->items[l->count], &c->listen[l->count], why, size);
        if (e == 0)
            l->count++;
    }
    if (e == 0)
        e = check_counts(l, c, why, size);
    if (e < 0)
        listeners_free(l);
    return e;
}

void listeners_warn(const struct config *c, struct log *log)
{
    int most = listen_most();

    for (unsigned i = 0; i < c->listen_count && most > 0; i++) {
        const struct listen_options *o = &c->listen[i];

        if (o->kind != LISTEN_FD && o->backlog > most)
            log_event(log, LOG_WARN, "the kernel cuts the backlog: raise net.core.somaxconn",
                      LOG_STR("address", o->address), LOG_NUM("backlog", o->backlog),
                      LOG_NUM("somaxconn", most));
    }
}

unsigned listeners_of(const struct listeners *l, const char *app, int *fds, unsigned most)
{
    unsigned count = 0;

    for (unsigned i = 0; i < l->count; i++) {
        if (strcmp(l->items[i].app, app) != 0)
            continue;
        if (count < most)
            fds[count] = l->items[i].fd;
        count++;
    }
    return count;
}

void listeners_close(struct listeners *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        if (l->items[i].fd >= 0)
            listen_close(l->items[i].fd, &l->items[i].spec);
        l->items[i].fd = -1;
    }
}

void listeners_free(struct listeners *l)
{
    listeners_close(l);
    free(l->items);
    *l = (struct listeners){0};
}
