/* The variables of a request that is handed on (cgi.h has the contract; sections are RFC 3875's).
 *
 * A field becomes HTTP_x: small letters are written as capitals, '-' as '_'. Dropped are
 *   - fields with another '_' in their name, or with any byte that is neither a letter nor a digit:
 * two fields could become one variable, of which the receiver believes the wrong one;
 *   - what concerns one connection only (section 4.1.18 lets a server do so), and Expect, which is
 * answered by who hands on; Upgrade is among them;
 *   - Proxy ("httpoxy").
 * Content-Type has a variable of its own, and the length is what the caller says. Authorization is
 * handed on: applications check it by themselves.
 *
 * Relies on fields.h for what is known of fields. Allocates from the caller's arena only. */
#include "proto/cgi.h"

#include "base/decimal.h"
#include "proto/chars.h"

/* A list of variables being written; the first error stays. */
struct writing {
    struct arena *arena;
    struct vars *out;
    int err;
};

static void put(struct writing *w, struct slice name, struct slice value)
{
    if (w->err == 0)
        w->err = vars_add(w->out, name, value.ptr ? value : SLICE(""));
}

static void put_some(struct writing *w, struct slice name, struct slice value)
{
    if (value.len)
        put(w, name, value);
}

static char *room(struct writing *w, size_t size)
{
    char *at = w->err ? NULL : arena_alloc(w->arena, size);

    if (!at && w->err == 0)
        w->err = -ERR_MEMORY;
    return at;
}

static void put_number(struct writing *w, struct slice name, int64_t number)
{
    char *text = room(w, DECIMAL_MAX);

    if (text)
        put(w, name, decimal((uint64_t)number, text));
}

static void put_protocol(struct writing *w, const struct cgi_request *r)
{
    static const char digits[] = "0123456789";
    enum { SIZE = sizeof "HTTP/1.1" - 1 };
    char *text = room(w, SIZE);

    if (!text)
        return;
    memcpy(text, "HTTP/1.1", SIZE);
    text[5] = digits[r->major % 10];
    text[7] = digits[r->minor % 10];
    put(w, SLICE("SERVER_PROTOCOL"), slice_of(text, SIZE));
}

/* ---- Fields ---- */

static bool is_letter_or_digit(char c)
{
    return char_is(c, CHAR_TOKEN) &&
           (char_is(c, CHAR_DIGIT) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'));
}

static bool is_plain(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_letter_or_digit(name.ptr[i]) && name.ptr[i] != '-')
            return false;
    return name.len > 0;
}

static bool is_handed_on(const struct field *f)
{
    return !header_is_hop(f->id) && f->id != HEADER_PROXY && f->id != HEADER_CONTENT_LENGTH &&
           f->id != HEADER_EXPECT && (f->id != HEADER_UNKNOWN || is_plain(f->name));
}

/* The variable's name of a field; its ptr is NULL when memory is out. */
static struct slice variable_name(struct writing *w, struct slice field)
{
    char *text = room(w, field.len + 5);

    if (!text)
        return slice_of(NULL, 0);
    memcpy(text, "HTTP_", 5);
    for (size_t i = 0; i < field.len; i++) {
        char c = field.ptr[i];

        text[5 + i] = (char)(c == '-' ? '_' : c >= 'a' && c <= 'z' ? c - 0x20 : c);
    }
    return slice_of(text, field.len + 5);
}

static bool is_same_field(const struct field *a, const struct field *b)
{
    return a->id == b->id && (a->id != HEADER_UNKNOWN || slice_eq_nocase(a->name, b->name));
}

/* What stands between the values of a repeated field. */
static struct slice separator(enum header_id id)
{
    return header_join(id) == HEADER_JOIN_COOKIE ? SLICE("; ") : SLICE(", ");
}

static void append(char *at, struct slice s)
{
    if (s.len)
        memcpy(at, s.ptr, s.len);
}

/* The values of all fields from the first of `f` on that are the same as it. */
static struct slice joined_values(struct writing *w, const struct field *f, unsigned count)
{
    struct slice between = separator(f->id);
    size_t size = f->value.len, at = f->value.len;
    unsigned found = 1;
    char *text;

    for (unsigned i = 1; i < count; i++) {
        if (is_same_field(f, &f[i])) {
            size += between.len + f[i].value.len;
            found++;
        }
    }
    text = found > 1 ? room(w, size + 1) : NULL;
    if (!text)
        return f->value;
    append(text, f->value);
    for (unsigned i = 1; i < count; i++) {
        if (!is_same_field(f, &f[i]))
            continue;
        append(text + at, between);
        append(text + at + between.len, f[i].value);
        at += between.len + f[i].value.len;
    }
    return slice_of(text, size);
}

/* Whether a field came before, and was written with that one. */
static bool is_repeated(const struct field *fields, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (is_same_field(&fields[i], &fields[at]))
            return true;
    return false;
}

static void put_fields(struct writing *w, const struct cgi_request *r)
{
    for (unsigned i = 0; i < r->count && w->err == 0; i++) {
        const struct field *f = &r->fields[i];
        struct slice name, value;

        if (!is_handed_on(f) || is_repeated(r->fields, i))
            continue;
        name = f->id == HEADER_CONTENT_TYPE ? SLICE("CONTENT_TYPE") : variable_name(w, f->name);
        value = joined_values(w, f, r->count - i);
        put(w, name, value);
    }
}

int cgi_write_request(const struct cgi_request *r, struct arena *arena, struct vars *out)
{
    struct writing w = {.arena = arena, .out = out};

    put(&w, SLICE("GATEWAY_INTERFACE"), SLICE("CGI/1.1"));
    put(&w, SLICE("REQUEST_METHOD"), r->method);
    put_some(&w, SLICE("REQUEST_URI"), r->target);
    put(&w, SLICE("SCRIPT_NAME"), r->script);
    put(&w, SLICE("PATH_INFO"), r->path_info);
    put(&w, SLICE("QUERY_STRING"), r->query);
    put_protocol(&w, r);
    put_some(&w, SLICE("REQUEST_SCHEME"), r->scheme);
    if (slice_eq(r->scheme, SLICE("https")))
        put(&w, SLICE("HTTPS"), SLICE("on"));
    put_some(&w, SLICE("SERVER_NAME"), r->server_name);
    put_some(&w, SLICE("SERVER_PORT"), r->server_port);
    put_some(&w, SLICE("REMOTE_ADDR"), r->remote_addr);
    if (r->remote_port)
        put_number(&w, SLICE("REMOTE_PORT"), r->remote_port);
    put_some(&w, SLICE("REMOTE_USER"), r->remote_user);
    if (r->length >= 0)
        put_number(&w, SLICE("CONTENT_LENGTH"), r->length);
    put_fields(&w, r);
    for (unsigned i = 0; i < r->others.count; i++)
        put(&w, r->others.list[i].name, r->others.list[i].value);
    return w.err;
}
