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

void output_init(struct output *o)
{
    buf_init(&o->bytes, OUTPUT_CAP);
    o->segments = o->few;
    o->first = o->count = o->held = 0;
    o->size = OUTPUT_FEW;
    o->pending = 0;
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
    output_init(o);
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
    o->first = (o->first + 1) % o->size;
    o->count--;
    release(hold);
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
        more = s->kind == SEGMENT_FILE;
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
        bool file = segment_at(o, 0)->kind == SEGMENT_FILE;
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
    return 0;
}
