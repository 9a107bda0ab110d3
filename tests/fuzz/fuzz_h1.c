/* Fuzzes the decoder of HTTP/1 heads.
 *
 * Claims: the bytes given whole, one after another, and in two pieces with a move between them come
 * to the same; every slice lies within the bytes; what is accepted keeps the grammar's promises. */
#include <stdint.h>
#include <stdlib.h>

#include "base/errors.h"
#include "check.h"
#include "proto/h1.h"
#include "proto/target.h"

enum { FIELDS = 20 };

static const struct h1_limits limits = {.line = 200, .head = 1000, .fields = FIELDS};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    int got;
    struct field fields[FIELDS];
    struct h1_request request;
};

static bool within(struct slice s, struct slice in)
{
    return s.len == 0 || (s.ptr >= in.ptr && s.ptr + s.len <= in.ptr + in.len);
}

/* Equal bytes at the same place. */
static void check_slice(struct slice a, struct slice in_a, struct slice b, struct slice in_b)
{
    CHECK(slice_eq(a, b));
    CHECK((a.ptr == NULL) == (b.ptr == NULL));
    CHECK(a.len == 0 || a.ptr == b.ptr || a.ptr - in_a.ptr == b.ptr - in_b.ptr);
}

static void check_same(const struct result *a, struct slice in_a, const struct result *b,
                       struct slice in_b)
{
    const struct h1_request *x = &a->request, *y = &b->request;

    CHECK(a->got == b->got);
    check_slice(x->method, in_a, y->method, in_b);
    check_slice(x->target, in_a, y->target, in_b);
    check_slice(x->scheme, in_a, y->scheme, in_b);
    check_slice(x->authority, in_a, y->authority, in_b);
    check_slice(x->path, in_a, y->path, in_b);
    check_slice(x->query, in_a, y->query, in_b);
    CHECK(x->count == y->count && x->minor == y->minor && x->length == y->length);
    CHECK(x->chunked == y->chunked && x->keep_alive == y->keep_alive);
    CHECK(x->expect_continue == y->expect_continue && x->upgrade == y->upgrade);
    for (unsigned i = 0; i < x->count; i++) {
        check_slice(x->fields[i].name, in_a, y->fields[i].name, in_b);
        check_slice(x->fields[i].value, in_a, y->fields[i].value, in_b);
        CHECK(x->fields[i].id == y->fields[i].id);
    }
}

static void check_fields(const struct h1_request *r, struct slice in)
{
    CHECK(r->count <= FIELDS);
    for (unsigned i = 0; i < r->count; i++) {
        struct slice value = r->fields[i].value;

        CHECK(within(r->fields[i].name, in) && within(value, in));
        CHECK(field_name_ok(r->fields[i].name) && field_value_ok(value));
        CHECK(value.len == 0 || (*value.ptr != ' ' && value.ptr[value.len - 1] != ' '));
    }
}

/* What an accepted request promises. */
static void check_request(const struct h1_request *r, struct slice in)
{
    char path[1000];

    CHECK(within(r->method, in) && within(r->target, in) && within(r->query, in));
    CHECK(r->method.len <= H1_METHOD_MAX && field_name_ok(r->method));
    CHECK(r->target.len > 0 && r->path.len <= r->target.len);
    CHECK(r->path.len == 0 ? slice_eq(r->method, SLICE("OPTIONS")) : *r->path.ptr == '/');
    CHECK(r->authority.len ? host_ok(r->authority) : r->minor == 0);
    CHECK(r->chunked == (r->length == -1) && r->length >= -1);
    CHECK(!r->expect_continue || r->length != 0);
    CHECK(target_unquote(r->path, path) <= (int)r->path.len);
    check_fields(r, in);
}

static void decode_by_bytes(struct result *result, struct slice in)
{
    struct h1_decoder d;

    *result = (struct result){0};
    h1_decoder_init(&d, &limits, result->fields);
    for (size_t len = 1; len <= in.len && result->got == 0; len++) {
        result->got = h1_decode_head(&d, slice_of(in.ptr, len), &result->request);
    }
}

/* The first `cut` bytes in one place, then, unless they were enough, all of them in another, when
 * the first place is no more. */
static void check_moved(const struct result *whole, struct slice in, size_t cut)
{
    struct result pieces = {0};
    char *copy = malloc(cut + 1);
    struct h1_decoder d;

    CHECK(copy);
    memcpy(copy, in.ptr, cut);
    h1_decoder_init(&d, &limits, pieces.fields);
    pieces.got = h1_decode_head(&d, slice_of(copy, cut), &pieces.request);
    if (pieces.got) {
        check_same(whole, in, &pieces, slice_of(copy, cut));
        free(copy);
        return;
    }
    free(copy);
    pieces.got = h1_decode_head(&d, in, &pieces.request);
    check_same(whole, in, &pieces, in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct result whole = {0}, bytes;
    struct h1_decoder d;

    if (size == 0) {
        return 0;
    }
    h1_decoder_init(&d, &limits, whole.fields);
    whole.got = h1_decode_head(&d, in, &whole.request);
    CHECK(whole.got <= (int)size && -whole.got < ERR_COUNT);
    check_fields(&whole.request, in);
    if (whole.got > 0) {
        check_request(&whole.request, in);
    }
    decode_by_bytes(&bytes, in);
    check_same(&whole, in, &bytes, in);
    check_moved(&whole, in, (size_t)(data[size - 1] * 7 + data[size / 2]) % size);
    return 0;
}
