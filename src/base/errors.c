/* The table of errors, and the four columns of it.
 *
 * errors.def is read once into an array of constants that the enum indexes. Relies on nothing;
 * never fails: a number that is in no row, as may come from another process, has a row of its own.
 */
#include "base/errors.h"

struct row {
    const char *name;
    const char *text;
    int status;
    enum log_level level;
};

static const struct row rows[ERR_COUNT] = {
    [ERR_NONE] = {"NONE", "no error", 200, LOG_DEBUG},
#define ERR(name, text, status, level) [ERR_##name] = {#name, text, status, LOG_##level},
#include "base/errors.def"
#undef ERR
};

static const struct row unknown = {"UNKNOWN", "unknown error", 500, LOG_ERROR};

/* Compared before it is negated: the smallest int has no positive twin. */
static const struct row *row_of(int err)
{
    if (err <= -(int)ERR_COUNT || err >= (int)ERR_COUNT) {
        return &unknown;
    }
    return &rows[err < 0 ? -err : err];
}

const char *err_name(int err)
{
    return row_of(err)->name;
}

const char *err_text(int err)
{
    return row_of(err)->text;
}

int err_status(int err)
{
    return row_of(err)->status;
}

enum log_level err_level(int err)
{
    return row_of(err)->level;
}
