/* The exchange: its life between wire and handler (exchange.h has the contract).
 *
 * What every wire would do alike is done here: bodies taken in whole and their limit, the claim,
 * the phases, what is logged and counted at the end, the short pages for errors. It does no I/O and
 * knows no protocol. */
#include "http/exchange.h"

#include <stdlib.h>

#include "base/decimal.h"
#include "http/accesslog.h"
#include "http/client.h"
#include "http/quota.h"
#include "http/server.h"
#include "proto/status.h"

enum {
    ARENA_CAP =
        1024 * 1024,    /* heads are capped by options; this is for what handlers put behind them */
    SPOOL_PIECE = 4096, /* bytes of a body in a file that are written at once, or more */
};

void exchange_init(struct exchange *x, struct server *server, const struct wire_ops *wire,
                   void *block, size_t size)
{
    *x = (struct exchange){
        .wire = wire,
        .handler = server->handler,
        .server = server,
        .id = ++server->next_id,
        .body.fd = -1,
        .times.begun = clock_ns(),
    };
    slot_add(server->slot, active, 1u);
    arena_init(&x->arena, ARENA_CAP, block, size);
    buf_init(&x->gathered, BODY_MEMORY);
    spool_init(&x->spool, server);
}

bool exchange_wants_body(const struct exchange *x)
{
    return x->handler->ops->whole_body && !x->begun;
}

static int call_handler(struct exchange *x)
{
    if (server_is_full(x->server))
        return -ERR_BUSY;
    x->begun = true;
    x->server->serving++;
    x->times.complete = x->in_parts ? clock_ns() : x->times.begun;
    return x->handler->ops->request(x->handler, x);
}

int exchange_begin(struct exchange *x)
{
    int err = client_identify(x);
    if (!err)
        err = quota_take(x);
    if (err)
        return err;
    if (x->request.length > x->server->options->max_body)
        return -ERR_BODY_TOO_LARGE;
    if (server_is_full(x->server))
        return -ERR_BUSY; /* before a body is read for nothing */
    if (x->handler->ops->whole_body && x->request.length != 0)
        return 0;
    return call_handler(x);
}

int64_t exchange_taken(const struct exchange *x)
{
    return x->spool.size + (int64_t)buf_len(&x->gathered);
}

/* Moves what is gathered in memory to the file. */
static int spill(struct exchange *x)
{
    if (buf_len(&x->gathered) == 0)
        return 0;
    int err = spool_put(&x->spool, buf_bytes(&x->gathered));
    if (!err)
        buf_free(&x->gathered);
    return err;
}

/* Into memory as long as it fits; with what does not, everything moves to a file, to which small
 * pieces go together: a body may come in chunks of one byte. */
static int gather(struct exchange *x, struct slice bytes)
{
    size_t most = x->spool.size ? SPOOL_PIECE : BODY_MEMORY;
    if (bytes.len <= most - buf_len(&x->gathered))
        return buf_put(&x->gathered, bytes);
    int err = spill(x);
    if (err)
        return err;
    return bytes.len < SPOOL_PIECE ? buf_put(&x->gathered, bytes) : spool_put(&x->spool, bytes);
}

int exchange_take(struct exchange *x, struct slice bytes, bool last)
{
    if ((int64_t)bytes.len > x->server->options->max_body - exchange_taken(x))
        return -ERR_BODY_TOO_LARGE;
    int err = bytes.len ? gather(x, bytes) : 0;
    if (err || !last)
        return err;
    if (x->spool.size == 0)
        return exchange_lend(x, buf_bytes(&x->gathered));
    err = spill(x);
    if (err)
        return err;
    x->body = (struct body){.length = x->spool.size, .fd = x->spool.fd};
    x->request.length = x->body.length;
    return call_handler(x);
}

int exchange_lend(struct exchange *x, struct slice bytes)
{
    x->body = (struct body){.bytes = bytes, .length = (int64_t)bytes.len, .fd = -1};
    x->request.length = x->body.length;
    return call_handler(x);
}

bool exchange_claim(struct exchange *x, enum claim to)
{
    uint32_t open = CLAIM_OPEN;
    return atomic_compare_exchange_strong(&x->claim, &open, (uint32_t)to);
}

/* Copies a head into the arena; NULL without room, and then it is not logged. */
static const struct head *copy_head(struct arena *a, const struct head *head)
{
    struct head *copy = arena_alloc(a, sizeof *copy);
    struct field *fields = arena_alloc(a, (head->count + 1) * sizeof *fields);
    if (!copy || !fields)
        return NULL;
    *copy = (struct head){.status = head->status, .fields = fields, .count = head->count};
    for (unsigned i = 0; i < head->count; i++) {
        const struct field *f = &head->fields[i];
        fields[i] = (struct field){arena_copy(a, f->name), arena_copy(a, f->value), f->id};
        if (!fields[i].name.ptr || !fields[i].value.ptr)
            return NULL;
    }
    return copy;
}

void exchange_started(struct exchange *x, const struct head *head)
{
    x->status = head->status;
    if (x->server->access && access_log_wants_head(x->server->access))
        x->logged = copy_head(&x->arena, head);
}

void exchange_end(struct exchange *x)
{
    struct server *s = x->server;
    if (!x->times.ended)
        x->times.ended = clock_ns();
    s->loop->clock.now = x->times.ended / 1000000; /* the call may have taken long */
    if (s->access && x->status)
        access_log_put(s->access, s->loop, x);
    if (x->status)
        slot_add(s->slot, requests, 1u);
    if (x->error == ERR_APP || x->error == ERR_SHORT_BODY)
        slot_add(s->slot, failed, 1u);
    slot_add(s->slot, active, -1u);
    if (x->begun)
        s->serving--;
    buf_free(&x->gathered);
    spool_free(&x->spool);
    arena_free(&x->arena);
}

/* Joins up to six slices in the arena. */
static struct slice join(struct arena *a, const struct slice *parts, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    char *out = arena_alloc(a, len + 1);
    if (!out)
        return SLICE("");
    char *p = out;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len)
            memcpy(p, parts[i].ptr, parts[i].len);
        p += parts[i].len;
    }
    return slice_of(out, len);
}

int exchange_page(struct exchange *x, int status, struct slice detail)
{
    char digits[DECIMAL_MAX];
    struct slice phrase = status_phrase(status);
    const struct slice parts[] = {
        decimal((uint64_t)status, digits),    SLICE(" "), phrase, SLICE("\n"), detail,
        detail.len ? SLICE("\n") : SLICE(""),
    };
    struct slice text = join(&x->arena, parts, sizeof parts / sizeof *parts);
    const struct field fields[] = {
        {SLICE("Content-Type"), SLICE("text/plain; charset=utf-8"), HEADER_CONTENT_TYPE},
        {SLICE("Retry-After"), SLICE("1"),
         HEADER_RETRY_AFTER}, /* RFC 9110, section 15.6.4; RFC 6585, section 4 */
    };
    const struct head head = {
        .status = status, .fields = fields, .count = status == 503 || status == 429 ? 2 : 1};
    int err = x->wire->start(x, &head, (int64_t)text.len);
    if (err == 0)
        err = x->wire->write(x, &(struct chunk){.kind = CHUNK_BYTES, .bytes = text});
    return err < 0 ? err : x->wire->finish(x, NULL);
}

struct slice exchange_name(const struct exchange *x, char out[static EXCHANGE_ID + 1])
{
    if (x->told_id.len)
        return x->told_id;
    exchange_id(x, out);
    return slice_of(out, EXCHANGE_ID);
}

void exchange_id(const struct exchange *x, char out[static EXCHANGE_ID + 1])
{
    for (int i = 0; i < EXCHANGE_ID; i++)
        out[i] = "0123456789abcdef"[(x->id >> (4 * (EXCHANGE_ID - 1 - i))) & 15];
    out[EXCHANGE_ID] = '\0';
}

const struct field *request_field(const struct request *r, enum header_id id)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->fields[i].id == id)
            return &r->fields[i];
    return NULL;
}
