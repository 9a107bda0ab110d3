/* The response of a call: what start_response was given becomes a head, what the application yields
 * becomes chunks.
 *
 * A head is checked whole before anything of it is kept: types as PEP 3333 has them, names and
 * values by the grammar of RFC 9110 section 5, so that no application can split a response. It is
 * then copied into the exchange's arena, since the application may change its list before the head
 * is sent, which happens with the first byte of content.
 *
 * Content is counted here against the announced length. Nothing here iterates or calls the
 * application. */
#include <unistd.h>

#include "http/server.h"
#include "py/call.h"
#include "py/report.h"
#include "py/wsgi.h"

enum {
    LEND = 2048,        /* chunks of more bytes than this are lent to the wire instead of copied */
    MOST_LENT = 1024,   /* chunks of a list that are lent without waiting */
    MOST_FIELDS = 8192, /* of a response; what they may hold is limited by the exchange's arena */
};

/* ---- The head ---- */

static int refuse(PyObject *type, const char *what, PyObject *object)
{
    PyErr_Format(type, what, object);
    return -1;
}

/* "404 Not Found": a code from 200 to 999, a space, a reason, which may be empty. Returns the code
 * or -1. */
static int status_code(PyObject *status)
{
    if (!PyUnicode_CheckExact(status))
        return refuse(PyExc_TypeError, "the status has to be a str, not %R", status);
    if (!is_latin1(status))
        return refuse(PyExc_ValueError, "the status holds characters beyond latin-1: %R", status);
    struct slice s = latin1_bytes(status);
    if (s.len < 4 || s.ptr[3] != ' ' || !field_value_ok(s))
        return refuse(PyExc_ValueError, "the status has to read like '200 OK', not %R", status);
    int code = 0;
    for (int i = 0; i < 3; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return refuse(PyExc_ValueError, "the status has to begin with three digits: %R",
                          status);
        code = 10 * code + s.ptr[i] - '0';
    }
    if (code < 200)
        return refuse(PyExc_ValueError, "the status has to be final, 200 or above: %R", status);
    return code;
}

/* Checks one (name, value) and sets `out` to its bytes, which are still Python's. Messages end in
 * the error log, so they show names and no values, which may be secret. */
static int check_field(PyObject *item, struct field *out)
{
    if (!PyTuple_CheckExact(item) || PyTuple_GET_SIZE(item) != 2)
        return refuse(PyExc_TypeError, "each header has to be a tuple (name, value), not %R",
                      (PyObject *)Py_TYPE(item));
    PyObject *name = PyTuple_GET_ITEM(item, 0), *value = PyTuple_GET_ITEM(item, 1);
    if (!PyUnicode_CheckExact(name) || !PyUnicode_CheckExact(value))
        return refuse(PyExc_TypeError, "the name and value of a header have to be of type str: %R",
                      name);
    if (!is_latin1(name) || !is_latin1(value))
        return refuse(PyExc_ValueError, "a header holds characters beyond latin-1: %R", name);
    *out = (struct field){.name = latin1_bytes(name), .value = latin1_bytes(value)};
    if (!field_name_ok(out->name))
        return refuse(PyExc_ValueError, "a header's name has to be a token: %R", name);
    if (!field_value_ok(out->value))
        return refuse(PyExc_ValueError, "a header's value holds control characters: %R", name);
    out->id = header_lookup(out->name);
    return 0;
}

/* Digits and nothing else; 18 of them cannot overflow. Returns -1 for anything else. */
static int64_t parse_length(struct slice s)
{
    int64_t n = 0;
    if (s.len == 0 || s.len > 18)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return -1;
        n = 10 * n + s.ptr[i] - '0';
    }
    return n;
}

/* Says once in a worker's life that a field was dropped. */
static void warn_of_hop(struct call *c, enum header_id id)
{
    struct wsgi *w = c->wsgi;
    uint64_t bit = UINT64_C(1) << (id % 64);
    if (w->told[id / 64] & bit)
        return;
    w->told[id / 64] |= bit;
    log_event(w->voice->log, LOG_WARN, "a hop-by-hop header of the application was dropped",
              LOG_SLICE("header", header_name(id)));
}

/* Whether the comma-separated list names `word`. */
static bool list_names(struct slice list, struct slice word)
{
    while (list.len) {
        const char *comma = memchr(list.ptr, ',', list.len);
        struct slice item = slice_of(list.ptr, comma ? (size_t)(comma - list.ptr) : list.len);
        list = slice_skip(list, comma ? item.len + 1 : item.len);
        while (item.len && (*item.ptr == ' ' || *item.ptr == '\t'))
            item = slice_skip(item, 1);
        while (item.len && (item.ptr[item.len - 1] == ' ' || item.ptr[item.len - 1] == '\t'))
            item.len--;
        if (slice_eq_nocase(item, word))
            return true;
    }
    return false;
}

/* A response that is being taken over: what is sent as it is, and what speaks to us. */
struct draft {
    struct field *fields;
    unsigned count;
    size_t bytes; /* of their names and values */
    int64_t length;
    bool close;
};

/* Puts a checked field where it belongs. Returns 0, or -1 with an exception. */
static int draft_field(struct call *c, struct draft *d, const struct field *f, PyObject *item)
{
    if (f->id == HEADER_CONTENT_LENGTH) {
        int64_t length = parse_length(f->value);
        if (length < 0 || (d->length >= 0 && length != d->length))
            return refuse(PyExc_ValueError, "Content-Length has to be one number: %R", item);
        d->length = length;
        return 0;
    }
    if (f->id == HEADER_CONNECTION && list_names(f->value, SLICE("close"))) {
        d->close = true;
        return 0;
    }
    if (header_is_hop(f->id)) {
        warn_of_hop(c, f->id);
        return 0;
    }
    d->bytes += f->name.len + f->value.len;
    d->fields[d->count++] = *f;
    return 0;
}

static struct slice copy_to(char **at, struct slice s)
{
    struct slice copy = slice_of(*at, s.len);
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

static int too_large(void)
{
    PyErr_SetString(PyExc_ValueError, "the headers of the response are too large");
    return -1;
}

/* Makes the draft's bytes and the reason the exchange's own. Returns 0, or -1 with an exception. */
static int keep(struct call *c, struct draft *d, struct slice *reason)
{
    char *at = arena_alloc(&c->x->arena, d->bytes + reason->len + 1);
    if (!at)
        return too_large();
    for (unsigned i = 0; i < d->count; i++) {
        d->fields[i].name = copy_to(&at, d->fields[i].name);
        d->fields[i].value = copy_to(&at, d->fields[i].value);
    }
    *reason = copy_to(&at, *reason);
    return 0;
}

int response_head(struct call *c, PyObject *status, PyObject *headers)
{
    int code = status_code(status);
    if (code < 0)
        return -1;
    if (!PyList_CheckExact(headers))
        return refuse(PyExc_TypeError, "the headers have to be a list, not %R",
                      (PyObject *)Py_TYPE(headers));
    size_t count = (size_t)PyList_GET_SIZE(headers);
    struct draft d = {.length = -1};
    d.fields =
        count < MOST_FIELDS ? arena_alloc(&c->x->arena, (count + 1) * sizeof *d.fields) : NULL;
    if (!d.fields)
        return too_large();
    for (size_t i = 0; i < count; i++) {
        struct field f;
        PyObject *item = PyList_GET_ITEM(headers, (Py_ssize_t)i);
        if (check_field(item, &f) || draft_field(c, &d, &f, item))
            return -1;
    }
    struct slice reason = slice_skip(latin1_bytes(status), 4);
    if (keep(c, &d, &reason))
        return -1;
    c->head = (struct head){code, reason, d.fields, d.count, d.close};
    c->length = d.length;
    c->mute = c->is_head || code == 204 || code == 205 || code == 304;
    c->stage = CALL_HEADED;
    return 0;
}

/* ---- The content ---- */

static int lose(struct call *c, int err)
{
    c->stage = CALL_LOST;
    return err < 0 ? err : -ERR_CLOSED;
}

int response_start(struct call *c, int64_t known)
{
    if (c->stage == CALL_STARTED)
        return 0;
    if (c->stage == CALL_LOST)
        return -ERR_CLOSED;
    /* What HEAD would have brought as GET is not known from an answer without content. */
    if (c->length < 0 && !(c->mute && known == 0))
        c->length = known;
    call_back(c);
    int err = c->x->wire->start(c->x, &c->head, c->length);
    if (err < 0)
        return lose(c, err);
    c->stage = CALL_STARTED;
    return 0;
}

/* How many of `size` bytes more may be sent. */
static int64_t room_for(struct call *c, int64_t size)
{
    if (c->mute)
        return 0;
    if (c->length < 0 || size <= c->length - c->sent)
        return size;
    if (!c->told)
        report_event(c->wsgi->voice->log, c->x, LOG_WARN,
                     "the application sent more bytes than its Content-Length says: cut");
    c->told = true;
    return c->length - c->sent;
}

/* Whether to wait when the wire asks to. Not when nothing follows; and not between the items of a
 * list, which are in memory anyway and only lent to the wire: so a slow client of a large list
 * holds nobody up. */
static bool must_wait(struct call *c, const struct chunk *chunk)
{
    if (chunk->kind == CHUNK_FILE || c->sent == c->length)
        return false;
    return !c->in_memory || !chunk->hold || ++c->lent >= MOST_LENT;
}

/* Gives one chunk to the wire, and waits for room without the GIL. */
static int put(struct call *c, const struct chunk *chunk, int64_t size)
{
    const struct wire_ops *wire = c->x->wire;
    call_back(c);
    int err = wire->write(c->x, chunk);
    if (err >= 0)
        c->sent += size;
    if (err == 1 && must_wait(c, chunk)) {
        c->lent = 0;
        call_away(c);
        gil_leave(&c->seat->gil);
        err = wire->wait(c->x);
        gil_take(&c->seat->gil);
        call_back(c);
    }
    return err < 0 ? lose(c, err) : 0;
}

int response_bytes(struct call *c, PyObject *chunk)
{
    if (c->stage == CALL_LOST)
        return -ERR_CLOSED;
    int64_t size = room_for(c, PyBytes_GET_SIZE(chunk));
    if (size == 0)
        return 0;
    const struct chunk out = {
        .kind = CHUNK_BYTES,
        .bytes = slice_of(PyBytes_AS_STRING(chunk), (size_t)size),
        .hold = size > LEND ? holds_object(&c->wsgi->holds, chunk) : NULL,
    };
    return put(c, &out, size);
}

int response_file(struct call *c, int fd, int64_t offset, int64_t length)
{
    int64_t size = c->stage == CALL_LOST ? 0 : room_for(c, length);
    struct hold *hold = size ? holds_file(&c->wsgi->holds, fd) : NULL;
    if (!hold) {
        close(fd);
        return size || c->stage == CALL_LOST ? lose(c, -ERR_MEMORY) : 0;
    }
    const struct chunk out = {
        .kind = CHUNK_FILE, .fd = fd, .offset = offset, .length = size, .hold = hold};
    return put(c, &out, size);
}

int response_flush(struct call *c)
{
    if (c->stage == CALL_LOST)
        return -ERR_CLOSED;
    if (c->length >= 0 && c->sent == c->length)
        return 0;
    call_back(c);
    int err = c->x->wire->flush(c->x);
    return err < 0 ? lose(c, err) : 0;
}

int response_finish(struct call *c)
{
    int err = response_start(c, 0);
    if (err)
        return err;
    if (!c->mute && c->length > c->sent) {
        report_event(c->wsgi->voice->log, c->x, LOG_ERROR,
                     "the application sent fewer bytes than its Content-Length says");
    }
    call_back(c);
    err = c->x->wire->finish(c->x, NULL);
    return err < 0 ? lose(c, err) : 0;
}
