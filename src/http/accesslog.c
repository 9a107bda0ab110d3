/* The access log: formats compiled once, lines written by small functions into a buffer on the
 * stack.
 *
 * A format becomes an array of pieces. Each has the literal text that stands before it and one
 * function that writes its value; the table `atoms` names them. `combined` and `json` are formats
 * like any other; in `json` the same functions write strings with their quotes and null for what
 * does not exist. So a line costs one indirect call for each atom and no allocation; numbers are
 * written by hand, and the time is made text once a second.
 *
 * A value takes at most VALUE_CAP bytes and a line at most LINE_CAP; what is longer is cut and
 * marked. A string of `json` takes at most JSON_CAP, and all of them together fit into a line, so
 * that it is valid whatever is cut.
 *
 * Relies on: the sink, which never waits; the loop's clock for the wall time; the exchange's own
 * times. Never reads a field of the request but through the exchange, never blocks, never logs
 * about itself, never writes a field or a query that the options redact. */
#include "http/accesslog.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/decimal.h"
#include "base/log.h"
#include "base/sink.h"
#include "http/server.h"
#include "proto/scan.h"

enum {
    LINE_CAP = 8192,
    LINE_TAIL = 16,   /* what stays free for the mark of a cut line and its newline */
    VALUE_CAP = 2048, /* of one value, escaped */
    JSON_CAP = 1024,  /* of one string of `json` */
    USER_CAP = 192,   /* base64 of "user:password" that is looked at */
    PIECES_MAX = 128,
    FORMAT_MAX = 4096,
    MEMORY_CAP = 256 * 1024, /* of the format and the environment it names */
    SINK_CAP = 256 * 1024,
    RETRY_MS = 100,  /* how soon a log that was full is tried again without new lines */
    TELL_MS = 60000, /* how often the error log is told of lost lines */
    CLOSE_MS = 1000,
    LOCAL_LEN = 28, /* "[10/Oct/2000:13:55:36 -0700]" */
    UTC_LEN = 20,   /* "2000-10-10T20:55:36Z" */
};

static const char combined[] = "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"";
static const char json[] =
    "{\"time\":%(time)s,\"id\":%(id)s,\"peer\":%(h)s,\"proxy\":%(proxy)s,\"user\":%(u)s,\"scheme\":"
    "%(S)s,"
    "\"host\":%(host)s,\"method\":%(m)s,\"path\":%(U)s,\"query\":%(q)s,"
    "\"protocol\":%(H)s,\"status\":%(s)s,\"bytes\":%(B)s,\"referer\":%(f)s,"
    "\"user_agent\":%(a)s,\"duration_us\":%(D)s,\"read_us\":%(read)s,"
    "\"queue_us\":%(queue)s,\"gil_us\":%(gil)s,\"app_us\":%(app)s,\"send_us\":%(send)s,\"pid\":%("
    "pid)s}";

/* A line while it is written. */
struct line {
    char *at, *end; /* at `end` LINE_TAIL bytes are still free */
    bool json;
    bool cut;
    const struct access_log *log;
    const struct exchange *x;
};

/* One value of a line and the text before it. */
struct piece {
    struct slice before;
    void (*put)(struct line *o, const struct piece *p); /* NULL: only the text */
    struct slice name;                                  /* of the field */
};

struct access_log {
    struct sink sink;
    struct loop *loop; /* once a line was put, as is the error log */
    struct log *log;
    int64_t tell_at; /* not before then are lost lines told of again */
    struct deferred flush;
    struct timer retry;
    struct closing closing;
    int64_t second; /* that `local` and `utc` are of */
    char local[LOCAL_LEN + 1];
    char utc[UTC_LEN + 1];
    char pid[16];
    bool json;
    bool wants_head;
    unsigned count;
    struct arena
        memory; /* of the format's copy, which the pieces' literals and names are slices of */
    struct piece pieces[PIECES_MAX];
};

/* Writing
 * ----------------------------------------------------------------------------------------------------------
 */

static size_t line_room(const struct line *o, size_t cap)
{
    size_t left = (size_t)(o->end - o->at);
    return left < cap ? left : cap;
}

static void line_raw(struct line *o, struct slice s)
{
    size_t n = line_room(o, s.len);
    if (n)
        memcpy(o->at, s.ptr, n);
    o->at += n;
    o->cut |= n < s.len;
}

static void line_number(struct line *o, int64_t value)
{
    char digits[DECIMAL_MAX];
    line_raw(o, decimal(value < 0 ? 0 : (uint64_t)value, digits));
}

static void line_none(struct line *o)
{
    line_raw(o, o->json ? SLICE("null") : SLICE("-"));
}

static bool is_clean(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static scan_hits scan_unclean(scan_bytes b)
{
    return ((b - 0x20) > 0x5e) | (b == '"') | (b == '\\');
}

/* How many bytes at the start of `s` stand in a log as they are: usually all. */
static size_t clean_length(struct slice s)
{
    size_t i = 0;
    for (; s.len - i >= sizeof(scan_bytes); i += sizeof(scan_bytes)) {
        scan_bytes bytes;
        memcpy(&bytes, s.ptr + i, sizeof bytes);
        unsigned first = scan_first(scan_unclean(bytes));
        if (first < sizeof bytes)
            return i + first;
    }
    while (i < s.len && is_clean(s.ptr[i]))
        i++;
    return i;
}

/* How long `s` is when it is escaped: what is not clean grows from one byte to four. */
static size_t escaped_length(struct slice s)
{
    size_t n = s.len;
    for (size_t i = clean_length(s); i < s.len; i++)
        n += is_clean(s.ptr[i]) ? 0 : 3;
    return n;
}

/* Writes `s` as the error log would, at most VALUE_CAP bytes of it. */
static void line_plain(struct line *o, struct slice s)
{
    size_t room = line_room(o, VALUE_CAP);
    if (s.len <= room && clean_length(s) == s.len) {
        line_raw(o, s);
        return;
    }
    if (s.len <= room && escaped_length(s) <= room) {
        o->at += log_escape(s, o->at, room);
        return;
    }
    if (room < 3) {
        o->cut = true;
        return;
    }
    o->at += log_escape(s, o->at, room - 3);
    line_raw(o, SLICE("..."));
}

/* The length of the UTF-8 sequence at the start of `s` (RFC 3629: shortest form, no surrogates, at
 * most U+10FFFF) when it may stand in a log: printable ASCII, or U+00A0 and above. 0 otherwise. */
static size_t utf8_length(struct slice s)
{
    const unsigned char *b = (const unsigned char *)s.ptr;
    if (b[0] < 0x80)
        return b[0] >= 0x20 && b[0] != 0x7f;
    size_t len = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
    if (b[0] < 0xc2 || b[0] > 0xf4 || s.len < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    if ((b[0] == 0xc2 && b[1] < 0xa0) || (b[0] == 0xe0 && b[1] < 0xa0) ||
        (b[0] == 0xed && b[1] > 0x9f) || (b[0] == 0xf0 && b[1] < 0x90) ||
        (b[0] == 0xf4 && b[1] > 0x8f))
        return 0;
    return len;
}

/* Writes one character, or one byte that is none as \u00HH, and returns how many bytes of `s` it
 * was. */
static size_t json_character(struct line *o, struct slice s)
{
    static const char hex[] = "0123456789abcdef";
    size_t len = utf8_length(s);
    unsigned char c = (unsigned char)s.ptr[0];
    if (len == 0) {
        memcpy(o->at, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        o->at += 6;
        return 1;
    }
    if (c == '"' || c == '\\')
        *o->at++ = '\\';
    memcpy(o->at, s.ptr, len);
    o->at += len;
    return len;
}

/* Writes `s` as a JSON string (RFC 8259) of at most JSON_CAP bytes. */
static void line_json(struct line *o, struct slice s)
{
    enum { MOST = 6, CLOSING = sizeof "...\"" - 1 };
    size_t room = line_room(o, JSON_CAP);
    if (room < 1 + MOST + CLOSING) {
        o->cut = true;
        return;
    }
    const char *limit = o->at + room - MOST - CLOSING;
    *o->at++ = '"';
    size_t most = (size_t)(limit - o->at);
    size_t clean = clean_length(slice_of(s.ptr, s.len < most ? s.len : most));
    line_raw(o, slice_of(s.ptr, clean));
    s = slice_skip(s, clean);
    while (s.len && o->at <= limit)
        s = slice_skip(s, json_character(o, s));
    line_raw(o, s.len ? SLICE("...\"") : SLICE("\""));
}

static void line_text(struct line *o, struct slice s)
{
    if (s.len == 0)
        line_none(o);
    else if (o->json)
        line_json(o, s);
    else
        line_plain(o, s);
}

/* The time between two moments in microseconds; nothing when one of them never came. */
static void line_phase(struct line *o, int64_t from, int64_t to)
{
    if (from && to >= from)
        line_number(o, (to - from) / 1000);
    else
        line_none(o);
}

/* How long the exchange has taken in all, in nanoseconds. */
static int64_t line_duration(const struct line *o)
{
    const struct times *t = &o->x->times;
    int64_t end = t->ended ? t->ended : clock_ns();
    return t->begun && end > t->begun ? end - t->begun : 0;
}

/* Values
 * -----------------------------------------------------------------------------------------------------------
 */

static void put_octets(struct line *o, const struct sockaddr_in *in)
{
    uint32_t host = ntohl(in->sin_addr.s_addr);
    for (unsigned shift = 24;; shift -= 8) {
        line_number(o, host >> shift & 0xff);
        if (shift == 0)
            return;
        line_raw(o, SLICE("."));
    }
}

/* IPv4 by hand: inet_ntop() costs more than the rest of the line. */
static void put_host(struct line *o, const struct piece *p)
{
    (void)p;
    const struct sockaddr_storage *peer = &o->x->ends->peer.storage;
    if (peer->ss_family == AF_INET && !o->json) {
        put_octets(o, (const struct sockaddr_in *)peer);
        return;
    }
    char text[ADDRESS_TEXT];
    line_text(o, slice_of(text, address_host(&o->x->ends->peer, text)));
}

/* The peer that told of another client. */
static void put_proxy(struct line *o, const struct piece *p)
{
    char text[ADDRESS_TEXT];
    (void)p;
    line_text(o, slice_of(text, o->x->via ? address_text(o->x->via, text) : 0));
}

static void put_nothing(struct line *o, const struct piece *p)
{
    (void)p;
    line_none(o);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes base64 (RFC 4648) into out, which has room for three bytes for each four, up to the first
 * ':'. Returns the bytes before it; 0 when there is none or the text is not base64. */
static size_t decode_user(struct slice in, char *out)
{
    unsigned bits = 0, have = 0;
    size_t len = 0;
    for (size_t i = 0; i < in.len; i++) {
        int value = base64_value(in.ptr[i]);
        if (value < 0)
            return 0;
        bits = bits << 6 | (unsigned)value;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        char c = (char)(bits >> have & 0xff);
        if (c == ':')
            return len;
        out[len++] = c;
    }
    return 0;
}

/* The user of `Authorization: Basic …` (RFC 7617); the password never reaches the log. */
static void put_user(struct line *o, const struct piece *p)
{
    (void)p;
    const struct field *f = request_field(&o->x->request, HEADER_AUTHORIZATION);
    if (!f || f->value.len < 6 || strncasecmp(f->value.ptr, "Basic ", 6) != 0) {
        line_none(o);
        return;
    }
    struct slice secret = slice_skip(f->value, 6);
    while (secret.len && secret.ptr[0] == ' ')
        secret = slice_skip(secret, 1);
    if (secret.len > USER_CAP)
        secret.len = USER_CAP;
    char user[USER_CAP];
    line_text(o, slice_of(user, decode_user(secret, user)));
}

static void put_local(struct line *o, const struct piece *p)
{
    (void)p;
    line_raw(o, slice_of(o->log->local, LOCAL_LEN));
}

static void put_utc(struct line *o, const struct piece *p)
{
    (void)p;
    line_text(o, slice_of(o->log->utc, UTC_LEN));
}

static struct slice protocol(const struct exchange *x, char out[static 9])
{
    memcpy(out, "HTTP/", 5);
    out[5] = (char)('0' + x->request.major % 10);
    out[6] = '.';
    out[7] = (char)('0' + x->request.minor % 10);
    return slice_of(out, 8);
}

static void put_protocol(struct line *o, const struct piece *p)
{
    (void)p;
    char text[9];
    line_text(o, protocol(o->x, text));
}

static void put_request(struct line *o, const struct piece *p)
{
    (void)p;
    char text[9];
    const struct request *r = &o->x->request;
    if (r->method.len == 0) {
        line_none(o);
        return;
    }
    line_plain(o, r->method);
    line_raw(o, SLICE(" "));
    line_plain(o, server_shown(o->x->server, r->target));
    line_raw(o, SLICE(" "));
    line_raw(o, protocol(o->x, text));
}

static void put_method(struct line *o, const struct piece *p)
{
    (void)p;
    line_text(o, o->x->request.method);
}

static void put_path(struct line *o, const struct piece *p)
{
    (void)p;
    line_text(o, o->x->request.path);
}

/* An absent query is empty, so that %(U)s?%(q)s reads well; one that is kept to ourselves is as
 * good as absent. */
static void put_query(struct line *o, const struct piece *p)
{
    (void)p;
    struct slice query = o->x->request.query;
    if (o->x->server->options->redact_query)
        query.len = 0;
    if (query.len || o->json)
        line_text(o, query);
}

static void put_scheme(struct line *o, const struct piece *p)
{
    (void)p;
    line_text(o, o->x->request.scheme);
}

static void put_authority(struct line *o, const struct piece *p)
{
    (void)p;
    line_text(o, o->x->request.authority);
}

/* A client that left before anything was started got no status. */
static void put_status(struct line *o, const struct piece *p)
{
    (void)p;
    if (o->x->status)
        line_number(o, o->x->status);
    else
        line_none(o);
}

static void put_bytes(struct line *o, const struct piece *p)
{
    (void)p;
    line_number(o, o->x->sent);
}

static void put_bytes_clf(struct line *o, const struct piece *p)
{
    (void)p;
    if (o->x->sent)
        line_number(o, o->x->sent);
    else
        line_none(o);
}

/* Fields whose value is a URI, which may have a query of its own. */
static bool is_uri(const struct field *f)
{
    return f->id == HEADER_REFERER || slice_eq_nocase(f->name, SLICE("location")) ||
           slice_eq_nocase(f->name, SLICE("content-location"));
}

static void put_value(struct line *o, const struct field *f)
{
    const struct server *s = o->x->server;
    if (server_redacts(s, f->name))
        line_text(o, SLICE("[redacted]"));
    else
        line_text(o, is_uri(f) ? server_shown(s, f->value) : f->value);
}

static void put_known(struct line *o, enum header_id id)
{
    const struct field *f = request_field(&o->x->request, id);
    if (f)
        put_value(o, f);
    else
        line_none(o);
}

static void put_referer(struct line *o, const struct piece *p)
{
    (void)p;
    put_known(o, HEADER_REFERER);
}

static void put_agent(struct line *o, const struct piece *p)
{
    (void)p;
    put_known(o, HEADER_USER_AGENT);
}

static void put_seconds(struct line *o, const struct piece *p)
{
    (void)p;
    line_number(o, line_duration(o) / 1000000000);
}

static void put_milliseconds(struct line *o, const struct piece *p)
{
    (void)p;
    line_number(o, line_duration(o) / 1000000);
}

static void put_microseconds(struct line *o, const struct piece *p)
{
    (void)p;
    line_number(o, line_duration(o) / 1000);
}

static void put_decimal(struct line *o, const struct piece *p)
{
    (void)p;
    int64_t us = line_duration(o) / 1000;
    char fraction[7] = ".000000";
    for (int64_t i = 6, rest = us % 1000000; i > 0; i--, rest /= 10)
        fraction[i] = (char)('0' + rest % 10);
    line_number(o, us / 1000000);
    line_raw(o, slice_of(fraction, sizeof fraction));
}

static void put_pid(struct line *o, const struct piece *p)
{
    (void)p;
    line_raw(o, slice_text(o->log->pid));
}

static void put_pid_bracketed(struct line *o, const struct piece *p)
{
    line_raw(o, SLICE("<"));
    put_pid(o, p);
    line_raw(o, SLICE(">"));
}

static void put_id(struct line *o, const struct piece *p)
{
    (void)p;
    char id[EXCHANGE_ID + 1];
    line_text(o, exchange_name(o->x, id));
}

static void put_read(struct line *o, const struct piece *p)
{
    (void)p;
    const struct times *t = &o->x->times;
    line_phase(o, t->begun, t->complete ? t->complete + t->reading : 0);
}

static void put_queue(struct line *o, const struct piece *p)
{
    (void)p;
    const struct times *t = &o->x->times;
    line_phase(o, t->complete ? t->complete - t->ahead : 0, t->called - t->gil);
}

static void put_gil(struct line *o, const struct piece *p)
{
    (void)p;
    line_phase(o, o->x->times.called - o->x->times.gil, o->x->times.called);
}

static void put_app(struct line *o, const struct piece *p)
{
    (void)p;
    const struct times *t = &o->x->times;
    line_phase(o, t->called, t->returned - t->reading - t->sending);
}

static void put_send(struct line *o, const struct piece *p)
{
    (void)p;
    line_phase(o, o->x->times.returned - o->x->times.sending, o->x->times.ended);
}

static void put_field(struct line *o, struct slice name, const struct field *fields, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (slice_eq_nocase(fields[i].name, name)) {
            put_value(o, &fields[i]);
            return;
        }
    }
    line_none(o);
}

static void put_request_field(struct line *o, const struct piece *p)
{
    put_field(o, p->name, o->x->request.fields, o->x->request.count);
}

static void put_response_field(struct line *o, const struct piece *p)
{
    const struct head *head = o->x->logged;
    put_field(o, p->name, head ? head->fields : NULL, head ? head->count : 0);
}

static void put_environment(struct line *o, const struct piece *p)
{
    line_text(o, p->name);
}

/* Formats
 * ----------------------------------------------------------------------------------------------------------
 */

static const struct atom {
    const char *name;
    void (*put)(struct line *o, const struct piece *p);
} atoms[] = {
    {"h", put_host},          {"l", put_nothing},      {"u", put_user},
    {"t", put_local},         {"r", put_request},      {"m", put_method},
    {"U", put_path},          {"q", put_query},        {"H", put_protocol},
    {"s", put_status},        {"B", put_bytes},        {"b", put_bytes_clf},
    {"f", put_referer},       {"a", put_agent},        {"T", put_seconds},
    {"M", put_milliseconds},  {"D", put_microseconds}, {"L", put_decimal},
    {"p", put_pid_bracketed}, {"pid", put_pid},        {"read", put_read},
    {"queue", put_queue},     {"gil", put_gil},        {"app", put_app},
    {"send", put_send},       {"id", put_id},          {"S", put_scheme},
    {"host", put_authority},  {"time", put_utc},       {"proxy", put_proxy},
};

/* The format while it is compiled. */
struct compiler {
    struct access_log *log;
    char *at;      /* what is not yet read of the log's copy */
    char *literal; /* where the text before the next atom begins; it is moved together where %%
                      becomes % */
    char *end;     /* of that text */
    char *why;
    size_t size;
};

static int compiler_error(struct compiler *c, const char *what, struct slice atom)
{
    snprintf(c->why, c->size, "access-log-format: %s \"%.*s\"", what, (int)atom.len, atom.ptr);
    return -ERR_CONFIG;
}

static const struct atom *find_atom(struct slice name, bool nocase)
{
    for (size_t i = 0; i < sizeof atoms / sizeof *atoms; i++) {
        struct slice known = slice_text(atoms[i].name);
        if (nocase ? slice_eq_nocase(known, name) : slice_eq(known, name))
            return &atoms[i];
    }
    return NULL;
}

static int unknown_atom(struct compiler *c, struct slice name)
{
    const struct atom *near = find_atom(name, true);
    int shown = name.len > 64 ? 64 : (int)name.len;
    if (near)
        snprintf(c->why, c->size,
                 "access-log-format: unknown atom \"%%(%.*s)s\"; did you mean \"%%(%s)s\"?", shown,
                 name.ptr, near->name);
    else
        snprintf(c->why, c->size, "access-log-format: unknown atom \"%%(%.*s)s\"", shown, name.ptr);
    return -ERR_CONFIG;
}

static int out_of_memory(struct compiler *c)
{
    snprintf(c->why, c->size, "access-log-format: %s", err_text(ERR_MEMORY));
    return -ERR_MEMORY;
}

/* Puts a copy of a variable's value into the piece: the application may change its environment
 * later. */
static int compile_environment(struct compiler *c, struct slice name, struct piece *p)
{
    struct slice variable = arena_copy(&c->log->memory, name);
    const char *value = variable.ptr ? getenv(variable.ptr) : NULL;
    p->put = put_environment;
    p->name = slice_of(NULL, 0);
    if (value)
        p->name = arena_copy(&c->log->memory, slice_text(value));
    return variable.ptr && (!value || p->name.ptr) ? 0 : out_of_memory(c);
}

/* {name}i, {name}o, {name}e. */
static int compile_braces(struct compiler *c, struct slice name, struct piece *p)
{
    if (name.len < 4 || name.ptr[name.len - 2] != '}')
        return unknown_atom(c, name);
    p->name = slice_of(name.ptr + 1, name.len - 3);
    switch (name.ptr[name.len - 1]) {
    case 'i': p->put = put_request_field; return 0;
    case 'o':
        p->put = put_response_field;
        c->log->wants_head = true;
        return 0;
    case 'e': return compile_environment(c, p->name, p);
    }
    return unknown_atom(c, name);
}

/* The atom whose '%' stands at c->at. */
static int compile_atom(struct compiler *c, struct piece *p)
{
    char *close = c->at[1] == '(' ? strchr(c->at, ')') : NULL;
    if (!close || close[1] != 's')
        return compiler_error(c, "%(name)s or %% is expected at",
                              slice_of(c->at, strnlen(c->at, 24)));
    struct slice name = slice_of(c->at + 2, (size_t)(close - c->at) - 2);
    c->at = close + 2;
    if (name.len && name.ptr[0] == '{')
        return compile_braces(c, name, p);
    const struct atom *atom = find_atom(name, false);
    if (!atom)
        return unknown_atom(c, name);
    p->put = atom->put;
    return 0;
}

/* Moves literal text together until an atom or the end. */
static void compile_literal(struct compiler *c)
{
    c->literal = c->end = c->at;
    while (*c->at && (*c->at != '%' || c->at[1] == '%')) {
        c->at += *c->at == '%';
        *c->end++ = *c->at++;
    }
}

static int compile(struct compiler *c)
{
    struct access_log *a = c->log;
    while (*c->at) {
        if (a->count == PIECES_MAX)
            return compiler_error(c, "too many atoms, from", slice_of(c->at, strnlen(c->at, 24)));
        struct piece *p = &a->pieces[a->count++];
        compile_literal(c);
        p->before = slice_of(c->literal, (size_t)(c->end - c->literal));
        int err = *c->at ? compile_atom(c, p) : 0;
        if (err)
            return err;
    }
    return 0;
}

static const char *named_format(const char *format)
{
    if (strcmp(format, "combined") == 0)
        return combined;
    return strcmp(format, "json") == 0 ? json : format;
}

static int load_format(struct access_log *a, const char *format, char *why, size_t size)
{
    struct compiler c = {.log = a, .why = why, .size = size};
    if (strlen(format) > FORMAT_MAX)
        return compiler_error(&c, "too long:", slice_of(format, 24));
    a->json = strcmp(format, "json") == 0;
    struct slice text = slice_text(named_format(format));
    c.at = arena_alloc(&a->memory, text.len + 1);
    if (!c.at)
        return out_of_memory(&c);
    memcpy(c.at, text.ptr, text.len + 1);
    return compile(&c);
}

/* Time
 * -------------------------------------------------------------------------------------------------------------
 */

static void put_two(char *out, int value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

static void put_year(char *out, int years_since_1900)
{
    put_two(out, (years_since_1900 + 1900) / 100);
    put_two(out + 2, (years_since_1900 + 1900) % 100);
}

/* "[10/Oct/2000:13:55:36 -0700]". Not by strftime: the names of months are no business of the
 * locale. */
static void stamp_local(char *out, const struct tm *t)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    long minutes = t->tm_gmtoff / 60;
    int offset = (int)(minutes < 0 ? -minutes : minutes);
    memcpy(out, "[00/Jan/0000:00:00:00 +0000]", LOCAL_LEN + 1);
    put_two(out + 1, t->tm_mday);
    memcpy(out + 4, months + 3 * t->tm_mon, 3);
    put_year(out + 8, t->tm_year);
    put_two(out + 13, t->tm_hour);
    put_two(out + 16, t->tm_min);
    put_two(out + 19, t->tm_sec);
    out[22] = minutes < 0 ? '-' : '+';
    put_two(out + 23, offset / 60);
    put_two(out + 25, offset % 60);
}

/* "2000-10-10T20:55:36Z" (RFC 3339). */
static void stamp_utc(char *out, const struct tm *t)
{
    memcpy(out, "0000-00-00T00:00:00Z", UTC_LEN + 1);
    put_year(out, t->tm_year);
    put_two(out + 5, t->tm_mon + 1);
    put_two(out + 8, t->tm_mday);
    put_two(out + 11, t->tm_hour);
    put_two(out + 14, t->tm_min);
    put_two(out + 17, t->tm_sec);
}

static void update_stamps(struct access_log *a, int64_t second)
{
    if (second == a->second)
        return;
    time_t when = (time_t)second;
    struct tm t;
    if (localtime_r(&when, &t))
        stamp_local(a->local, &t);
    if (gmtime_r(&when, &t))
        stamp_utc(a->utc, &t);
    a->second = second;
}

/* The log
 * ----------------------------------------------------------------------------------------------------------
 */

static void run_flush(struct deferred *d)
{
    access_log_flush(container_of(d, struct access_log, flush));
}

static void fire_retry(struct timer *t)
{
    access_log_flush(container_of(t, struct access_log, retry));
}

static void release(struct closing *c)
{
    struct access_log *a = container_of(c, struct access_log, closing);
    arena_free(&a->memory);
    free(a);
}

struct access_log *access_log_open(int fd, const char *format, char *why, size_t size)
{
    struct access_log *a = calloc(1, sizeof *a);
    if (!a) {
        snprintf(why, size, "access-log: %s", err_text(ERR_MEMORY));
        return NULL;
    }
    arena_init(&a->memory, MEMORY_CAP, NULL, 0);
    if (load_format(a, format, why, size) < 0) {
        arena_free(&a->memory);
        free(a);
        return NULL;
    }
    tzset();
    snprintf(a->pid, sizeof a->pid, "%d", (int)getpid());
    a->second = -1;
    a->flush.run = run_flush;
    a->retry.fire = fire_retry;
    a->closing.release = release;
    sink_open(&a->sink, fd, SINK_CAP);
    return a;
}

bool access_log_wants_head(const struct access_log *a)
{
    return a->wants_head;
}

/* Ends a line: what overflowed it is marked, and the newline always fits. */
static struct slice line_finish(struct line *o, const char *start)
{
    if (o->cut) {
        memcpy(o->at, "...", 3);
        o->at += 3;
    }
    *o->at++ = '\n';
    return slice_of(start, (size_t)(o->at - start));
}

void access_log_put(struct access_log *a, struct loop *l, const struct exchange *x)
{
    char bytes[LINE_CAP];
    struct line o = {
        .at = bytes, .end = bytes + LINE_CAP - LINE_TAIL, .json = a->json, .log = a, .x = x};
    update_stamps(a, l->clock.wall);
    for (unsigned i = 0; i < a->count; i++) {
        const struct piece *p = &a->pieces[i];
        line_raw(&o, p->before);
        if (p->put)
            p->put(&o, p);
    }
    sink_put(&a->sink, line_finish(&o, bytes));
    a->loop = l;
    a->log = x->server->log;
    loop_defer(l, &a->flush);
}

/* The error log tells of lost lines: here they would only be one more line that no parser knows. */
static void tell_lost(struct access_log *a)
{
    int64_t now = loop_now(a->loop);
    if (a->sink.lost == a->sink.lost_told || now < a->tell_at)
        return;
    log_event(a->log, LOG_WARN, "access log lines were lost",
              LOG_NUM("lines", a->sink.lost - a->sink.lost_told), LOG_NUM("in_all", a->sink.lost));
    a->sink.lost_told = a->sink.lost;
    a->tell_at = now + TELL_MS;
}

void access_log_flush(struct access_log *a)
{
    size_t waiting = sink_flush(&a->sink);
    if (!a->loop)
        return;
    tell_lost(a);
    /* Without memory for the timer the next line tries again. */
    if (waiting)
        (void)timer_set(&a->loop->timers, &a->retry, loop_now(a->loop) + RETRY_MS);
}

void access_log_move(struct access_log *a, int fd)
{
    sink_move(&a->sink, fd);
}

/* The loop may still have the flush in its queue, so it is the loop that frees. */
void access_log_close(struct access_log *a)
{
    sink_close(&a->sink, CLOSE_MS);
    if (!a->loop) {
        release(&a->closing);
        return;
    }
    timer_remove(&a->loop->timers, &a->retry);
    loop_close(a->loop, &a->closing);
}

uint64_t access_log_lost(const struct access_log *a)
{
    return a->sink.lost;
}
