/* The access log: one line for each exchange, in the format `combined`, `json`, or one made of
 * Gunicorn's atoms.
 *
 * The format is compiled once into a list of pieces; a line is then written without any allocation.
 * Control bytes, quotes, backslashes and bytes above 0x7e are escaped as the error log escapes
 * them; a line of `json` is strictly valid JSON whatever the client sent. A value that is too long
 * is cut and ends in "...", so that no client can fill a disk with one request. Lines gather in a
 * sink and are flushed at the end of each batch of events; a reader of the log that falls behind
 * never holds up a request: what does not fit is dropped and counted.
 *
 * Atoms (as in Gunicorn): %(h)s peer's host, %(l)s "-", %(u)s user of Basic authorization, %(t)s
 * local time, %(r)s request line, %(m)s method, %(U)s path, %(q)s query, %(H)s protocol, %(s)s
 * status, %(B)s bytes of content, %(b)s the same or "-", %(f)s referer, %(a)s user agent, %(T)s
 * seconds, %(M)s milliseconds, %(D)s microseconds, %(L)s seconds as a decimal, %(p)s pid as
 * Gunicorn writes it (<4711>), %({name}i)s request field, %({name}o)s response field,
 * %({name}e)s environment of the process when the log was opened; and the phases in microseconds:
 * %(read)s, %(queue)s,
 * %(app)s, %(send)s; %(id)s request id; %(S)s scheme; %(host)s host that was asked for; %(time)s
 * time in UTC (RFC 3339).
 * %% is a percent sign. What does not exist is "-", but an absent query is empty. A field that the
 * option redact names is "[redacted]"; with redact-query no atom shows a query.
 *
 * Threads: the loop's holder. */
#ifndef PENSTOCK_HTTP_ACCESSLOG_H
#define PENSTOCK_HTTP_ACCESSLOG_H

#include <stdbool.h>
#include <stddef.h>

#include "http/exchange.h"
#include "loop/loop.h"

struct access_log;

/* Opens an access log that writes to `fd` (the caller's) lines of `format`. Returns NULL and says
 * why in `why` when the format is not valid or memory is out. To be opened by the process that
 * writes to it: after the fork. */
struct access_log *access_log_open(int fd, const char *format, char *why, size_t size);

/* Whether the format shows fields of the response, which are then kept by exchange_started(). */
bool access_log_wants_head(const struct access_log *a);

/* Puts the line of one exchange; it is written by access_log_flush, which the loop calls at the end
 * of the batch. All calls name the same loop. */
void access_log_put(struct access_log *a, struct loop *l, const struct exchange *x);
void access_log_flush(struct access_log *a);

/* Writes to another descriptor from now on: a reopened file. What the old one would not take is
 * lost and counted. */
void access_log_move(struct access_log *a, int fd);

/* Writes what waits, for at most a second, and frees the log at the end of its loop's turn, or in
 * loop_free(), which has to come later. */
void access_log_close(struct access_log *a);

/* Lines that were dropped since it was opened. */
uint64_t access_log_lost(const struct access_log *a);

#endif
