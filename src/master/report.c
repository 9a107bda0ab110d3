/* What the master tells people.
 *
 * An end that was ordered is worth a line of level debug, any other a warning with what the process
 * was doing, which the scoreboard still knows. */
#include "master/report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sink.h"
#include "master/master.h"

enum { BANNER_CAP = 16384, BANNER_PATIENCE = 200 };

struct log_field report_role(const struct child *c)
{
    if (c->kind == CHILD_WORKER)
        return LOG_NUM("worker", c->number);
    return LOG_STR("role", child_role(c));
}

static struct log *log_of(const struct child *c)
{
    return master_log(c->generation->master);
}

static const struct slot *slot_of(const struct child *c)
{
    return &c->generation->edition->board->slots[c->slot];
}

void report_event(const struct child *c, enum log_level level, const char *what)
{
    const struct slot *s = slot_of(c);

    if (c->kind == CHILD_WORKER)
        log_event(log_of(c), level, what, REPORT_WHO(c), LOG_NUM("active", slot_get(s, active)),
                  LOG_NUM("connections", slot_get(s, connections)),
                  LOG_NUM("requests", slot_get(s, requests)));
    else
        log_event(log_of(c), level, what, REPORT_WHO(c));
}

/* How it ended: "exit=4", "signal=SIGSEGV", "signal=SIGSEGV (core dumped)". */
static struct log_field end_field(const siginfo_t *how, char *text, size_t size)
{
    const char *name;

    if (how->si_code == CLD_EXITED)
        return LOG_NUM("exit", how->si_status);
    name = sigabbrev_np(how->si_status);
    if (name)
        snprintf(text, size, "SIG%s%s", name, how->si_code == CLD_DUMPED ? " (core dumped)" : "");
    else
        snprintf(text, size, "%d", how->si_status);
    return LOG_STR("signal", text);
}

static bool was_told(const struct child *c)
{
    switch (c->state) {
    case CHILD_ABSENT:
    case CHILD_RESTING:
    case CHILD_ASKED:
    case CHILD_SPAWNED:
    case CHILD_STARTING:
    case CHILD_READY:
    case CHILD_SERVING: return false;
    case CHILD_DRAINING:
    case CHILD_STOPPING:
    case CHILD_KILLED: return true;
    }
    __builtin_unreachable();
}

void report_end(const struct child *c, const siginfo_t *how)
{
    bool told = was_told(c) || c->excused, worker = c->kind == CHILD_WORKER;
    int64_t now = loop_now(&c->generation->master->loop);
    const struct slot *s = slot_of(c);
    char text[48];

    log_event(log_of(c), told ? LOG_DEBUG : LOG_WARN,
              told ? "a process has left" : "a process died", REPORT_WHO(c),
              end_field(how, text, sizeof text), LOG_NUM("age_ms", now - c->begun),
              LOG_STR("state", child_state_name(c->state)),
              worker ? LOG_NUM("active", slot_get(s, active)) : (struct log_field){.kind = LOG_END},
              LOG_NUM("connections", slot_get(s, connections)),
              LOG_NUM("requests", slot_get(s, requests)));
}

/* "http://127.0.0.1:8000", or the address of a Unix socket as it is. */
static void url_of(const struct post *p, char *out, size_t size)
{
    const struct address *a = &p->listener->spec.address;
    char text[ADDRESS_TEXT];

    address_text(a, text);
    snprintf(out, size, "%s%s", address_is_unix(a) ? "" : "http://", text);
}

static void log_listener(struct log *log, const struct edition *e, const struct post *p)
{
    const struct app_options *app = config_app(&e->config, p->options->app);
    char url[ADDRESS_TEXT + 8];

    url_of(p, url, sizeof url);
    log_event(log, LOG_INFO, "serving", LOG_STR("address", url), LOG_STR("app", app->name),
              LOG_NUM("workers", app->workers), LOG_NUM("generation", e->number));
}

static void put_line(struct sink *s, const char *text)
{
    char line[256];
    int len = snprintf(line, sizeof line, "%.254s\n", text);

    sink_put(s, slice_of(line, (size_t)len));
}

static void put_listener(struct sink *s, const struct edition *e, const struct post *p)
{
    const struct app_options *app = config_app(&e->config, p->options->app);
    const char *what = app->module ? app->module : app->file ? app->file : app->name;
    char url[ADDRESS_TEXT + 8], line[512];

    url_of(p, url, sizeof url);
    snprintf(line, sizeof line, "  %s   %.80s (WSGI), %d worker%s", url, what, (int)app->workers,
             app->workers == 1 ? "" : "s");
    put_line(s, line);
}

static void show_banner(const struct edition *e)
{
    struct sink s;

    sink_open(&s, STDERR_FILENO, BANNER_CAP);
    put_line(&s, "penstock " PENSTOCK_VERSION);
    for (unsigned i = 0; i < e->listeners.count; i++)
        put_listener(&s, e, &e->listeners.items[i]);
    put_line(&s, "  Ctrl-C stops it");
    sink_close(&s, BANNER_PATIENCE);
}

void report_serving(struct master *m)
{
    const struct edition *e = m->current;

    if (e->config.server.terminal) {
        show_banner(e);
        return;
    }
    for (unsigned i = 0; i < e->listeners.count; i++)
        log_listener(m->log, e, &e->listeners.items[i]);
}
