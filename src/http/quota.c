/* Limits for each client (quota.h has the contract).
 *
 * The key of a client is a keyed hash of application and address, so that applications that share
 * the memory do not share counts. What is refused is logged once a second for each client: a small
 * table remembers who was last told of; clients that share a place in it may be told of more often,
 * or, in the same second, less, but each line says how many refusals there were since the one
 * before. */
#include "http/quota.h"

#include "http/client.h"
#include "http/server.h"

enum { SECOND = 1000000000, SECOND_BITS = 24, NETWORK_BYTES = 8 };

/* 0: not counted. */
static uint64_t key_of(const struct server *s, const struct address *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char bytes[80];
    struct slice app = slice_text(s->options->name);
    uint8_t host[16];
    if (!address_bytes(a, host))
        return 0;
    size_t len = memcmp(host, mapped, sizeof mapped) == 0 ? sizeof host : NETWORK_BYTES;
    memcpy(bytes, host, len);
    app.len = app.len < sizeof bytes - len ? app.len : sizeof bytes - len;
    if (app.len)
        memcpy(bytes + len, app.ptr, app.len);
    return meter_key(s->quota.meter, slice_of(bytes, len + app.len));
}

/* Whether the log has not been told of this client in this second. */
static bool is_news(struct quota *q, uint64_t key, int64_t now)
{
    uint64_t *told = &q->told[key % QUOTA_TOLD];
    uint64_t entry = key << SECOND_BITS | ((uint64_t)(now / 1000) & ((1u << SECOND_BITS) - 1));
    if (*told == entry)
        return false;
    *told = entry;
    return true;
}

static void tell(struct server *s, uint64_t key, const struct address *a, enum err why)
{
    char peer[ADDRESS_TEXT];
    slot_add(s->slot, limited, 1u);
    s->quota.untold++;
    if (!is_news(&s->quota, key, loop_now(s->loop)))
        return;
    address_host(a, peer);
    log_event(s->log, LOG_WARN, "a client is over a limit", LOG_STR("reason", err_text((int)why)),
              LOG_STR("peer", peer), LOG_NUM("refused", s->quota.untold));
    s->quota.untold = 0;
}

bool quota_enter(struct server *s, struct link *l, const struct ends *ends)
{
    int64_t most = s->options->limit_connections_per_ip;
    if (most == 0 || !s->quota.meter || client_is_trusted(s, &ends->peer))
        return true;
    uint64_t key = key_of(s, &ends->peer);
    if (key == 0 || meter_enter(s->quota.meter, key, (uint32_t)most)) {
        l->quota = key;
        return true;
    }
    tell(s, key, &ends->peer, ERR_TOO_MANY_CONNECTIONS);
    return false;
}

void quota_leave(struct server *s, struct link *l)
{
    if (l->quota)
        meter_leave(s->quota.meter, l->quota);
    l->quota = 0;
}

int quota_take(struct exchange *x)
{
    struct server *s = x->server;
    const struct app_options *o = s->options;
    if (o->limit_requests == 0 || !s->quota.meter)
        return 0;
    uint64_t key = key_of(s, &x->ends->peer);
    struct meter_rate rate = {SECOND / o->limit_requests, o->limit_requests_burst
                                                              ? o->limit_requests_burst
                                                              : o->limit_requests};
    if (key == 0 || meter_take(s->quota.meter, key, &rate, clock_ns()) == 0)
        return 0;
    tell(s, key, &x->ends->peer, ERR_TOO_MANY_REQUESTS);
    return -ERR_TOO_MANY_REQUESTS;
}
