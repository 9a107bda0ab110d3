/* Errors: one table, from which the enum, the names, the texts, the statuses and the log levels
 * come.
 *
 * A function that can fail returns a negative `enum err`; zero or a count is success. */
#ifndef PENSTOCK_BASE_ERRORS_H
#define PENSTOCK_BASE_ERRORS_H

enum err {
    ERR_NONE,
#define ERR(name, text, status, level) ERR_##name,
#include "base/errors.def"
#undef ERR
    ERR_COUNT
};

/* How much an event matters; also the value of the option log-level. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_CRITICAL };

/* All four take a positive or a negative error. They never fail: an unknown number is "unknown
 * error". */
const char *err_name(int err); /* "BODY_TOO_LARGE" */
const char *err_text(int err); /* "the request body is larger than max-body" */
int err_status(int err);       /* 413; 0 where there is nobody to tell */
enum log_level err_level(int err);

#endif
