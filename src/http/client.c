/* Who the client is (client.h has the contract).
 *
 * Fields are numbered, and those that matter here stand together in headers.def, so a request
 * without any is passed by with one comparison for each field. For others what is told is gathered
 * first and then applied: a copy of the connection's ends in the exchange's arena, and a copy of
 * the fields without those that are not believed.
 *
 * Where a field comes more than once or holds a list, the last element counts, which the nearest
 * proxy wrote; only lists of hops are followed further. What cannot be read ends the walk: the
 * client is then the last hop that could. A value that is outside its grammar is as if it were not
 * there.
 *
 * Relies on codecs of src/proto for every byte. Never trusts a name, never asks a name server. */
#include "http/client.h"

#include <stdlib.h>
#include <sys/un.h>
#include <time.h>

#include "base/clock.h"
#include "http/server.h"
#include "proto/forwarded.h"
#include "proto/proxyproto.h"
#include "proto/target.h"

enum {
    START_MOST = 600, /* seconds: what X-Request-Start tells of longer waits is a wrong clock */
    SECOND = 1000000000,
};

/* ---- Rules ---- */

static unsigned bit_of(unsigned id)
{
    return 1u << (id - HEADER_FORWARDED);
}

static unsigned believed_bits(const struct text_list *names)
{
    unsigned bits = 0;
    for (unsigned i = 0; i < names->count; i++)
        for (unsigned id = HEADER_FORWARDED; id <= HEADER_X_REAL_IP; id++)
            if (slice_eq_nocase(header_name(id), slice_text(names->items[i])))
                bits |= bit_of(id);
    return bits;
}

int client_rules_init(struct client_rules *r, const struct app_options *options)
{
    const struct text_list *peers = &options->forwarded_allow_ips;
    *r = (struct client_rules){.believed = believed_bits(&options->forwarded_fields)};
    r->trusted = calloc(peers->count + 1, sizeof *r->trusted);
    if (!r->trusted)
        return -ERR_MEMORY;
    for (unsigned i = 0; i < peers->count; i++)
        if (network_read(peers->items[i], &r->trusted[r->trusted_count++]))
            return -ERR_CONFIG;
    return 0;
}

void client_rules_free(struct client_rules *r)
{
    free(r->trusted);
    *r = (struct client_rules){.trusted = NULL};
}

bool client_is_trusted(const struct server *s, const struct address *a)
{
    for (unsigned i = 0; i < s->rules.trusted_count; i++)
        if (network_has(&s->rules.trusted[i], a))
            return true;
    return false;
}

/* ---- The PROXY header ---- */

static void take_path(struct address *a, struct slice path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&a->storage;
    *a = (struct address){.storage.ss_family = AF_UNIX,
                          .len = offsetof(struct sockaddr_un, sun_path)};
    if (path.len == 0 || path.len >= sizeof un->sun_path)
        return;
    memcpy(un->sun_path, path.ptr, path.len);
    a->len += (socklen_t)path.len + (path.ptr[0] != '\0');
}

static void take_ends(const struct proxy_header *h, struct ends *ends)
{
    switch (h->family) {
    case PROXY_NOBODY: ends->stranger = !h->local; return;
    case PROXY_INET:
    case PROXY_INET6: {
        size_t len = h->family == PROXY_INET ? 4 : 16;
        address_of_bytes(&ends->peer, h->source.host, len, h->source.port);
        address_of_bytes(&ends->local, h->destination.host, len, h->destination.port);
        break;
    }
    case PROXY_UNIX:
        take_path(&ends->peer, h->source.path);
        take_path(&ends->local, h->destination.path);
        break;
    }
    ends->secure = ends->secure || h->secure;
    ends->stranger = h->family == PROXY_UNIX;
}

static void tell_proxy(struct server *s, const struct ends *ends, const struct address *proxy)
{
    char peer[ADDRESS_TEXT], via[ADDRESS_TEXT];
    if (s->log->level > LOG_DEBUG)
        return;
    address_text(&ends->peer, peer);
    address_text(proxy, via);
    log_event(s->log, LOG_DEBUG, "PROXY header", LOG_STR("peer", peer), LOG_STR("proxy", via));
}

int client_read_proxy(struct server *s, struct slice in, struct ends *ends)
{
    struct proxy_header h;
    struct address proxy = ends->peer;
    if (!client_is_trusted(s, &proxy))
        return -ERR_PROXY_PEER;
    int n = proxy_decode(in, &h);
    if (n <= 0)
        return n;
    take_ends(&h, ends);
    tell_proxy(s, ends, &proxy);
    return n;
}

/* ---- What fields tell ---- */

/* Gathered from the fields of one request. */
struct told {
    struct address peer;
    struct slice host, port, prefix, id;
    bool has_peer, has_scheme, secure;
};

/* Those that tell of the client or the request's way. X-Request-ID and X-Request-Start only tell of
 * the request. */
static bool is_known(enum header_id id)
{
    return id >= HEADER_FORWARDED && id <= HEADER_X_REAL_IP;
}

static bool is_forwarded(const struct field *f)
{
    static const struct slice begin = {"x-forwarded-", 12};
    if (f->id != HEADER_UNKNOWN)
        return is_known(f->id);
    return f->name.len > begin.len && (f->name.ptr[0] | 0x20) == 'x' &&
           slice_eq_nocase(slice_of(f->name.ptr, begin.len), begin);
}

static bool matters(const struct field *f)
{
    return is_forwarded(f) || f->id == HEADER_X_REQUEST_ID || f->id == HEADER_X_REQUEST_START;
}

static bool any_matters(const struct request *r)
{
    for (unsigned i = 0; i < r->count; i++)
        if (matters(&r->fields[i]))
            return true;
    return false;
}

static const struct field *last_field(const struct request *r, enum header_id id)
{
    for (unsigned i = r->count; i > 0; i--)
        if (r->fields[i - 1].id == id)
            return &r->fields[i - 1];
    return NULL;
}

/* Whether the field is believed and there. */
static bool is_told(const struct exchange *x, enum header_id id)
{
    return (x->server->rules.believed & bit_of(id)) && last_field(&x->request, id);
}

/* The last element of a believed field; empty when there is none. */
static struct slice last_value(const struct exchange *x, enum header_id id)
{
    const struct field *f = is_told(x, id) ? last_field(&x->request, id) : NULL;
    struct slice list = f ? f->value : SLICE(""), item;
    return f && list_take_last(&list, &item) ? item : SLICE("");
}

/* Takes one hop that a trusted one has told of. Whether to go on to the one before it. */
static bool take_hop(const struct exchange *x, struct slice text, struct told *t)
{
    struct node node;
    if (node_read(text, &node) || node.kind == NODE_HIDDEN)
        return false;
    address_of_bytes(&t->peer, node.host, node.kind == NODE_INET ? 4 : 16, node.port);
    t->has_peer = true;
    return client_is_trusted(x->server, &t->peer);
}

static void take_scheme(struct slice text, struct told *t)
{
    bool secure;
    if (forwarded_scheme(text, &secure))
        return;
    t->has_scheme = true;
    t->secure = secure;
}

static void take_host(struct exchange *x, struct slice text, struct told *t)
{
    if (host_ok(text))
        t->host = arena_copy(&x->arena, text); /* an unescaped one ends with its element */
}

/* One element of Forwarded: each says what the proxy that wrote it saw, so the one farthest away
 * that is still believed says what the client asked for. */
static bool take_element(struct exchange *x, const struct forwarded *f, struct told *t)
{
    take_scheme(f->proto, t);
    take_host(x, f->host, t);
    return f->client.ptr && take_hop(x, f->client, t);
}

static void take_forwarded(struct exchange *x, struct told *t)
{
    struct forwarded element;
    for (unsigned i = x->request.count; i > 0; i--) {
        struct slice list = x->request.fields[i - 1].value;
        int n = 0;
        if (x->request.fields[i - 1].id != HEADER_FORWARDED)
            continue;
        while ((n = forwarded_take_last(&list, &element)) > 0)
            if (!take_element(x, &element, t))
                return;
        if (n < 0)
            return;
    }
}

static void take_hops(struct exchange *x, struct told *t)
{
    for (unsigned i = x->request.count; i > 0; i--) {
        struct slice list = x->request.fields[i - 1].value, item;
        if (x->request.fields[i - 1].id != HEADER_X_FORWARDED_FOR)
            continue;
        while (list_take_last(&list, &item))
            if (!take_hop(x, item, t))
                return;
    }
}

static void take_x_forwarded(struct exchange *x, struct told *t)
{
    if (is_told(x, HEADER_X_FORWARDED_FOR))
        take_hops(x, t);
    take_scheme(last_value(x, HEADER_X_FORWARDED_PROTO), t);
    take_host(x, last_value(x, HEADER_X_FORWARDED_HOST), t);
}

/* How long ago a proxy took the request, without what has passed since its first byte came here. */
static void take_start(struct exchange *x)
{
    const struct field *f = last_field(&x->request, HEADER_X_REQUEST_START);
    int64_t start = f ? request_start(f->value) : -1;
    struct timespec t;
    if (start < 0)
        return;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t ago = t.tv_sec * (int64_t)SECOND + t.tv_nsec - start - (clock_ns() - x->times.begun);
    if (ago > 0 && ago < START_MOST * (int64_t)SECOND)
        x->times.ahead = ago;
}

static void take_all(struct exchange *x, struct told *t)
{
    const struct field *id = last_field(&x->request, HEADER_X_REQUEST_ID);
    struct slice port = last_value(x, HEADER_X_FORWARDED_PORT);
    if (is_told(x, HEADER_FORWARDED))
        take_forwarded(x, t);
    else
        take_x_forwarded(x, t);
    if (forwarded_port_ok(port))
        t->port = port;
    if (forwarded_prefix(last_value(x, HEADER_X_FORWARDED_PREFIX), &t->prefix))
        t->prefix = SLICE("");
    if (id && request_id_ok(id->value))
        t->id = id->value;
    take_start(x);
}

/* ---- What comes of it ---- */

/* The application sees the client's ends in place of the proxy's. */
static int put_ends(struct exchange *x, const struct told *t)
{
    if (!t->has_peer && !t->has_scheme)
        return 0;
    struct ends *ends = arena_alloc(&x->arena, sizeof *ends);
    if (!ends)
        return -ERR_MEMORY;
    *ends = *x->ends;
    if (t->has_peer) {
        ends->peer = t->peer;
        x->via = &x->ends->peer;
    }
    if (t->has_scheme) {
        ends->secure = t->secure;
        x->request.scheme = t->secure ? SLICE("https") : SLICE("http");
    }
    x->ends = ends;
    return 0;
}

static struct slice own_id(struct exchange *x)
{
    char text[EXCHANGE_ID + 1];
    exchange_id(x, text);
    return arena_copy(&x->arena, slice_of(text, EXCHANGE_ID));
}

/* Whether the application is to see the field. Of several ids it sees the one that counts. */
static bool is_kept(const struct exchange *x, const struct field *f, bool trusted)
{
    if (f->id == HEADER_X_REQUEST_ID)
        return f == last_field(&x->request, f->id);
    return trusted || !is_forwarded(f) || x->server->options->keep_untrusted_forwarded;
}

/* Copies the fields, without those that are not to be seen, and with what was told of host and id.
 */
static int put_fields(struct exchange *x, const struct told *t, bool trusted)
{
    struct request *r = &x->request;
    struct field *fields = arena_alloc(&x->arena, (r->count + 1) * sizeof *fields);
    struct slice id = t->id.len ? t->id : own_id(x);
    bool has_host = t->host.len == 0;
    unsigned count = 0;
    if (!fields || !id.ptr)
        return -ERR_MEMORY;
    for (unsigned i = 0; i < r->count; i++) {
        struct field f = r->fields[i];
        if (!is_kept(x, &r->fields[i], trusted))
            continue;
        if (f.id == HEADER_X_REQUEST_ID)
            f.value = id;
        if (f.id == HEADER_HOST && t->host.len)
            f.value = t->host;
        has_host = has_host || f.id == HEADER_HOST;
        fields[count++] = f;
    }
    if (!has_host)
        fields[count++] = (struct field){header_name(HEADER_HOST), t->host, HEADER_HOST};
    r->fields = fields;
    r->count = count;
    return 0;
}

/* request-id: one that no proxy gave an id has ours. */
static int add_id(struct exchange *x)
{
    struct request *r = &x->request;
    if (last_field(r, HEADER_X_REQUEST_ID))
        return 0;
    struct field *fields = arena_alloc(&x->arena, (r->count + 1) * sizeof *fields);
    struct slice id = own_id(x);
    if (!fields || !id.ptr)
        return -ERR_MEMORY;
    memcpy(fields, r->fields, r->count * sizeof *fields);
    fields[r->count++] = (struct field){header_name(HEADER_X_REQUEST_ID), id, HEADER_X_REQUEST_ID};
    r->fields = fields;
    return 0;
}

static int put_all(struct exchange *x, const struct told *t, bool trusted)
{
    struct request *r = &x->request;
    int err = put_fields(x, t, trusted);
    if (!err)
        err = put_ends(x, t);
    if (t->host.len)
        r->authority = t->host;
    r->told_host = t->host.len > 0;
    r->told_port = t->port;
    r->prefix = t->prefix;
    x->told_id = t->id;
    return err;
}

/* Whether what the request's fields tell comes from a peer that is trusted, and not from one behind
 * it whom nobody knows. */
static bool speaks_truly(const struct exchange *x)
{
    return !x->ends->stranger && client_is_trusted(x->server, &x->ends->peer);
}

int client_identify(struct exchange *x)
{
    struct told told = {.has_peer = false};
    int err = 0;
    if (any_matters(&x->request)) {
        bool trusted = speaks_truly(x);
        if (trusted)
            take_all(x, &told);
        err = put_all(x, &told, trusted);
    }
    return err || !x->server->options->request_id ? err : add_id(x);
}
