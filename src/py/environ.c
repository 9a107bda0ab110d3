/* The environ of a call (PEP 3333, "environ Variables"), made as cheaply as it can be.
 *
 * A template dict has every key that is the same for all requests, and places for those that always
 * come; it is copied in one piece, and only what differs from it is set. Keys of known fields are
 * made once, by header id; keys of other fields are kept in a small table. Values that clients
 * repeat (Host, User-Agent, addresses, ports) are the same str again as long as they do not change;
 * cookies and credentials are never kept.
 *
 * Where two fields would have one key they are joined as headers.def says. Names with an underscore
 * are dropped, since "X_Real_IP" would pass for "X-Real-IP"; so is Proxy, whose key programs take
 * for a proxy to use.
 *
 * Relies on the GIL for everything it keeps. Never keeps a pointer into an exchange. */
#include <netinet/in.h>
#include <stdlib.h>

#include "base/decimal.h"
#include "http/server.h"
#include "proto/target.h"
#include "py/call.h"
#include "py/wsgi.h"

/* Keys that are set for each request, by position in maker.keys: those of the template come first.
 */
#define KEY_MAP(X)                                                                                 \
    X(REQUEST_METHOD, "REQUEST_METHOD")                                                            \
    X(SCRIPT_NAME, "SCRIPT_NAME")                                                                  \
    X(PATH_INFO, "PATH_INFO")                                                                      \
    X(QUERY_STRING, "QUERY_STRING")                                                                \
    X(REQUEST_URI, "REQUEST_URI")                                                                  \
    X(RAW_URI, "RAW_URI")                                                                          \
    X(SERVER_NAME, "SERVER_NAME")                                                                  \
    X(SERVER_PORT, "SERVER_PORT")                                                                  \
    X(SERVER_PROTOCOL, "SERVER_PROTOCOL")                                                          \
    X(REMOTE_ADDR, "REMOTE_ADDR")                                                                  \
    X(REMOTE_PORT, "REMOTE_PORT")                                                                  \
    X(URL_SCHEME, "wsgi.url_scheme")                                                               \
    X(INPUT, "wsgi.input")                                                                         \
    X(CONTENT_LENGTH, "CONTENT_LENGTH")                                                            \
    X(HTTPS, "HTTPS")

enum key {
#define X(name, text) KEY_##name,
    KEY_MAP(X)
#undef X
        KEY_COUNT
};

/* Values that requests have in common. */
#define VALUE_MAP(X)                                                                               \
    X(EMPTY, "")                                                                                   \
    X(HTTP, "http")                                                                                \
    X(HTTPS, "https")                                                                              \
    X(ON, "on")                                                                                    \
    X(HTTP_1_0, "HTTP/1.0")                                                                        \
    X(HTTP_1_1, "HTTP/1.1")                                                                        \
    X(PORT_80, "80")                                                                               \
    X(PORT_443, "443")                                                                             \
    X(LOCALHOST, "localhost")                                                                      \
    X(GET, "GET")                                                                                  \
    X(POST, "POST")                                                                                \
    X(HEAD, "HEAD")                                                                                \
    X(PUT, "PUT")                                                                                  \
    X(DELETE, "DELETE")                                                                            \
    X(OPTIONS, "OPTIONS")                                                                          \
    X(PATCH, "PATCH")

enum value {
#define X(name, text) VALUE_##name,
    VALUE_MAP(X)
#undef X
        VALUE_COUNT
};

enum {
    PEERS = 64,       /* hosts that are kept as text */
    LOCALS = 8,       /* own addresses that are */
    NAMES = 128,      /* of unknown fields whose keys are kept */
    KEPT_NAME = 64,   /* longest of them */
    KEPT_VALUE = 256, /* longest value that is kept for when it comes again */
    ROOM = 24, /* keys the template has to have room for, for a table of 64 slots: see make_room */
};

/* An address as text. */
struct known_address {
    struct address address;
    PyObject *host, *port; /* NULL: the place is empty */
};

struct environ_maker {
    PyObject *template;
    PyObject *keys[KEY_COUNT];
    PyObject *values[VALUE_COUNT];
    PyObject *headers[HEADER_COUNT];     /* "HTTP_ACCEPT", by header id */
    PyObject *last[HEADER_COUNT];        /* the value it had last, or NULL */
    PyObject *names[NAMES];              /* keys of unknown fields, by hash, or NULL */
    struct known_address peers[PEERS];   /* by a hash of the host; their ports are not kept */
    struct known_address locals[LOCALS]; /* by the port */
};

/* ---- The template ---- */

static const char *const key_texts[] = {
#define X(name, text) text,
    KEY_MAP(X)
#undef X
};

static const char *const value_texts[] = {
#define X(name, text) text,
    VALUE_MAP(X)
#undef X
};

/* Writes the key of a field: "Accept-Language" becomes "HTTP_ACCEPT_LANGUAGE". False for a name
 * with '_'. */
static bool write_key(struct slice name, char *out)
{
    memcpy(out, "HTTP_", 5);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '_')
            return false;
        out[5 + i] = (char)(c == '-' ? '_' : c >= 'a' && c <= 'z' ? c - 32 : c);
    }
    return true;
}

static PyObject *interned(struct slice text)
{
    PyObject *key = latin1(text);
    if (key)
        PyUnicode_InternInPlace(&key);
    return key;
}

static PyObject *header_key(enum header_id id)
{
    char text[5 + KEPT_NAME];
    struct slice name = header_name(id);
    if (id == HEADER_CONTENT_TYPE || id == HEADER_CONTENT_LENGTH) {
        write_key(name, text);
        return interned(slice_of(text + 5, name.len));
    }
    write_key(name, text);
    return interned(slice_of(text, 5 + name.len));
}

static int make_texts(struct environ_maker *m)
{
    for (unsigned i = 0; i < KEY_COUNT; i++)
        if (!(m->keys[i] = interned(slice_text(key_texts[i]))))
            return -1;
    for (unsigned i = 0; i < VALUE_COUNT; i++)
        if (!(m->values[i] = interned(slice_text(value_texts[i]))))
            return -1;
    for (unsigned i = 1; i < HEADER_COUNT; i++)
        if (!(m->headers[i] = header_key((enum header_id)i)))
            return -1;
    return 0;
}

/* Puts a value whose reference is given away. */
static int put_new(PyObject *dict, const char *key, PyObject *value)
{
    int err = value ? PyDict_SetItemString(dict, key, value) : -1;
    Py_XDECREF(value);
    return err;
}

static int put_same(struct environ_maker *m, const struct wsgi *w)
{
    const struct app_options *o = w->options;
    PyObject *t = m->template;
    int err = put_new(t, "wsgi.version", Py_BuildValue("(ii)", 1, 0));
    err |= put_new(t, "wsgi.errors", errors_new(w->state->errors, w->voice));
    err |= put_new(t, "wsgi.multithread", PyBool_FromLong(w->options->threads > 1));
    err |= put_new(t, "wsgi.multiprocess", PyBool_FromLong(o->workers > 1));
    err |= put_new(t, "wsgi.run_once", PyBool_FromLong(0));
    err |= put_new(t, "wsgi.file_wrapper", Py_NewRef((PyObject *)w->state->file_wrapper));
    err |= put_new(t, "wsgi.input_terminated", PyBool_FromLong(1));
    err |= put_new(t, "SERVER_SOFTWARE", PyUnicode_FromString("penstock"));
    return err;
}

/* What a request has when nothing else is said. */
static int put_usual(struct environ_maker *m)
{
    static const enum value usual[] = {
        [KEY_REQUEST_METHOD] = VALUE_GET,
        [KEY_SCRIPT_NAME] = VALUE_EMPTY,
        [KEY_PATH_INFO] = VALUE_EMPTY,
        [KEY_QUERY_STRING] = VALUE_EMPTY,
        [KEY_REQUEST_URI] = VALUE_EMPTY,
        [KEY_RAW_URI] = VALUE_EMPTY,
        [KEY_SERVER_NAME] = VALUE_LOCALHOST,
        [KEY_SERVER_PORT] = VALUE_PORT_80,
        [KEY_SERVER_PROTOCOL] = VALUE_HTTP_1_1,
        [KEY_REMOTE_ADDR] = VALUE_EMPTY,
        [KEY_REMOTE_PORT] = VALUE_EMPTY,
        [KEY_URL_SCHEME] = VALUE_HTTP,
        [KEY_INPUT] = VALUE_EMPTY,
    };
    for (unsigned i = 0; i < sizeof usual / sizeof *usual; i++)
        if (PyDict_SetItem(m->template, m->keys[i], m->values[usual[i]]))
            return -1;
    return 0;
}

/* A copy of a dict has the room of the original. Two keys too many, taken out again, make its table
 * one size larger, so that the fields of a usual request do not make each copy grow. */
static int make_room(PyObject *dict)
{
    char key[8];
    for (Py_ssize_t i = PyDict_GET_SIZE(dict); i < ROOM; i++) {
        snprintf(key, sizeof key, "%d", (int)i);
        if (PyDict_SetItemString(dict, key, Py_None))
            return -1;
    }
    for (Py_ssize_t i = ROOM - 1; i >= 0; i--) {
        snprintf(key, sizeof key, "%d", (int)i);
        if (PyDict_DelItemString(dict, key))
            PyErr_Clear();
    }
    return 0;
}

struct environ_maker *environ_maker_new(struct wsgi *w)
{
    struct environ_maker *m = calloc(1, sizeof *m);
    if (!m) {
        PyErr_NoMemory();
        return NULL;
    }
    m->template = PyDict_New();
    if (!m->template || make_texts(m) || put_same(m, w) || put_usual(m) || make_room(m->template)) {
        environ_maker_free(m);
        return NULL;
    }
    return m;
}

static void drop_all(PyObject **objects, size_t count)
{
    for (size_t i = 0; i < count; i++)
        Py_CLEAR(objects[i]);
}

static void forget(struct known_address *k)
{
    Py_CLEAR(k->host);
    Py_CLEAR(k->port);
}

void environ_maker_free(struct environ_maker *m)
{
    Py_CLEAR(m->template);
    drop_all(m->keys, KEY_COUNT);
    drop_all(m->values, VALUE_COUNT);
    drop_all(m->headers, HEADER_COUNT);
    drop_all(m->last, HEADER_COUNT);
    drop_all(m->names, NAMES);
    for (unsigned i = 0; i < PEERS; i++)
        forget(&m->peers[i]);
    for (unsigned i = 0; i < LOCALS; i++)
        forget(&m->locals[i]);
    free(m);
}

/* ---- Values ---- */

static bool has_text(PyObject *kept, struct slice s)
{
    return kept && slice_eq(latin1_bytes(kept), s);
}

/* Sets a key to a value whose reference is given away; NULL passes an exception on. */
static int set_new(PyObject *env, PyObject *key, PyObject *value)
{
    if (!value)
        return -1;
    int err = PyDict_SetItem(env, key, value);
    Py_DECREF(value);
    return err;
}

/* Sets a key, unless the value is that of the template. */
static int set_other(PyObject *env, PyObject *key, PyObject *value, PyObject *usual)
{
    return value == usual ? 0 : PyDict_SetItem(env, key, value);
}

static int set_method(struct environ_maker *m, PyObject *env, struct slice method)
{
    for (unsigned i = VALUE_GET; i <= VALUE_PATCH; i++)
        if (has_text(m->values[i], method))
            return set_other(env, m->keys[KEY_REQUEST_METHOD], m->values[i], m->values[VALUE_GET]);
    return set_new(env, m->keys[KEY_REQUEST_METHOD], latin1(method));
}

static int set_protocol(struct environ_maker *m, PyObject *env, const struct request *r)
{
    PyObject *key = m->keys[KEY_SERVER_PROTOCOL];
    if (r->major == 1 && r->minor == 1)
        return 0;
    if (r->major == 1 && r->minor == 0)
        return PyDict_SetItem(env, key, m->values[VALUE_HTTP_1_0]);
    return set_new(env, key, PyUnicode_FromFormat("HTTP/%d.%d", r->major, r->minor));
}

/* A number that is not negative, in decimal. */
static PyObject *number(int64_t n)
{
    char digits[DECIMAL_MAX];
    return latin1(decimal((uint64_t)n, digits));
}

/* ---- Addresses ---- */

static uint32_t hash_of(struct slice s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 16777619u;
    return h;
}

static bool same_address(const struct address *a, const struct address *b)
{
    return a->len == b->len && memcmp(&a->storage, &b->storage, a->len) == 0;
}

static PyObject *host_text(const struct address *a)
{
    char text[ADDRESS_TEXT];
    return latin1(slice_of(text, address_host(a, text)));
}

/* The bytes of an address that name its host; none of a Unix socket. */
static struct slice host_bytes(const struct address *a)
{
    const struct sockaddr_in *in = (const void *)&a->storage;
    const struct sockaddr_in6 *in6 = (const void *)&a->storage;
    if (a->storage.ss_family == AF_INET)
        return slice_of((const char *)&in->sin_addr, sizeof in->sin_addr);
    if (a->storage.ss_family == AF_INET6)
        return slice_of((const char *)&in6->sin6_addr, sizeof in6->sin6_addr);
    return SLICE("");
}

/* The host of a peer, whatever its port; borrowed, NULL with an exception. */
static PyObject *peer_host(struct environ_maker *m, const struct address *peer)
{
    struct slice host = host_bytes(peer);
    struct known_address *k = &m->peers[hash_of(host) % PEERS];
    if (k->host && slice_eq(host_bytes(&k->address), host))
        return k->host;
    forget(k);
    k->address = *peer;
    return k->host = host_text(peer);
}

/* The texts of one of our own addresses; NULL with an exception. */
static const struct known_address *local_texts(struct environ_maker *m, const struct address *local)
{
    struct known_address *k = &m->locals[address_port(local) % LOCALS];
    if (k->port && same_address(&k->address, local))
        return k;
    forget(k);
    k->address = *local;
    k->host = host_text(local);
    k->port = k->host ? number(address_port(local)) : NULL;
    return k->port ? k : NULL;
}

/* A Unix socket has neither name nor port: then they are what the client asked for, and never
 * empty. */
static int set_asked_server(struct environ_maker *m, PyObject *env, const struct request *r)
{
    struct slice host = r->authority;
    const char *colon = host.len ? memrchr(host.ptr, ':', host.len) : NULL;
    bool has_port = colon && !memchr(colon, ']', host.len - (size_t)(colon - host.ptr));
    struct slice port =
        has_port ? slice_skip(host, (size_t)(colon + 1 - host.ptr)) : slice_of(NULL, 0);
    if (has_port)
        host.len = (size_t)(colon - host.ptr);
    if (host.len && set_new(env, m->keys[KEY_SERVER_NAME], latin1(host)))
        return -1;
    if (port.len)
        return set_new(env, m->keys[KEY_SERVER_PORT], latin1(port));
    if (slice_eq(r->scheme, SLICE("https")))
        return PyDict_SetItem(env, m->keys[KEY_SERVER_PORT], m->values[VALUE_PORT_443]);
    return 0;
}

static int set_peer(struct environ_maker *m, PyObject *env, const struct address *peer)
{
    if (address_is_unix(peer))
        return 0;
    PyObject *host = peer_host(m, peer);
    if (!host || PyDict_SetItem(env, m->keys[KEY_REMOTE_ADDR], host))
        return -1;
    int port = address_port(peer); /* 0: a proxy did not tell it */
    return port ? set_new(env, m->keys[KEY_REMOTE_PORT], number(port)) : 0;
}

/* What the application sees as the server's name and port. */
static int set_ends(struct environ_maker *m, PyObject *env, const struct exchange *x)
{
    if (set_peer(m, env, &x->ends->peer))
        return -1;
    if (address_is_unix(&x->ends->local) || x->request.told_host)
        return set_asked_server(m, env, &x->request);
    const struct known_address *k = local_texts(m, &x->ends->local);
    if (!k || PyDict_SetItem(env, m->keys[KEY_SERVER_NAME], k->host))
        return -1;
    return PyDict_SetItem(env, m->keys[KEY_SERVER_PORT], k->port);
}

/* ---- Paths ---- */

/* Whether the path is `prefix` or lies below it. */
static bool is_below(struct slice path, struct slice prefix)
{
    return slice_starts(path, prefix) && (path.len == prefix.len || path.ptr[prefix.len] == '/');
}

static const struct mount *mount_of(const struct wsgi *w, struct slice path)
{
    for (unsigned i = 0; i < w->mount_count; i++)
        if (w->mounts[i].prefix.len == 0 || is_below(path, w->mounts[i].prefix))
            return &w->mounts[i];
    return NULL;
}

/* The path without its escapes; its ptr is NULL when memory is out. */
static struct slice unquoted(struct call *c, struct slice path)
{
    if (path.len == 0 || !memchr(path.ptr, '%', path.len))
        return slice_of(path.len ? path.ptr : "", path.len);
    char *out = arena_alloc(&c->x->arena, path.len);
    return slice_of(out, out ? (size_t)target_unquote(path, out) : 0);
}

/* What a proxy has taken off the path stands before what we take off. */
static int set_script(const struct call *c, PyObject *env, const struct mount *mount)
{
    struct environ_maker *m = c->wsgi->maker;
    struct slice prefix = c->x->request.prefix;
    if (prefix.len == 0)
        return set_other(env, m->keys[KEY_SCRIPT_NAME], mount->script, m->values[VALUE_EMPTY]);
    PyObject *front = latin1(prefix);
    PyObject *script = front ? PyUnicode_Concat(front, mount->script) : NULL;
    Py_XDECREF(front);
    return set_new(env, m->keys[KEY_SCRIPT_NAME], script);
}

/* Sets PATH_INFO and SCRIPT_NAME; *app is NULL when no application is mounted there. `uri` is the
 * target. */
static int set_path(struct call *c, PyObject *env, PyObject *uri, PyObject **app)
{
    const struct wsgi *w = c->wsgi;
    struct environ_maker *m = w->maker;
    struct slice path = unquoted(c, c->x->request.path), root = slice_text(w->options->root_path);
    if (!path.ptr) {
        PyErr_NoMemory();
        return -1;
    }
    if (root.len && is_below(path, root))
        path = slice_skip(path, root.len);
    const struct mount *mount = mount_of(w, path);
    *app = mount ? mount->app : NULL;
    if (!mount)
        return 0;
    path = slice_skip(path, mount->prefix.len);
    if (set_script(c, env, mount))
        return -1;
    if (has_text(uri, path))
        return PyDict_SetItem(env, m->keys[KEY_PATH_INFO], uri);
    return set_new(env, m->keys[KEY_PATH_INFO], latin1(path));
}

static int set_target(struct call *c, PyObject *env, PyObject **app)
{
    struct environ_maker *m = c->wsgi->maker;
    const struct request *r = &c->x->request;
    PyObject *uri = latin1(r->target);
    if (!uri)
        return -1;
    int err = PyDict_SetItem(env, m->keys[KEY_REQUEST_URI], uri);
    err |= PyDict_SetItem(env, m->keys[KEY_RAW_URI], uri);
    err |= set_path(c, env, uri, app);
    if (r->query.len)
        err |= set_new(env, m->keys[KEY_QUERY_STRING], latin1(r->query));
    Py_DECREF(uri);
    return err;
}

/* ---- Fields ---- */

/* Adds a value to the one that the key has. */
static int join(PyObject *env, PyObject *key, struct slice value, const char *between)
{
    PyObject *before = PyDict_GetItemWithError(env, key);
    PyObject *more = before ? latin1(value) : NULL;
    if (!more)
        return -1;
    PyObject *both = PyUnicode_FromFormat("%U%s%U", before, between, more);
    Py_DECREF(more);
    return set_new(env, key, both);
}

static int join_known(struct environ_maker *m, PyObject *env, const struct field *f)
{
    switch (header_join(f->id)) {
    case HEADER_JOIN_COMMA:
    case HEADER_JOIN_SINGLE:
    case HEADER_JOIN_NONE: return join(env, m->headers[f->id], f->value, ",");
    case HEADER_JOIN_COOKIE: return join(env, m->headers[f->id], f->value, "; ");
    }
    Py_UNREACHABLE();
}

static bool is_secret(enum header_id id)
{
    return id == HEADER_COOKIE || id == HEADER_AUTHORIZATION || id == HEADER_PROXY_AUTHORIZATION;
}

/* The str of a field's value: the one it had last, if that is the same. A new reference. */
static PyObject *value_of(struct environ_maker *m, const struct field *f)
{
    PyObject **last = &m->last[f->id];
    if (has_text(*last, f->value))
        return Py_NewRef(*last);
    PyObject *value = latin1(f->value);
    if (value && f->value.len <= KEPT_VALUE && !is_secret(f->id))
        Py_XSETREF(*last, Py_NewRef(value));
    return value;
}

/* Whether an application is not to see the field: a body that was taken in whole has a length and
 * no coding. */
static bool is_hidden(const struct request *r, enum header_id id)
{
    return id == HEADER_PROXY || (id == HEADER_TRANSFER_ENCODING && r->chunked && r->length >= 0);
}

/* The key of a field that is not known by name; a new reference, NULL with an exception or, for a
 * name to be dropped, without one. */
static PyObject *unknown_key(struct environ_maker *m, struct slice name)
{
    char text[5 + KEPT_NAME];
    if (name.len > KEPT_NAME) {
        PyObject *key = PyUnicode_New((Py_ssize_t)name.len + 5, 127);
        if (key && !write_key(name, (char *)PyUnicode_1BYTE_DATA(key)))
            Py_CLEAR(key);
        return key;
    }
    if (!write_key(name, text))
        return NULL;
    struct slice key = slice_of(text, 5 + name.len);
    PyObject **kept = &m->names[hash_of(key) % NAMES];
    if (!has_text(*kept, key))
        Py_XSETREF(*kept, latin1(key));
    return Py_XNewRef(*kept);
}

static int set_unknown(struct environ_maker *m, PyObject *env, const struct field *f)
{
    PyObject *key = unknown_key(m, f->name);
    if (!key)
        return PyErr_Occurred() ? -1 : 0;
    PyObject *value = latin1(f->value);
    Py_ssize_t before = PyDict_GET_SIZE(env);
    int err = value && PyDict_SetDefault(env, key, value) ? 0 : -1;
    if (err == 0 && PyDict_GET_SIZE(env) == before)
        err = join(env, key, f->value, ",");
    Py_XDECREF(value);
    Py_DECREF(key);
    return err;
}

static int set_fields(struct environ_maker *m, PyObject *env, const struct request *r)
{
    uint64_t seen[KNOWN_SETS] = {0};
    int err = 0;
    for (unsigned i = 0; i < r->count && err == 0; i++) {
        struct field known = r->fields[i];
        const struct field *f = &known;
        if (f->id == HEADER_HOST && r->authority.len)
            known.value = r->authority; /* an absolute target's wins (RFC 9112, section 3.2.2) */
        uint64_t bit = UINT64_C(1) << (f->id % 64);
        if (f->id == HEADER_UNKNOWN)
            err = set_unknown(m, env, f);
        else if (is_hidden(r, f->id))
            continue;
        else if (seen[f->id / 64] & bit)
            err = join_known(m, env, f);
        else
            err = set_new(env, m->headers[f->id], value_of(m, f));
        seen[f->id / 64] |= bit;
    }
    if (err == 0 && r->chunked && r->length >= 0)
        err = set_new(env, m->keys[KEY_CONTENT_LENGTH], number(r->length));
    return err;
}

static int set_secure(struct environ_maker *m, PyObject *env)
{
    int err = PyDict_SetItem(env, m->keys[KEY_URL_SCHEME], m->values[VALUE_HTTPS]);
    return err | PyDict_SetItem(env, m->keys[KEY_HTTPS], m->values[VALUE_ON]);
}

static int fill(struct call *c, PyObject *env, PyObject **app)
{
    struct environ_maker *m = c->wsgi->maker;
    const struct request *r = &c->x->request;
    int err = PyDict_SetItem(env, m->keys[KEY_INPUT], c->input);
    err |= set_target(c, env, app);
    err |= set_method(m, env, r->method);
    err |= set_protocol(m, env, r);
    err |= set_ends(m, env, c->x);
    if (r->told_port.len)
        err |= set_new(env, m->keys[KEY_SERVER_PORT], latin1(r->told_port));
    if (slice_eq(r->scheme, SLICE("https")))
        err |= set_secure(m, env);
    return err ? err : set_fields(m, env, r);
}

PyObject *environ_new(struct call *c, PyObject **app)
{
    *app = NULL;
    PyObject *env = PyDict_Copy(c->wsgi->maker->template);
    if (env && fill(c, env, app))
        Py_CLEAR(env);
    return env;
}
