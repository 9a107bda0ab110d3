/* What proxies say of a request (forwarded.h has the contract).
 *
 * An element of Forwarded is parsed backwards. That comes to the same as forwards, for in what is
 * well formed a '"' without a backslash before it opens or closes a quoted string, and nothing
 * else; and it keeps the right end of the list, which proxies that are believed wrote, independent
 * of what a client wrote to the left of it. Which unit X-Request-Start has is told from its size:
 * the ranges are apart for the next three thousand years.
 *
 * Relies on field values without control bytes but HTAB. Never allocates, never looks at what it
 * was not asked for. */
#include "proto/forwarded.h"

#include <arpa/inet.h>

#include "base/errors.h"
#include "proto/chars.h"
#include "proto/scan.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice trim(struct slice s)
{
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    while (s.len && is_blank(s.ptr[0]))
        s = slice_skip(s, 1);
    return s;
}

static bool is_alnum(char c)
{
    return char_is(c, CHAR_DIGIT) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* ---- Nodes ---- */

static bool read_port(struct slice text, uint16_t *out)
{
    unsigned port = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!char_is(text.ptr[i], CHAR_DIGIT))
            return false;
        port = port * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *out = (uint16_t)port;
    return port <= UINT16_MAX;
}

/* "_" and letters, digits, '.', '_', '-' (section 6.3). */
static bool is_obfuscated(struct slice text)
{
    if (text.len < 2 || text.ptr[0] != '_')
        return false;
    for (size_t i = 1; i < text.len; i++) {
        char c = text.ptr[i];

        if (!is_alnum(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

static bool is_hidden(struct slice text)
{
    return is_obfuscated(text) || slice_eq_nocase(text, SLICE("unknown"));
}

static bool read_host(struct slice text, struct node *out)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    out->kind = memchr(copy, ':', text.len) ? NODE_INET6 : NODE_INET;
    return inet_pton(out->kind == NODE_INET6 ? AF_INET6 : AF_INET, copy, out->host) == 1;
}

/* Splits host and port. An address with more than one ':' and no brackets is an IPv6 one alone. */
static bool split_port(struct slice text, struct slice *host, struct slice *port)
{
    const char *colon = text.len ? memrchr(text.ptr, ':', text.len) : NULL;
    size_t at = colon ? (size_t)(colon - text.ptr) : text.len;
    bool brackets = text.len && text.ptr[0] == '[';

    *port = slice_of(NULL, 0);
    *host = text;
    if (colon && (brackets ? text.ptr[at - 1] == ']' : !memchr(text.ptr, ':', at))) {
        *host = slice_of(text.ptr, at);
        *port = slice_of(colon + 1, text.len - at - 1);
    }
    if (!brackets)
        return true;
    if (host->len < 3 || host->ptr[host->len - 1] != ']')
        return false;
    *host = slice_of(host->ptr + 1, host->len - 2);
    return memchr(host->ptr, ':', host->len) != NULL;
}

int node_read(struct slice text, struct node *out)
{
    struct slice host, port;

    *out = (struct node){.kind = NODE_HIDDEN};
    if (!split_port(text, &host, &port))
        return -ERR_FORWARDED;
    if (port.ptr && !read_port(port, &out->port) && !is_obfuscated(port))
        return -ERR_FORWARDED;
    if (is_hidden(host) || read_host(host, out))
        return 0;
    *out = (struct node){.kind = NODE_HIDDEN};
    return -ERR_FORWARDED;
}

/* ---- Lists ---- */

bool list_take_last(struct slice *list, struct slice *item)
{
    while (list->len) {
        const char *comma = memrchr(list->ptr, ',', list->len);
        size_t begin = comma ? (size_t)(comma - list->ptr) + 1 : 0;

        *item = trim(slice_skip(*list, begin));
        list->len = comma ? begin - 1 : 0;
        if (item->len)
            return true;
    }
    return false;
}

/* ---- Forwarded, backwards ---- */

static void drop_blanks(struct slice *s)
{
    while (s->len && is_blank(s->ptr[s->len - 1]))
        s->len--;
}

/* Whether the byte at `at` is escaped: an odd number of backslashes stands before it. */
static bool is_escaped(struct slice s, size_t at)
{
    size_t i = at;

    while (i > 0 && s.ptr[i - 1] == '\\')
        i--;
    return (at - i) % 2 == 1;
}

/* Takes the escapes out of a value that has some. */
static int unescape(struct forwarded *f, struct slice *value)
{
    char *out = f->text + f->used;
    size_t len = 0;

    if (!memchr(value->ptr, '\\', value->len))
        return 0;
    if (value->len > sizeof f->text - f->used)
        return -ERR_FORWARDED;
    for (size_t i = 0; i < value->len; i++) {
        i += value->ptr[i] == '\\';
        out[len++] = value->ptr[i];
    }
    f->used += len;
    *value = slice_of(out, len);
    return 0;
}

/* `rest` ends in '"': takes the quoted string. */
static int take_quoted(struct slice *rest, struct slice *value, struct forwarded *f)
{
    size_t end = rest->len - 1, at = end;

    if (is_escaped(*rest, end))
        return -ERR_FORWARDED;
    do {
        if (at == 0)
            return -ERR_FORWARDED;
        at--;
    } while (rest->ptr[at] != '"' || is_escaped(*rest, at));
    *value = slice_of(rest->ptr + at + 1, end - at - 1);
    rest->len = at;
    return value->len ? unescape(f, value) : 0;
}

static struct slice take_token(struct slice *rest, const char *more)
{
    size_t at = rest->len;
    struct slice token;

    while (at > 0 && (char_is(rest->ptr[at - 1], CHAR_TOKEN) ||
                      (rest->ptr[at - 1] && strchr(more, rest->ptr[at - 1]))))
        at--;
    token = slice_skip(*rest, at);
    rest->len = at;
    return token;
}

/* Where a parameter's value goes; NULL for one that is not known. */
static struct slice *place_of(struct forwarded *f, struct slice name)
{
    if (slice_eq_nocase(name, SLICE("for")))
        return &f->client;
    if (slice_eq_nocase(name, SLICE("by")))
        return &f->by;
    if (slice_eq_nocase(name, SLICE("host")))
        return &f->host;
    return slice_eq_nocase(name, SLICE("proto")) ? &f->proto : NULL;
}

/* Takes the last parameter of an element. */
static int take_pair(struct slice *rest, struct forwarded *f)
{
    struct slice value, name, *place;
    bool quoted = rest->ptr[rest->len - 1] == '"';
    int err = quoted ? take_quoted(rest, &value, f) : 0;

    if (err)
        return err;
    if (!quoted)
        value = take_token(rest, ":[]");
    if ((!quoted && value.len == 0) || rest->len == 0 || rest->ptr[rest->len - 1] != '=')
        return -ERR_FORWARDED;
    rest->len--;
    name = take_token(rest, "");
    place = place_of(f, name);
    if (name.len == 0 || (place && place->ptr))
        return -ERR_FORWARDED; /* each parameter comes once (section 4) */
    if (place)
        *place = value;
    return 0;
}

/* Drops empty elements. */
static void drop_commas(struct slice *rest)
{
    while (rest->len && (is_blank(rest->ptr[rest->len - 1]) || rest->ptr[rest->len - 1] == ','))
        rest->len--;
}

static char last(const struct slice *s)
{
    return s->len ? s->ptr[s->len - 1] : ',';
}

int forwarded_take_last(struct slice *list, struct forwarded *out)
{
    struct slice rest = *list;

    out->by = out->client = out->host = out->proto = slice_of(NULL, 0);
    out->used = 0;
    drop_commas(&rest);
    *list = rest.len ? *list : rest;
    if (rest.len == 0)
        return 0;
    for (drop_blanks(&rest); last(&rest) != ','; drop_blanks(&rest)) {
        int err = 0;

        if (last(&rest) == ';') {
            rest.len--; /* a parameter may be left out (section 4) */
            continue;
        }
        err = take_pair(&rest, out);
        drop_blanks(&rest);
        if (err || (last(&rest) != ';' && last(&rest) != ','))
            return -ERR_FORWARDED;
    }
    *list = rest;
    return 1;
}

/* ---- Single values ---- */

int forwarded_scheme(struct slice text, bool *secure)
{
    *secure = slice_eq_nocase(text, SLICE("https")) || slice_eq_nocase(text, SLICE("wss"));
    if (*secure || slice_eq_nocase(text, SLICE("http")) || slice_eq_nocase(text, SLICE("ws")))
        return 0;
    return -ERR_FORWARDED;
}

bool forwarded_port_ok(struct slice text)
{
    uint16_t port;

    return text.len > 0 && text.ptr[0] != '0' && read_port(text, &port);
}

static bool is_dots(struct slice segment)
{
    return slice_eq(segment, SLICE(".")) || slice_eq(segment, SLICE(".."));
}

int forwarded_prefix(struct slice text, struct slice *out)
{
    const char *end;

    if (text.len && text.ptr[text.len - 1] == '/')
        text.len--;
    end = text.ptr + text.len;
    *out = text;
    if (text.len > FORWARDED_PREFIX || (text.len && scan_path(text.ptr, end) != end))
        return -ERR_FORWARDED;
    while (text.len) {
        const char *slash = memchr(text.ptr + 1, '/', text.len - 1);
        struct slice segment =
            slice_of(text.ptr + 1, (size_t)((slash ? slash : end) - text.ptr) - 1);

        if (text.ptr[0] != '/' || segment.len == 0 || is_dots(segment))
            return -ERR_FORWARDED;
        text = slice_skip(text, segment.len + 1);
    }
    return 0;
}

bool request_id_ok(struct slice text)
{
    if (text.len == 0 || text.len > FORWARDED_ID)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_alnum(text.ptr[i]) && (!text.ptr[i] || !strchr("-_.:/+=@~", text.ptr[i])))
            return false;
    }
    return true;
}

/* Digits, at most 16 of them. Returns how many there are, or 0. */
static size_t read_digits(struct slice text, int64_t *out)
{
    size_t i = 0;

    for (*out = 0; i < text.len && char_is(text.ptr[i], CHAR_DIGIT); i++) {
        if (i == 16)
            return 0;
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return i;
}

/* The digits behind the point of seconds, as nanoseconds. */
static int64_t read_fraction(struct slice text)
{
    int64_t value;
    size_t digits;

    text.len = text.len > 9 ? 9 : text.len;
    digits = read_digits(text, &value);
    if (digits == 0 || digits < text.len)
        return -ERR_FORWARDED;
    for (; digits < 9; digits++)
        value *= 10;
    return value;
}

int64_t request_start(struct slice text)
{
    const int64_t seconds = 9000000000, milliseconds = 9000000000000,
                  microseconds = 9000000000000000;
    int64_t value, fraction = 0;
    size_t digits;

    if (slice_starts(text, SLICE("t=")))
        text = slice_skip(text, 2);
    digits = read_digits(text, &value);
    if (digits == 0)
        return -ERR_FORWARDED;
    text = slice_skip(text, digits);
    if (text.len && text.ptr[0] == '.')
        fraction = read_fraction(slice_skip(text, 1));
    else if (text.len)
        return -ERR_FORWARDED;
    if (fraction < 0)
        return fraction;
    if (value < seconds)
        return value * 1000000000 + fraction;
    if (value < milliseconds)
        return value * 1000000;
    return value < microseconds ? value * 1000 : -ERR_FORWARDED;
}
