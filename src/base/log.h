/* The error log: one line an event.
 *
 *   2026-11-22T10:00:00.123Z warn app=shop worker=3 pid=4711 request refused reason="bare LF"
 *
 * or, as JSON, one object a line with the same names (and `time`, `level`, `message`):
 *
 *   {"time":"2026-11-22T10:00:00.123Z","level":"warn","app":"shop","worker":3,"pid":4711,
 *    "message":"request refused","reason":"bare LF"}
 *
 * Values that hold spaces, quotes or control bytes are quoted and escaped, so that no client can
 * forge a line. A field of kind LOG_BLOCK (a traceback) follows its line, each of its lines
 * indented by two spaces (in JSON: as one string). A value longer than 8 KiB and an event longer
 * than 64 KiB are cut, with the mark "[cut]". When lines were lost an event says how many.
 *
 * SIGPIPE must be ignored (see sink.h).
 *
 * Threads: any but for open, who and close; a short lock guards the buffer and is never held across
 * a call that can wait. */
#ifndef PENSTOCK_BASE_LOG_H
#define PENSTOCK_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/errors.h"
#include "base/sink.h"
#include "base/slice.h"

enum log_format { LOG_PLAIN, LOG_JSON };

enum log_kind { LOG_END, LOG_TEXT, LOG_INT, LOG_BLOCK };

struct log_field {
    enum log_kind kind;
    const char *key;
    struct slice text;
    int64_t number;
};

#define LOG_SLICE(k, s) ((struct log_field){LOG_TEXT, (k), (s), 0})
#define LOG_STR(k, s)   ((struct log_field){LOG_TEXT, (k), slice_text(s), 0})
#define LOG_NUM(k, n)   ((struct log_field){LOG_INT, (k), {0}, (int64_t)(n)})
#define LOG_LINES(k, s) ((struct log_field){LOG_BLOCK, (k), (s), 0})

struct log {
    struct sink sink;
    enum log_level level; /* events below it are left out */
    enum log_format format;
    bool colour;  /* the level is coloured: for a terminal */
    char app[64]; /* who speaks; empty: left out */
    int worker;   /* negative: left out */
    pid_t pid;
    pthread_mutex_t lock;
};

/* Opens a log that writes to `fd` (the caller's). */
void log_open(struct log *l, int fd, enum log_level level, enum log_format format);

/* Says who speaks, in every line from now on; `app` NULL and worker < 0 are left out. To be called
 * again after fork, which also makes the lock and the buffer the child's own. */
void log_who(struct log *l, const char *app, int worker);

/* Writes later lines to another descriptor (the caller's): for reopened log files. */
void log_move(struct log *l, int fd);

/* Writes one event, at once if that can be done without waiting; errno stays as it is. A key is a
 * word of the program's own; one of `app`, `worker` and `pid` takes the place of who speaks, and
 * `time`, `level` and `message` are taken. Use log_event(), which lists the fields:
 *   log_event(log, LOG_WARN, "worker died", LOG_NUM("pid", pid), LOG_STR("signal", name)); */
void log_emit(struct log *l, enum log_level level, const char *message,
              const struct log_field *fields);
#define log_event(l, lvl, message, ...)                                                            \
    log_emit((l), (lvl), (message),                                                                \
             (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = LOG_END}})

/* Writes what waits, without waiting itself. Returns how many bytes still wait. */
size_t log_flush(struct log *l);

/* How many lines were dropped since the log was opened, or since the fork. */
uint64_t log_lost(struct log *l);

/* Flushes for at most a second and lets go of what the log opened. */
void log_close(struct log *l);

/* Escapes `in` as the logs do (control bytes, quotes, backslashes, DEL and bytes above 0x7e as
 * \xHH) into out of `size` bytes; cuts what does not fit. Returns the bytes written. Also used by
 * the access log. */
size_t log_escape(struct slice in, char *out, size_t size);

#endif
