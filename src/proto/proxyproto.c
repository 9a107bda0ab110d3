/* The PROXY protocol (proxyproto.h has the contract; sections are the specification's).
 *
 * Version 1 is one line of text, read only when its CRLF is there; version 2 a fixed head that
 * tells the length of the rest, which is read only when all of it is there. So nothing is kept
 * between two calls, and a cut cannot matter. Strict where the specification lets a receiver be:
 * one space between words, no leading zeros, no bytes between the last port and CRLF. Extensions
 * (TLVs) are walked within their bounds and skipped, but for the one that says whether the client
 * came by TLS; where the family is not known their place is not either, and all of it is skipped.
 *
 * Relies on inet_pton for the text of addresses. Never allocates. */
#include "proto/proxyproto.h"

#include <arpa/inet.h>

#include "base/errors.h"
#include "proto/chars.h"

enum {
    V2_HEAD = 16,
    V2_SIGNATURE = 12,
    V2_INET = 12,
    V2_INET6 = 36,
    V2_UNIX = 216,
    V2_PATH = 108,
    TLV_HEAD = 3,
    TLV_SSL = 0x20,
    SSL_CLIENT = 0x01,
};

static const struct slice v1_begin = {"PROXY ", 6};
static const struct slice v2_begin = {"\r\n\r\n\0\r\nQUIT\n", V2_SIGNATURE};

static uint16_t number16(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;

    return (uint16_t)(b[0] << 8 | b[1]);
}

/* Whether the two agree in all bytes that both have. */
static bool agree(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;

    return len == 0 || memcmp(a.ptr, b.ptr, len) == 0;
}

/* ---- Version 1 (section 2.1) ---- */

/* Takes the word before the next space, or the rest. False when there is none. */
static bool next_word(struct slice *line, struct slice *word)
{
    const char *space = line->len ? memchr(line->ptr, ' ', line->len) : NULL;

    *word = slice_of(line->ptr, space ? (size_t)(space - line->ptr) : line->len);
    *line = slice_skip(*line, word->len + (space != NULL));
    return word->len > 0 && !(space && line->len == 0);
}

static bool read_host(struct slice word, int family, uint8_t *out)
{
    char text[INET6_ADDRSTRLEN];

    if (word.len >= sizeof text)
        return false;
    memcpy(text, word.ptr, word.len);
    text[word.len] = '\0';
    return strlen(text) == word.len && inet_pton(family, text, out) == 1;
}

static bool read_port(struct slice word, uint16_t *out)
{
    unsigned port = 0;

    if (word.len == 0 || word.len > 5 || (word.len > 1 && word.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (!char_is(word.ptr[i], CHAR_DIGIT))
            return false;
        port = port * 10 + (unsigned)(word.ptr[i] - '0');
    }
    *out = (uint16_t)port;
    return port <= UINT16_MAX;
}

/* The four words behind "TCP4" or "TCP6". */
static bool read_ends(struct slice line, int family, struct proxy_header *out)
{
    struct slice words[4];

    for (unsigned i = 0; i < 4; i++) {
        if (!next_word(&line, &words[i]))
            return false;
    }
    return line.len == 0 && read_host(words[0], family, out->source.host) &&
           read_host(words[1], family, out->destination.host) &&
           read_port(words[2], &out->source.port) && read_port(words[3], &out->destination.port);
}

/* The line behind "PROXY ", without its CRLF. What follows UNKNOWN is of no meaning. */
static bool read_line(struct slice line, struct proxy_header *out)
{
    struct slice family;

    if (!next_word(&line, &family))
        return slice_eq(family, SLICE("UNKNOWN"));
    if (slice_eq(family, SLICE("UNKNOWN")))
        return true;
    if (slice_eq(family, SLICE("TCP4"))) {
        out->family = PROXY_INET;
        return read_ends(line, AF_INET, out);
    }
    out->family = PROXY_INET6;
    return slice_eq(family, SLICE("TCP6")) && read_ends(line, AF_INET6, out);
}

static int decode_v1(struct slice in, struct proxy_header *out)
{
    size_t most = in.len < PROXY_V1_MAX ? in.len : PROXY_V1_MAX;
    const char *end = memchr(in.ptr, '\n', most);
    size_t len = end ? (size_t)(end - in.ptr) : 0;

    if (!end)
        return in.len < PROXY_V1_MAX ? 0 : -ERR_PROXY_TOO_LARGE;
    if (in.ptr[len - 1] != '\r' || memchr(in.ptr, '\r', len - 1) ||
        !read_line(slice_of(in.ptr + v1_begin.len, len - 1 - v1_begin.len), out))
        return -ERR_PROXY_HEADER;
    return (int)len + 1;
}

/* ---- Version 2 (section 2.2) ---- */

static void copy_ends(struct slice block, size_t host, struct proxy_header *out)
{
    memcpy(out->source.host, block.ptr, host);
    memcpy(out->destination.host, block.ptr + host, host);
    out->source.port = number16(block.ptr + 2 * host);
    out->destination.port = number16(block.ptr + 2 * host + 2);
}

/* A path is padded with NULs; an abstract name begins with one. */
static struct slice path_of(const char *bytes)
{
    size_t len = V2_PATH;

    while (len > 0 && bytes[len - 1] == '\0')
        len--;
    return slice_of(bytes, len);
}

static bool read_tlvs(struct slice tlvs, struct proxy_header *out)
{
    while (tlvs.len > 0) {
        size_t len = tlvs.len >= TLV_HEAD ? number16(tlvs.ptr + 1) : 0;

        if (tlvs.len < TLV_HEAD + len)
            return false;
        if ((uint8_t)tlvs.ptr[0] == TLV_SSL && len > 0)
            out->secure = (uint8_t)tlvs.ptr[TLV_HEAD] & SSL_CLIENT;
        tlvs = slice_skip(tlvs, TLV_HEAD + len);
    }
    return true;
}

/* The addresses of a family that is known, and the extensions behind them. */
static bool read_block(struct slice block, enum proxy_family family, struct proxy_header *out)
{
    static const size_t sizes[] = {
        [PROXY_INET] = V2_INET, [PROXY_INET6] = V2_INET6, [PROXY_UNIX] = V2_UNIX};

    if (block.len < sizes[family])
        return false;
    out->family = family;
    if (family == PROXY_UNIX) {
        out->source.path = path_of(block.ptr);
        out->destination.path = path_of(block.ptr + V2_PATH);
    } else {
        copy_ends(block, family == PROXY_INET ? 4 : 16, out);
    }
    return read_tlvs(slice_skip(block, sizes[family]), out);
}

/* The 13th byte is version and command, the 14th family and transport. The specification has
 * receivers drop connections with values it does not know; whether the proxy was spoken to by
 * stream or datagram makes no difference here. */
static bool read_v2(struct slice in, struct proxy_header *out)
{
    uint8_t command = (uint8_t)in.ptr[12], family = (uint8_t)in.ptr[13] >> 4;
    uint8_t transport = (uint8_t)in.ptr[13] & 15;

    out->local = command == 0x20;
    if (out->local)
        return true;
    if (command != 0x21 || family > PROXY_UNIX || transport > 2)
        return false;
    if (family == PROXY_NOBODY || transport == 0)
        return true;
    return read_block(slice_skip(in, V2_HEAD), (enum proxy_family)family, out);
}

static int decode_v2(struct slice in, struct proxy_header *out)
{
    size_t len;

    if (in.len > V2_SIGNATURE && ((uint8_t)in.ptr[V2_SIGNATURE] & 0xfe) != 0x20)
        return -ERR_PROXY_HEADER;
    if (in.len < V2_HEAD)
        return 0;
    len = V2_HEAD + (size_t)number16(in.ptr + 14);
    if (len > PROXY_V2_MAX)
        return -ERR_PROXY_TOO_LARGE;
    if (in.len < len)
        return 0;
    return read_v2(slice_of(in.ptr, len), out) ? (int)len : -ERR_PROXY_HEADER;
}

int proxy_decode(struct slice in, struct proxy_header *out)
{
    bool v2 = in.len > 0 && in.ptr[0] == v2_begin.ptr[0];
    struct slice begin = v2 ? v2_begin : v1_begin;
    int taken;

    *out = (struct proxy_header){.family = PROXY_NOBODY};
    if (!agree(in, begin))
        return -ERR_PROXY_HEADER;
    if (in.len < begin.len)
        return 0;
    taken = v2 ? decode_v2(in, out) : decode_v1(in, out);
    if (taken <= 0)
        *out = (struct proxy_header){.family = PROXY_NOBODY};
    return taken;
}
