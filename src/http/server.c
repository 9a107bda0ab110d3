/* The server: what the wires of one process share, and the list of their connections (server.h has
 * the contract).
 *
 * Relies on the loop's holder being the only one who joins and parts connections; never closes a
 * descriptor itself. */
#include "http/server.h"

#include <sys/random.h>
#include <unistd.h>

enum { SPARE_BLOCKS = 64, ID_COUNTER = 24 };

/* Ids of requests count up from a random number, so that those of several workers, or of one that
 * was started anew, are not the same. */
static uint64_t first_id(void)
{
    uint64_t id = 0;
    if (getrandom(&id, sizeof id, GRND_NONBLOCK) != sizeof id)
        id = (uint64_t)clock_ns() << ID_COUNTER;
    return id >> ID_COUNTER << ID_COUNTER;
}

void server_init(struct server *s, struct loop *loop, const struct app_options *options,
                 struct log *log)
{
    *s = (struct server){.loop = loop, .options = options, .log = log, .slot = &s->own_slot};
    pool_init(&s->blocks, SERVER_BLOCK, SPARE_BLOCKS);
    s->next_id = first_id();
    s->software = slice_text(options->server_header);
}

void server_free(struct server *s)
{
    pool_drain(&s->blocks);
    client_rules_free(&s->rules);
}

void server_join(struct server *s, struct link *l)
{
    l->next = s->links;
    l->prev = &s->links;
    if (s->links)
        s->links->prev = &l->next;
    s->links = l;
    s->connections++;
    slot_set(s->slot, connections, s->connections);
    slot_add(s->slot, accepted, 1u);
}

void server_part(struct server *s, struct link *l)
{
    *l->prev = l->next;
    if (l->next)
        l->next->prev = l->prev;
    s->connections--;
    quota_leave(s, l);
    slot_set(s->slot, connections, s->connections);
    if (s->draining && s->connections == 0 && s->on_idle)
        s->on_idle(s);
}

bool server_is_full(const struct server *s)
{
    int64_t most = s->options->limit_concurrency;
    return (most && s->serving >= most) || (s->token && s->token->queued >= s->options->queue_size);
}

struct slice server_shown(const struct server *s, struct slice uri)
{
    size_t len = 0;
    if (!s->options->redact_query)
        return uri;
    while (len < uri.len && uri.ptr[len] != '?' && uri.ptr[len] != '#')
        len++;
    return slice_of(uri.ptr, len);
}

bool server_redacts(const struct server *s, struct slice name)
{
    const struct text_list *secret = &s->options->redact;
    for (unsigned i = 0; i < secret->count; i++)
        if (slice_eq_nocase(slice_text(secret->items[i]), name))
            return true;
    return false;
}

void server_drain(struct server *s)
{
    if (s->draining)
        return;
    s->draining = true;
    for (struct link *l = s->links, *next; l; l = next) {
        next = l->next;
        l->drain(l);
    }
    if (s->connections == 0 && s->on_idle)
        s->on_idle(s);
}

void server_cut(struct server *s)
{
    for (struct link *l = s->links, *next; l; l = next) {
        next = l->next;
        l->cut(l);
    }
}

void server_forget(struct server *s)
{
    for (struct link *l = s->links; l; l = l->next)
        close(l->fd);
}
