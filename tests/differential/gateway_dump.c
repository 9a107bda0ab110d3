/* Speaks uwsgi, SCGI and FastCGI by our codecs, for tests with real web servers and backends.
 *
 * Reads from standard input any number of records: a line "VERB PROTOCOL LENGTH", and so many
 * bytes. Answers each with one line of JSON; bytes are written and read as the characters of the
 * same number. The verbs:
 *   request  the bytes are all that has come of a connection: what its first request is
 *   answer   likewise, of a connection to a backend: what its first answer is
 *   ask      the bytes are {"vars": [[name, value], ...], "body": ...}: what a client sends
 *   tell     the bytes are a CGI program's answer: what a backend sends
 *   wonder   no bytes: how a FastCGI client asks what an application can do
 *   learn    the bytes are all that has come of such an application's answer: what it can do
 * For tests/system/test_gateway_codecs.py. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/errors.h"
#include "proto/cgi.h"
#include "proto/fastcgi.h"
#include "proto/scgi.h"
#include "proto/uwsgi.h"

enum { ROOM = 200, FIELDS = 100, HEAD = 65535, CAP = 1 << 26, MEMORY = 1 << 20 };

enum protocol { UWSGI, SCGI, FASTCGI };

static void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static void must(int err)
{
    if (err) {
        fprintf(stderr, "%s\n", err_name(err));
        exit(1);
    }
}

/* The bytes as characters up to U+00FF, in UTF-8. */
static json_t *text(struct slice s)
{
    char *utf8 = need(malloc(2 * s.len + 1));
    size_t len = 0;
    json_t *value;

    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte = (uint8_t)s.ptr[i];

        if (byte >= 0x80)
            utf8[len++] = (char)(0xc0 | byte >> 6);
        utf8[len++] = (char)(byte < 0x80 ? byte : 0x80 | (byte & 0x3f));
    }
    value = json_stringn(utf8, len);
    free(utf8);
    return value;
}

/* The bytes that a text stands for; never freed, since the program ends soon. */
static struct slice bytes_of(json_t *value)
{
    const char *utf8 = json_string_value(value);
    size_t len = json_string_length(value), n = 0;
    char *out = need(malloc(len + 1));

    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)utf8[i];

        if (byte >= 0x80)
            byte = (uint8_t)(byte << 6 | (utf8[++i] & 0x3f));
        out[n++] = (char)byte;
    }
    return slice_of(out, n);
}

static json_t *refusal(int err)
{
    return json_pack("{ss si}", "error", err_name(err), "status", err_status(err));
}

static json_t *more(void)
{
    return json_pack("{sb}", "more", 1);
}

static json_t *fields(const struct field *list, unsigned count)
{
    json_t *out = json_array();

    for (unsigned i = 0; i < count; i++)
        json_array_append_new(out, json_pack("[oo]", text(list[i].name), text(list[i].value)));
    return out;
}

static json_t *others(const struct vars *vars)
{
    json_t *out = json_array();

    for (unsigned i = 0; i < vars->count; i++) {
        const struct var *v = &vars->list[i];

        json_array_append_new(out, json_pack("[oo]", text(v->name), text(v->value)));
    }
    return out;
}

/* ---- Requests ---- */

static json_t *request_of(const struct cgi_request *r, struct slice body)
{
    json_t *o = json_pack("{so so so so so so}", "method", text(r->method), "target",
                          text(r->target), "scheme", text(r->scheme), "authority",
                          text(r->authority), "path", text(r->path), "query", text(r->query));

    json_object_update_new(o, json_pack("{si si sI so so sb so si}", "major", r->major, "minor",
                                        r->minor, "length", (json_int_t)r->length, "script",
                                        text(r->script), "path_info", text(r->path_info),
                                        "path_given", r->path_given, "remote_addr",
                                        text(r->remote_addr), "remote_port", r->remote_port));
    json_object_update_new(o, json_pack("{so so so so so so so}", "remote_user",
                                        text(r->remote_user), "server_name", text(r->server_name),
                                        "server_port", text(r->server_port), "fields",
                                        fields(r->fields, r->count), "others", others(&r->others),
                                        "withheld", text(r->withheld), "body", text(body)));
    return o;
}

/* What is known besides the variables. */
struct besides {
    bool counted;    /* the body is as long as they say */
    bool whole_path; /* PATH_INFO may begin with SCRIPT_NAME */
};

static json_t *request_from(const struct vars *vars, struct slice body, struct besides besides)
{
    const struct cgi_options options = {
        .target = 16384, .fields = FIELDS, .whole_path = besides.whole_path};
    struct cgi_request r;
    struct arena arena;
    json_t *o;
    int err;

    arena_init(&arena, MEMORY, NULL, 0);
    err = cgi_read_request(vars, &options, &arena, &r);
    if (besides.counted && !err) {
        size_t length = r.length > 0 ? (size_t)r.length : 0;

        if (body.len < length) {
            arena_free(&arena);
            return more();
        }
        body.len = length;
    }
    o = err ? refusal(err) : request_of(&r, body);
    arena_free(&arena);
    return o;
}

/* What has come of a FastCGI request. */
struct incoming {
    struct buf params, content;
    bool ended;
    uint16_t role;
    bool keep;
};

static void take_event(struct incoming *i, const struct fcgi_event *e)
{
    if (e->type == FCGI_BEGIN_REQUEST) {
        i->role = e->role;
        i->keep = e->keep;
    }
    if (e->bytes.len && (e->type == FCGI_PARAMS || e->type == FCGI_STDIN))
        must(buf_put(e->type == FCGI_PARAMS ? &i->params : &i->content, e->bytes));
    if (e->last && e->type == (i->role == FCGI_AUTHORIZER ? FCGI_PARAMS : FCGI_STDIN))
        i->ended = true;
}

static int read_records(struct slice in, struct incoming *i)
{
    struct fcgi_request request = {0};
    struct fcgi_acceptor a;
    int taken = 1;

    fcgi_acceptor_init(&a, &request, 1);
    while (taken > 0 && !i->ended) {
        struct fcgi_event e;

        taken = fcgi_accept(&a, in, &e);
        if (taken > 0)
            take_event(i, &e);
        in = slice_skip(in, taken > 0 ? (size_t)taken : 0);
    }
    return taken < 0 ? taken : 0;
}

static json_t *fastcgi_request(struct slice in)
{
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    struct incoming i = {0};
    json_t *o;
    int err;

    buf_init(&i.params, HEAD);
    buf_init(&i.content, CAP);
    err = read_records(in, &i);
    if (!err && i.ended)
        err = fcgi_decode_pairs(buf_bytes(&i.params), &vars);
    o = err       ? refusal(err)
        : i.ended ? request_from(&vars, buf_bytes(&i.content), (struct besides){0})
                  : more();
    if (!err && i.ended)
        json_object_update_new(o, json_pack("{si sb}", "role", i.role, "keep", i.keep));
    buf_free(&i.params);
    buf_free(&i.content);
    return o;
}

static json_t *request(enum protocol protocol, struct slice in)
{
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    struct uwsgi_head head = {0};
    int taken;

    if (protocol == FASTCGI)
        return fastcgi_request(in);
    taken = protocol == UWSGI ? uwsgi_decode(in, HEAD, &head, &vars) : scgi_decode(in, HEAD, &vars);
    if (taken <= 0)
        return taken ? refusal(taken) : more();
    return request_from(&vars, slice_skip(in, (size_t)taken),
                        (struct besides){true, head.modifier1 == UWSGI_PATH_INFO});
}

/* ---- Answers ---- */

/* The answer that `in` begins with; its content is what follows. */
static json_t *answer_of(struct slice in)
{
    const struct cgi_answer_limits limits = {.head = HEAD, .fields = FIELDS};
    struct cgi_answer_decoder d = {0};
    struct field list[FIELDS];
    struct cgi_answer a;
    int taken = cgi_decode_answer(&d, in, &limits, list, &a);

    if (taken <= 0)
        return taken ? refusal(taken) : more();
    return json_pack("{si so so sI sb so so}", "status", a.status, "reason", text(a.reason),
                     "local", text(a.local), "length", (json_int_t)a.length, "raw", a.raw, "fields",
                     fields(list, a.count), "body", text(slice_skip(in, (size_t)taken)));
}

static json_t *fastcgi_answer(struct slice in)
{
    struct fcgi_event e = {0};
    struct fcgi_decoder d;
    struct buf out, err;
    json_t *o;
    int taken = 1;

    buf_init(&out, CAP);
    buf_init(&err, CAP);
    fcgi_decoder_init(&d, FCGI_FROM_APPLICATION);
    while (taken > 0 && e.type != FCGI_END_REQUEST) {
        taken = fcgi_decode(&d, in, &e);
        if (taken > 0 && e.bytes.len)
            must(buf_put(e.type == FCGI_STDOUT ? &out : &err, e.bytes));
        in = slice_skip(in, taken > 0 ? (size_t)taken : 0);
    }
    o = taken < 0 ? refusal(taken) : taken == 0 ? more() : answer_of(buf_bytes(&out));
    if (taken > 0)
        json_object_update_new(o, json_pack("{so si sI si}", "stderr", text(buf_bytes(&err)),
                                            "ended", e.status, "app_status",
                                            (json_int_t)e.app_status, "left", (int)in.len));
    buf_free(&out);
    buf_free(&err);
    return o;
}

/* ---- What is sent ---- */

static void put_question(struct buf *b, enum protocol protocol, const struct vars *vars,
                         struct slice body)
{
    switch (protocol) {
    case UWSGI: must(uwsgi_encode(b, vars)); break;
    case SCGI: must(scgi_encode(b, body.len, vars)); break;
    case FASTCGI:
        must(fcgi_encode_begin(b, 1, FCGI_RESPONDER, true));
        must(fcgi_encode_params(b, 1, vars));
        if (body.len)
            must(fcgi_encode_stream(b, FCGI_STDIN, 1, body));
        must(fcgi_encode_stream(b, FCGI_STDIN, 1, SLICE("")));
        return;
    }
    if (body.len)
        must(buf_put(b, body));
}

static json_t *ask(enum protocol protocol, struct slice in)
{
    json_t *question = need(json_loadb(in.ptr, in.len, JSON_ALLOW_NUL, NULL)), *pair, *o;
    struct var list[ROOM];
    struct vars vars = {.list = list, .room = ROOM};
    struct buf b;
    size_t i;

    json_array_foreach(json_object_get(question, "vars"), i, pair)
        must(vars_add(&vars, bytes_of(json_array_get(pair, 0)), bytes_of(json_array_get(pair, 1))));
    buf_init(&b, CAP);
    put_question(&b, protocol, &vars, bytes_of(json_object_get(question, "body")));
    o = json_pack("{so}", "bytes", text(buf_bytes(&b)));
    buf_free(&b);
    json_decref(question);
    return o;
}

static json_t *tell(enum protocol protocol, struct slice in)
{
    struct buf b;
    json_t *o;

    buf_init(&b, CAP);
    if (protocol == FASTCGI) {
        must(fcgi_encode_stream(&b, FCGI_STDOUT, 1, in));
        must(fcgi_encode_stream(&b, FCGI_STDOUT, 1, SLICE("")));
        must(fcgi_encode_end(&b, 1, 0, FCGI_REQUEST_COMPLETE));
    } else {
        must(buf_put(&b, in));
    }
    o = json_pack("{so}", "bytes", text(buf_bytes(&b)));
    buf_free(&b);
    return o;
}

static json_t *wonder(enum protocol protocol, struct slice in)
{
    struct buf b;
    json_t *o;

    (void)protocol;
    (void)in;
    buf_init(&b, HEAD);
    must(fcgi_encode_get_values(&b));
    o = json_pack("{so}", "bytes", text(buf_bytes(&b)));
    buf_free(&b);
    return o;
}

static json_t *learn(enum protocol protocol, struct slice in)
{
    struct fcgi_abilities a = {0};
    struct fcgi_event e = {0};
    struct fcgi_decoder d;
    int taken = 1;

    (void)protocol;
    fcgi_decoder_init(&d, FCGI_FROM_APPLICATION);
    while (taken > 0 && e.type != FCGI_GET_VALUES_RESULT) {
        taken = fcgi_decode(&d, in, &e);
        in = slice_skip(in, taken > 0 ? (size_t)taken : 0);
    }
    if (taken <= 0)
        return taken ? refusal(taken) : more();
    must(fcgi_decode_values(e.bytes, &a));
    return json_pack("{si si sb}", "connections", (int)a.connections, "requests", (int)a.requests,
                     "multiplexes", a.multiplexes);
}

static json_t *answer(enum protocol protocol, struct slice in)
{
    return protocol == FASTCGI ? fastcgi_answer(in) : answer_of(in);
}

/* ---- Records ---- */

static enum protocol protocol_of(const char *name)
{
    if (strcmp(name, "uwsgi") == 0)
        return UWSGI;
    return strcmp(name, "scgi") == 0 ? SCGI : FASTCGI;
}

static json_t *obey(const char *verb, enum protocol protocol, struct slice in)
{
    static const struct {
        const char *name;
        json_t *(*run)(enum protocol protocol, struct slice in);
    } verbs[] = {{"request", request}, {"answer", answer}, {"ask", ask},
                 {"tell", tell},       {"wonder", wonder}, {"learn", learn}};

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verb, verbs[i].name) == 0)
            return verbs[i].run(protocol, in);
    fprintf(stderr, "no such verb: %s\n", verb);
    exit(2);
}

int main(void)
{
    char verb[16], protocol[16];
    size_t length;

    while (scanf("%15s %15s %zu", verb, protocol, &length) == 3 && length <= CAP &&
           getchar() == '\n') {
        char *bytes = need(malloc(length + 1));
        json_t *line;

        if (fread(bytes, 1, length, stdin) != length)
            return 1;
        line = obey(verb, protocol_of(protocol), slice_of(bytes, length));
        json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        putchar('\n');
        fflush(stdout);
        json_decref(line);
        free(bytes);
    }
    return 0;
}
