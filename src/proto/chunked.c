/* Bodies in chunks: a machine that takes a byte at a time, but payload in one piece.
 *
 * Each state names what the next byte may be; a byte that fits nowhere ends the body for good. The
 * grammar is that of RFC 9112 section 7.1 with its bad white space around ";" and "=" (which a
 * recipient has to take, RFC 9110 section 5.6.3), and none before the CRLF, where the grammar has
 * none. Extensions have a name, and a value that is a token or a quoted string when there is a "=".
 * A size has at most 16 digits and fits into 63 bits. All lines end in CRLF. Trailer lines are
 * field lines without line folding; like extensions they are counted against a cap, and dropped.
 *
 * Relies on the classes of chars.h. Never copies, allocates, or looks behind the bytes given. */
#include "proto/chunked.h"

#include <limits.h>

#include "base/errors.h"
#include "proto/chars.h"

enum { SIZE_DIGITS = 16 };

enum chunked_state {
    CHUNKED_SIZE_FIRST, /* the first digit of a size */
    CHUNKED_SIZE,       /* another, or what may follow */
    CHUNKED_SIZE_LF,
    CHUNKED_BEFORE_EXTENSION, /* white space before ";" */
    CHUNKED_BEFORE_NAME,
    CHUNKED_NAME,
    CHUNKED_BEHIND_NAME, /* white space before "=" or ";" */
    CHUNKED_BEFORE_VALUE,
    CHUNKED_VALUE,
    CHUNKED_QUOTED,
    CHUNKED_ESCAPED,
    CHUNKED_BEHIND_QUOTED,
    CHUNKED_DATA,
    CHUNKED_DATA_CR,
    CHUNKED_DATA_LF,
    CHUNKED_TRAILER_FIRST, /* the first byte of a trailer line, or the last line's CR */
    CHUNKED_TRAILER_NAME,
    CHUNKED_TRAILER_VALUE,
    CHUNKED_TRAILER_LF,
    CHUNKED_LAST_LF,
    CHUNKED_OVER,
    CHUNKED_BROKEN, /* `left` is the error */
};

void chunked_init(struct chunked *c, size_t extension_cap, size_t trailer_cap)
{
    *c = (struct chunked){.extension_left = extension_cap, .trailer_left = trailer_cap};
}

/* A byte that does not fit: the line end without its other half where there is one, else what `err`
 * says. */
static int misfit(char byte, int err)
{
    return byte == '\n' ? -ERR_BARE_LF : err;
}

static int go(struct chunked *c, enum chunked_state state)
{
    c->state = (uint8_t)state;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- Sizes and extensions ---- */

static int take_digit(struct chunked *c, char byte)
{
    if (!char_is(byte, CHAR_HEX)) {
        return misfit(byte, -ERR_CHUNK_SIZE);
    }
    if (++c->digits > SIZE_DIGITS || c->left > (INT64_MAX >> 4)) {
        return -ERR_CHUNK_SIZE;
    }
    c->left = c->left << 4 | char_hex(byte);
    return go(c, CHUNKED_SIZE);
}

/* What may follow a size, or an extension that is at its end: the line's end, or another extension
 * with white space before it or not; anything else is `err`. */
static int take_next(struct chunked *c, char byte, int err)
{
    if (byte == '\r') {
        return go(c, CHUNKED_SIZE_LF);
    }
    if (byte == ';') {
        return go(c, CHUNKED_BEFORE_NAME);
    }
    return is_blank(byte) ? go(c, CHUNKED_BEFORE_EXTENSION) : misfit(byte, err);
}

static int take_size(struct chunked *c, char byte)
{
    return char_is(byte, CHAR_HEX) ? take_digit(c, byte) : take_next(c, byte, -ERR_CHUNK_SIZE);
}

static int take_size_lf(struct chunked *c, char byte)
{
    if (byte != '\n') {
        return -ERR_BARE_CR;
    }
    c->digits = 0;
    return go(c, c->left ? CHUNKED_DATA : CHUNKED_TRAILER_FIRST);
}

static int take_before_extension(struct chunked *c, char byte)
{
    if (is_blank(byte)) {
        return 0;
    }
    return byte == ';' ? go(c, CHUNKED_BEFORE_NAME) : misfit(byte, -ERR_CHUNK_EXTENSION);
}

static int take_before_name(struct chunked *c, char byte)
{
    if (is_blank(byte)) {
        return 0;
    }
    return char_is(byte, CHAR_TOKEN) ? go(c, CHUNKED_NAME) : misfit(byte, -ERR_CHUNK_EXTENSION);
}

static int take_name(struct chunked *c, char byte)
{
    if (char_is(byte, CHAR_TOKEN)) {
        return 0;
    }
    if (byte == '=') {
        return go(c, CHUNKED_BEFORE_VALUE);
    }
    return is_blank(byte) ? go(c, CHUNKED_BEHIND_NAME) : take_next(c, byte, -ERR_CHUNK_EXTENSION);
}

static int take_behind_name(struct chunked *c, char byte)
{
    return byte == '=' ? go(c, CHUNKED_BEFORE_VALUE) : take_before_extension(c, byte);
}

static int take_before_value(struct chunked *c, char byte)
{
    if (is_blank(byte)) {
        return 0;
    }
    if (byte == '"') {
        return go(c, CHUNKED_QUOTED);
    }
    return char_is(byte, CHAR_TOKEN) ? go(c, CHUNKED_VALUE) : misfit(byte, -ERR_CHUNK_EXTENSION);
}

static int take_value(struct chunked *c, char byte)
{
    return char_is(byte, CHAR_TOKEN) ? 0 : take_next(c, byte, -ERR_CHUNK_EXTENSION);
}

static int take_quoted(struct chunked *c, char byte)
{
    if (byte == '"') {
        return go(c, CHUNKED_BEHIND_QUOTED);
    }
    if (byte == '\\') {
        return go(c, CHUNKED_ESCAPED);
    }
    return char_is(byte, CHAR_TEXT) ? 0 : misfit(byte, -ERR_CHUNK_EXTENSION);
}

static int take_escaped(struct chunked *c, char byte)
{
    return char_is(byte, CHAR_TEXT) ? go(c, CHUNKED_QUOTED) : misfit(byte, -ERR_CHUNK_EXTENSION);
}

/* ---- The end of data, trailers ---- */

static int take_data_cr(struct chunked *c, char byte)
{
    return byte == '\r' ? go(c, CHUNKED_DATA_LF) : misfit(byte, -ERR_CHUNK_END);
}

static int take_data_lf(struct chunked *c, char byte)
{
    return byte == '\n' ? go(c, CHUNKED_SIZE_FIRST) : -ERR_CHUNK_END;
}

static int take_trailer_first(struct chunked *c, char byte)
{
    if (byte == '\r') {
        return go(c, CHUNKED_LAST_LF);
    }
    return char_is(byte, CHAR_TOKEN) ? go(c, CHUNKED_TRAILER_NAME) : misfit(byte, -ERR_TRAILER);
}

static int take_trailer_name(struct chunked *c, char byte)
{
    if (byte == ':') {
        return go(c, CHUNKED_TRAILER_VALUE);
    }
    return char_is(byte, CHAR_TOKEN) ? 0 : misfit(byte, -ERR_TRAILER);
}

static int take_trailer_value(struct chunked *c, char byte)
{
    if (byte == '\r') {
        return go(c, CHUNKED_TRAILER_LF);
    }
    return char_is(byte, CHAR_TEXT) ? 0 : misfit(byte, -ERR_TRAILER);
}

static int take_trailer_lf(struct chunked *c, char byte)
{
    return byte == '\n' ? go(c, CHUNKED_TRAILER_FIRST) : -ERR_BARE_CR;
}

static int take_last_lf(struct chunked *c, char byte)
{
    if (byte != '\n') {
        return -ERR_BARE_CR;
    }
    c->done = true;
    return go(c, CHUNKED_OVER);
}

/* ---- The machine ---- */

/* Takes a byte off what extensions or trailers may still have. An extension's first byte is not
 * counted, but the CR behind it is, which comes to the same. */
static int count(struct chunked *c, char byte)
{
    if (c->state >= CHUNKED_BEFORE_EXTENSION && c->state <= CHUNKED_BEHIND_QUOTED) {
        return c->extension_left-- ? 0 : -ERR_CHUNK_EXTENSIONS_TOO_LARGE;
    }
    if (c->state >= CHUNKED_TRAILER_FIRST && c->state <= CHUNKED_TRAILER_LF &&
        !(c->state == CHUNKED_TRAILER_FIRST && byte == '\r')) {
        return c->trailer_left-- ? 0 : -ERR_TRAILERS_TOO_LARGE;
    }
    return 0;
}

/* Takes one byte that is no payload. */
static int take(struct chunked *c, char byte)
{
    switch ((enum chunked_state)c->state) {
    case CHUNKED_SIZE_FIRST: return take_digit(c, byte);
    case CHUNKED_SIZE: return take_size(c, byte);
    case CHUNKED_SIZE_LF: return take_size_lf(c, byte);
    case CHUNKED_BEFORE_EXTENSION: return take_before_extension(c, byte);
    case CHUNKED_BEFORE_NAME: return take_before_name(c, byte);
    case CHUNKED_NAME: return take_name(c, byte);
    case CHUNKED_BEHIND_NAME: return take_behind_name(c, byte);
    case CHUNKED_BEFORE_VALUE: return take_before_value(c, byte);
    case CHUNKED_VALUE: return take_value(c, byte);
    case CHUNKED_QUOTED: return take_quoted(c, byte);
    case CHUNKED_ESCAPED: return take_escaped(c, byte);
    case CHUNKED_BEHIND_QUOTED: return take_next(c, byte, -ERR_CHUNK_EXTENSION);
    case CHUNKED_DATA: break;
    case CHUNKED_DATA_CR: return take_data_cr(c, byte);
    case CHUNKED_DATA_LF: return take_data_lf(c, byte);
    case CHUNKED_TRAILER_FIRST: return take_trailer_first(c, byte);
    case CHUNKED_TRAILER_NAME: return take_trailer_name(c, byte);
    case CHUNKED_TRAILER_VALUE: return take_trailer_value(c, byte);
    case CHUNKED_TRAILER_LF: return take_trailer_lf(c, byte);
    case CHUNKED_LAST_LF: return take_last_lf(c, byte);
    case CHUNKED_OVER: break;
    case CHUNKED_BROKEN: break;
    }
    __builtin_unreachable();
}

/* The payload at the front of `in`, which is not empty. */
static struct slice take_data(struct chunked *c, struct slice in)
{
    size_t len = in.len < c->left ? in.len : (size_t)c->left;

    c->left -= len;
    if (c->left == 0) {
        c->state = CHUNKED_DATA_CR;
    }
    return slice_of(in.ptr, len);
}

static int broken(struct chunked *c, int err)
{
    c->state = CHUNKED_BROKEN;
    c->left = (uint64_t)-err;
    return err;
}

int chunked_decode(struct chunked *c, struct slice in, struct slice *data)
{
    size_t at = 0, end = in.len < INT_MAX ? in.len : INT_MAX;

    *data = slice_of(in.ptr, 0);
    if (c->state == CHUNKED_BROKEN) {
        return -(int)c->left;
    }
    for (; at < end && c->state != CHUNKED_OVER; at++) {
        int err;

        if (c->state == CHUNKED_DATA) {
            *data = take_data(c, slice_of(in.ptr + at, end - at));
            return (int)(at + data->len);
        }
        err = count(c, in.ptr[at]);
        if (err == 0) {
            err = take(c, in.ptr[at]);
        }
        if (err) {
            return broken(c, err);
        }
    }
    return (int)at;
}

size_t chunked_encode_size(char out[static CHUNKED_SIZE_MAX], uint64_t size)
{
    unsigned digits = size ? (67 - (unsigned)__builtin_clzll(size)) / 4 : 1;

    for (unsigned i = digits; i-- > 0; size >>= 4) {
        out[i] = "0123456789abcdef"[size & 15];
    }
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
