/* The answer for a connection that cannot be served for want of descriptors (h1_refuse.h).
 *
 * It is the page that a full server answers requests with, made beforehand: nothing may be
 * allocated or remembered for this client. What it has sent is read, as far as it is there, since
 * closing a socket with unread bytes resets the connection, and the client may lose the answer. The
 * field Date may be left out of a 503 (RFC 9110, section 6.6.1).
 *
 * Never parses what the client sent. */
#include "http/h1_refuse.h"

#include <sys/socket.h>
#include <sys/types.h>

#include "base/slice.h"

static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\n"
                             "Content-Length: 24\r\n"
                             "Retry-After: 1\r\n"
                             "Connection: close\r\n"
                             "\r\n"
                             "503 Service Unavailable\n";

enum { READS = 4 };

static const char answer_client[] = "HTTP/1.1 429 Too Many Requests\r\n"
                                    "Content-Type: text/plain; charset=utf-8\r\n"
                                    "Content-Length: 22\r\n"
                                    "Retry-After: 1\r\n"
                                    "Connection: close\r\n"
                                    "\r\n"
                                    "429 Too Many Requests\n";

static void refuse(int fd, struct slice with)
{
    char unread[16384];
    ssize_t got = 1;
    for (int i = 0; i < READS && got > 0; i++)
        got = recv(fd, unread, sizeof unread, MSG_DONTWAIT);
    send(fd, with.ptr, with.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
}

void h1_refuse(int fd)
{
    refuse(fd, SLICE(answer));
}

void h1_refuse_client(int fd)
{
    refuse(fd, SLICE(answer_client));
}
