/* The error log.
 *
 * An event is written into a buffer of its own, outside of the lock; under the lock it only moves
 * into the sink, which writes what it can. What is in the hands of others (values, tracebacks,
 * messages) goes through one of three encoders, which take a character and give what stands for it;
 * so no value can end its line, its quotes or its JSON string.
 *
 * Relies on the sink for never waiting. Never fails: an event for which there is no memory counts
 * as a lost line, and when lines can be written again the log itself says how many were lost. */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    LOG_BUFFER = 256 * 1024, /* waits for a reader */
    LOG_EVENT_MAX = 64 * 1024,
    LOG_VALUE_MAX = 8 * 1024, /* as it is written */
    LOG_RESERVE = 2 * 1024,   /* for keys and marks behind values that were cut */
    LOG_PATIENCE = 1000,      /* milliseconds, at the end */
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info",         [LOG_WARN] = "warn",
    [LOG_ERROR] = "error", [LOG_CRITICAL] = "critical",
};

static const char *const level_colours[] = {
    [LOG_DEBUG] = "\033[2m",  [LOG_INFO] = "\033[32m",       [LOG_WARN] = "\033[33m",
    [LOG_ERROR] = "\033[31m", [LOG_CRITICAL] = "\033[1;31m",
};

/* What stands for the first character of a text: `size` bytes, in place of `taken`. */
struct unit {
    size_t taken;
    size_t size;
    char bytes[8];
};

typedef struct unit encoder(struct slice in);

static struct unit as_it_is(struct slice in, size_t len)
{
    struct unit u = {.taken = len, .size = len};

    memcpy(u.bytes, in.ptr, len);
    return u;
}

static struct unit as_hex(struct slice in)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char c = (unsigned char)in.ptr[0];

    return (struct unit){1, 4, {'\\', 'x', digits[c >> 4], digits[c & 15]}};
}

static bool is_continued(struct slice in, size_t len)
{
    for (size_t i = 1; i < len; i++) {
        if (i >= in.len || ((unsigned char)in.ptr[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    return true;
}

/* The length of the character of several bytes that `in` begins with, or 0 when it is not valid
 * UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF) or one of the control
 * characters U+0080 to U+009F, which some terminals obey. */
static size_t utf8_len(struct slice in)
{
    unsigned char first = (unsigned char)in.ptr[0];
    unsigned char second = in.len > 1 ? (unsigned char)in.ptr[1] : 0;
    size_t len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first < 0xc2 || first > 0xf4 || !is_continued(in, len)) {
        return 0;
    }
    switch (first) {
    case 0xc2: return second < 0xa0 ? 0 : len;
    case 0xe0: return second < 0xa0 ? 0 : len;
    case 0xed: return second > 0x9f ? 0 : len;
    case 0xf0: return second < 0x90 ? 0 : len;
    case 0xf4: return second > 0x8f ? 0 : len;
    }
    return len;
}

static bool is_printable(char c)
{
    return c >= 0x20 && c < 0x7f;
}

/* A value: printable ASCII without quotes and backslashes. */
static struct unit encode_value(struct slice in)
{
    char c = in.ptr[0];

    return is_printable(c) && c != '"' && c != '\\' ? as_it_is(in, 1) : as_hex(in);
}

/* A line of a traceback, or a message: as it is, for people, but for what a terminal would obey. */
static struct unit encode_line(struct slice in)
{
    size_t len = utf8_len(in);

    if (len == 0 && (is_printable(in.ptr[0]) || in.ptr[0] == '\t')) {
        len = 1;
    }
    return len ? as_it_is(in, len) : as_hex(in);
}

/* A character of a JSON string (RFC 8259, section 7). A byte that is not UTF-8 stands for the
 * character of its number. */
static struct unit encode_json(struct slice in)
{
    size_t len = utf8_len(in);
    struct unit u = {.taken = 1, .size = 6};
    char c = in.ptr[0];

    if (len || (is_printable(c) && c != '"' && c != '\\')) {
        return as_it_is(in, len ? len : 1);
    }
    if (c == '"' || c == '\\') {
        return (struct unit){1, 2, {'\\', c}};
    }
    if (c == '\n') {
        return (struct unit){1, 2, {'\\', 'n'}};
    }
    snprintf(u.bytes, sizeof(u.bytes), "\\u%04x", (unsigned char)c);
    return u;
}

size_t log_escape(struct slice in, char *out, size_t size)
{
    size_t used = 0;

    while (in.len) {
        struct unit u = encode_value(in);

        if (u.size > size - used) {
            break;
        }
        memcpy(out + used, u.bytes, u.size);
        used += u.size;
        in = slice_skip(in, u.taken);
    }
    return used;
}

/* An event as it is written. */
struct event {
    struct buf out;
    bool broken; /* something had no room */
};

static void add(struct event *e, struct slice s)
{
    if (buf_put(&e->out, s) < 0) {
        e->broken = true;
    }
}

static void add_text(struct event *e, const char *text)
{
    add(e, slice_text(text));
}

static void add_number(struct event *e, int64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, number);
    add_text(e, text);
}

static void add_stamp(struct event *e)
{
    char stamp[CLOCK_STAMP_LEN + 1];

    clock_stamp(stamp);
    add(e, slice_of(stamp, CLOCK_STAMP_LEN));
}

/* How far a text that begins here may reach. */
static size_t end_of(const struct event *e, enum log_kind kind)
{
    size_t most = LOG_EVENT_MAX - LOG_RESERVE;
    size_t value = buf_len(&e->out) + LOG_VALUE_MAX;

    return kind == LOG_TEXT && value < most ? value : most;
}

/* Adds `in` up to the place `end` of the event. False: the rest was cut, and the mark says so. */
static bool add_encoded(struct event *e, struct slice in, encoder *encode, size_t end)
{
    while (in.len) {
        struct unit u = encode(in);

        if (buf_len(&e->out) + u.size > end) {
            add_text(e, "[cut]");
            return false;
        }
        add(e, slice_of(u.bytes, u.size));
        in = slice_skip(in, u.taken);
    }
    return true;
}

static bool needs_quotes(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_printable(s.ptr[i]) || strchr(" \"\\", s.ptr[i])) {
            return true;
        }
    }
    return s.len == 0;
}

static void add_plain_value(struct event *e, const struct log_field *f)
{
    const char *quote = f->kind == LOG_TEXT && needs_quotes(f->text) ? "\"" : "";

    if (f->kind == LOG_INT) {
        add_number(e, f->number);
        return;
    }
    add_text(e, quote);
    add_encoded(e, f->text, encode_value, end_of(e, LOG_TEXT));
    add_text(e, quote);
}

static void add_plain_field(struct event *e, const struct log_field *f)
{
    if (f->kind == LOG_BLOCK) {
        return;
    }
    add_text(e, " ");
    add_text(e, f->key);
    add_text(e, "=");
    add_plain_value(e, f);
}

/* The text up to its first newline, which is taken with it. */
static struct slice take_line(struct slice *text)
{
    const char *newline = memchr(text->ptr, '\n', text->len);
    struct slice line = slice_of(text->ptr, newline ? (size_t)(newline - text->ptr) : text->len);

    *text = slice_skip(*text, newline ? line.len + 1 : line.len);
    return line;
}

static void add_plain_block(struct event *e, const struct log_field *f)
{
    struct slice rest = f->text;
    bool whole = true;

    while (f->kind == LOG_BLOCK && rest.len && whole) {
        add_text(e, "  ");
        whole = add_encoded(e, take_line(&rest), encode_line, end_of(e, LOG_BLOCK));
        if (whole && rest.len && buf_len(&e->out) >= end_of(e, LOG_BLOCK)) {
            add_text(e, "[cut]");
            whole = false;
        }
        add_text(e, "\n");
    }
}

static void add_json_field(struct event *e, const struct log_field *f)
{
    add_text(e, ",\"");
    add_text(e, f->key);
    if (f->kind == LOG_INT) {
        add_text(e, "\":");
        add_number(e, f->number);
        return;
    }
    add_text(e, "\":\"");
    add_encoded(e, f->text, encode_json, end_of(e, f->kind));
    add_text(e, "\"");
}

typedef void field_writer(struct event *e, const struct log_field *f);

static void add_fields(struct event *e, const struct log_field *f, field_writer *write_field)
{
    for (; f->kind != LOG_END; f++) {
        write_field(e, f);
    }
}

enum { WHO_MAX = 3 };

static bool has_key(const struct log_field *f, const char *key)
{
    while (f->kind != LOG_END && strcmp(f->key, key) != 0) {
        f++;
    }
    return f->kind != LOG_END;
}

/* Who speaks, but for what the event names itself. */
static void fields_of_who(const struct log *l, const struct log_field *own,
                          struct log_field who[static WHO_MAX + 1])
{
    if (l->app[0] && !has_key(own, "app")) {
        *who++ = LOG_STR("app", l->app);
    }
    if (l->worker >= 0 && !has_key(own, "worker")) {
        *who++ = LOG_NUM("worker", l->worker);
    }
    if (!has_key(own, "pid")) {
        *who++ = LOG_NUM("pid", l->pid);
    }
    *who = (struct log_field){.kind = LOG_END};
}

static void add_message(struct event *e, const char *message, encoder *encode)
{
    add_encoded(e, slice_text(message), encode, end_of(e, LOG_TEXT));
}

/* One event, less its fields: what both formats begin with. */
struct occasion {
    enum log_level level;
    const char *message;
    const struct log_field *fields;
    struct log_field who[WHO_MAX + 1];
};

static void write_plain(struct event *e, const struct log *l, const struct occasion *o)
{
    add_stamp(e);
    add_text(e, " ");
    add_text(e, l->colour ? level_colours[o->level] : "");
    add_text(e, level_names[o->level]);
    add_text(e, l->colour ? "\033[0m" : "");
    add_fields(e, o->who, add_plain_field);
    add_text(e, " ");
    add_message(e, o->message, encode_line);
    add_fields(e, o->fields, add_plain_field);
    add_text(e, "\n");
    add_fields(e, o->fields, add_plain_block);
}

static void write_json(struct event *e, const struct occasion *o)
{
    add_text(e, "{\"time\":\"");
    add_stamp(e);
    add_text(e, "\",\"level\":\"");
    add_text(e, level_names[o->level]);
    add_text(e, "\"");
    add_fields(e, o->who, add_json_field);
    add_text(e, ",\"message\":\"");
    add_message(e, o->message, encode_json);
    add_text(e, "\"");
    add_fields(e, o->fields, add_json_field);
    add_text(e, "}\n");
}

static void write_event(struct event *e, const struct log *l, const struct occasion *o)
{
    *e = (struct event){0};
    buf_init(&e->out, LOG_EVENT_MAX);
    switch (l->format) {
    case LOG_PLAIN: write_plain(e, l, o); return;
    case LOG_JSON: write_json(e, o); return;
    }
}

/* With the lock held. */
static void pass_on(struct log *l, const struct event *e)
{
    if (e->broken) {
        l->sink.lost++;
        return;
    }
    sink_put(&l->sink, buf_bytes(&e->out));
}

/* Says how many lines were lost. If this line is lost as well, it is as though it had not been
 * tried. With the lock held. */
static void tell_lost(struct log *l)
{
    struct sink *s = &l->sink;
    uint64_t lost = s->lost;
    uint64_t told = s->lost_told;
    const struct log_field fields[] = {LOG_NUM("lines", lost - told), {.kind = LOG_END}};
    struct occasion o = {.level = LOG_WARN, .message = "log lines were lost", .fields = fields};
    struct event e;

    fields_of_who(l, fields, o.who);
    write_event(&e, l, &o);
    pass_on(l, &e);
    buf_free(&e.out);
    if (s->lost == lost) {
        s->lost_told = lost;
        sink_flush(s);
    }
    if (s->lost != lost) {
        s->lost--;
        s->lost_told = told;
    }
}

/* Writes what waits and what is to be said of it. With the lock held. */
static size_t flush(struct log *l)
{
    sink_flush(&l->sink);
    if (sink_has_news(&l->sink)) {
        tell_lost(l);
    }
    return buf_len(&l->sink.pending);
}

void log_open(struct log *l, int fd, enum log_level level, enum log_format format)
{
    *l = (struct log){.level = level, .format = format, .worker = -1, .pid = getpid()};
    sink_open(&l->sink, fd, LOG_BUFFER);
    pthread_mutex_init(&l->lock, NULL);
}

void log_who(struct log *l, const char *app, int worker)
{
    pid_t pid = getpid();

    /* A thread of the parent's may have held the lock when this child was made. */
    if (pid != l->pid) {
        pthread_mutex_init(&l->lock, NULL);
        sink_forget(&l->sink);
    }
    l->pid = pid;
    l->worker = worker;
    snprintf(l->app, sizeof(l->app), "%s", app ? app : "");
}

void log_move(struct log *l, int fd)
{
    pthread_mutex_lock(&l->lock);
    sink_move(&l->sink, fd);
    flush(l);
    pthread_mutex_unlock(&l->lock);
}

void log_emit(struct log *l, enum log_level level, const char *message,
              const struct log_field *fields)
{
    struct occasion o = {.level = level, .message = message, .fields = fields};
    int saved = errno;
    struct event e;

    if (level < l->level) {
        return;
    }
    fields_of_who(l, fields, o.who);
    write_event(&e, l, &o);
    pthread_mutex_lock(&l->lock);
    pass_on(l, &e);
    flush(l);
    pthread_mutex_unlock(&l->lock);
    buf_free(&e.out);
    errno = saved;
}

size_t log_flush(struct log *l)
{
    size_t left;

    pthread_mutex_lock(&l->lock);
    left = flush(l);
    pthread_mutex_unlock(&l->lock);
    return left;
}

uint64_t log_lost(struct log *l)
{
    uint64_t lost;

    pthread_mutex_lock(&l->lock);
    lost = l->sink.lost;
    pthread_mutex_unlock(&l->lock);
    return lost;
}

void log_close(struct log *l)
{
    sink_close(&l->sink, LOG_PATIENCE);
    pthread_mutex_destroy(&l->lock);
}
