/* Channels: the socket between the master and each of its children.
 *
 * A SOCK_SEQPACKET pair, so that messages keep their bounds. Orders reach a child here and not by
 * signals; descriptors (configuration, scoreboard, logs, listeners) travel as SCM_RIGHTS. The first
 * message each way tells the version; who hears another leaves. When a side closes, the other knows
 * that it is alone.
 *
 * Threads: one at a time on each end. */
#ifndef PENSTOCK_NET_CHANNEL_H
#define PENSTOCK_NET_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

enum { CHANNEL_VERSION = 3, CHANNEL_PAYLOAD = 4096, CHANNEL_FDS = 128 };

/* MESSAGE(name, who sends it to whom, what it means) */
#define MESSAGE_MAP(X)                                                                             \
    X(SETUP, "master to child", "struct setup; descriptors in the order that it names")            \
    X(FORK, "master to template", "struct fork_order; the worker's end of a new channel")          \
    X(ACCEPT, "master to worker", "begin to accept connections")                                   \
    X(DRAIN, "master to child", "take nothing new, finish what is there, leave")                   \
    X(STOP, "master to child", "leave now")                                                        \
    X(LOGS, "master to child", "the descriptors of the reopened error and access log")             \
    X(HELLO, "child to master", "struct hello; sent first by whoever has a channel of its own")    \
    X(READY, "child to master",                                                                    \
      "the application is loaded (worker) or forks are taken (template)")                          \
    X(CLOSED, "worker to master", "it accepts nothing any more: all that was queued is taken")     \
    X(RETIRE, "worker to master", "it has served for long enough: somebody is to take its place")  \
    X(UNFIT, "template to master", "the application it has imported cannot be shared: it leaves")

#define MESSAGE_ENUM(name, way, text) MESSAGE_##name,
enum message_kind { MESSAGE_MAP(MESSAGE_ENUM) MESSAGE_COUNT };
#undef MESSAGE_ENUM

/* What a child is told at its start. Its descriptors, in order: configuration, scoreboard, error
 * log, access log (only if has_access_log), meter (only if has_meter), then `listeners` listening
 * sockets in the order of the configuration's listeners of this application. */
struct setup {
    uint32_t version; /* CHANNEL_VERSION */
    uint32_t slot;    /* in the scoreboard; unused by a template */
    uint32_t worker;  /* its number within the application, from 1; 0: you are a template */
    uint32_t listeners;
    uint32_t has_access_log;
    uint32_t has_meter;
    uint32_t master; /* pid, to see after re-parenting whether it is still there */
    uint32_t unfit;  /* the application cannot be shared: workers import it for themselves */
    char app[64];    /* whose name in the configuration, NUL-terminated */
};

struct fork_order {
    uint32_t slot;
    uint32_t worker;
};

struct hello {
    uint32_t version;
    int32_t pid;
};

/* A message as it was received. Its descriptors are the receiver's to close. */
struct message {
    enum message_kind kind;
    int32_t sender; /* who sent it, as the kernel knows: on the master's end; 0 on a child's */
    uint32_t size;  /* of payload */
    char payload[CHANNEL_PAYLOAD] __attribute__((aligned(8)));
    int fds[CHANNEL_FDS];
    unsigned fd_count;
};

/* Makes a connected pair, both ends close-on-exec and non-blocking: ends[0] is the master's,
 * ends[1] the child's. Returns 0 or -ERR_SYSTEM with errno set. */
int channel_pair(int ends[static 2]);

/* Sends a message of `size` bytes with `fd_count` descriptors (which stay the caller's). Never
 * waits: returns 0, -ERR_CLOSED when the other side is gone, -ERR_FULL when it does not read, or
 * -ERR_SYSTEM. */
int channel_send(int fd, enum message_kind kind, const void *payload, size_t size, const int *fds,
                 unsigned fd_count);

/* Receives one message, with its descriptors close-on-exec. Returns 1, 0 when there is none now,
 * -ERR_CLOSED at the end, -ERR_PROTOCOL when it is malformed or truncated (its descriptors are
 * closed), or -ERR_SYSTEM. */
int channel_receive(int fd, struct message *out);

/* Waits up to `patience` ms (-1: as long as it takes) for channel_receive to have something;
 * returns as it, 0 when the time has passed. */
int channel_wait(int fd, struct message *out, int patience);

const char *message_name(enum message_kind kind);

#endif
