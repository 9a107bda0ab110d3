/* Fuzzes what variables say of a request, and the heads of CGI answers.
 *
 * The bytes are names and values, each ended by a NUL, and also an answer. Claims: an accepted
 * request has a method, a path and fields as HTTP/1 would have them, and no variable that chooses
 * anything; written as variables and read again, it is the same. An answer given as one and with
 * one more byte at each call comes to the same head, within its limits; a status from 100 to 999.
 */
#include <stdint.h>

#include "base/errors.h"
#include "check.h"
#include "proto/cgi.h"
#include "proto/target.h"

enum { ROOM = 32, FIELDS = 8, HEAD = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(const struct field *fields, unsigned count)
{
    CHECK(count <= FIELDS);
    for (unsigned i = 0; i < count; i++) {
        CHECK(field_name_ok(fields[i].name) && field_value_ok(fields[i].value));
        CHECK(fields[i].id == header_lookup(fields[i].name));
    }
}

static void check_request(const struct cgi_request *r)
{
    CHECK(field_name_ok(r->method) && r->target.len > 0);
    CHECK(r->path.len == 0 || *r->path.ptr == '/');
    CHECK(r->authority.len == 0 || host_ok(r->authority));
    CHECK(r->script.len == 0 || (*r->script.ptr == '/' && r->script.ptr[r->script.len - 1] != '/'));
    CHECK(r->path_info.len == 0 || *r->path_info.ptr == '/');
    CHECK(r->length >= -1);
    check_fields(r->fields, r->count);
    for (unsigned i = 0; i < r->count; i++)
        CHECK(r->fields[i].id != HEADER_PROXY && r->fields[i].id != HEADER_TRANSFER_ENCODING);
    for (unsigned i = 0; i < r->others.count; i++) {
        struct slice name = r->others.list[i].name;

        CHECK(!slice_starts(name, SLICE("UWSGI_")) && !slice_starts(name, SLICE("HTTP_")));
        CHECK(!memchr(name.ptr, '.', name.len) && !memchr(name.ptr, '-', name.len));
    }
}

/* Handed on and read again, a request is the same. */
static void check_again(const struct cgi_request *r, struct cgi_options options,
                        struct arena *arena)
{
    struct var list[2 * ROOM];
    struct vars vars = {.list = list, .room = 2 * ROOM};
    struct cgi_request again;

    options.whole_path = false;
    CHECK(cgi_write_request(r, arena, &vars) == 0);
    CHECK(cgi_read_request(&vars, &options, arena, &again) == 0);
    CHECK(slice_eq(r->method, again.method) && slice_eq(r->target, again.target));
    CHECK(slice_eq(r->scheme, again.scheme) && slice_eq(r->authority, again.authority));
    CHECK(slice_eq(r->path, again.path) && slice_eq(r->query, again.query));
    CHECK(slice_eq(r->script, again.script) && slice_eq(r->path_info, again.path_info));
    CHECK(slice_eq(r->remote_addr, again.remote_addr) && r->remote_port == again.remote_port);
    CHECK(r->length == again.length && again.count <= r->count);
    check_request(&again);
}

static bool take_text(struct slice *in, struct slice *out)
{
    const char *nul = in->len ? memchr(in->ptr, '\0', in->len) : NULL;

    *out = slice_of(in->ptr, nul ? (size_t)(nul - in->ptr) : 0);
    *in = slice_skip(*in, nul ? out->len + 1 : 0);
    return nul;
}

static void fuzz_request(struct slice in, bool whole_path)
{
    struct cgi_options options = {.target = 300, .fields = FIELDS, .whole_path = whole_path};
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    struct slice name, value;
    struct cgi_request r;
    struct arena arena;
    int err = 0;

    while (err == 0 && take_text(&in, &name) && take_text(&in, &value))
        err = vars_add(&vars, name, value);
    options.mount = whole_path ? SLICE("") : SLICE("/shop");
    arena_init(&arena, 1 << 16, NULL, 0);
    err = cgi_read_request(&vars, &options, &arena, &r);
    CHECK(err <= 0 && -err < ERR_COUNT);
    if (err == 0)
        check_request(&r);
    if (err == 0)
        check_again(&r, options, &arena);
    arena_free(&arena);
}

static void fuzz_answer(struct slice in)
{
    const struct cgi_answer_limits limits = {.head = HEAD, .fields = FIELDS};
    struct cgi_answer_decoder first = {0}, second = {0};
    struct field fields[FIELDS];
    struct cgi_answer whole, part;
    int taken, n = 0;

    for (size_t len = 0; len <= in.len && n == 0; len++)
        n = cgi_decode_answer(&first, slice_of(in.ptr, len), &limits, fields, &part);
    taken = cgi_decode_answer(&second, in, &limits, fields, &whole);
    CHECK(n == taken && taken <= HEAD && taken <= (int)in.len && -taken < ERR_COUNT);
    if (taken <= 0)
        return;
    CHECK(part.status == whole.status && part.count == whole.count && part.length == whole.length);
    CHECK(slice_eq(part.local, whole.local) && whole.status >= 100 && whole.status <= 999);
    CHECK(whole.local.len == 0 || whole.status == 302);
    check_fields(whole.fields, whole.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);

    if (size == 0)
        return 0;
    fuzz_request(slice_skip(in, 1), data[0] & 1);
    fuzz_answer(in);
    return 0;
}
