/* The master's listening sockets, from the configuration's table of them.
 *
 * What makes two listeners the same is how they were asked for, so that one whose port the kernel
 * chose keeps that port.
 *
 * Relies on the master having one thread. Never closes a socket that another edition uses. */
#include "master/listeners.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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
    l->spec = make_spec(o);
    if (make_address(o, &l->spec.address) < 0) {
        snprintf(why, size, "cannot listen on %s: %s", o->address,
                 o->kind == LISTEN_UNIX ? "the path is too long for a Unix socket"
                                        : "not a numeric address, or no such interface");
        return -ERR_CONFIG;
    }
    l->adopted = o->kind == LISTEN_FD;
    if (l->adopted && o->fd < 0) {
        snprintf(why, size, "cannot listen on %s: only a start takes over a socket", o->address);
        return -ERR_CONFIG;
    }
    if (l->adopted)
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

static void write_key(const struct listen_options *o, char *key)
{
    snprintf(key, LISTENER_KEY, "%d %lld %s %s", (int)o->kind, (long long)o->port,
             o->host ? o->host : "",
             o->kind == LISTEN_FD ? o->address
             : o->path            ? o->path
                                  : "");
}

static bool uses(const struct listeners *l, const struct listener *listener)
{
    bool found = false;

    for (unsigned i = 0; i < l->count; i++)
        found = found || l->items[i].listener == listener;
    return found;
}

/* One with this key that this edition does not use yet: of port 0 it may have several. */
static struct listener *find(const struct listeners *l, const char *key)
{
    struct listener *listener = *l->all;

    while (listener && (strcmp(listener->key, key) != 0 || uses(l, listener)))
        listener = listener->next;
    return listener;
}

static int make(struct listeners *l, const struct listen_options *o, char *why, size_t size)
{
    struct listener *made = calloc(1, sizeof *made);
    int e;

    if (!made) {
        snprintf(why, size, "out of memory");
        return -ERR_MEMORY;
    }
    e = open_one(made, o, why, size);
    if (e < 0) {
        free(made);
        return e;
    }
    write_key(o, made->key);
    made->next = *l->all;
    *l->all = made;
    return 0;
}

/* What a socket is bound as cannot be changed afterwards. */
static int check_kept(const struct listener *kept, const struct listen_options *o, char *why,
                      size_t size)
{
    struct listen_spec spec = make_spec(o);

    if (kept->adopted || (spec.both == kept->spec.both && spec.reuse_port == kept->spec.reuse_port))
        return 0;
    snprintf(why, size, "%s: ipv6-only and reuse-port change by a restart only", o->address);
    return -ERR_CONFIG;
}

static void use(struct listeners *l, struct listener *listener, const struct listen_options *o)
{
    listener->users++;
    l->items[l->count++] = (struct post){listener, o};
}

static int add(struct listeners *l, const struct listen_options *o, char *why, size_t size)
{
    char key[LISTENER_KEY];
    struct listener *found;
    int e = 0;

    write_key(o, key);
    found = find(l, key);
    e = found ? check_kept(found, o, why, size) : make(l, o, why, size);
    if (e < 0)
        return e;
    use(l, found ? found : *l->all, o);
    return 0;
}

/* A name of systemd's can stand for several sockets, which only the start tells one by one. */
static int add_all(struct listeners *l, const struct listen_options *o, char *why, size_t size)
{
    char key[LISTENER_KEY];
    struct listener *found;
    int e = add(l, o, why, size);

    write_key(o, key);
    while (e == 0 && o->kind == LISTEN_FD && o->fd < 0 && l->count < l->most &&
           (found = find(l, key)))
        use(l, found, o);
    return e;
}

static unsigned count_open(const struct listener *l)
{
    unsigned count = 0;

    for (; l; l = l->next)
        count++;
    return count;
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

int listeners_open(struct listeners *l, struct listener **all, const struct config *c, char *why,
                   size_t size)
{
    int e = 0;

    unsigned most = c->listen_count + count_open(*all);

    *l = (struct listeners){.all = all, .most = most, .items = calloc(most, sizeof(struct post))};
    if (!l->items) {
        snprintf(why, size, "out of memory");
        return -ERR_MEMORY;
    }
    for (unsigned i = 0; i < c->listen_count && e == 0; i++)
        e = add_all(l, &c->listen[i], why, size);
    if (e == 0)
        e = check_counts(l, c, why, size);
    if (e < 0)
        listeners_close(l);
    return e;
}

static void apply(struct listener *l, const struct listen_options *o)
{
    struct listen_spec old = l->spec, now = make_spec(o);

    if (l->adopted)
        return;
    l->spec.backlog = now.backlog;
    l->spec.mode = now.mode;
    l->spec.defer_accept = now.defer_accept;
    if (old.backlog != now.backlog)
        listen(l->fd, now.backlog);
    if (old.defer_accept != now.defer_accept)
        setsockopt(l->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &now.defer_accept, sizeof(int));
    if (old.inode == 0)
        return; /* it has no file */
    if (old.mode != now.mode && now.mode >= 0)
        chmod(o->path, (mode_t)now.mode);
    if (now.chown)
        (void)!lchown(o->path, now.uid, now.gid);
}

void listeners_apply(const struct listeners *l)
{
    for (unsigned i = 0; i < l->count; i++)
        apply(l->items[i].listener, l->items[i].options);
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

unsigned listeners_adopted(const struct listeners *l, char *names, size_t size)
{
    unsigned count = 0;
    size_t used = 0;

    names[0] = '\0';
    for (unsigned i = 0; i < l->count && used < size; i++) {
        if (!l->items[i].listener->adopted)
            continue;
        used += (size_t)snprintf(names + used, size - used, "%s%s", count > 0 ? " " : "",
                                 l->items[i].options->address);
        count++;
    }
    return count;
}

unsigned listeners_of(const struct listeners *l, const char *app, int *fds, unsigned most)
{
    unsigned count = 0;

    for (unsigned i = 0; i < l->count; i++) {
        if (strcmp(l->items[i].options->app, app) != 0)
            continue;
        if (count < most)
            fds[count] = l->items[i].listener->fd;
        count++;
    }
    return count;
}

static void take_out(struct listener **all, struct listener *listener)
{
    while (*all != listener)
        all = &(*all)->next;
    *all = listener->next;
}

/* Workers that still leave hold the socket: without shutdown() clients would queue up for nobody.
 * One that we were started with is open elsewhere, too, and goes on. */
static void let_go(struct listeners *l, struct listener *listener)
{
    if (--listener->users > 0)
        return;
    take_out(l->all, listener);
    if (!listener->adopted)
        shutdown(listener->fd, SHUT_RDWR);
    listen_close(listener->fd, &listener->spec);
    free(listener);
}

void listeners_close(struct listeners *l)
{
    for (unsigned i = 0; i < l->count; i++)
        let_go(l, l->items[i].listener);
    free(l->items);
    l->items = NULL;
    l->count = 0;
}
