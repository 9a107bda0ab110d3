/* Accepting connections from a shared listening socket (accept.h has the contract).
 *
 * All workers hold the same socket in their own epoll, EPOLLEXCLUSIVE, so that a connection wakes
 * one of them. A worker takes few at a time and leaves the rest to the others. */
#include "http/accept.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container.h"
#include "http/wire_h1.h"

enum {
    ACCEPT_BATCH = 8,       /* connections for one event */
    FULL_REST = 5,          /* milliseconds without accepting when the server is full */
    REST = 100,             /* milliseconds without accepting when descriptors are out */
    COMPLAIN_EVERY = 60000, /* milliseconds */
};

static void rest_is_over(struct timer *t)
{
    struct acceptor *a = container_of(t, struct acceptor, rest);
    if (a->watch.fd >= 0 && !a->watched)
        a->watched = loop_watch(a->server->loop, &a->watch, EPOLLIN | EPOLLEXCLUSIVE) == 0;
}

/* Out of descriptors or memory: the connection stays in the kernel's queue; asking again at once
 * would only spin. */
static void rest(struct acceptor *a, int error)
{
    struct loop *l = a->server->loop;
    int64_t now = loop_now(l);
    loop_unwatch(l, &a->watch);
    a->watched = false;
    timer_set(&l->timers, &a->rest, now + REST);
    if (a->complained && now - a->complained < COMPLAIN_EVERY)
        return;
    a->complained = now;
    log_event(a->server->log, LOG_ERROR, "connections cannot be accepted",
              LOG_STR("error", strerror(error)), LOG_NUM("open", a->server->connections));
}

/* Errors of the connection that was to be accepted, not of ours (accept(2), "Error handling"). */
static bool is_passing(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
           error == ENOPROTOOPT || error == EHOSTDOWN || error == EHOSTUNREACH ||
           error == EOPNOTSUPP || error == ENETUNREACH || error == EPERM;
}

/* While the server is full, connections wait in the kernel's queue, where another worker may take
 * them. */
static void rest_while_full(struct acceptor *a)
{
    struct loop *l = a->server->loop;
    loop_unwatch(l, &a->watch);
    a->watched = false;
    timer_set(&l->timers, &a->rest, loop_now(l) + FULL_REST);
}

static void serve(struct acceptor *a, int fd, struct ends *ends)
{
    ends->local = a->local;
    if (a->any) {
        ends->local.len = sizeof ends->local.storage;
        getsockname(fd, (struct sockaddr *)&ends->local.storage, &ends->local.len);
    }
    h1_open(a->server, fd, ends);
}

static void on_connection(struct watch *w, uint32_t events)
{
    struct acceptor *a = container_of(w, struct acceptor, watch);
    (void)events;
    if (server_is_full(a->server)) {
        rest_while_full(a);
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct ends ends = {.peer.len = sizeof ends.peer.storage};
        int fd = accept4(w->fd, (struct sockaddr *)&ends.peer.storage, &ends.peer.len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            serve(a, fd, &ends);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (!is_passing(errno)) {
            rest(a, errno);
            return;
        }
    }
}

static bool is_wildcard(const struct address *a)
{
    if (a->storage.ss_family == AF_INET)
        return ((const struct sockaddr_in *)&a->storage)->sin_addr.s_addr == INADDR_ANY;
    return a->storage.ss_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&a->storage)->sin6_addr);
}

int acceptor_open(struct acceptor *a, struct server *server, int fd)
{
    *a = (struct acceptor){
        .watch = {.fd = fd, .ready = on_connection},
        .rest = {.deadline = TIMER_NEVER, .fire = rest_is_over},
        .server = server,
        .local.len = sizeof a->local.storage,
    };
    if (getsockname(fd, (struct sockaddr *)&a->local.storage, &a->local.len) < 0)
        return -ERR_SYSTEM;
    a->any = is_wildcard(&a->local);
    int err = loop_watch(server->loop, &a->watch, EPOLLIN | EPOLLEXCLUSIVE);
    a->watched = err == 0;
    return err;
}

void acceptor_close(struct acceptor *a)
{
    timer_remove(&a->server->loop->timers, &a->rest);
    if (a->watched)
        loop_unwatch(a->server->loop, &a->watch);
    a->watched = false;
    a->watch.fd = -1;
}
