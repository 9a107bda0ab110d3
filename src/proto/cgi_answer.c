/* The head of what a CGI program answers (cgi.h has the contract; sections are RFC 3875's).
 *
 * The end of the head is searched first, each byte once however they come, and the head is judged
 * when it is there as a whole. Lines end in LF, with or without a CR before it (section 6.2). A
 * first line that begins with "HTTP/" is a status line; then the head is an HTTP response's (nph
 * scripts, section 5; uwsgi). Else it is a CGI response, of which Status and Location say what it
 * is, in any order:
 *   - Location with a path alone, and no Status, asks for a local redirect (section 6.2.2). One
 * that begins with "//" names a host and is for the client.
 *   - Location with anything else, and no Status, is a 302 (section 6.2.3).
 * Refused are folded lines, repeated Status, Location and Content-Length, a head without any field,
 * and Transfer-Encoding: what follows would be taken for content that it is not. What concerns one
 * connection is dropped, but Upgrade in a 101.
 *
 * Never copies or allocates, never looks behind the bytes given. */
#include "proto/cgi.h"

#include <limits.h>

#include "proto/chars.h"

enum { LENGTH_DIGITS = 18 };

/* A head being judged. */
struct judging {
    const struct cgi_answer_limits *limits;
    struct cgi_answer *out;
    struct slice location; /* ptr is NULL when there was none */
    bool status;           /* it was said */
    unsigned seen;         /* field lines, also those that are dropped */
};

static struct slice trimmed(struct slice s)
{
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    while (s.len && (*s.ptr == ' ' || *s.ptr == '\t'))
        s = slice_skip(s, 1);
    return s;
}

/* Reads "404" or "404 Not Found". */
static int read_status(struct judging *j, struct slice text)
{
    int status = 0;

    if (j->status || text.len < 3 || (text.len > 3 && text.ptr[3] != ' '))
        return -ERR_ANSWER_STATUS;
    for (unsigned i = 0; i < 3; i++) {
        if (!char_is(text.ptr[i], CHAR_DIGIT))
            return -ERR_ANSWER_STATUS;
        status = status * 10 + (text.ptr[i] - '0');
    }
    if (status < (j->out->raw ? 100 : 200))
        return -ERR_ANSWER_STATUS;
    j->status = true;
    j->out->status = status;
    j->out->reason = trimmed(slice_skip(text, 3));
    return field_value_ok(j->out->reason) ? 0 : -ERR_ANSWER_STATUS;
}

/* "HTTP/" DIGIT "." DIGIT SP, then the status; nobody's business is which version. */
static int read_status_line(struct judging *j, struct slice line)
{
    const char *p = line.ptr;

    if (line.len < 9 || !char_is(p[5], CHAR_DIGIT) || p[6] != '.' || !char_is(p[7], CHAR_DIGIT) ||
        p[8] != ' ')
        return -ERR_ANSWER_STATUS;
    j->out->raw = true;
    return read_status(j, slice_skip(line, 9));
}

static int read_length(struct cgi_answer *out, struct slice value)
{
    int64_t length = 0;

    if (out->length >= 0 || value.len == 0 || value.len > LENGTH_DIGITS)
        return -ERR_ANSWER_LENGTH;
    for (size_t i = 0; i < value.len; i++) {
        if (!char_is(value.ptr[i], CHAR_DIGIT))
            return -ERR_ANSWER_LENGTH;
        length = length * 10 + (value.ptr[i] - '0');
    }
    out->length = length;
    return 0;
}

static int read_location(struct judging *j, struct slice value)
{
    if (j->location.ptr || value.len == 0)
        return -ERR_ANSWER_HEAD;
    j->location = value;
    return 0;
}

/* What the fields mean that mean something here. */
static int note_field(struct judging *j, const struct field *f)
{
    if (f->id == HEADER_TRANSFER_ENCODING)
        return -ERR_ANSWER_CODING;
    if (f->id == HEADER_CONTENT_LENGTH)
        return read_length(j->out, f->value);
    return f->id == HEADER_LOCATION ? read_location(j, f->value) : 0;
}

static bool is_dropped(const struct judging *j, enum header_id id)
{
    return header_is_hop(id) && !(j->out->status == 101 && id == HEADER_UPGRADE);
}

static int read_field(struct judging *j, struct slice line, struct field *fields)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    struct field f;
    int err;

    if (!colon)
        return -ERR_ANSWER_HEAD;
    f.name = slice_of(line.ptr, (size_t)(colon - line.ptr));
    f.value = trimmed(slice_skip(line, f.name.len + 1));
    f.id = header_lookup(f.name);
    if (!field_name_ok(f.name))
        return -ERR_FIELD_NAME;
    if (!field_value_ok(f.value))
        return -ERR_FIELD_VALUE;
    if (!j->out->raw && slice_eq_nocase(f.name, SLICE("Status")))
        return read_status(j, f.value);
    if (++j->seen > j->limits->fields)
        return -ERR_ANSWER_TOO_LARGE;
    err = note_field(j, &f);
    if (!err && !is_dropped(j, f.id))
        fields[j->out->count++] = f;
    return err;
}

/* Takes the next line, without its end, from the front of the head, which ends with one. */
static struct slice take_line(struct slice *head)
{
    const char *end = memchr(head->ptr, '\n', head->len);
    struct slice line = slice_of(head->ptr, (size_t)(end - head->ptr));

    *head = slice_skip(*head, line.len + 1);
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* What only the whole head can tell. */
static int finish(struct judging *j)
{
    struct slice to = j->location;

    if (j->out->raw)
        return 0;
    if (j->seen == 0 && !j->status)
        return -ERR_ANSWER_HEAD;
    if (j->status)
        return 0;
    j->out->status = to.ptr ? 302 : 200;
    if (to.len && *to.ptr == '/' && !slice_starts(to, SLICE("//")))
        j->out->local = to;
    return 0;
}

static int judge(struct judging *j, struct slice head, struct field *fields)
{
    bool first = true;
    int err = 0;

    while (head.len && !err) {
        struct slice line = take_line(&head);

        if (line.len == 0)
            break;
        if (first && slice_starts(line, SLICE("HTTP/")))
            err = read_status_line(j, line);
        else
            err = read_field(j, line, fields);
        first = false;
    }
    return err ? err : finish(j);
}

/* Looks on for the empty line. Returns the size of the head, or 0. */
static size_t find_end(struct cgi_answer_decoder *d, struct slice in)
{
    while (d->scanned < in.len) {
        const char *end = memchr(in.ptr + d->scanned, '\n', in.len - d->scanned);
        size_t line = d->line, len;

        if (!end)
            break;
        len = (size_t)(end - in.ptr) - line;
        d->line = d->scanned = line + len + 1;
        if (len == 0 || (len == 1 && in.ptr[line] == '\r'))
            return d->line;
    }
    d->scanned = in.len;
    return 0;
}

int cgi_decode_answer(struct cgi_answer_decoder *d, struct slice in,
                      const struct cgi_answer_limits *limits, struct field *fields,
                      struct cgi_answer *out)
{
    struct judging j = {.limits = limits, .out = out};
    size_t most = limits->head < INT_MAX ? limits->head : INT_MAX, size;
    int err;

    *out = (struct cgi_answer){.length = -1, .fields = fields};
    if (in.len == 0)
        return 0;
    size = find_end(d, slice_of(in.ptr, in.len < most ? in.len : most));
    if (size == 0)
        return in.len < most ? 0 : -ERR_ANSWER_TOO_LARGE;
    err = judge(&j, slice_of(in.ptr, size), fields);
    return err ? err : (int)size;
}
