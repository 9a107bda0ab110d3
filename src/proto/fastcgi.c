/* FastCGI records and streams (fastcgi.h has the contract; sections are the specification's).
 *
 * The decoder is in a record's head, its content or its padding. Heads and contents of a fixed size
 * are read only when they are there as a whole; content of a stream is passed on as it comes. A
 * table tells for each type who sends it, whether it concerns a request, and what content it has;
 * a record that does not fit ends the connection, since nothing behind it can be trusted to be
 * where it should.
 *
 * Streams have to come in the order in which every application reads them: PARAMS, then STDIN, then
 * a Filter's DATA. The specification would let them mix, but its own library and everybody since
 * refuses that. A stream that has ended may be ended again, which some servers do, and an
 * Authorizer's STDIN may come, and is skipped.
 *
 * Records are sent without padding: it only makes them longer.
 *
 * Never allocates but in the buffer it appends to, never looks behind the bytes given. */
#include "proto/fastcgi.h"

#include "base/decimal.h"
#include "proto/chars.h"

enum { VERSION = 1, KEEP_CONN = 1, LENGTH_4 = 0x80 };

enum decoder_state { IN_HEAD, IN_FIXED, IN_STREAM, IN_SKIPPED, IN_PADDING, BROKEN };

enum request_state { WANTS_PARAMS, WANTS_STDIN, WANTS_DATA, WANTS_NOTHING };

/* What content a type of record has. */
enum content { CONTENT_NONE, CONTENT_BODY, CONTENT_PAIRS, CONTENT_STREAM };

struct rule {
    bool from_server, from_application, for_request;
    enum content content;
};

static const struct rule rules[FCGI_TYPES] = {
    [FCGI_BEGIN_REQUEST] = {true, false, true, CONTENT_BODY},
    [FCGI_ABORT_REQUEST] = {true, false, true, CONTENT_NONE},
    [FCGI_END_REQUEST] = {false, true, true, CONTENT_BODY},
    [FCGI_PARAMS] = {true, false, true, CONTENT_STREAM},
    [FCGI_STDIN] = {true, false, true, CONTENT_STREAM},
    [FCGI_STDOUT] = {false, true, true, CONTENT_STREAM},
    [FCGI_STDERR] = {false, true, true, CONTENT_STREAM},
    [FCGI_DATA] = {true, false, true, CONTENT_STREAM},
    [FCGI_GET_VALUES] = {true, false, false, CONTENT_PAIRS},
    [FCGI_GET_VALUES_RESULT] = {false, true, false, CONTENT_PAIRS},
    [FCGI_UNKNOWN_TYPE] = {false, true, false, CONTENT_BODY},
};

static uint16_t number16(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;

    return (uint16_t)(b[0] << 8 | b[1]);
}

static uint32_t number32(const char *p)
{
    return (uint32_t)number16(p) << 16 | number16(p + 2);
}

/* ---- Records ---- */

void fcgi_decoder_init(struct fcgi_decoder *d, enum fcgi_sender sender)
{
    *d = (struct fcgi_decoder){.sender = sender};
}

static int break_off(struct fcgi_decoder *d, int err)
{
    d->state = BROKEN;
    d->error = err;
    return err;
}

static bool is_known(uint8_t type)
{
    return type > FCGI_NOTHING && type < FCGI_TYPES;
}

/* Whether the content may be of the size that the head at hand says. */
static bool size_fits(const struct fcgi_decoder *d)
{
    switch (rules[d->type].content) {
    case CONTENT_NONE: return d->left == 0;
    case CONTENT_BODY: return d->left == FCGI_BODY;
    case CONTENT_PAIRS: return d->left <= FCGI_VALUES_MAX;
    case CONTENT_STREAM: return true;
    }
    __builtin_unreachable();
}

/* A record whose type does not exist, to be skipped: an application answers it when it concerns the
 * connection (section 4.2), and only then. */
static void meet_unknown(struct fcgi_decoder *d, struct fcgi_event *event)
{
    if (d->id == 0 && d->sender == FCGI_FROM_SERVER)
        *event = (struct fcgi_event){.type = FCGI_UNKNOWN_TYPE, .unknown = d->type};
    d->state = IN_SKIPPED;
}

static void meet_stream(struct fcgi_decoder *d, struct fcgi_event *event)
{
    d->state = IN_STREAM;
    if (d->left == 0)
        *event = (struct fcgi_event){.type = d->type, .id = d->id, .last = true};
}

/* Takes a record's head, which ends a stream when it announces none of it. */
static int take_head(struct fcgi_decoder *d, struct slice in, struct fcgi_event *event)
{
    const struct rule *rule;

    if (in.len > 0 && in.ptr[0] != VERSION)
        return break_off(d, -ERR_FCGI_VERSION);
    if (in.len < FCGI_HEAD)
        return 0;
    d->type = (uint8_t)in.ptr[1];
    d->id = number16(in.ptr + 2);
    d->left = number16(in.ptr + 4);
    d->padding = (uint8_t)in.ptr[6];
    if (!is_known(d->type)) {
        meet_unknown(d, event);
        return FCGI_HEAD;
    }
    rule = &rules[d->type];
    if (rule->for_request != (d->id != 0) ||
        !(d->sender == FCGI_FROM_SERVER ? rule->from_server : rule->from_application))
        return break_off(d, -ERR_FCGI_TYPE);
    if (!size_fits(d))
        return break_off(d, -ERR_FCGI_CONTENT);
    if (rule->content == CONTENT_STREAM)
        meet_stream(d, event);
    else
        d->state = IN_FIXED;
    return FCGI_HEAD;
}

/* The event of a record whose content is read as a whole. */
static struct fcgi_event fixed_event(const struct fcgi_decoder *d, struct slice content)
{
    struct fcgi_event event = {.type = d->type, .id = d->id};

    if (d->type == FCGI_BEGIN_REQUEST) {
        event.role = number16(content.ptr);
        event.keep = content.ptr[2] & KEEP_CONN;
    } else if (d->type == FCGI_END_REQUEST) {
        event.app_status = number32(content.ptr);
        event.status = (uint8_t)content.ptr[4];
    } else if (d->type == FCGI_UNKNOWN_TYPE) {
        event.unknown = (uint8_t)content.ptr[0];
    } else {
        event.bytes = content;
    }
    return event;
}

static int take_fixed(struct fcgi_decoder *d, struct slice in, struct fcgi_event *event)
{
    int size = d->left;

    if (in.len < d->left)
        return 0;
    *event = fixed_event(d, slice_of(in.ptr, d->left));
    d->left = 0;
    d->state = IN_PADDING;
    return size;
}

/* The content that is there. */
static struct slice take_content(struct fcgi_decoder *d, struct slice in)
{
    size_t n = in.len < d->left ? in.len : d->left;

    d->left = (uint16_t)(d->left - n);
    if (d->left == 0)
        d->state = IN_PADDING;
    return slice_of(in.ptr, n);
}

static int take_stream(struct fcgi_decoder *d, struct slice in, struct fcgi_event *event)
{
    struct slice bytes = take_content(d, in);

    if (bytes.len)
        *event = (struct fcgi_event){.type = d->type, .id = d->id, .bytes = bytes};
    return (int)bytes.len;
}

static int take_padding(struct fcgi_decoder *d, struct slice in)
{
    size_t n = in.len < d->padding ? in.len : d->padding;

    d->padding = (uint8_t)(d->padding - n);
    if (d->padding == 0)
        d->state = IN_HEAD;
    return (int)n;
}

static int take(struct fcgi_decoder *d, struct slice in, struct fcgi_event *event)
{
    switch ((enum decoder_state)d->state) {
    case IN_HEAD: return take_head(d, in, event);
    case IN_FIXED: return take_fixed(d, in, event);
    case IN_STREAM: return take_stream(d, in, event);
    case IN_SKIPPED: return (int)take_content(d, in).len;
    case IN_PADDING: return take_padding(d, in);
    case BROKEN: return d->error;
    }
    __builtin_unreachable();
}

/* A step that takes nothing but goes on to another state (no content, no padding) is followed by
 * that state's. */
int fcgi_decode(struct fcgi_decoder *d, struct slice in, struct fcgi_event *event)
{
    size_t taken = 0;
    uint8_t before;
    int n;

    *event = (struct fcgi_event){.type = FCGI_NOTHING};
    do {
        before = d->state;
        n = take(d, slice_skip(in, taken), event);
        if (n < 0)
            return n;
        taken += (size_t)n;
    } while (event->type == FCGI_NOTHING && (n > 0 || d->state != before));
    return (int)taken;
}

/* ---- Name-value pairs (section 3.4) ---- */

static bool take_length(struct slice *in, size_t *out)
{
    size_t size;

    if (in->len == 0)
        return false;
    size = (uint8_t)in->ptr[0] & LENGTH_4 ? 4 : 1;
    if (in->len < size)
        return false;
    *out = size == 1 ? (uint8_t)in->ptr[0] : number32(in->ptr) & 0x7fffffffu;
    *in = slice_skip(*in, size);
    return true;
}

static bool take_text(struct slice *in, size_t len, struct slice *out)
{
    if (len > in->len)
        return false;
    *out = slice_of(in->ptr, len);
    *in = slice_skip(*in, len);
    return true;
}

static bool take_pair(struct slice *in, struct var *out)
{
    size_t name, value;

    return take_length(in, &name) && take_length(in, &value) && take_text(in, name, &out->name) &&
           take_text(in, value, &out->value);
}

int fcgi_decode_pairs(struct slice pairs, struct vars *vars)
{
    unsigned before = vars->count;
    struct var v;
    int err = 0;

    while (pairs.len > 0 && err == 0)
        err = take_pair(&pairs, &v) ? vars_add(vars, v.name, v.value) : -ERR_VARS;
    if (err)
        vars->count = before;
    return err;
}

/* ---- An application's side ---- */

void fcgi_acceptor_init(struct fcgi_acceptor *a, struct fcgi_request *requests, unsigned room)
{
    *a = (struct fcgi_acceptor){.requests = requests, .room = room};
    fcgi_decoder_init(&a->decoder, FCGI_FROM_SERVER);
}

/* The place of a request; with id 0, a free one. NULL when there is none. */
static struct fcgi_request *find(struct fcgi_acceptor *a, uint16_t id)
{
    for (unsigned i = 0; i < a->room; i++)
        if (a->requests[i].id == id)
            return &a->requests[i];
    return NULL;
}

static int accept_begin(struct fcgi_acceptor *a, struct fcgi_event *event)
{
    if (find(a, event->id))
        return -ERR_FCGI_ORDER;
    if (event->role < FCGI_RESPONDER || event->role > FCGI_FILTER) {
        event->status = FCGI_UNKNOWN_ROLE;
        return 0;
    }
    event->request = find(a, 0);
    if (event->request)
        *event->request = (struct fcgi_request){
            .id = event->id, .role = (uint8_t)event->role, .keep = event->keep};
    else
        event->status = a->room == 1 ? FCGI_CANT_MPX_CONN : FCGI_OVERLOADED;
    return 0;
}

static enum request_state stream_state(enum fcgi_type type)
{
    if (type == FCGI_PARAMS)
        return WANTS_PARAMS;
    return type == FCGI_STDIN ? WANTS_STDIN : WANTS_DATA;
}

/* What a request wants when a stream of its role has ended. */
static enum request_state next_state(const struct fcgi_request *r)
{
    if (r->state == WANTS_PARAMS && r->role != FCGI_AUTHORIZER)
        return WANTS_STDIN;
    return r->state == WANTS_STDIN && r->role == FCGI_FILTER ? WANTS_DATA : WANTS_NOTHING;
}

static int accept_stream(struct fcgi_event *event)
{
    struct fcgi_request *r = event->request;

    if (r->state == stream_state(event->type)) {
        if (event->last)
            r->state = (uint8_t)next_state(r);
        return 0;
    }
    if (r->state < stream_state(event->type) ||
        (event->type == FCGI_DATA && r->role != FCGI_FILTER))
        return -ERR_FCGI_ORDER;
    if (!event->last && !(event->type == FCGI_STDIN && r->role == FCGI_AUTHORIZER))
        return -ERR_FCGI_ORDER;
    event->type = FCGI_NOTHING;
    return 0;
}

int fcgi_accept(struct fcgi_acceptor *a, struct slice in, struct fcgi_event *event)
{
    int taken = fcgi_decode(&a->decoder, in, event), err = 0;

    if (event->type == FCGI_BEGIN_REQUEST) {
        err = accept_begin(a, event);
    } else if (event->id) {
        event->request = find(a, event->id);
        if (!event->request)
            event->type = FCGI_NOTHING;
        else if (event->type != FCGI_ABORT_REQUEST)
            err = accept_stream(event);
    }
    return err ? break_off(&a->decoder, err) : taken;
}

void fcgi_ended(struct fcgi_request *request)
{
    *request = (struct fcgi_request){0};
}

/* ---- Encoding ---- */

void fcgi_encode_head(char out[static FCGI_HEAD], enum fcgi_type type, uint16_t id, uint16_t length,
                      uint8_t padding)
{
    out[0] = VERSION;
    out[1] = (char)type;
    out[2] = (char)(id >> 8);
    out[3] = (char)(id & 0xff);
    out[4] = (char)(length >> 8);
    out[5] = (char)(length & 0xff);
    out[6] = (char)padding;
    out[7] = 0;
}

/* Room for `size` bytes, or NULL with the reason in *err. */
static char *reserve(struct buf *b, size_t size, int *err)
{
    char *room = size > b->cap - buf_len(b) ? NULL : buf_reserve(b, size);

    *err = room ? 0 : size > b->cap - buf_len(b) ? -ERR_FULL : -ERR_MEMORY;
    return room;
}

/* A record of one stream being written: content is put in as it comes, and heads where they
 * belong. */
struct writer {
    char *at;
    size_t left;   /* content still to come, over all records */
    uint16_t here; /* of it, in the record at hand */
    uint16_t id;
    enum fcgi_type type;
};

/* The size of a stream's piece with its heads, or SIZE_MAX. */
static size_t framed_size(size_t content)
{
    size_t records = content / FCGI_CONTENT_MAX + (content % FCGI_CONTENT_MAX != 0), size;

    return __builtin_add_overflow(content, records * FCGI_HEAD, &size) ? SIZE_MAX : size;
}

static void put(struct writer *w, struct slice s)
{
    while (s.len) {
        size_t n;

        if (w->here == 0) {
            w->here = (uint16_t)(w->left < FCGI_CONTENT_MAX ? w->left : FCGI_CONTENT_MAX);
            fcgi_encode_head(w->at, w->type, w->id, w->here, 0);
            w->at += FCGI_HEAD;
        }
        n = s.len < w->here ? s.len : w->here;
        memcpy(w->at, s.ptr, n);
        w->at += n;
        w->here = (uint16_t)(w->here - n);
        w->left -= n;
        s = slice_skip(s, n);
    }
}

int fcgi_encode_stream(struct buf *b, enum fcgi_type type, uint16_t id, struct slice bytes)
{
    size_t size = bytes.len ? framed_size(bytes.len) : FCGI_HEAD;
    int err;
    char *at = reserve(b, size, &err);
    struct writer w = {.at = at, .left = bytes.len, .id = id, .type = type};

    if (!at)
        return err;
    if (bytes.len)
        put(&w, bytes);
    else
        fcgi_encode_head(at, type, id, 0, 0);
    buf_added(b, size);
    return 0;
}

/* A length in its shortest form; returns its size. */
static size_t encode_length(char out[static 4], size_t len)
{
    if (len < LENGTH_4) {
        out[0] = (char)len;
        return 1;
    }
    out[0] = (char)(len >> 24 | LENGTH_4);
    out[1] = (char)(len >> 16 & 0xff);
    out[2] = (char)(len >> 8 & 0xff);
    out[3] = (char)(len & 0xff);
    return 4;
}

static size_t encode_lengths(char out[static 8], const struct var *v)
{
    size_t n = encode_length(out, v->name.len);

    return n + encode_length(out + n, v->value.len);
}

/* The size of all pairs, or -ERR_FULL when it cannot be told. */
static int pairs_size(const struct vars *vars, size_t *size)
{
    char lengths[8];

    *size = 0;
    for (unsigned i = 0; i < vars->count; i++) {
        const struct var *v = &vars->list[i];

        if (v->name.len > INT32_MAX || v->value.len > INT32_MAX ||
            __builtin_add_overflow(*size, v->name.len + v->value.len, size) ||
            __builtin_add_overflow(*size, encode_lengths(lengths, v), size))
            return -ERR_FULL;
    }
    return 0;
}

static void put_pairs(struct writer *w, const struct vars *vars)
{
    char lengths[8];

    for (unsigned i = 0; i < vars->count; i++) {
        put(w, slice_of(lengths, encode_lengths(lengths, &vars->list[i])));
        put(w, vars->list[i].name);
        put(w, vars->list[i].value);
    }
}

int fcgi_encode_params(struct buf *b, uint16_t id, const struct vars *vars)
{
    struct writer w = {.id = id, .type = FCGI_PARAMS};
    int err = pairs_size(vars, &w.left);
    size_t size = framed_size(w.left);

    if (err || __builtin_add_overflow(size, FCGI_HEAD, &size))
        return -ERR_FULL;
    w.at = reserve(b, size, &err);
    if (!w.at)
        return err;
    put_pairs(&w, vars);
    fcgi_encode_head(w.at, FCGI_PARAMS, id, 0, 0);
    buf_added(b, size);
    return 0;
}

static int encode_fixed(struct buf *b, enum fcgi_type type, uint16_t id,
                        const char body[static FCGI_BODY])
{
    return fcgi_encode_stream(b, type, id, slice_of(body, FCGI_BODY));
}

int fcgi_encode_begin(struct buf *b, uint16_t id, enum fcgi_role role, bool keep)
{
    const char body[FCGI_BODY] = {0, (char)role, keep ? KEEP_CONN : 0};

    return encode_fixed(b, FCGI_BEGIN_REQUEST, id, body);
}

int fcgi_encode_abort(struct buf *b, uint16_t id)
{
    return fcgi_encode_stream(b, FCGI_ABORT_REQUEST, id, SLICE(""));
}

int fcgi_encode_end(struct buf *b, uint16_t id, uint32_t app_status, enum fcgi_status status)
{
    const char body[FCGI_BODY] = {(char)(app_status >> 24), (char)(app_status >> 16 & 0xff),
                                  (char)(app_status >> 8 & 0xff), (char)(app_status & 0xff),
                                  (char)status};

    return encode_fixed(b, FCGI_END_REQUEST, id, body);
}

int fcgi_encode_unknown(struct buf *b, uint8_t type)
{
    const char body[FCGI_BODY] = {(char)type};

    return encode_fixed(b, FCGI_UNKNOWN_TYPE, 0, body);
}

/* ---- GET_VALUES (section 4.1) ---- */

enum ability { MAX_CONNS, MAX_REQS, MPXS_CONNS, ABILITIES };

static const struct slice ability_names[ABILITIES] = {
    [MAX_CONNS] = {"FCGI_MAX_CONNS", 14},
    [MAX_REQS] = {"FCGI_MAX_REQS", 13},
    [MPXS_CONNS] = {"FCGI_MPXS_CONNS", 15},
};

/* The ability of that name, or ABILITIES. */
static enum ability ability_of(struct slice name)
{
    unsigned i = 0;

    while (i < ABILITIES && !slice_eq(name, ability_names[i]))
        i++;
    return (enum ability)i;
}

/* One record of pairs; they are few and short. */
static int encode_pairs(struct buf *b, enum fcgi_type type, const struct vars *vars)
{
    struct writer w = {.type = type};
    size_t size;
    int err = pairs_size(vars, &w.left);

    if (err)
        return err;
    if (w.left == 0)
        return fcgi_encode_stream(b, type, 0, SLICE(""));
    size = framed_size(w.left);
    w.at = reserve(b, size, &err);
    if (w.at) {
        put_pairs(&w, vars);
        buf_added(b, size);
    }
    return err;
}

int fcgi_encode_get_values(struct buf *b)
{
    struct var list[ABILITIES];
    struct vars asked = {.list = list, .count = ABILITIES, .room = ABILITIES};

    for (unsigned i = 0; i < ABILITIES; i++)
        list[i] = (struct var){ability_names[i], SLICE("")};
    return encode_pairs(b, FCGI_GET_VALUES, &asked);
}

int fcgi_encode_values(struct buf *b, struct slice asked, const struct fcgi_abilities *abilities)
{
    const unsigned values[ABILITIES] = {abilities->connections, abilities->requests,
                                        abilities->multiplexes};
    char texts[ABILITIES][DECIMAL_MAX];
    struct var list[ABILITIES], v;
    struct vars known = {.list = list, .room = ABILITIES};
    bool told[ABILITIES] = {false};

    while (asked.len) {
        enum ability i;

        if (!take_pair(&asked, &v))
            return -ERR_VARS;
        i = ability_of(v.name);
        if (i == ABILITIES || told[i])
            continue;
        told[i] = true;
        vars_add(&known, v.name, decimal(values[i], texts[i]));
    }
    return encode_pairs(b, FCGI_GET_VALUES_RESULT, &known);
}

static bool read_number(struct slice text, unsigned *out)
{
    unsigned n = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!char_is(text.ptr[i], CHAR_DIGIT) || __builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (unsigned)(text.ptr[i] - '0'), &n))
            return false;
    }
    *out = n;
    return text.len > 0;
}

int fcgi_decode_values(struct slice pairs, struct fcgi_abilities *abilities)
{
    unsigned values[ABILITIES] = {abilities->connections, abilities->requests,
                                  abilities->multiplexes};
    struct var v;

    while (pairs.len) {
        enum ability i;

        if (!take_pair(&pairs, &v))
            return -ERR_VARS;
        i = ability_of(v.name);
        if (i < ABILITIES && !read_number(v.value, &values[i]))
            return -ERR_VARS;
    }
    *abilities =
        (struct fcgi_abilities){values[MAX_CONNS], values[MAX_REQS], values[MPXS_CONNS] != 0};
    return 0;
}
