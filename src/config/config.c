/* Reads the canonical configuration into the structures of options.h.
 *
 * The file is read whole by pread (the offset of an inherited descriptor is shared with every other
 * process that has it), parsed by jansson, and then walked along options.def: one row for each
 * field says key, kind, range and where in the structure it goes. Texts are copied into the
 * configuration's arena, so that nothing of jansson's outlives config_read.
 *
 * It relies on base and jansson alone, since the master and the extension both use it. It never
 * fills in a default and never resolves anything: a configuration in which something is missing was
 * not written by our launcher and is refused. */
#include "config/config.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Far above what a real configuration needs, far below what would hurt. */
enum { CONFIG_FILE_CAP = 4 << 20, CONFIG_ARENA_CAP = 16 << 20 };

enum field_kind { KIND_BOOL, KIND_INT, KIND_TEXT, KIND_CHOICE, KIND_LIST, KIND_TABLE, KIND_INTS };

struct field {
    const char *key;
    enum field_kind kind;
    bool empty; /* null is allowed: NULL in a text, -1 in a number */
    int64_t min, max;
    size_t offset;
};

struct fields {
    const struct field *rows;
    size_t count;
};

#define ROW(type, field, key, kind, empty, min, max)                                               \
    {key, KIND_##kind, empty, min, max, offsetof(type, field)},

static const struct field server_rows[] = {
#define SERVER_OPTION(...) ROW(struct server_options, __VA_ARGS__)
#include "config/options.def"
};

static const struct field listen_rows[] = {
#define LISTEN_OPTION(...) ROW(struct listen_options, __VA_ARGS__)
#include "config/options.def"
};

static const struct field app_rows[] = {
#define APP_OPTION(...) ROW(struct app_options, __VA_ARGS__)
#include "config/options.def"
};

#define FIELDS(rows) ((struct fields){(rows), sizeof(rows) / sizeof((rows)[0])})

struct choice {
    const char *key;
    const char *text;
    int value;
};

static const struct choice choices[] = {
#define OPTION_CHOICE(key, text, value) {key, text, value},
#include "config/options.def"
};

/* Choices are stored through an int, whatever their enum is called. */
_Static_assert(sizeof(enum log_level) == sizeof(int) && sizeof(enum listen_kind) == sizeof(int) &&
                   sizeof(enum option_interface) == sizeof(int),
               "enums have the size of an int");

/* One reading: where it goes, where it stands, and where to say what is wrong. */
struct reader {
    struct config *out;
    const char *place; /* "server", "listen", or the name of an application */
    char *why;
    size_t size;
};

static int refuse(const struct reader *r, const char *key, const char *what)
{
    snprintf(r->why, r->size, "the configuration handed over is not valid: %s%s%s: %s", r->place,
             key ? "." : "", key ? key : "", what);
    return -ERR_CONFIG;
}

static int copy_text(const struct reader *r, const char *text, const char **at)
{
    struct slice copy = arena_copy(&r->out->arena, slice_text(text));

    if (!copy.ptr) {
        snprintf(r->why, r->size, "no memory for the configuration");
        return -ERR_MEMORY;
    }
    *at = copy.ptr;
    return 0;
}

/* Room for `count` things of `size` bytes, NULL only without memory: one is had where none are
 * needed. */
static void *copy_room(const struct reader *r, size_t count, size_t size)
{
    size_t bytes;
    void *room;

    if (__builtin_mul_overflow(count ? count : 1, size, &bytes))
        return NULL;
    room = arena_alloc(&r->out->arena, bytes);
    if (room)
        memset(room, 0, bytes);
    else
        snprintf(r->why, r->size, "no memory for the configuration");
    return room;
}

static int read_bool(const struct reader *r, const struct field *f, const json_t *v, bool *at)
{
    if (!json_is_boolean(v))
        return refuse(r, f->key, "true or false is expected");
    *at = json_is_true(v);
    return 0;
}

static int read_int(const struct reader *r, const struct field *f, const json_t *v, int64_t *at)
{
    if (f->empty && json_is_null(v)) {
        *at = -1;
        return 0;
    }
    if (!json_is_integer(v))
        return refuse(r, f->key, "an integer is expected");
    if (json_integer_value(v) < f->min || json_integer_value(v) > f->max)
        return refuse(r, f->key, "the number is out of its range");
    *at = json_integer_value(v);
    return 0;
}

static int read_text(const struct reader *r, const struct field *f, const json_t *v,
                     const char **at)
{
    if (f->empty && json_is_null(v)) {
        *at = NULL;
        return 0;
    }
    if (!json_is_string(v))
        return refuse(r, f->key, "a text is expected");
    return copy_text(r, json_string_value(v), at);
}

static int read_choice(const struct reader *r, const struct field *f, const json_t *v, void *at)
{
    const char *text = json_string_value(v);

    if (!text)
        return refuse(r, f->key, "a text is expected");
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        if (strcmp(choices[i].key, f->key) == 0 && strcmp(choices[i].text, text) == 0) {
            memcpy(at, &choices[i].value, sizeof(int));
            return 0;
        }
    }
    return refuse(r, f->key, "not one of its values");
}

static int read_list(const struct reader *r, const struct field *f, const json_t *v,
                     struct text_list *at)
{
    size_t count = json_array_size(v);
    int e = 0;

    if (!json_is_array(v))
        return refuse(r, f->key, "a list is expected");
    at->items = copy_room(r, count, sizeof(at->items[0]));
    if (!at->items)
        return -ERR_MEMORY;
    for (size_t i = 0; i < count && e == 0; i++)
        e = read_text(r, f, json_array_get(v, i), &at->items[i]);
    at->count = (unsigned)count;
    return e;
}

static int read_ints(const struct reader *r, const struct field *f, const json_t *v,
                     struct int_list *at)
{
    size_t count = json_array_size(v);
    int e = 0;

    if (!json_is_array(v))
        return refuse(r, f->key, "a list is expected");
    at->items = copy_room(r, count, sizeof(at->items[0]));
    if (!at->items)
        return -ERR_MEMORY;
    for (size_t i = 0; i < count && e == 0; i++)
        e = read_int(r, f, json_array_get(v, i), &at->items[i]);
    at->count = (unsigned)count;
    return e;
}

static int read_table(const struct reader *r, const struct field *f, json_t *v,
                      struct text_table *at)
{
    const char *key;
    json_t *value;
    int e;

    if (!json_is_object(v))
        return refuse(r, f->key, "a table is expected");
    at->items = copy_room(r, json_object_size(v), sizeof(at->items[0]));
    if (!at->items)
        return -ERR_MEMORY;
    json_object_foreach(v, key, value)
    {
        struct text_pair *pair = &at->items[at->count++];
        if (!json_is_string(value))
            return refuse(r, f->key, "its values must be texts");
        e = copy_text(r, key, &pair->key);
        if (e == 0)
            e = copy_text(r, json_string_value(value), &pair->value);
        if (e < 0)
            return e;
    }
    return 0;
}

static int read_field(const struct reader *r, const struct field *f, json_t *v, void *at)
{
    switch (f->kind) {
    case KIND_BOOL: return read_bool(r, f, v, at);
    case KIND_INT: return read_int(r, f, v, at);
    case KIND_TEXT: return read_text(r, f, v, at);
    case KIND_CHOICE: return read_choice(r, f, v, at);
    case KIND_LIST: return read_list(r, f, v, at);
    case KIND_TABLE: return read_table(r, f, v, at);
    case KIND_INTS: return read_ints(r, f, v, at);
    }
    __builtin_unreachable();
}

/* Fills the structure at `base` with all its fields; a key that none of them has is refused as
 * well. */
static int read_fields(const struct reader *r, struct fields fields, const json_t *v, char *base)
{
    int e = 0;

    if (!json_is_object(v))
        return refuse(r, NULL, "a table is expected");
    for (size_t i = 0; i < fields.count && e == 0; i++) {
        const struct field *f = &fields.rows[i];
        json_t *value = json_object_get(v, f->key);
        e = value ? read_field(r, f, value, base + f->offset) : refuse(r, f->key, "missing");
    }
    if (e == 0 && json_object_size(v) != fields.count)
        return refuse(r, NULL, "it holds a key that is not known");
    return e;
}

static int read_listener(const struct reader *r, const json_t *v, struct listen_options *at)
{
    int e = read_fields(r, FIELDS(listen_rows), v, (char *)at);

    if (e < 0)
        return e;
    if (at->kind == LISTEN_UNIX && !at->path)
        return refuse(r, "path", "missing");
    if ((at->kind == LISTEN_TCP4 || at->kind == LISTEN_TCP6) && !at->host)
        return refuse(r, "host", "missing");
    if (!config_app(r->out, at->app))
        return refuse(r, "app", "there is no such application");
    return 0;
}

static int read_listeners(struct reader *r, const json_t *v)
{
    size_t count = json_array_size(v);
    int e = 0;

    r->place = "listen";
    if (count == 0)
        return refuse(r, NULL, "at least one is expected");
    r->out->listen = copy_room(r, count, sizeof(r->out->listen[0]));
    if (!r->out->listen)
        return -ERR_MEMORY;
    for (size_t i = 0; i < count && e == 0; i++)
        e = read_listener(r, json_array_get(v, i), &r->out->listen[i]);
    r->out->listen_count = (unsigned)count;
    return e;
}

static int read_apps(struct reader *r, json_t *v)
{
    const char *name;
    json_t *value;
    int e;

    r->place = "app";
    if (json_object_size(v) == 0)
        return refuse(r, NULL, "at least one is expected");
    r->out->app = copy_room(r, json_object_size(v), sizeof(r->out->app[0]));
    if (!r->out->app)
        return -ERR_MEMORY;
    json_object_foreach(v, name, value)
    {
        struct app_options *app = &r->out->app[r->out->app_count++];
        r->place = name;
        e = copy_text(r, name, &app->name);
        if (e == 0)
            e = read_fields(r, FIELDS(app_rows), value, (char *)app);
        if (e < 0)
            return e;
    }
    return 0;
}

static int read_root(struct reader *r, const json_t *root)
{
    const json_t *version = json_object_get(root, "version");
    int e;

    if (!json_is_integer(version) || json_integer_value(version) != CONFIG_VERSION)
        return refuse(r, NULL, "launcher and master are of different versions");
    if (json_object_size(root) != 4)
        return refuse(r, NULL, "version, server, listen and app are expected");
    r->place = "server";
    e = read_fields(r, FIELDS(server_rows), json_object_get(root, "server"),
                    (char *)&r->out->server);
    if (e == 0)
        e = read_apps(r, json_object_get(root, "app"));
    if (e == 0)
        e = read_listeners(r, json_object_get(root, "listen"));
    return e;
}

static int system_failed(const struct reader *r, const char *what)
{
    snprintf(r->why, r->size, "the configuration cannot be read: %s: %s", what, strerror(errno));
    return -ERR_SYSTEM;
}

/* Reads exactly `length` bytes from the beginning of `fd`. */
static int read_bytes(const struct reader *r, int fd, char *bytes, size_t length)
{
    size_t got = 0;

    while (got < length) {
        ssize_t n = pread(fd, bytes + got, length - got, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return system_failed(r, "pread");
        if (n == 0)
            return refuse(r, NULL, "it became shorter while it was read");
        got += (size_t)n;
    }
    return 0;
}

static int parse(const struct reader *r, const char *bytes, size_t length, json_t **root)
{
    json_error_t error;

    *root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &error);
    return *root ? 0 : refuse(r, NULL, error.text);
}

static int load(const struct reader *r, int fd, json_t **root)
{
    struct stat st;
    char *bytes;
    int e;

    if (fstat(fd, &st) < 0)
        return system_failed(r, "fstat");
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > CONFIG_FILE_CAP)
        return refuse(r, NULL, "it is no file, empty or too large");
    bytes = malloc((size_t)st.st_size);
    if (!bytes) {
        snprintf(r->why, r->size, "no memory for the configuration");
        return -ERR_MEMORY;
    }
    e = read_bytes(r, fd, bytes, (size_t)st.st_size);
    if (e == 0)
        e = parse(r, bytes, (size_t)st.st_size, root);
    free(bytes);
    return e;
}

int config_read(int fd, struct config *out, char *why, size_t size)
{
    struct reader r = {.out = out, .place = "the whole", .why = why, .size = size};
    json_t *root = NULL;
    int e;

    *out = (struct config){0};
    arena_init(&out->arena, CONFIG_ARENA_CAP, NULL, 0);
    e = load(&r, fd, &root);
    if (e == 0)
        e = read_root(&r, root);
    json_decref(root);
    if (e < 0)
        config_free(out);
    return e;
}

void config_free(struct config *c)
{
    arena_free(&c->arena);
    *c = (struct config){0};
}

const struct app_options *config_app(const struct config *c, const char *name)
{
    for (unsigned i = 0; i < c->app_count; i++)
        if (strcmp(c->app[i].name, name) == 0)
            return &c->app[i];
    return NULL;
}
