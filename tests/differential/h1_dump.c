/* Says what the HTTP/1 codec makes of requests: one line of JSON for each.
 *
 * Reads from standard input any number of records: a length in decimal, a newline, and so many
 * bytes, which are one connection's. Prints of its first request either {"error", "status"} or
 * {"more"} or what was decoded, body included; bytes are written as the characters of the same
 * number. For tests/system/test_differential_h1.py. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/errors.h"
#include "proto/chunked.h"
#include "proto/h1.h"

enum { FIELDS = 100, CAP = 4096, RECORD_MAX = 1 << 20 };

static const struct h1_limits limits = {.line = 16384, .head = 65536, .fields = FIELDS};

/* The bytes as characters up to U+00FF, in UTF-8. */
static json_t *text(struct slice s)
{
    char *utf8 = malloc(2 * s.len + 1);
    size_t len = 0;
    json_t *value;

    if (!utf8) {
        abort();
    }
    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte = (uint8_t)s.ptr[i];

        if (byte < 0x80) {
            utf8[len++] = (char)byte;
        } else {
            utf8[len++] = (char)(0xc0 | byte >> 6);
            utf8[len++] = (char)(0x80 | (byte & 0x3f));
        }
    }
    value = json_stringn(utf8, len);
    free(utf8);
    return value;
}

static json_t *refusal(int err)
{
    return json_pack("{ss si}", "error", err_name(err), "status", err_status(err));
}

static json_t *fields(const struct h1_request *r)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < r->count; i++) {
        json_array_append_new(list,
                              json_pack("[oo]", text(r->fields[i].name), text(r->fields[i].value)));
    }
    return list;
}

/* Decodes the chunks in `in` to `body` (room for as many bytes). Returns the payload's length or an
 * error. */
static int unchunk(struct slice in, char *body, bool *whole)
{
    struct chunked c;
    int len = 0;

    chunked_init(&c, CAP, CAP);
    while (in.len && !c.done) {
        struct slice data;
        int taken = chunked_decode(&c, in, &data);

        if (taken < 0) {
            return taken;
        }
        memcpy(body + len, data.ptr, data.len);
        len += (int)data.len;
        in = slice_skip(in, (size_t)taken);
    }
    *whole = c.done;
    return len;
}

/* Adds the body that begins with `in`, as far as it is there. Returns 0 or an error. */
static int add_body(json_t *o, const struct h1_request *r, struct slice in)
{
    struct slice body = in;
    bool whole = true;
    char *payload = malloc(in.len + 1);
    int len = 0;

    if (!payload) {
        abort();
    }
    if (r->chunked) {
        len = unchunk(in, payload, &whole);
        body = slice_of(payload, len < 0 ? 0 : (size_t)len);
    } else {
        whole = in.len >= (uint64_t)r->length;
        body.len = whole ? (size_t)r->length : in.len;
    }
    json_object_set_new(o, "body", text(body));
    json_object_set_new(o, "whole", json_boolean(whole));
    free(payload);
    return len < 0 ? len : 0;
}

static json_t *request(const struct h1_request *r)
{
    return json_pack("{so so so so so so si sb sb sb sI so}", "method", text(r->method), "target",
                     text(r->target), "scheme", text(r->scheme), "authority", text(r->authority),
                     "path", text(r->path), "query", text(r->query), "minor", r->minor,
                     "keep_alive", r->keep_alive, "expect", r->expect_continue, "upgrade",
                     r->upgrade, "length", (json_int_t)r->length, "fields", fields(r));
}

static json_t *outcome(struct slice in)
{
    static struct field room[FIELDS];
    struct h1_decoder d;
    struct h1_request r;
    json_t *o;
    int got, err;

    h1_decoder_init(&d, &limits, room);
    got = h1_decode_head(&d, in, &r);
    if (got < 0) {
        return refusal(got);
    }
    if (got == 0) {
        return json_pack("{sb}", "more", 1);
    }
    o = request(&r);
    err = add_body(o, &r, slice_skip(in, (size_t)got));
    if (err) {
        json_decref(o);
        return refusal(err);
    }
    return o;
}

/* Takes one record of `len` bytes; false at the end of input. */
static bool record(size_t len)
{
    char *bytes = malloc(len + !len);
    bool there = bytes && fread(bytes, 1, len, stdin) == len;

    if (there) {
        json_t *o = outcome(slice_of(bytes, len));

        json_dumpf(o, stdout, JSON_ENSURE_ASCII | JSON_COMPACT);
        putchar('\n');
        json_decref(o);
    }
    free(bytes);
    return there;
}

int main(void)
{
    unsigned len;

    while (scanf("%7u", &len) == 1) {
        if (getchar() != '\n' || len > RECORD_MAX || !record(len)) {
            fputs("h1_dump: a record is cut short\n", stderr);
            return 1;
        }
    }
    return 0;
}
