/* SCGI: the head that stands before a request's body, read and written ("SCGI: A Simple Common
 * Gateway Interface alternative", version 1).
 *
 * A netstring (the length in decimal, a colon, so many bytes, a comma) of names and values, each
 * ended by a NUL; the first is CONTENT_LENGTH, and SCGI is 1. The answer is like a CGI program's:
 * cgi.h reads its head.
 *
 * Threads: any. */
#ifndef PENSTOCK_PROTO_SCGI_H
#define PENSTOCK_PROTO_SCGI_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/vars.h"

/* Decodes a head; `in` begins at its first byte and holds every byte that has come so far. What
 * stands in the netstring may be of at most `cap` bytes. Appends to `vars` slices of `in`. Returns
 * the bytes taken, the comma included, 0 when more are needed, or -ERR_SCGI_HEAD,
 * -ERR_HEAD_TOO_LARGE, -ERR_VARS or -ERR_TOO_MANY_VARS; where it does not return the bytes taken,
 * `vars` is as it was. The outcome is the same however the bytes are cut.
 *
 * Repeated names, which the specification forbids, are let through, since web servers send a
 * client's repeated fields so: cgi.h says what becomes of them. */
int scgi_decode(struct slice in, size_t cap, struct vars *vars);

/* Appends a head that announces a body of `length` bytes; a CONTENT_LENGTH or SCGI among `vars` is
 * left out. Returns 0, or -ERR_VARS when a name or value holds a NUL or a name is empty, -ERR_FULL
 * or -ERR_MEMORY, and has appended nothing. */
int scgi_encode(struct buf *b, uint64_t length, const struct vars *vars);

#endif
