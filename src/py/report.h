/* Exceptions as text, and into the error log. Threads: with the GIL. */
#ifndef PENSTOCK_PY_REPORT_H
#define PENSTOCK_PY_REPORT_H

#include "base/log.h"
#include "http/exchange.h"
#include "py/python.h"

/* Takes the current exception; a new reference, or NULL when there is none. It has its traceback
 * with it. */
PyObject *report_take(void);

/* The traceback of an exception as Python prints it: a new str, never NULL but without memory.
 * Leaves no exception. */
PyObject *report_text(PyObject *exception);

/* Takes the current exception and logs it as `message`, with its traceback and, where `x` is not
 * NULL, with the request's line and id. Returns the traceback's text, a new reference or NULL.
 * Leaves no exception. */
PyObject *report_exception(struct log *log, const struct exchange *x, const char *message);

/* As an exception of the application is logged, but for what penstock itself has to say about `x`.
 */
void report_event(struct log *log, const struct exchange *x, enum log_level level,
                  const char *message);

#endif
