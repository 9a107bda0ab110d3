/* The WSGI handler: from a request that is in whole to an application's call, and back (PEP 3333).
 *
 * A call in order: take the GIL, make env, call the application, send what it returned, close()
 * it, detach what it may have kept, leave. The token may be passed on wherever code of the
 * application runs (call_away) and is looked for wherever the wire is talked to (call_back).
 * Whatever goes wrong on the way becomes a 500 where nothing was sent, else a cut, and a traceback
 * in the log; SystemExit and KeyboardInterrupt are errors like any other. close() is called once,
 * also when the client is gone.
 *
 * The GIL is kept when the call ends and its thread still holds the loop, for the next call of the
 * same batch; the crew leaves it before the loop may sleep. Never touches the loop. */
#include "py/wsgi.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/container.h"
#include "http/server.h"
#include "py/call.h"
#include "py/report.h"

/* ---- The token ---- */

void call_away(struct call *c)
{
    if (c->away)
        return;
    c->away = true;
    hand_enter(&c->seat->hand);
}

void call_back(struct call *c)
{
    if (!c->away)
        return;
    call_end_if_forked(c);
    c->away = false;
    c->x->detached = !hand_return(&c->seat->hand);
}

/* ---- When it goes wrong ---- */

static void answer_500(struct call *c, PyObject *text)
{
    struct slice detail = SLICE("");
    PyObject *bytes = NULL;
    if (c->wsgi->options->debug && text)
        bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (bytes)
        detail = slice_of(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    PyErr_Clear();
    exchange_page(c->x, 500, detail);
    Py_XDECREF(bytes);
}

/* There is an exception. Logs it and answers 500, or cuts what was begun. */
static void fail(struct call *c)
{
    struct exchange *x = c->x;
    call_away(c); /* a traceback reads files */
    PyObject *text = report_exception(c->wsgi->voice->log, x, "the application failed");
    call_back(c);
    x->error = ERR_APP;
    switch (c->stage) {
    case CALL_OPEN:
    case CALL_HEADED: answer_500(c, text); break;
    case CALL_STARTED: x->wire->abort(x, ERR_APP); break;
    case CALL_LOST: break;
    }
    c->stage = CALL_LOST;
    Py_XDECREF(text);
}

/* The application let pass what wsgi.input raised: the client's fault, not its own. */
static void refuse_body(struct call *c)
{
    struct exchange *x = c->x;
    int status = err_status(c->body_error);
    PyErr_Clear();
    report_event(c->wsgi->voice->log, x, err_level(c->body_error), err_text(c->body_error));
    call_back(c);
    if (c->stage == CALL_OPEN || c->stage == CALL_HEADED)
        exchange_page(x, status ? status : 400, slice_text(err_text(c->body_error)));
    else
        x->wire->abort(x, (enum err) - c->body_error);
    x->error = (enum err) - c->body_error;
    c->stage = CALL_LOST;
}

/* An application that lets write()'s complaint about a lost client pass has not failed. */
static void raised(struct call *c)
{
    if (c->stage == CALL_LOST && PyErr_ExceptionMatches(PyExc_ConnectionResetError))
        PyErr_Clear();
    else if (c->body_error && c->stage != CALL_LOST && PyErr_ExceptionMatches(PyExc_OSError))
        refuse_body(c);
    else
        fail(c);
}

/* ---- One call ---- */

/* Calls close() of what the application returned, if it has one (PEP 3333: whatever happened). */
static void close_result(struct call *c, PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return;
    call_away(c);
    PyObject *close = PyObject_GetAttr(result, c->wsgi->state->close);
    PyObject *done = close ? PyObject_CallNoArgs(close) : NULL;
    if (!close && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    else if (!done)
        Py_XDECREF(
            report_exception(c->wsgi->voice->log, c->x, "close() of the application failed"));
    Py_XDECREF(done);
    Py_XDECREF(close);
}

static void answer(struct call *c, PyObject *result)
{
    switch (body_send(c, result)) {
    case WENT_WELL: response_finish(c); break;
    case RAISED: raised(c); break;
    case LOST: break;
    }
    close_result(c, result);
}

/* A process that the application forked has come back out of its call. The connection is not its
 * own: it must end here, without a byte sent and without what the worker does when it leaves. */
void call_end_if_forked(const struct call *c)
{
    const struct wsgi *w = c->wsgi;
    if (!w->forked)
        return;
    log_event(w->voice->log, LOG_ERROR,
              "a process that the application forked returned from the application: it was ended");
    log_flush(w->voice->log);
    _exit(1);
}

static void call_application(struct call *c, PyObject *app, PyObject *env)
{
    PyObject *args[] = {NULL, env, c->start};
    call_away(c);
    PyObject *result = PyObject_Vectorcall(app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    call_end_if_forked(c);
    if (result)
        answer(c, result);
    else
        raised(c);
    call_away(c); /* what is let go may run code, too */
    Py_XDECREF(result);
}

static void run(struct call *c)
{
    PyObject *app, *env = NULL;
    c->input = input_new(c->wsgi, c);
    c->start = c->input ? start_new(c->wsgi, c) : NULL;
    if (c->start)
        env = environ_new(c, &app);
    if (!env)
        fail(c);
    else if (!app)
        exchange_page(c->x, 404, SLICE(""));
    else
        call_application(c, app, env);
    Py_XDECREF(env);
    if (c->start)
        start_detach(c->wsgi, c->start);
    if (c->input)
        input_detach(c->wsgi, c->input);
}

/* ---- Requests ---- */

/* A request whose call waits for its turn; in the exchange's arena. */
struct request_job {
    struct job job;
    struct exchange *x;
};

/* Takes the GIL; how long that took is no part of the application's time. */
static void take_gil(struct exchange *x, struct seat *s)
{
    if (s->gil.away) {
        int64_t before = clock_ns();
        gil_take(&s->gil);
        x->times.called = clock_ns();
        x->times.gil += x->times.called - before;
    } else {
        x->times.called = clock_ns();
    }
    hand_begins(&s->hand, x->times.called);
}

static void run_request(struct job *j, struct seat *s)
{
    struct exchange *x = container_of(j, struct request_job, job)->x;
    struct wsgi *w = container_of(x->handler, struct wsgi, handler);
    struct call c = {.wsgi = w,
                     .x = x,
                     .seat = s,
                     .thread = PyThread_get_thread_ident(),
                     .length = -1,
                     .is_head = slice_eq(x->request.method, SLICE("HEAD"))};
    x->detached = !hand_holds(&s->hand);
    call_away(&c);
    take_gil(x, s);
    holds_settle(&w->holds);
    PyThread_tss_set(&w->voice->speaking, x);
    call_back(&c);
    run(&c);
    PyThread_tss_set(&w->voice->speaking, NULL);
    call_back(&c);
    x->times.returned = clock_ns();
    hand_ends(&s->hand, x->times.returned);
    x->wire->leave(x);
}

/* Calls of one route behave alike: the method and the path without what looks like a number in it.
 */
static uint32_t route_of(const struct request *r)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < r->method.len; i++)
        h = (h ^ (unsigned char)r->method.ptr[i]) * 16777619u;
    for (size_t i = 0; i < r->path.len; i++)
        if (r->path.ptr[i] < '0' || r->path.ptr[i] > '9')
            h = (h ^ (unsigned char)r->path.ptr[i]) * 16777619u;
    return h ^ h >> 16;
}

static int wsgi_request(struct handler *h, struct exchange *x)
{
    struct wsgi *w = container_of(h, struct wsgi, handler);
    struct request_job *j = arena_alloc(&x->arena, sizeof *j);
    if (!j)
        return -ERR_MEMORY;
    *j = (struct request_job){{{.route = route_of(&x->request)}, run_request}, x};
    x->call = j;
    crew_submit(w->crew, &j->job);
    return 0;
}

static bool wsgi_withdraw(struct handler *h, struct exchange *x)
{
    struct wsgi *w = container_of(h, struct wsgi, handler);
    struct request_job *j = x->call;
    return token_withdraw(&w->crew->token, &j->job.task);
}

/* ---- What a call has no need of ---- */

/* Bodies are taken in whole or read by the call, and nothing is tunnelled: no stream ever comes. */
static int wsgi_body(struct handler *h, struct exchange *x, enum stream stream, struct slice bytes,
                     bool last)
{
    (void)h, (void)x, (void)stream, (void)bytes, (void)last;
    return -ERR_PROTOCOL;
}

/* The call waits in wire->wait() and learns from it, or from the next write(), what these would
 * tell. */
static void wsgi_notice(struct handler *h, struct exchange *x)
{
    (void)h, (void)x;
}

#define WSGI_OPS(whole)                                                                            \
    {                                                                                              \
        .name = "wsgi", .whole_body = (whole), .in_calls = true, .request = wsgi_request,          \
        .body = wsgi_body, .writable = wsgi_notice, .gone = wsgi_notice, .timeout = wsgi_notice,   \
        .withdraw = wsgi_withdraw,                                                                 \
    }

static const struct handler_ops wsgi_ops = WSGI_OPS(true);
static const struct handler_ops wsgi_stream_ops = WSGI_OPS(false); /* request-buffering = false */

/* ---- Life ---- */

/* Fills a mount from (prefix, application). Returns 0, or -1 with an exception. */
static int mount_set(struct mount *m, PyObject *pair, const char *root)
{
    PyObject *prefix, *app;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(pair, "UO", &prefix, &app))
        return -1;
    const char *text = PyUnicode_AsUTF8AndSize(prefix, &len);
    char *copy = text ? strdup(text) : NULL;
    if (!copy)
        return -1;
    m->prefix = slice_of(copy, (size_t)len);
    m->app = Py_NewRef(app);
    PyObject *bytes = PyBytes_FromFormat("%s%s", root, copy);
    if (bytes)
        m->script = latin1(slice_of(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)));
    Py_XDECREF(bytes);
    return m->script ? 0 : -1;
}

static int set_mounts(struct wsgi *w, PyObject *mounts)
{
    Py_ssize_t count = PyList_Check(mounts) ? PyList_GET_SIZE(mounts) : -1;
    if (count < 0) {
        PyErr_SetString(PyExc_TypeError, "a list of (prefix, application) is wanted");
        return -1;
    }
    w->mounts = calloc((size_t)count + 1, sizeof *w->mounts);
    if (!w->mounts)
        return -1;
    for (; w->mount_count < (unsigned)count; w->mount_count++)
        if (mount_set(&w->mounts[w->mount_count], PyList_GET_ITEM(mounts, w->mount_count),
                      w->options->root_path))
            return -1;
    return 0;
}

struct wsgi *wsgi_new(const struct wsgi_setup *setup)
{
    struct wsgi *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->handler.ops = setup->options->request_buffering ? &wsgi_ops : &wsgi_stream_ops;
    w->state = PyModule_GetState(setup->module);
    w->crew = setup->crew;
    w->voice = setup->voice;
    w->options = setup->options;
    w->maker = set_mounts(w, setup->mounts) ? NULL : environ_maker_new(w);
    if (w->maker)
        return w;
    wsgi_free(w);
    return NULL;
}

void wsgi_free(struct wsgi *w)
{
    for (unsigned i = 0; i < w->mount_count; i++) {
        free((char *)(uintptr_t)w->mounts[i].prefix.ptr);
        Py_CLEAR(w->mounts[i].script);
        Py_CLEAR(w->mounts[i].app);
    }
    free(w->mounts);
    Py_CLEAR(w->input);
    Py_CLEAR(w->start);
    if (w->maker)
        environ_maker_free(w->maker);
    holds_settle(&w->holds);
    free(w);
}
