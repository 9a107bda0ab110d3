/* Output: the queue between a response and its socket (output.h has the contract).
 *
 * Segments are a ring that starts inside the structure and moves to memory of its own when a
 * response has many pieces. Adjacent copied pieces are one segment, so that the usual response, a
 * head and a small body, is one segment and leaves in one send(). Up to GATHER segments go into one
 * sendmsg(); a file is sent by itself.
 *
 * It never waits, and never keeps a hold past the moment when the kernel has the bytes. */
#include "http/output.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { GATHER = 32, FLUSH_MOST = 1024 * 1024 };

static void release(struct hold *hold)
{
    if (hold)
        hold->release(hold);
}

void output_init(struct output *o, struct server *server)
{
    spool_init(&o->spool, server);
    buf_init(&o->bytes, OUTPUT_CAP);
    o->segments = o->few;
    o->first = o->count = o->held = 0;
    o->size = OUTPUT_FEW;
    o->pending = o->filed = o->spooled = 0;
}

static struct segment *segment_at(struct output *o, unsigned i)
{
    return &o->segments[(o->first + i) % o->size];
}

void output_drop(struct output *o)
{
    for (unsigned i = 0; i < o->count; i++)
        release(segment_at(o, i)->hold);
    if (o->segments != o->few)
        free(o->segments);
    buf_free(&o->bytes);
    spool_free(&o->spool);
    output_init(o, o->spool.server);
}

/* Makes the ring larger, its first segment at 0. */
static int grow(struct output *o)
{
    unsigned size = o->size * 4;
    if (size > OUTPUT_SEGMENTS)
        return -ERR_FULL;
    struct segment *segments = malloc(size * sizeof *segments);
    if (!segments)
        return -ERR_MEMORY;
    for (unsigned i = 0; i < o->count; i++)
        segments[i] = *segment_at(o, i);
    if (o->segments != o->few)
        free(o->segments);
    o->segments = segments;
    o->size = size;
    o->first = 0;
    return 0;
}

static int append(struct output *o, struct segment s)
{
    if (o->count == o->size) {
        int err = grow(o);
        if (err)
            return err;
    }
    o->count++;
    *segment_at(o, o->count - 1) = s;
    o->pending += s.length;
    o->filed += s.kind == SEGMENT_FILE ? s.length : 0;
    o->held += s.kind != SEGMENT_COPIED;
    return 0;
}

struct buf *output_buffer(struct output *o)
{
    return &o->bytes;
}

int output_appended(struct output *o, size_t n)
{
    struct segment *last = o->count ? segment_at(o, o->count - 1) : NULL;
    if (last && last->kind == SEGMENT_COPIED) {
        last->length += (int64_t)n;
        o->pending += (int64_t)n;
        return 0;
    }
    if (n == 0)
        return 0;
    int err = append(o, (struct segment){.kind = SEGMENT_COPIED, .length = (int64_t)n});
    if (err)
        o->bytes.end -= n;
    return err;
}

int output_copy(struct output *o, struct slice s)
{
    int err = buf_put(&o->bytes, s);
    return err ? err : output_appended(o, s.len);
}

static int keep(struct output *o, const struct chunk *chunk)
{
    struct segment s = {.hold = chunk->hold};
    if (chunk->kind == CHUNK_FILE) {
        s.kind = SEGMENT_FILE;
        s.fd = chunk->fd;
        s.at.offset = chunk->offset;
        s.length = chunk->length;
    } else {
        s.kind = SEGMENT_HELD;
        s.at.ptr = chunk->bytes.ptr;
        s.length = (int64_t)chunk->bytes.len;
    }
    return append(o, s);
}

int output_chunk(struct output *o, const struct chunk *chunk)
{
    bool file = chunk->kind == CHUNK_FILE;
    int err = 0;
    if (file ? chunk->length == 0 : (!chunk->hold || chunk->bytes.len <= OUTPUT_COPY)) {
        if (!file)
            err = output_copy(o, chunk->bytes);
        release(chunk->hold);
        return err;
    }
    err = keep(o, chunk);
    if (err)
        release(chunk->hold);
    return err;
}

/* The first segment is sent whole. */
static void pop(struct output *o)
{
    struct segment *s = segment_at(o, 0);
    struct hold *hold = s->hold;
    o->held -= s->kind != SEGMENT_COPIED;
    bool spool_sent = s->kind == SEGMENT_SPOOL && o->spooled == 0;
    o->first = (o->first + 1) % o->size;
    o->count--;
    release(hold);
    if (spool_sent)
        spool_reset(&o->spool);
}

static bool is_file(const struct segment *s)
{
    return s->kind == SEGMENT_FILE || s->kind == SEGMENT_SPOOL;
}

/* `n` bytes of the front were taken by the kernel. */
static void taken(struct output *o, size_t n)
{
    o->pending -= (int64_t)n;
    while (n > 0) {
        struct segment *s = segment_at(o, 0);
        size_t part = (size_t)s->length < n ? (size_t)s->length : n;
        if (s->kind == SEGMENT_COPIED)
            buf_take(&o->bytes, part);
        else if (s->kind == SEGMENT_HELD)
            s->at.ptr += part;
        else
            s->at.offset += (int64_t)part;
        o->filed -= is_file(s) ? (int64_t)part : 0;
        o->spooled -= s->kind == SEGMENT_SPOOL ? (int64_t)part : 0;
        s->length -= (int64_t)part;
        n -= part;
        if (s->length == 0)
            pop(o);
    }
}

static ssize_t send_file(struct output *o, int fd)
{
    struct segment *s = segment_at(o, 0);
    off_t offset = s->at.offset;
    size_t most = s->length < FLUSH_MOST ? (size_t)s->length : FLUSH_MOST;
    ssize_t n = sendfile(fd, s->fd, &offset, most);
    if (n == 0) {
        errno = ENODATA;
        return -1;
    }
    return n;
}

/* Gathers what stands before the next file. */
static ssize_t send_memory(struct output *o, int fd)
{
    struct iovec parts[GATHER];
    struct slice copied = buf_bytes(&o->bytes);
    size_t n = 0;
    bool more = false;
    for (unsigned i = 0; i < o->count; i++) {
        struct segment *s = segment_at(o, i);
        more = is_file(s);
        if (more || n == GATHER)
            break;
        size_t length = (size_t)s->length;
        if (s->kind == SEGMENT_COPIED) {
            parts[n++] = (struct iovec){(void *)copied.ptr, length};
            copied = slice_skip(copied, length);
        } else {
            parts[n++] = (struct iovec){(void *)s->at.ptr, length};
        }
    }
    int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    if (n == 1)
        return send(fd, parts[0].iov_base, parts[0].iov_len, flags);
    return sendmsg(fd, &(struct msghdr){.msg_iov = parts, .msg_iovlen = n}, flags);
}

/* Moves one segment; its bytes are the first of those copied, if it is a copied one. */
static int spool_segment(struct output *o, struct segment *s)
{
    struct slice bytes = s->kind == SEGMENT_COPIED ? buf_bytes(&o->bytes) : slice_of(s->at.ptr, 0);
    bytes.len = (size_t)s->length;
    int64_t offset = o->spool.size;
    int err = spool_put(&o->spool, bytes);
    if (err)
        return err;
    struct hold *hold = s->kind == SEGMENT_HELD ? s->hold : NULL;
    if (s->kind == SEGMENT_COPIED) {
        buf_take(&o->bytes, bytes.len);
        o->held++;
    }
    o->filed += s->length;
    o->spooled += s->length;
    *s = (struct segment){
        .kind = SEGMENT_SPOOL, .fd = o->spool.fd, .at.offset = offset, .length = s->length};
    release(hold);
    return 0;
}

/* Ranges of our file that follow each other become one. */
static void join_spooled(struct output *o)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < o->count; i++) {
        struct segment s = *segment_at(o, i);
        struct segment *last = kept ? segment_at(o, kept - 1) : NULL;
        if (last && last->kind == SEGMENT_SPOOL && s.kind == SEGMENT_SPOOL &&
            last->at.offset + last->length == s.at.offset) {
            last->length += s.length;
            o->held--;
        } else {
            *segment_at(o, kept++) = s;
        }
    }
    o->count = kept;
}

int output_spool(struct output *o, int64_t most)
{
    if (output_memory(o) > most - o->spool.size)
        return -ERR_FULL;
    int err = 0;
    for (unsigned i = 0; i < o->count && !err; i++)
        if (!is_file(segment_at(o, i)))
            err = spool_segment(o, segment_at(o, i));
    join_spooled(o);
    if (buf_len(&o->bytes) == 0)
        buf_free(&o->bytes);
    return err;
}

static int failure(int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK)
        return 1;
    if (error == ENODATA)
        return -ERR_SHORT_BODY;
    return error == EPIPE || error == ECONNRESET || error == ETIMEDOUT ? -ERR_RESET : -ERR_SYSTEM;
}

int output_flush(struct output *o, int fd, uint64_t *sent)
{
    size_t total = 0;
    while (o->count) {
        if (total >= FLUSH_MOST)
            return 2;
        bool file = is_file(segment_at(o, 0));
        ssize_t n = file ? send_file(o, fd) : send_memory(o, fd);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failure(errno);
        taken(o, (size_t)n);
        *sent += (uint64_t)n;
        total += (size_t)n;
    }
    if (o->segments != o->few) {
        free(o->segments);
        o->segments = o->few;
        o->size = OUTPUT_FEW;
    }
    o->first = 0;
    buf_free(&o->bytes);
    spool_free(&o->spool);
    return 0;
}
