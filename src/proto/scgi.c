/* SCGI heads (scgi.h has the contract).
 *
 * The length is judged digit by digit, so that a peer that speaks something else is refused by its
 * first byte and one that announces too much before it sends it. The rest is read only when all of
 * it is there: nothing is kept between two calls, and a cut cannot matter.
 *
 * Never allocates but in the buffer it appends to, never looks behind the bytes given. */
#include "proto/scgi.h"

#include <stdbool.h>

#include "base/decimal.h"
#include "proto/chars.h"

/* ---- Decoding ---- */

/* Takes the length and the colon. Returns the bytes taken, 0 when more are needed, or an error. */
static int decode_length(struct slice in, size_t cap, size_t *out)
{
    size_t length = 0;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];

        if (c == ':' && i > 0) {
            *out = length;
            return (int)i + 1;
        }
        if (!char_is(c, CHAR_DIGIT) || (i == 0 && c == '0'))
            return -ERR_SCGI_HEAD;
        if (length > cap / 10 || (length = length * 10 + (size_t)(c - '0')) > cap)
            return -ERR_HEAD_TOO_LARGE;
    }
    return 0;
}

/* Takes the bytes before the next NUL, and that NUL, from the front of the block. */
static bool take_text(struct slice *block, struct slice *text)
{
    const char *nul = block->len ? memchr(block->ptr, '\0', block->len) : NULL;

    if (!nul)
        return false;
    *text = slice_of(block->ptr, (size_t)(nul - block->ptr));
    *block = slice_skip(*block, text->len + 1);
    return true;
}

static bool is_number(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!char_is(s.ptr[i], CHAR_DIGIT))
            return false;
    return s.len > 0;
}

/* What the specification asks of the variables from the first of them on. */
static bool is_scgi(const struct var *vars, unsigned count)
{
    if (count == 0 || !slice_eq(vars->name, SLICE("CONTENT_LENGTH")) || !is_number(vars->value))
        return false;
    for (unsigned i = 1; i < count; i++)
        if (slice_eq(vars[i].name, SLICE("SCGI")))
            return slice_eq(vars[i].value, SLICE("1"));
    return false;
}

static int decode_block(struct slice block, struct vars *vars)
{
    unsigned before = vars->count;
    struct slice name, value;
    int err = 0;

    while (block.len > 0 && err == 0) {
        if (take_text(&block, &name) && take_text(&block, &value))
            err = vars_add(vars, name, value);
        else
            err = -ERR_VARS;
    }
    if (err == 0 && !is_scgi(vars->list + before, vars->count - before))
        err = -ERR_SCGI_HEAD;
    if (err)
        vars->count = before;
    return err;
}

int scgi_decode(struct slice in, size_t cap, struct vars *vars)
{
    size_t length = 0;
    int taken = decode_length(in, cap < INT32_MAX / 2 ? cap : INT32_MAX / 2, &length), err;

    if (taken <= 0)
        return taken;
    in = slice_skip(in, (size_t)taken);
    if (in.len <= length)
        return 0;
    if (in.ptr[length] != ',')
        return -ERR_SCGI_HEAD;
    err = decode_block(slice_of(in.ptr, length), vars);
    return err ? err : taken + (int)length + 1;
}

/* ---- Encoding ---- */

/* Whether a variable is one that the encoder writes itself. */
static bool is_own(const struct var *v)
{
    return slice_eq(v->name, SLICE("CONTENT_LENGTH")) || slice_eq(v->name, SLICE("SCGI"));
}

static bool has_nul(struct slice s)
{
    return s.len && memchr(s.ptr, '\0', s.len);
}

/* Adds up what the variables take, their NULs included. */
static int add_sizes(const struct vars *vars, size_t *size)
{
    for (unsigned i = 0; i < vars->count; i++) {
        const struct var *v = &vars->list[i];

        if (v->name.len == 0 || has_nul(v->name) || has_nul(v->value))
            return -ERR_VARS;
        if (is_own(v))
            continue;
        if (__builtin_add_overflow(*size, v->name.len, size) ||
            __builtin_add_overflow(*size, v->value.len, size) ||
            __builtin_add_overflow(*size, 2, size))
            return -ERR_FULL;
    }
    return 0;
}

static char *put_text(char *at, struct slice text)
{
    if (text.len)
        memcpy(at, text.ptr, text.len);
    at[text.len] = '\0';
    return at + text.len + 1;
}

int scgi_encode(struct buf *b, uint64_t length, const struct vars *vars)
{
    char digits[DECIMAL_MAX], size_digits[DECIMAL_MAX];
    struct slice content = decimal(length, digits), head;
    size_t size = sizeof "CONTENT_LENGTH" + content.len + 1 + sizeof "SCGI" + sizeof "1";
    size_t room = b->cap - buf_len(b);
    int err = add_sizes(vars, &size);
    char *at;

    if (err)
        return err;
    head = decimal(size, size_digits);
    if (size > room || head.len + 2 > room - size)
        return -ERR_FULL;
    at = buf_reserve(b, head.len + 1 + size + 1);
    if (!at)
        return -ERR_MEMORY;
    memcpy(at, head.ptr, head.len);
    at += head.len;
    *at++ = ':';
    at = put_text(put_text(at, SLICE("CONTENT_LENGTH")), content);
    at = put_text(put_text(at, SLICE("SCGI")), SLICE("1"));
    for (unsigned i = 0; i < vars->count; i++)
        if (!is_own(&vars->list[i]))
            at = put_text(put_text(at, vars->list[i].name), vars->list[i].value);
    *at = ',';
    buf_added(b, head.len + 1 + size + 1);
    return 0;
}
