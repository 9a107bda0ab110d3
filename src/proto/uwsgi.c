/* The uwsgi protocol's packet (uwsgi.h has the contract).
 *
 * A packet is read only when all of it is there, so nothing is kept between two calls and a cut
 * cannot matter; what its head says is judged before. A block has to end with its last variable.
 *
 * Never allocates but in the buffer it appends to, never looks behind the bytes given. */
#include "proto/uwsgi.h"

#include <stdbool.h>

static uint16_t number16(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;

    return (uint16_t)(b[0] | b[1] << 8);
}

/* ---- Decoding ---- */

int uwsgi_decode_head(struct slice in, struct uwsgi_head *out)
{
    if (in.len < UWSGI_HEAD)
        return 0;
    *out = (struct uwsgi_head){
        .modifier1 = (uint8_t)in.ptr[0],
        .modifier2 = (uint8_t)in.ptr[3],
        .size = number16(in.ptr + 1),
    };
    return UWSGI_HEAD;
}

/* Takes a length and so many bytes from the front of the block. */
static bool take_text(struct slice *block, struct slice *text)
{
    size_t len;

    if (block->len < 2)
        return false;
    len = number16(block->ptr);
    *block = slice_skip(*block, 2);
    if (len > block->len)
        return false;
    *text = slice_of(block->ptr, len);
    *block = slice_skip(*block, len);
    return true;
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
    if (err)
        vars->count = before;
    return err;
}

static bool is_spoken(uint8_t modifier)
{
    return modifier == UWSGI_REQUEST || modifier == UWSGI_PATH_INFO || modifier == UWSGI_PING;
}

int uwsgi_decode(struct slice in, size_t cap, struct uwsgi_head *head, struct vars *vars)
{
    size_t len;
    int err = 0;

    if (in.len > 0 && !is_spoken((uint8_t)in.ptr[0]))
        return -ERR_UWSGI_MODIFIER;
    if (uwsgi_decode_head(in, head) == 0)
        return 0;
    if (head->size > cap)
        return -ERR_HEAD_TOO_LARGE;
    len = UWSGI_HEAD + (size_t)head->size;
    if (in.len < len)
        return 0;
    if (head->modifier1 != UWSGI_PING)
        err = decode_block(slice_of(in.ptr + UWSGI_HEAD, head->size), vars);
    return err ? err : (int)len;
}

/* ---- Encoding ---- */

static char *put_number(char *at, size_t number)
{
    at[0] = (char)(number & 0xff);
    at[1] = (char)(number >> 8);
    return at + 2;
}

static char *put_text(char *at, struct slice text)
{
    at = put_number(at, text.len);
    if (text.len)
        memcpy(at, text.ptr, text.len);
    return at + text.len;
}

void uwsgi_encode_head(char out[static UWSGI_HEAD], struct uwsgi_head head)
{
    out[0] = (char)head.modifier1;
    put_number(out + 1, head.size);
    out[3] = (char)head.modifier2;
}

/* The size of the block, or something larger than UWSGI_BLOCK_MAX. */
static size_t block_size(const struct vars *vars)
{
    size_t size = 0;

    for (unsigned i = 0; i < vars->count && size <= UWSGI_BLOCK_MAX; i++) {
        const struct var *v = &vars->list[i];

        if (v->name.len > UWSGI_BLOCK_MAX || v->value.len > UWSGI_BLOCK_MAX)
            return SIZE_MAX;
        size += 4 + v->name.len + v->value.len;
    }
    return size;
}

int uwsgi_encode(struct buf *b, const struct vars *vars)
{
    size_t size = block_size(vars);
    char *at;

    if (size > UWSGI_BLOCK_MAX)
        return -ERR_HEAD_TOO_LARGE;
    if (UWSGI_HEAD + size > b->cap - buf_len(b))
        return -ERR_FULL;
    at = buf_reserve(b, UWSGI_HEAD + size);
    if (!at)
        return -ERR_MEMORY;
    uwsgi_encode_head(at, (struct uwsgi_head){.modifier1 = UWSGI_REQUEST, .size = (uint16_t)size});
    at += UWSGI_HEAD;
    for (unsigned i = 0; i < vars->count; i++)
        at = put_text(put_text(at, vars->list[i].name), vars->list[i].value);
    buf_added(b, UWSGI_HEAD + size);
    return 0;
}
