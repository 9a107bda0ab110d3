/* What gateway variables say of a request (cgi.h has the contract; sections are RFC 3875's).
 *
 * Variables are sorted first: those that this file knows by name, fields (HTTP_x), and the others,
 * which are for the application. Then each part of the request is made from those that tell of it.
 * The choices:
 *   - Withheld are HTTP_PROXY, which programs took for their proxy's address ("httpoxy");
 * HTTP_CONTENT_LENGTH, HTTP_CONTENT_TYPE and HTTP_TRANSFER_ENCODING, which CGI has under other
 * names or not at all; every UWSGI_x, since uWSGI let such variables choose code and settings; and
 * what is no name of a variable, so that none passes for a key of the application's own interface
 * ("wsgi.input"). The last two are told to the caller.
 *   - The web server's PATH_INFO is believed, and SCRIPT_NAME with it. Without PATH_INFO, as nginx
 * sends it by its stock fastcgi_params and scgi_params, SCRIPT_NAME is the whole path and no mount,
 * and the target's path decides.
 *   - A target, host, method or length is judged as in HTTP/1, so that an application sees the same
 * through every wire. SERVER_NAME is what a configuration says and no client's fault: when it is no
 * host, there is none.
 *
 * Relies on target.h and fields.h. Allocates from the caller's arena only. */
#include "proto/cgi.h"

#include <arpa/inet.h>

#include "proto/chars.h"
#include "proto/scan.h"
#include "proto/target.h"

enum {
    LENGTH_DIGITS = 18,
    METHOD_MAX = 64,
    PORT_MAX = 65535,
    PORT_DIGITS = 5,
    KNOWN_FIELD = 64, /* no name in headers.def is longer */
};

/* The variables that are known by name: VAR(name). */
#define VARS(VAR)                                                                                  \
    VAR(REQUEST_METHOD)                                                                            \
    VAR(REQUEST_URI)                                                                               \
    VAR(SCRIPT_NAME)                                                                               \
    VAR(PATH_INFO)                                                                                 \
    VAR(QUERY_STRING)                                                                              \
    VAR(SERVER_PROTOCOL)                                                                           \
    VAR(SERVER_NAME)                                                                               \
    VAR(SERVER_PORT)                                                                               \
    VAR(HTTPS)                                                                                     \
    VAR(REQUEST_SCHEME)                                                                            \
    VAR(UWSGI_SCHEME)                                                                              \
    VAR(REMOTE_ADDR)                                                                               \
    VAR(REMOTE_PORT)                                                                               \
    VAR(REMOTE_USER)                                                                               \
    VAR(CONTENT_LENGTH)                                                                            \
    VAR(CONTENT_TYPE)                                                                              \
    VAR(HTTP_HOST)

enum known {
#define VAR(name) VAR_##name,
    VARS(VAR)
#undef VAR
        VAR_COUNT
};

static const struct slice known_names[VAR_COUNT] = {
#define VAR(name) [VAR_##name] = {#name, sizeof #name - 1},
    VARS(VAR)
#undef VAR
};

/* A request being read. */
struct reading {
    const struct cgi_options *options;
    struct arena *arena;
    struct slice known[VAR_COUNT]; /* ptr is NULL when it did not come */
    struct cgi_request *out;
};

/* ---- Sorting ---- */

/* Names often have their length in common, seldom their last byte, too. */
static bool is_same(struct slice a, struct slice b)
{
    return a.len == b.len && a.ptr[a.len - 1] == b.ptr[b.len - 1] &&
           memcmp(a.ptr, b.ptr, a.len) == 0;
}

static enum known known_of(struct slice name)
{
    unsigned i = 0;

    while (i < VAR_COUNT && !is_same(name, known_names[i]))
        i++;
    return (enum known)i;
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';

        if (!letter && !(i > 0 && char_is(c, CHAR_DIGIT)))
            return false;
    }
    return name.len > 0;
}

/* Keeps the value of a known variable. */
static int keep(struct reading *r, enum known id, struct slice value)
{
    struct slice *kept = &r->known[id];
    bool differs = kept->len > 0 && value.len > 0 && !slice_eq(*kept, value);

    if (id == VAR_CONTENT_LENGTH && differs)
        return -ERR_LENGTH_REPEATED;
    if (id == VAR_HTTP_HOST && differs)
        return -ERR_HOST_REPEATED;
    if ((id == VAR_CONTENT_LENGTH || id == VAR_HTTP_HOST) && value.len == 0 && kept->len > 0)
        return 0;
    *kept = value.ptr ? value : SLICE("");
    return 0;
}

/* Writes the name of a field as far as it matters to a machine: "ACCEPT-LANGUAGE". */
static void write_dashes(struct slice name, char *out)
{
    for (size_t i = 0; i < name.len; i++)
        out[i] = name.ptr[i] == '_' ? '-' : name.ptr[i];
}

/* Makes "X-MY-FIELD" what is usually written: "X-My-Field". */
static void write_small_letters(char *name, size_t len)
{
    for (size_t i = 1; i < len; i++)
        if (name[i - 1] != '-' && name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] | 0x20);
}

static int add_field(struct reading *r, struct field field)
{
    if (!field_value_ok(field.value))
        return -ERR_FIELD_VALUE;
    if (r->out->count == r->options->fields)
        return -ERR_TOO_MANY_FIELDS;
    r->out->fields[r->out->count++] = field;
    return 0;
}

static int add_known_field(struct reading *r, enum header_id id, struct slice value)
{
    return add_field(r, (struct field){.name = header_name(id), .value = value, .id = id});
}

/* Whether a field is one that CGI has under another name, or that is not to be seen. */
static bool is_withheld(enum header_id id)
{
    return id == HEADER_PROXY || id == HEADER_CONTENT_LENGTH || id == HEADER_CONTENT_TYPE ||
           id == HEADER_TRANSFER_ENCODING;
}

/* Takes a field that is not known by its name. */
static int sort_unknown_field(struct reading *r, struct slice name, struct slice value)
{
    char *text = arena_alloc(r->arena, name.len + 1);
    struct slice written = slice_of(text, name.len);

    if (!text)
        return -ERR_MEMORY;
    write_dashes(name, text);
    write_small_letters(text, name.len);
    if (!field_name_ok(written))
        return -ERR_FIELD_NAME;
    return add_field(r, (struct field){.name = written, .value = value});
}

/* Takes a field; `name` is the variable's without HTTP_. */
static int sort_field(struct reading *r, struct slice name, struct slice value)
{
    char text[KNOWN_FIELD];
    enum header_id id;

    if (name.len > sizeof text)
        return sort_unknown_field(r, name, value);
    write_dashes(name, text);
    id = header_lookup(slice_of(text, name.len));
    if (id == HEADER_UNKNOWN)
        return sort_unknown_field(r, name, value);
    if (id == HEADER_HOST)
        return keep(r, VAR_HTTP_HOST, value); /* in other letters */
    return is_withheld(id) ? 0 : add_known_field(r, id, value);
}

static int sort_var(struct reading *r, const struct var *v)
{
    enum known id;

    if (slice_starts(v->name, SLICE("HTTP_")) && !slice_eq(v->name, known_names[VAR_HTTP_HOST]))
        return sort_field(r, slice_skip(v->name, 5), v->value);
    id = known_of(v->name);
    if (id < VAR_COUNT)
        return keep(r, id, v->value);
    if (slice_starts(v->name, SLICE("UWSGI_")) || !is_name(v->name)) {
        r->out->withheld = v->name;
        return 0;
    }
    return vars_add(&r->out->others, v->name, v->value);
}

static int sort(struct reading *r, const struct vars *vars)
{
    unsigned most = vars->count < r->options->fields ? vars->count : r->options->fields;
    int err = 0;

    r->out->fields = arena_alloc(r->arena, (most + 1) * sizeof *r->out->fields);
    r->out->others.list = arena_alloc(r->arena, (vars->count + 1) * sizeof *vars->list);
    r->out->others.room = vars->count;
    if (!r->out->fields || !r->out->others.list)
        return -ERR_MEMORY;
    for (unsigned i = 0; i < vars->count && err == 0; i++)
        err = sort_var(r, &vars->list[i]);
    return err;
}

/* ---- Method, version, scheme ---- */

static int read_method(struct reading *r)
{
    struct slice method = r->known[VAR_REQUEST_METHOD];

    if (!field_name_ok(method))
        return -ERR_METHOD;
    r->out->method = method;
    if (method.len > METHOD_MAX)
        return -ERR_METHOD_TOO_LONG;
    return slice_eq(method, SLICE("CONNECT")) ? -ERR_CONNECT : 0;
}

/* "HTTP/" DIGIT [ "." DIGIT ]; "INCLUDED" and nothing at all (section 4.1.16) tell no version. */
static int read_version(struct reading *r)
{
    struct slice text = r->known[VAR_SERVER_PROTOCOL];
    const char *p = text.ptr;

    r->out->major = 1;
    r->out->minor = 0;
    if (text.len == 0 || slice_eq(text, SLICE("INCLUDED")))
        return 0;
    if (!slice_starts(text, SLICE("HTTP/")) || (text.len != 6 && text.len != 8) ||
        !char_is(p[5], CHAR_DIGIT))
        return -ERR_VERSION_BAD;
    r->out->major = (uint8_t)(p[5] - '0');
    if (text.len == 8) {
        if (p[6] != '.' || !char_is(p[7], CHAR_DIGIT))
            return -ERR_VERSION_BAD;
        r->out->minor = (uint8_t)(p[7] - '0');
    }
    return 0;
}

static void read_scheme(struct reading *r)
{
    const struct slice *known = r->known;
    struct slice https = known[VAR_HTTPS], https_text = SLICE("https");
    bool secure =
        https.len > 0 && !slice_eq_nocase(https, SLICE("off")) && !slice_eq(https, SLICE("0"));

    secure = secure || slice_eq_nocase(known[VAR_REQUEST_SCHEME], https_text) ||
             slice_eq_nocase(known[VAR_UWSGI_SCHEME], https_text);
    r->out->scheme = secure ? https_text : SLICE("http");
}

/* ---- Target and path ---- */

/* The bytes of a path as they may stand in a target; its ptr is NULL when memory is out. */
static struct slice quoted(struct arena *arena, struct slice path)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc(arena, path.len * 3 + 1), *at = out;

    if (!out)
        return slice_of(NULL, 0);
    for (size_t i = 0; i < path.len; i++) {
        uint8_t c = (uint8_t)path.ptr[i];

        if (char_is((char)c, CHAR_PATH)) {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    return slice_of(out, (size_t)(at - out));
}

static struct slice joined(struct arena *arena, struct slice a, struct slice b, struct slice c)
{
    char *out = arena_alloc(arena, a.len + b.len + c.len + 1);

    if (!out)
        return slice_of(NULL, 0);
    memcpy(out, a.ptr, a.len);
    memcpy(out + a.len, b.ptr, b.len);
    memcpy(out + a.len + b.len, c.ptr, c.len);
    return slice_of(out, a.len + b.len + c.len);
}

/* A slice that may be given to memcpy. */
static struct slice some(struct slice s)
{
    return s.ptr ? s : SLICE("");
}

/* The target as it must have been, where the web server does not tell it. */
static struct slice made_target(struct reading *r)
{
    struct slice path =
        joined(r->arena, some(r->known[VAR_SCRIPT_NAME]), some(r->known[VAR_PATH_INFO]), SLICE(""));
    struct slice query = some(r->known[VAR_QUERY_STRING]);

    if (path.ptr)
        path = quoted(r->arena, path.len ? path : SLICE("/"));
    if (!path.ptr || query.len == 0)
        return path;
    return joined(r->arena, path, SLICE("?"), query);
}

static int read_target(struct reading *r)
{
    struct cgi_request *out = r->out;
    bool options = slice_eq(out->method, SLICE("OPTIONS"));
    struct slice query = r->known[VAR_QUERY_STRING];
    struct target parts;
    int err;

    out->target = r->known[VAR_REQUEST_URI];
    if (out->target.len == 0)
        out->target = made_target(r);
    if (!out->target.ptr)
        return -ERR_MEMORY;
    if (out->target.len > r->options->target)
        return -ERR_LINE_TOO_LONG;
    err = target_split(out->target, options, &parts);
    if (err)
        return err;
    if (query.len && scan_query(query.ptr, query.ptr + query.len) != query.ptr + query.len)
        return -ERR_TARGET;
    out->authority = parts.authority;
    out->path = parts.path;
    out->query = query.len ? query : parts.query;
    return 0;
}

/* Whether the path is `prefix` or lies below it. */
static bool is_below(struct slice path, struct slice prefix)
{
    return slice_starts(path, prefix) && (path.len == prefix.len || path.ptr[prefix.len] == '/');
}

/* Splits the target's path behind the mount. */
static int derive_path(struct reading *r)
{
    struct cgi_request *out = r->out;
    struct slice mount = r->options->mount;
    char *path = arena_alloc(r->arena, out->path.len + 1);

    if (!path)
        return -ERR_MEMORY;
    out->script = SLICE("");
    out->path_info = slice_of(path, (size_t)target_unquote(out->path, path));
    if (mount.len && is_below(out->path_info, mount)) {
        out->script = slice_of(path, mount.len);
        out->path_info = slice_skip(out->path_info, mount.len);
    }
    return 0;
}

static bool is_rooted(struct slice path)
{
    return path.len == 0 || *path.ptr == '/';
}

static int read_path(struct reading *r)
{
    struct cgi_request *out = r->out;
    struct slice script = some(r->known[VAR_SCRIPT_NAME]), info = some(r->known[VAR_PATH_INFO]);

    out->path_given = r->known[VAR_PATH_INFO].ptr && script.len + info.len > 0;
    if (!out->path_given)
        return derive_path(r);
    if (r->options->whole_path && script.len && is_below(info, script))
        info = slice_skip(info, script.len);
    while (script.len && script.ptr[script.len - 1] == '/')
        script.len--;
    if (!is_rooted(script) || !is_rooted(info))
        return -ERR_SCRIPT_PATH;
    out->script = script;
    out->path_info = info;
    return 0;
}

/* ---- Who and where ---- */

static bool read_port(struct slice text, uint16_t *out)
{
    unsigned port = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!char_is(text.ptr[i], CHAR_DIGIT) || i == PORT_DIGITS)
            return false;
        port = port * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *out = (uint16_t)port;
    return text.len > 0 && port <= PORT_MAX;
}

/* Whether the port goes without saying. */
static bool is_usual_port(struct slice scheme, struct slice port)
{
    return slice_eq(port, slice_eq(scheme, SLICE("https")) ? SLICE("443") : SLICE("80"));
}

/* The host that the server's variables name, when they name one. */
static int read_server(struct reading *r)
{
    struct cgi_request *out = r->out;
    struct slice name = r->known[VAR_SERVER_NAME], port = r->known[VAR_SERVER_PORT];
    uint16_t number;

    out->server_name = name;
    out->server_port = read_port(port, &number) ? port : slice_of(NULL, 0);
    if (out->authority.len || name.len == 0 || !host_ok(name))
        return 0;
    out->authority = name;
    if (out->server_port.len == 0 || is_usual_port(out->scheme, port))
        return 0;
    out->authority = joined(r->arena, name, SLICE(":"), port);
    return out->authority.ptr ? 0 : -ERR_MEMORY;
}

static int read_authority(struct reading *r)
{
    struct slice host = r->known[VAR_HTTP_HOST];
    int err = 0;

    if (host.len && !host_ok(host))
        return -ERR_HOST_BAD;
    if (host.len)
        err = add_known_field(r, HEADER_HOST, host);
    if (r->out->authority.len == 0)
        r->out->authority = host;
    return err ? err : read_server(r);
}

static bool is_address(struct slice text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET, copy, &address) == 1 || inet_pton(AF_INET6, copy, &address) == 1;
}

static void read_remote(struct reading *r)
{
    struct cgi_request *out = r->out;

    out->remote_user = r->known[VAR_REMOTE_USER];
    if (is_address(r->known[VAR_REMOTE_ADDR]))
        out->remote_addr = r->known[VAR_REMOTE_ADDR];
    if (!read_port(r->known[VAR_REMOTE_PORT], &out->remote_port))
        out->remote_port = 0;
}

/* ---- Content ---- */

/* A length of at most 18 digits; -1 when it is none. */
static int64_t number_of(struct slice text)
{
    int64_t n = 0;

    if (text.len == 0 || text.len > LENGTH_DIGITS)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (!char_is(text.ptr[i], CHAR_DIGIT))
            return -1;
        n = n * 10 + (text.ptr[i] - '0');
    }
    return n;
}

static int read_content(struct reading *r)
{
    struct slice type = r->known[VAR_CONTENT_TYPE], length = r->known[VAR_CONTENT_LENGTH];
    int err = 0;

    r->out->length = number_of(length);
    if (length.len && r->out->length < 0)
        return -ERR_LENGTH_BAD;
    if (type.len)
        err = add_known_field(r, HEADER_CONTENT_TYPE, type);
    if (!err && length.len)
        err = add_known_field(r, HEADER_CONTENT_LENGTH, length);
    return err;
}

int cgi_read_request(const struct vars *vars, const struct cgi_options *options,
                     struct arena *arena, struct cgi_request *out)
{
    struct reading r = {.options = options, .arena = arena, .out = out};
    int err;

    *out = (struct cgi_request){.length = -1};
    err = sort(&r, vars);
    if (err)
        return err;
    read_scheme(&r);
    read_remote(&r);
    err = read_method(&r);
    if (!err)
        err = read_version(&r);
    if (!err)
        err = read_target(&r);
    if (!err)
        err = read_path(&r);
    if (!err)
        err = read_authority(&r);
    return err ? err : read_content(&r);
}
