/* The wire for HTTP/1.0 and 1.1 (RFC 9110, RFC 9112). */
#ifndef PENSTOCK_HTTP_WIRE_H1_H
#define PENSTOCK_HTTP_WIRE_H1_H

#include "http/server.h"

/* Serves a connection that was just accepted; `fd` is the wire's from now on. Returns 0, or a
 * negative error and then `fd` is closed. loop */
int h1_open(struct server *server, int fd, const struct ends *ends);

#endif
