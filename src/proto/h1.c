/* HTTP/1 heads, decoded line by line and encoded in one piece.
 *
 * The decoder first searches a line's end: the first control byte other than HTAB, sixteen bytes at
 * a time. It has to be a CR with LF behind it; anything else is refused there and then, so that
 * whatever is looked at later holds no control byte. Only a line that is there as a whole is
 * judged. Both its length and the head's are counted before its content, so that the outcome does
 * not depend on how the bytes were cut. Between calls the decoder keeps where the line at hand
 * begins and up to where it was searched.
 *
 * Where RFC 9112 leaves a choice, or asks for less than this:
 *   - One empty line before the request line is skipped (section 2.2), not two. A line ends in
 * CRLF, never in LF alone; obs-fold and white space before the first field line are refused.
 *   - The parts of the request line are separated by exactly one space (section 3 allows more).
 *   - Host is checked in 1.0 too when it is there, and beside an absolute-form target too, which
 * wins over it.
 *   - Content-Length comes once and is at most 18 digits, which fit; leading zeros are digits like
 * others. A list of equal numbers, which section 6.3 would let pass, is refused.
 *   - Transfer-Encoding is "chunked", once, in any case, without parameters or empty list elements.
 * In 1.0, or beside Content-Length, it is refused (section 6.1 lets a server ignore one of the
 * two). A last coding other than chunked leaves the body's end in doubt and is 400 (section 6.3);
 * other codings before it are 501 (section 6.1).
 *   - An unknown expectation is 417, a repeated 100-continue one like others.
 *   - Any token is a method, by its exact bytes; one of more than H1_METHOD_MAX bytes is 501
 * (section 3).
 *   - Connection's list may have empty elements and ones that are no token: they mean nothing.
 *
 * Relies on fields.h and target.h for what names, values, targets and hosts may be. Never copies,
 * allocates, or looks behind the bytes given; what it returns points into them. */
#include "proto/h1.h"

#include <assert.h>
#include <limits.h>

#include "base/decimal.h"
#include "base/errors.h"
#include "proto/scan.h"
#include "proto/status.h"
#include "proto/target.h"

enum { LENGTH_DIGITS = 18, TLS_HANDSHAKE = 0x16 };

enum h1_state { H1_START, H1_REQUEST_LINE, H1_FIELDS, H1_ENDED };

/* What field lines have said so far. */
enum {
    SEEN_HOST = 1,
    SEEN_LENGTH = 2,
    SEEN_CLOSE = 4,
    SEEN_KEEP_ALIVE = 8,
    SEEN_UPGRADE = 16,
    SEEN_UPGRADE_OPTION = 32,
};

/* The transfer codings named so far. */
enum { CODING_NONE, CODING_CHUNKED, CODING_OTHER, CODING_OTHER_THEN_CHUNKED };

void h1_decoder_init(struct h1_decoder *d, const struct h1_limits *limits, struct field *fields)
{
    *d = (struct h1_decoder){.limits = limits, .fields = fields};
}

/* ---- Lists ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice trimmed(struct slice s)
{
    while (s.len && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    while (s.len && is_blank(*s.ptr)) {
        s = slice_skip(s, 1);
    }
    return s;
}

/* Takes the next element, which may be empty, from the front of a comma list. The list is at its
 * end when its ptr is NULL. */
static bool list_next(struct slice *list, struct slice *element)
{
    const char *comma;

    if (!list->ptr) {
        return false;
    }
    comma = list->len ? memchr(list->ptr, ',', list->len) : NULL;
    if (comma) {
        size_t len = (size_t)(comma - list->ptr);

        *element = trimmed(slice_of(list->ptr, len));
        *list = slice_skip(*list, len + 1);
    } else {
        *element = trimmed(*list);
        list->ptr = NULL;
    }
    return true;
}

/* ---- Fields that the codec itself understands ---- */

static int read_host(struct h1_decoder *d, struct slice value, struct h1_request *out)
{
    if (d->seen & SEEN_HOST) {
        return -ERR_HOST_REPEATED;
    }
    d->seen |= SEEN_HOST;
    if (!host_ok(value)) {
        return -ERR_HOST_BAD;
    }
    if (out->authority.len == 0) {
        out->authority = value;
    }
    return 0;
}

static int read_length(struct h1_decoder *d, struct slice value, struct h1_request *out)
{
    if (d->seen & SEEN_LENGTH) {
        return -ERR_LENGTH_REPEATED;
    }
    if (d->coding != CODING_NONE) {
        return -ERR_LENGTH_AND_CODING;
    }
    d->seen |= SEEN_LENGTH;
    if (value.len == 0 || value.len > LENGTH_DIGITS) {
        return -ERR_LENGTH_BAD;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (!char_is(value.ptr[i], CHAR_DIGIT)) {
            return -ERR_LENGTH_BAD;
        }
        out->length = out->length * 10 + (value.ptr[i] - '0');
    }
    return 0;
}

/* Takes one transfer coding, perhaps with parameters, into account. */
static int read_coding(struct h1_decoder *d, struct slice coding)
{
    const char *end = coding.ptr + coding.len;
    const char *behind = scan_scalar(coding.ptr, end, CHAR_TOKEN);
    struct slice name = slice_of(coding.ptr, (size_t)(behind - coding.ptr));
    bool chunked = slice_eq_nocase(name, SLICE("chunked"));

    if (name.len == 0 || (behind < end && (chunked || (*behind != ';' && !is_blank(*behind))))) {
        return -ERR_CODING_BAD;
    }
    if (d->coding == CODING_CHUNKED || d->coding == CODING_OTHER_THEN_CHUNKED) {
        return chunked ? -ERR_CODING_REPEATED : -ERR_CODING_NOT_LAST;
    }
    if (chunked) {
        d->coding = d->coding == CODING_NONE ? CODING_CHUNKED : CODING_OTHER_THEN_CHUNKED;
    } else {
        d->coding = CODING_OTHER;
    }
    return 0;
}

static int read_codings(struct h1_decoder *d, struct slice value, struct h1_request *out)
{
    struct slice coding;
    int err = 0;

    if (out->minor == 0) {
        return -ERR_CODING_IN_1_0;
    }
    if (d->seen & SEEN_LENGTH) {
        return -ERR_LENGTH_AND_CODING;
    }
    while (err == 0 && list_next(&value, &coding)) {
        err = read_coding(d, coding);
    }
    return err;
}

static int read_connection(struct h1_decoder *d, struct slice value, struct h1_request *out)
{
    struct slice option;

    (void)out;
    while (list_next(&value, &option)) {
        if (slice_eq_nocase(option, SLICE("keep-alive"))) {
            d->seen |= SEEN_KEEP_ALIVE;
        } else if (slice_eq_nocase(option, SLICE("close"))) {
            d->seen |= SEEN_CLOSE;
        } else if (slice_eq_nocase(option, SLICE("upgrade"))) {
            d->seen |= SEEN_UPGRADE_OPTION;
        }
    }
    return 0;
}

static int read_expect(struct h1_decoder *d, struct slice value, struct h1_request *out)
{
    struct slice expectation;

    (void)d;
    while (list_next(&value, &expectation)) {
        if (slice_eq_nocase(expectation, SLICE("100-continue"))) {
            out->expect_continue = true;
        } else if (expectation.len) {
            return -ERR_EXPECTATION;
        }
    }
    return 0;
}

static int read_upgrade(struct h1_decoder *d, struct slice value, struct h1_request *out)
{
    (void)out;
    if (value.len) {
        d->seen |= SEEN_UPGRADE;
    }
    return 0;
}

typedef int read_field(struct h1_decoder *d, struct slice value, struct h1_request *out);

static read_field *const readers[HEADER_COUNT] = {
    [HEADER_HOST] = read_host,
    [HEADER_CONTENT_LENGTH] = read_length,
    [HEADER_TRANSFER_ENCODING] = read_codings,
    [HEADER_CONNECTION] = read_connection,
    [HEADER_EXPECT] = read_expect,
    [HEADER_UPGRADE] = read_upgrade,
};

/* ---- Lines ---- */

/* What is wrong with a field's name that is no token. */
static int name_error(struct slice name)
{
    return field_name_ok(trimmed(name)) ? -ERR_SPACE_BEFORE_COLON : -ERR_FIELD_NAME;
}

static int decode_field(struct h1_decoder *d, struct slice line, struct h1_request *out)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    struct field *f = &d->fields[out->count];

    if (is_blank(*line.ptr)) {
        return -ERR_OBS_FOLD;
    }
    if (!colon) {
        return -ERR_FIELD_NAME;
    }
    if (out->count == d->limits->fields) {
        return -ERR_TOO_MANY_FIELDS;
    }
    f->name = slice_of(line.ptr, (size_t)(colon - line.ptr));
    f->value = trimmed(slice_skip(line, f->name.len + 1));
    f->id = header_lookup(f->name);
    if (f->id == HEADER_UNKNOWN && !field_name_ok(f->name)) {
        return name_error(f->name);
    }
    out->count++;
    return readers[f->id] ? readers[f->id](d, f->value, out) : 0;
}

/* "HTTP/" DIGIT "." DIGIT, of which 1.0 to 1.9 are spoken here. */
static int decode_version(struct slice version, struct h1_request *out)
{
    if (version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0 ||
        !char_is(version.ptr[5], CHAR_DIGIT) || version.ptr[6] != '.' ||
        !char_is(version.ptr[7], CHAR_DIGIT)) {
        return -ERR_VERSION_BAD;
    }
    if (version.ptr[5] != '1') {
        return -ERR_VERSION_UNKNOWN;
    }
    out->minor = version.ptr[7] != '0';
    return 0;
}

static int decode_target(struct h1_request *out)
{
    struct target parts;
    int err = target_split(out->target, slice_eq(out->method, SLICE("OPTIONS")), &parts);

    if (err == 0) {
        out->scheme = parts.scheme;
        out->authority = parts.authority;
        out->path = parts.path;
        out->query = parts.query;
    }
    return err;
}

/* Takes what stands before the next space, and that space, from the front of a line; all of it when
 * there is none. */
static struct slice take_word(struct slice *line)
{
    const char *space = line->len ? memchr(line->ptr, ' ', line->len) : NULL;
    struct slice word = space ? slice_of(line->ptr, (size_t)(space - line->ptr)) : *line;

    *line = slice_skip(*line, space ? word.len + 1 : word.len);
    return word;
}

static int decode_request_line(struct slice line, struct h1_request *out)
{
    struct slice method = take_word(&line);
    int err;

    if (!field_name_ok(method) || line.len == 0) {
        return -ERR_METHOD;
    }
    out->method = method;
    out->target = take_word(&line);
    if (out->target.len == 0) {
        return -ERR_TARGET;
    }
    err = decode_version(line, out);
    if (err) {
        return err;
    }
    if (method.len > H1_METHOD_MAX) {
        return -ERR_METHOD_TOO_LONG;
    }
    return slice_eq(method, SLICE("CONNECT")) ? -ERR_CONNECT : decode_target(out);
}

/* ---- The head ---- */

/* What only the whole head can tell. */
static int finish(struct h1_decoder *d, struct h1_request *out)
{
    unsigned upgrade = SEEN_UPGRADE | SEEN_UPGRADE_OPTION;

    if (out->minor && !(d->seen & SEEN_HOST)) {
        return -ERR_HOST_MISSING;
    }
    if (d->coding == CODING_OTHER) {
        return -ERR_CODING_NOT_LAST;
    }
    if (d->coding == CODING_OTHER_THEN_CHUNKED) {
        return -ERR_CODING_UNKNOWN;
    }
    out->chunked = d->coding == CODING_CHUNKED;
    if (out->chunked) {
        out->length = -1;
    }
    out->keep_alive = !(d->seen & SEEN_CLOSE) && (out->minor || (d->seen & SEEN_KEEP_ALIVE));
    out->upgrade = out->minor && (d->seen & upgrade) == upgrade;
    out->expect_continue = out->expect_continue && out->minor && out->length != 0;
    d->state = H1_ENDED;
    return 0;
}

/* What is wrong with a line in which `stop` is a control byte that ends no line. */
static int control_error(const struct h1_decoder *d, const char *line, const char *stop)
{
    size_t len = (size_t)(stop - line);

    if (*stop == '\n') {
        return -ERR_BARE_LF;
    }
    if (d->state == H1_REQUEST_LINE) {
        return memchr(line, ' ', len) ? -ERR_TARGET : -ERR_METHOD;
    }
    return memchr(line, ':', len) ? -ERR_FIELD_VALUE : -ERR_FIELD_NAME;
}

/* Finds the end of the line at hand. Returns 1 and the line without its CRLF, 0 when more bytes are
 * needed, or an error. No more bytes are searched than a request line may have, and one: what lies
 * behind might as well come later, and must not matter. */
static int next_line(struct h1_decoder *d, struct slice in, struct slice *line)
{
    size_t most = d->state == H1_REQUEST_LINE ? d->limits->line : SIZE_MAX;
    size_t here = in.len - d->line;
    const char *begin = in.ptr + d->line;
    const char *limit = begin + (here > most ? most + 1 : here);
    const char *stop = scan_text(in.ptr + d->scanned, limit);

    d->scanned = (size_t)(stop - in.ptr);
    if (stop == limit) {
        return here > most ? -ERR_LINE_TOO_LONG : 0;
    }
    if (*stop != '\r') {
        return control_error(d, begin, stop);
    }
    if (d->scanned + 1 == in.len) {
        return 0;
    }
    if (stop[1] != '\n') {
        return -ERR_BARE_CR;
    }
    *line = slice_of(begin, (size_t)(stop - begin));
    d->line = d->scanned = d->scanned + 2;
    return 1;
}

/* Skips one empty line before the request line. Returns 1, 0 when more bytes are needed, or an
 * error. */
static int skip_empty_line(struct h1_decoder *d, struct slice in)
{
    if (*in.ptr == '\r') {
        if (in.len < 2) {
            return 0;
        }
        if (in.ptr[1] != '\n') {
            return -ERR_BARE_CR;
        }
        d->line = d->scanned = 2;
    }
    d->state = H1_REQUEST_LINE;
    return 1;
}

/* Judges a request's first byte, so that a peer that speaks something else need not send a whole
 * line of it. */
static int check_first_byte(struct h1_decoder *d, struct slice in)
{
    char first;

    if (in.len == d->line) {
        return 0;
    }
    first = in.ptr[d->line];
    if (char_is(first, CHAR_TOKEN)) {
        return 1;
    }
    if (first == '\n') {
        return -ERR_BARE_LF;
    }
    return first == TLS_HANDSHAKE ? -ERR_TLS_HELLO : -ERR_METHOD;
}

/* Takes the request line. Returns 1, 0 when more bytes are needed, or an error. */
static int take_request_line(struct h1_decoder *d, struct slice in, struct h1_request *out)
{
    struct slice line;
    int got = check_first_byte(d, in);

    if (got == 1) {
        got = next_line(d, in, &line);
    }
    if (got == 1) {
        int err = decode_request_line(line, out);

        d->state = H1_FIELDS;
        got = err ? err : 1;
    }
    return got;
}

/* Takes one field line or the empty one that ends the head. Returns 1, 0 when more bytes are
 * needed, or an error. */
static int take_field_line(struct h1_decoder *d, struct slice in, struct h1_request *out)
{
    struct slice line;
    int got = next_line(d, in, &line), err;

    if (got != 1) {
        return got;
    }
    err = line.len ? decode_field(d, line, out) : finish(d, out);
    return err ? err : 1;
}

static int take_line(struct h1_decoder *d, struct slice in, struct h1_request *out)
{
    switch ((enum h1_state)d->state) {
    case H1_START: return skip_empty_line(d, in);
    case H1_REQUEST_LINE: return take_request_line(d, in, out);
    case H1_FIELDS: return take_field_line(d, in, out);
    case H1_ENDED: return -ERR_PROTOCOL;
    }
    __builtin_unreachable();
}

/* Moves a slice of the old bytes to the new; a slice of anything else stays. */
static void follow(struct slice *s, const struct h1_decoder *d, const char *now)
{
    uintptr_t at = (uintptr_t)s->ptr - (uintptr_t)d->base;

    if (s->ptr && at < d->line) {
        s->ptr = now + at;
    }
}

/* Makes everything found so far point to where the bytes are now. */
static void follow_all(struct h1_decoder *d, const char *now, struct h1_request *out)
{
    struct slice *parts[] = {&out->method,    &out->target, &out->scheme,
                             &out->authority, &out->path,   &out->query};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        follow(parts[i], d, now);
    }
    for (unsigned i = 0; i < out->count; i++) {
        follow(&out->fields[i].name, d, now);
        follow(&out->fields[i].value, d, now);
    }
}

/* Begins with the bytes at `now`, or goes on with them. */
static void attend(struct h1_decoder *d, const char *now, struct h1_request *out)
{
    if (!d->base) {
        *out = (struct h1_request){.fields = d->fields};
    } else if (d->base != now) {
        follow_all(d, now, out);
    }
    d->base = now;
}

/* The head as far as it is within its limit: no byte beyond is looked at, whenever it comes. */
static struct slice within_limit(const struct h1_decoder *d, struct slice in)
{
    size_t most = d->limits->head < INT_MAX ? d->limits->head : INT_MAX;

    return slice_of(in.ptr, in.len < most ? in.len : most);
}

int h1_decode_head(struct h1_decoder *d, struct slice in, struct h1_request *out)
{
    struct slice head = within_limit(d, in);
    int got = 1;

    if (head.len == 0) {
        return 0;
    }
    attend(d, head.ptr, out);
    while (got == 1 && (got = take_line(d, head, out)) == 1) {
        if (d->state == H1_ENDED) {
            return (int)d->line;
        }
    }
    if (got == 0 && head.len == d->limits->head) {
        got = d->state == H1_FIELDS ? -ERR_HEAD_TOO_LARGE : -ERR_LINE_TOO_LONG;
    }
    if (got < 0) {
        d->state = H1_ENDED;
    }
    return got;
}

/* ---- Encoding ---- */

static char *put(char *at, struct slice s)
{
    if (s.len) {
        memcpy(at, s.ptr, s.len);
    }
    return at + s.len;
}

static size_t fields_size(const struct field *fields, unsigned count)
{
    size_t size = 0;

    for (unsigned i = 0; i < count; i++) {
        size += fields[i].name.len + fields[i].value.len + sizeof ": \r\n" - 1;
    }
    return size;
}

/* Room for `size` bytes, or NULL with the reason in *err. */
static char *reserve(struct buf *b, size_t size, int *err)
{
    char *room = buf_reserve(b, size);

    *err = room ? 0 : size > b->cap - buf_len(b) ? -ERR_FULL : -ERR_MEMORY;
    return room;
}

int h1_encode_head(struct buf *b, int status, struct slice reason, const struct field *fields,
                   unsigned count)
{
    struct slice phrase = reason.len ? reason : status_phrase(status);
    char line[] = "HTTP/1.1 000 ";
    size_t size = sizeof line - 1 + phrase.len + 2 + fields_size(fields, count);
    int err;
    char *at = reserve(b, size, &err);

    assert(status >= 100 && status <= 999);
    if (!at) {
        return err;
    }
    line[9] = (char)('0' + status / 100);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    at = put(put(put(at, slice_of(line, sizeof line - 1)), phrase), SLICE("\r\n"));
    for (unsigned i = 0; i < count; i++) {
        at = put(put(at, fields[i].name), SLICE(": "));
        at = put(put(at, fields[i].value), SLICE("\r\n"));
    }
    buf_added(b, size);
    return 0;
}

int h1_encode_length(struct buf *b, uint64_t length)
{
    char room[DECIMAL_MAX];
    struct slice digits = decimal(length, room);
    size_t size = sizeof "Content-Length: \r\n" - 1 + digits.len;
    char *at;
    int err;

    at = reserve(b, size, &err);
    if (at) {
        at = put(put(at, SLICE("Content-Length: ")), digits);
        put(at, SLICE("\r\n"));
        buf_added(b, size);
    }
    return err;
}
