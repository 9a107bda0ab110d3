/* Tests of config/config.c: a whole configuration is made from options.def itself, read, and then
 * spoiled in every field in every way that its row forbids. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

enum kind { BOOL, INT, TEXT, CHOICE, LIST, TABLE, INTS };

struct row {
    const char *scope;
    const char *key;
    enum kind kind;
    bool empty;
    json_int_t min, max;
};

static const struct row rows[] = {
#define SERVER_OPTION(field, key, kind, empty, min, max) {"server", key, kind, empty, min, max},
#define LISTEN_OPTION(field, key, kind, empty, min, max) {"listen", key, kind, empty, min, max},
#define APP_OPTION(field, key, kind, empty, min, max)    {"app", key, kind, empty, min, max},
#include "config/options.def"
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* The last value of a choice: not the zero that a field has anyway. */
static const char *last_choice(const char *wanted)
{
    const char *found = NULL;

#define OPTION_CHOICE(key, text, value)                                                            \
    if (strcmp(key, wanted) == 0)                                                                  \
        found = (text);
#include "config/options.def"
    return found;
}

static json_t *good_value(const struct row *row)
{
    switch (row->kind) {
    case BOOL: return json_true();
    case INT: return json_integer(row->max);
    case TEXT: return json_string(row->key);
    case CHOICE: return json_string(last_choice(row->key));
    case LIST: return json_pack("[s, s]", "one", "two");
    case TABLE: return json_pack("{s: s, s: s}", "a", "1", "b", "2");
    case INTS: return json_pack("[I, I]", row->min, row->max);
    }
    __builtin_unreachable();
}

static json_t *scope_of(json_t *root, const char *scope)
{
    json_t *found = json_object_get(root, scope);

    if (strcmp(scope, "app") == 0)
        return json_object_get(found, "shop");
    return json_is_array(found) ? json_array_get(found, 0) : found;
}

static json_t *good_root(void)
{
    json_t *root = json_pack("{s: i, s: {}, s: [{}], s: {s: {}}}", "version", CONFIG_VERSION,
                             "server", "listen", "app", "shop");

    for (size_t i = 0; i < ROWS; i++)
        json_object_set_new(scope_of(root, rows[i].scope), rows[i].key, good_value(&rows[i]));
    json_object_set_new(scope_of(root, "listen"), "app", json_string("shop"));
    return root;
}

static int file_of(const char *bytes, size_t length)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    return fd;
}

static int read_bytes(const char *bytes, size_t length, struct config *out, char why[static 256])
{
    int fd = file_of(bytes, length);
    int e = config_read(fd, out, why, 256);

    close(fd);
    return e;
}

static int read_root(const json_t *root, struct config *out, char why[static 256])
{
    char *text = json_dumps(root, JSON_SORT_KEYS);
    int e = read_bytes(text, strlen(text), out, why);

    free(text);
    return e;
}

/* The root is refused, and the reason names `part`. */
static void assert_refused(const json_t *root, const char *part)
{
    struct config c;
    char why[256] = "";

    assert_int_equal(read_root(root, &c, why), -ERR_CONFIG);
    if (!strstr(why, part))
        fail_msg("\"%s\" does not name %s", why, part);
    assert_null(c.app);
    assert_null(c.arena.blocks);
}

static void test_fields_arrive(void **state)
{
    json_t *root = good_root();
    struct config c;
    char why[256] = "";

    (void)state;
    assert_int_equal(read_root(root, &c, why), 0);
    assert_string_equal(c.server.error_log, "error-log");
    assert_int_equal(c.server.log_level, LOG_CRITICAL);
    assert_true(c.server.terminal);
    assert_int_equal(c.listen_count, 1);
    assert_int_equal(c.listen[0].kind, LISTEN_UNIX);
    assert_int_equal(c.listen[0].backlog, 65535);
    assert_int_equal(c.app_count, 1);
    assert_string_equal(c.app[0].name, "shop");
    assert_int_equal(c.app[0].interface, INTERFACE_WSGI);
    assert_int_equal(c.app[0].max_body, INT64_C(1) << 40);
    assert_int_equal(c.app[0].middleware.count, 2);
    assert_string_equal(c.app[0].middleware.items[1], "two");
    assert_string_equal(c.app[0].environment.items[1].key, "b");
    assert_string_equal(c.app[0].environment.items[1].value, "2");
    assert_int_equal(c.app[0].groups.items[1], 4294967294);
    assert_ptr_equal(config_app(&c, "shop"), &c.app[0]);
    assert_null(config_app(&c, "sho"));
    config_free(&c);
    json_decref(root);
}

static void test_every_key_is_needed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        json_t *root = good_root();
        json_object_del(scope_of(root, rows[i].scope), rows[i].key);
        assert_refused(root, rows[i].key);
        json_decref(root);
    }
}

/* Of three values at least two are of a wrong type for any row. */
static void test_types(void **state)
{
    const char *wrong[] = {"1.5", "[{}]", "{\"a\": 1}"};

    (void)state;
    for (size_t i = 0; i < ROWS * 3; i++) {
        const struct row *row = &rows[i / 3];
        json_t *root = good_root();
        json_object_set_new(scope_of(root, row->scope), row->key,
                            json_loads(wrong[i % 3], JSON_DECODE_ANY, NULL));
        assert_refused(root, row->key);
        json_decref(root);
    }
}

static void test_null_only_where_allowed(void **state)
{
    struct config c;
    char why[256] = "";

    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        json_t *root = good_root();
        bool needed = strcmp(rows[i].scope, "listen") == 0 && strcmp(rows[i].key, "path") == 0;
        json_object_set_new(scope_of(root, rows[i].scope), rows[i].key, json_null());
        if (rows[i].empty && !needed) {
            assert_int_equal(read_root(root, &c, why), 0);
            config_free(&c);
        } else {
            assert_refused(root, rows[i].key);
        }
        json_decref(root);
    }
}

static void test_null_is_none(void **state)
{
    json_t *root = good_root();
    struct config c;
    char why[256] = "";

    (void)state;
    json_object_set_new(scope_of(root, "app"), "uid", json_null());
    json_object_set_new(scope_of(root, "app"), "venv", json_null());
    assert_int_equal(read_root(root, &c, why), 0);
    assert_int_equal(c.app[0].uid, -1);
    assert_null(c.app[0].venv);
    config_free(&c);
    json_decref(root);
}

static void test_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].kind != INT && rows[i].kind != INTS)
            continue;
        for (int side = 0; side < 2; side++) {
            json_t *root = good_root();
            json_t *value = json_integer(side ? rows[i].max + 1 : rows[i].min - 1);
            if (rows[i].kind == INTS)
                value = json_pack("[o]", value);
            json_object_set_new(scope_of(root, rows[i].scope), rows[i].key, value);
            assert_refused(root, rows[i].key);
            json_decref(root);
        }
    }
}

static void test_choices(void **state)
{
    json_t *root = good_root();

    (void)state;
    /* A value of another choice is none of this one. */
    json_object_set_new(scope_of(root, "app"), "interface", json_string("never"));
    assert_refused(root, "interface");
    json_decref(root);
}

static void test_unknown_keys(void **state)
{
    static const char *const scopes[] = {"server", "listen", "app"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        json_t *root = good_root();
        json_object_set_new(scope_of(root, scopes[i]), "surprise", json_true());
        assert_refused(root, "not known");
        json_decref(root);
    }
    json_t *root = good_root();
    json_object_set_new(root, "surprise", json_true());
    assert_refused(root, "version, server, listen and app");
    json_decref(root);
}

static void test_version(void **state)
{
    json_t *root = good_root();

    (void)state;
    json_object_set_new(root, "version", json_integer(CONFIG_VERSION + 1));
    assert_refused(root, "different versions");
    json_object_del(root, "version");
    assert_refused(root, "different versions");
    json_decref(root);
}

static void test_at_least_one(void **state)
{
    json_t *root = good_root();

    (void)state;
    json_object_set_new(root, "app", json_object());
    assert_refused(root, "app");
    json_decref(root);
    root = good_root();
    json_object_set_new(root, "listen", json_array());
    assert_refused(root, "listen");
    json_decref(root);
}

static void test_listener_hangs_together(void **state)
{
    json_t *root = good_root();

    (void)state;
    json_object_set_new(scope_of(root, "listen"), "app", json_string("nobody"));
    assert_refused(root, "no such application");
    json_object_set_new(scope_of(root, "listen"), "app", json_string("shop"));
    json_object_set_new(scope_of(root, "listen"), "kind", json_string("tcp4"));
    json_object_set_new(scope_of(root, "listen"), "host", json_null());
    assert_refused(root, "host");
    json_decref(root);
}

static void test_what_is_no_configuration(void **state)
{
    static const char *const texts[] = {
        "", "{", "[]", "3", "null", "{\"version\": 1, \"version\": 1}", "{\"version\": 1} x"};
    struct config c;
    char why[256];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        why[0] = '\0';
        assert_int_equal(read_bytes(texts[i], strlen(texts[i]), &c, why), -ERR_CONFIG);
        assert_true(why[0] != '\0');
    }
}

/* Which of two values counts is not left to the parser. */
static void test_doubled_key(void **state)
{
    json_t *root = good_root();
    char *good = json_dumps(root, 0), text[16384];
    struct config c;
    char why[256] = "";

    (void)state;
    snprintf(text, sizeof(text), "{\"version\": %d, %s", CONFIG_VERSION, good + 1);
    assert_int_equal(read_bytes(text, strlen(text), &c, why), -ERR_CONFIG);
    assert_non_null(strstr(why, "duplicate"));
    free(good);
    json_decref(root);
}

/* Cut anywhere, a configuration is refused and nothing is read beyond its end. */
static void test_every_cut(void **state)
{
    json_t *root = good_root();
    char *text = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT);
    struct config c;
    char why[256];

    (void)state;
    for (size_t i = 0; i < strlen(text); i++)
        assert_int_equal(read_bytes(text, i, &c, why), -ERR_CONFIG);
    free(text);
    json_decref(root);
}

static void test_descriptor_that_is_no_file(void **state)
{
    struct config c;
    char why[256] = "";
    int pipes[2];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(config_read(pipes[0], &c, why, sizeof(why)), -ERR_CONFIG);
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(config_read(pipes[0], &c, why, sizeof(why)), -ERR_SYSTEM);
    assert_non_null(strstr(why, "fstat"));
}

static void test_offset_does_not_matter(void **state)
{
    json_t *root = good_root();
    char *text = json_dumps(root, 0);
    int fd = file_of(text, strlen(text));
    struct config c;
    char why[256] = "";

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(config_read(fd, &c, why, sizeof(why)), 0);
        config_free(&c);
    }
    assert_int_equal(lseek(fd, 0, SEEK_CUR), strlen(text));
    close(fd);
    free(text);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_fields_arrive),
        cmocka_unit_test(test_every_key_is_needed),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_null_only_where_allowed),
        cmocka_unit_test(test_null_is_none),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_at_least_one),
        cmocka_unit_test(test_listener_hangs_together),
        cmocka_unit_test(test_what_is_no_configuration),
        cmocka_unit_test(test_doubled_key),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_descriptor_that_is_no_file),
        cmocka_unit_test(test_offset_does_not_matter),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
