/* Fuzzes both decoders of FastCGI and the reader of name-value pairs.
 *
 * The first byte chooses who is decoded, and when a request is said to have ended. Claims: the
 * bytes given as one and with one more at each call come to the same events; bytes of an event lie
 * within what was taken; a decoder waits for no more bytes than it says; what is broken stays
 * broken; an acceptor's events are for requests at work, each stream ends once, and there are never
 * more requests than there is room for; pairs encoded again come back. */
#include <stdint.h>
#include <stdlib.h>

#include "check.h"
#include "proto/fastcgi.h"

enum { ROOM = 3, LOG = 1 << 16, PAIRS = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What happened, written down so that two runs can be compared: pieces of a stream are one. */
struct run {
    struct fcgi_request requests[ROOM];
    struct fcgi_acceptor acceptor;
    struct fcgi_decoder client;
    bool is_client, ends; /* a request ends when it is aborted */
    size_t len;
    int err;
    enum fcgi_type open;
    uint16_t id;
    char log[LOG];
};

static void note(struct run *r, const void *bytes, size_t len)
{
    CHECK(r->len + len <= LOG);
    if (len)
        memcpy(r->log + r->len, bytes, len);
    r->len += len;
}

static void note_event(struct run *r, const struct fcgi_event *e)
{
    bool stream = e->bytes.len && e->type != FCGI_GET_VALUES && e->type != FCGI_GET_VALUES_RESULT;

    if (!stream || r->open != e->type || r->id != e->id) {
        uint32_t words[] = {e->type,   e->id,         e->last,    e->role, e->keep,
                            e->status, e->app_status, e->unknown, stream};

        note(r, words, sizeof words);
    }
    note(r, e->bytes.ptr, e->bytes.len);
    r->open = stream ? e->type : FCGI_NOTHING;
    r->id = e->id;
}

static void check_event(struct run *r, const struct fcgi_event *e, struct slice taken)
{
    CHECK(e->type < FCGI_TYPES && !(e->last && e->bytes.len));
    CHECK(e->bytes.len == 0 ||
          (e->bytes.ptr >= taken.ptr && e->bytes.ptr + e->bytes.len <= taken.ptr + taken.len));
    if (e->type == FCGI_NOTHING)
        return;
    CHECK((e->id == 0) == (e->type == FCGI_UNKNOWN_TYPE || e->type == FCGI_GET_VALUES ||
                           e->type == FCGI_GET_VALUES_RESULT));
    if (!r->is_client && e->id && !(e->type == FCGI_BEGIN_REQUEST && e->status))
        CHECK(e->request && e->request->id == e->id);
    note_event(r, e);
    if (r->ends && e->type == FCGI_ABORT_REQUEST && e->request)
        fcgi_ended(e->request);
}

static int next(struct run *r, struct slice in, struct fcgi_event *e)
{
    return r->is_client ? fcgi_decode(&r->client, in, e) : fcgi_accept(&r->acceptor, in, e);
}

/* Decodes `in` in calls that see at most `step` bytes more than the last. */
static void run(struct run *r, struct slice in, size_t step)
{
    size_t at = 0, seen = 0;

    fcgi_acceptor_init(&r->acceptor, r->requests, ROOM);
    fcgi_decoder_init(&r->client, FCGI_FROM_APPLICATION);
    while (r->err == 0) {
        struct fcgi_event e;
        int taken = next(r, slice_of(in.ptr + at, seen - at), &e);

        CHECK(taken <= (int)(seen - at) && -taken < ERR_COUNT);
        if (taken < 0) {
            r->err = taken;
            CHECK(next(r, slice_of(in.ptr + at, seen - at), &e) == taken);
            return;
        }
        check_event(r, &e, slice_of(in.ptr + at, (size_t)taken));
        at += (size_t)taken;
        if (taken)
            continue;
        CHECK(seen - at < FCGI_VALUES_MAX);
        if (seen == in.len)
            return;
        seen = in.len - seen < step ? in.len : seen + step;
    }
}

static void check_pairs(struct slice in)
{
    struct var list[PAIRS], back[PAIRS];
    struct vars vars = {.list = list, .room = PAIRS}, again = {.list = back, .room = PAIRS};
    struct fcgi_abilities abilities = {0};
    struct fcgi_decoder d;
    struct fcgi_event e = {0};
    struct buf b, pairs;

    buf_init(&b, 1 << 17);
    buf_init(&pairs, 1 << 17);
    fcgi_decode_values(in, &abilities);
    (void)fcgi_encode_values(&b, in, &abilities);
    buf_free(&b);
    if (fcgi_decode_pairs(in, &vars) == 0) {
        CHECK(fcgi_encode_params(&b, 1, &vars) == 0);
        fcgi_decoder_init(&d, FCGI_FROM_SERVER);
        while (!e.last) {
            int taken = fcgi_decode(&d, buf_bytes(&b), &e);

            CHECK(taken > 0 && (e.bytes.len == 0 || buf_put(&pairs, e.bytes) == 0));
            buf_take(&b, (size_t)taken);
        }
        CHECK(fcgi_decode_pairs(buf_bytes(&pairs), &again) == 0 && again.count == vars.count);
        for (unsigned i = 0; i < vars.count; i++)
            CHECK(slice_eq(list[i].name, back[i].name) && slice_eq(list[i].value, back[i].value));
    }
    buf_free(&b);
    buf_free(&pairs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run *whole, *bytes;
    struct slice in;

    if (size == 0 || size > 4096)
        return -1;
    in = slice_of((const char *)data + 1, size - 1);
    whole = calloc(1, sizeof *whole);
    bytes = calloc(1, sizeof *bytes);
    CHECK(whole && bytes);
    whole->is_client = bytes->is_client = data[0] & 1;
    whole->ends = bytes->ends = data[0] & 2;
    run(whole, in, SIZE_MAX);
    run(bytes, in, 1);
    CHECK(whole->err == bytes->err);
    CHECK(slice_eq(slice_of(whole->log, whole->len), slice_of(bytes->log, bytes->len)));
    free(whole);
    free(bytes);
    check_pairs(in);
    return 0;
}
