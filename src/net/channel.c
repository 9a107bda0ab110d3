/* Channels: messages with descriptors over a SOCK_SEQPACKET pair.
 *
 * On the wire a message is a head (kind and size of the payload) and the payload, in one packet;
 * the kernel keeps the bounds, so a packet is a message or it is malformed. The master's end has
 * SO_PASSCRED: the kernel itself says which process sent a message, so that a child cannot speak
 * for another.
 *
 * Never: waits in channel_send or channel_receive, leaves a descriptor open that the caller was not
 * given. */
#include "net/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"

struct packet_head {
    uint32_t kind;
    uint32_t size;
};

/* Room for the descriptors and the sender's credentials, aligned as the kernel wants it. */
union control {
    char bytes[CMSG_SPACE(CHANNEL_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
};

int channel_pair(int ends[static 2])
{
    int on = 1;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -ERR_SYSTEM;
    if (setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0)
        return 0;
    close(ends[0]);
    close(ends[1]);
    return -ERR_SYSTEM;
}

static void attach(struct msghdr *m, union control *c, const int *fds, unsigned count)
{
    struct cmsghdr *h;

    memset(c, 0, sizeof *c);
    m->msg_control = c->bytes;
    m->msg_controllen = CMSG_SPACE(count * sizeof(int));
    h = CMSG_FIRSTHDR(m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(h), fds, count * sizeof(int));
}

/* ETOOMANYREFS: more descriptors are on their way to us all than RLIMIT_NOFILE allows; nobody reads
 * them. */
static int send_error(int error)
{
    if (error == EAGAIN || error == ENOBUFS || error == ETOOMANYREFS)
        return -ERR_FULL;
    if (error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ECONNREFUSED)
        return -ERR_CLOSED;
    return -ERR_SYSTEM;
}

int channel_send(int fd, enum message_kind kind, const void *payload, size_t size, const int *fds,
                 unsigned fd_count)
{
    struct packet_head head = {(uint32_t)kind, (uint32_t)size};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)payload, size}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    union control control;

    if (size > CHANNEL_PAYLOAD || fd_count > CHANNEL_FDS) {
        errno = EMSGSIZE;
        return -ERR_SYSTEM;
    }
    if (fd_count > 0)
        attach(&m, &control, fds, fd_count);
    while (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EINTR)
            return send_error(errno);
    }
    return 0;
}

/* The room for control data holds CHANNEL_FDS descriptors, but the kernel may use the place of
 * absent credentials for more; those are closed and counted, so that the message is refused. */
static unsigned take_fds(const struct cmsghdr *h, struct message *out)
{
    unsigned count = (unsigned)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    unsigned surplus = 0;
    int fd;

    for (unsigned i = 0; i < count; i++) {
        memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
        if (out->fd_count < CHANNEL_FDS) {
            out->fds[out->fd_count++] = fd;
        } else {
            close(fd);
            surplus++;
        }
    }
    return surplus;
}

/* Sorts the control data into out; false when there was more than a message may have. */
static bool take_control(struct msghdr *m, struct message *out)
{
    unsigned surplus = 0;
    struct ucred who;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET)
            continue;
        if (h->cmsg_type == SCM_RIGHTS)
            surplus += take_fds(h, out);
        if (h->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&who, CMSG_DATA(h), sizeof who);
            out->sender = who.pid;
        }
    }
    return surplus == 0;
}

static int refuse(struct message *out)
{
    for (unsigned i = 0; i < out->fd_count; i++)
        close(out->fds[i]);
    out->fd_count = 0;
    return -ERR_PROTOCOL;
}

int channel_receive(int fd, struct message *out)
{
    struct packet_head head;
    struct iovec parts[2] = {{&head, sizeof head}, {out->payload, sizeof out->payload}};
    union control control;
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = control.bytes};
    ssize_t n;

    out->fd_count = 0;
    out->sender = 0;
    m.msg_controllen = sizeof control;
    do {
        n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return -ERR_CLOSED;
    if (n < 0)
        return -ERR_SYSTEM;
    if (!take_control(&m, out) || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        (size_t)n < sizeof head || head.size != (size_t)n - sizeof head ||
        head.kind >= MESSAGE_COUNT)
        return refuse(out);
    out->kind = (enum message_kind)head.kind;
    out->size = head.size;
    return 1;
}

int channel_wait(int fd, struct message *out, int patience)
{
    int64_t end = clock_ns() + (int64_t)patience * 1000000;
    struct pollfd p = {fd, POLLIN, 0};

    for (;;) {
        int64_t left = end - clock_ns();
        int result = channel_receive(fd, out);

        if (result != 0 || (patience >= 0 && left <= 0))
            return result;
        /* Rounded up, or the last fraction of a millisecond would be spent spinning. */
        if (poll(&p, 1, patience < 0 ? -1 : (int)((left + 999999) / 1000000)) < 0 && errno != EINTR)
            return -ERR_SYSTEM;
    }
}

const char *message_name(enum message_kind kind)
{
    static const char *const names[] = {
#define X(name, way, text) #name,
        MESSAGE_MAP(X)
#undef X
    };

    return (unsigned)kind < MESSAGE_COUNT ? names[kind] : "unknown";
}
