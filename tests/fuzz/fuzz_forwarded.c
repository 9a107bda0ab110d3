/* Fuzzes the readers of Forwarded and X-Forwarded-*.
 *
 * Claims: a list gets shorter with each element until it is empty or refused, and a refused one
 * stays as it was; elements found backwards are those that a parser finds forwards where that one
 * accepts the whole; what stands left of a comma does not change what was read to the right of it;
 * values are found within the list or the element's own bytes; single values are what their grammar
 * says. */
#include <stdint.h>

#include "base/errors.h"
#include "check.h"
#include "proto/chars.h"
#include "proto/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- A parser that reads forwards, strictly as RFC 7239 section 4 has it ---- */

static void skip_blanks(struct slice *s)
{
    while (s->len && (s->ptr[0] == ' ' || s->ptr[0] == '\t'))
        *s = slice_skip(*s, 1);
}

static size_t token(struct slice *s)
{
    size_t len = 0;

    while (len < s->len && char_is(s->ptr[len], CHAR_TOKEN))
        len++;
    *s = slice_skip(*s, len);
    return len;
}

static bool quoted(struct slice *s)
{
    size_t i = 1;

    while (i < s->len && s->ptr[i] != '"')
        i += s->ptr[i] == '\\' ? 2 : 1;
    if (i >= s->len)
        return false;
    *s = slice_skip(*s, i + 1);
    return true;
}

/* One parameter. */
static bool pair(struct slice *s)
{
    if (token(s) == 0 || s->len == 0 || s->ptr[0] != '=')
        return false;
    *s = slice_skip(*s, 1);
    return s->len && s->ptr[0] == '"' ? quoted(s) : token(s) > 0;
}

/* How many elements there are that are not empty; -1 when something is wrong. */
static int count_forwards(struct slice s)
{
    int count = 0;

    for (bool more = true; more;) {
        bool empty = true;

        for (skip_blanks(&s); s.len && s.ptr[0] != ',';) {
            empty = false;
            if (s.ptr[0] != ';' && !pair(&s))
                return -1;
            skip_blanks(&s);
            if (s.len && s.ptr[0] != ';' && s.ptr[0] != ',')
                return -1;
            if (s.len && s.ptr[0] == ';')
                s = slice_skip(s, 1);
            skip_blanks(&s);
        }
        count += !empty;
        more = s.len > 0;
        s = more ? slice_skip(s, 1) : s;
    }
    return count;
}

/* ---- Claims ---- */

static void within(struct slice value, struct slice list, const struct forwarded *f)
{
    bool own = value.ptr >= f->text && value.ptr + value.len <= f->text + f->used;

    CHECK(!value.ptr || own ||
          (value.ptr >= list.ptr && value.ptr + value.len <= list.ptr + list.len));
}

static bool same(const struct forwarded *a, const struct forwarded *b)
{
    return slice_eq(a->by, b->by) && slice_eq(a->client, b->client) && slice_eq(a->host, b->host) &&
           slice_eq(a->proto, b->proto);
}

static void check_elements(struct slice list)
{
    static struct forwarded all, cut;
    struct slice rest = list, before = list;
    int forwards = count_forwards(list), count = 0, n;

    while ((n = forwarded_take_last(&rest, &all)) > 0) {
        struct slice right = slice_skip(list, rest.len);

        CHECK(rest.len < before.len);
        within(all.client, list, &all);
        within(all.host, list, &all);
        right.len = before.len - rest.len;
        CHECK(forwarded_take_last(&right, &cut) == 1 && same(&all, &cut));
        before = rest;
        count++;
    }
    CHECK(n == 0 ? rest.len == 0 : n == -ERR_FORWARDED && rest.len == before.len);
    if (forwards >= 0 && n == 0)
        CHECK(count == forwards);
}

static void check_list(struct slice list)
{
    struct slice item, rest = list;

    while (list_take_last(&rest, &item)) {
        struct node node;

        CHECK(item.len && item.ptr >= list.ptr && item.ptr + item.len <= list.ptr + list.len);
        CHECK(!memchr(item.ptr, ',', item.len));
        (void)node_read(item, &node);
    }
    CHECK(rest.len == 0);
}

static void check_values(struct slice text)
{
    struct slice prefix;
    bool secure;

    if (forwarded_prefix(text, &prefix) == 0)
        CHECK(prefix.len <= FORWARDED_PREFIX && (prefix.len == 0 || prefix.ptr[0] == '/') &&
              !(prefix.len > 1 && prefix.ptr[1] == '/') && !memchr(prefix.ptr, '%', prefix.len));
    if (request_id_ok(text))
        CHECK(text.len <= FORWARDED_ID && !memchr(text.ptr, '"', text.len));
    if (forwarded_port_ok(text))
        CHECK(text.len <= 5);
    CHECK(request_start(text) >= -ERR_FORWARDED);
    (void)forwarded_scheme(text, &secure);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);

    check_elements(in);
    check_list(in);
    check_values(in);
    return 0;
}
