/* The WSGI handler: from a request that is in whole to an application's call, and back (PEP 3333).
 *
 * A call in order: take the GIL, make env, call the application, send what it returned, close()
 * it, detach what it may have kept, leave. Whatever goes wrong on the way becomes a 500 where
 * nothing was sent, else a cut, and a traceback in the log; SystemExit and KeyboardInterrupt are
 * errors like any other. close() is called once, also when the client is gone.
 *
 * Relies on running inline: the thread that holds the loop runs the call. The GIL is kept when the
 * call ends; the worker's idle hook leaves it. Never touches the loop. */
#include "py/wsgi.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/container.h"
#include "http/server.h"
#include "py/call.h"
#include "py/report.h"

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
    PyObject *text = report_exception(c->wsgi->voice->log, x, "the application failed");
    slot_add(x->server->slot, failed, 1u);
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

/* An application that lets write()'s complaint about a lost client pass has not failed. */
static void raised(struct call *c)
{
    if (c->stage == CALL_LOST && PyErr_ExceptionMatches(PyExc_ConnectionResetError))
        PyErr_Clear();
    else
        fail(c);
}

/* ---- One call ---- */

/* Calls close() of what the application returned, if it has one (PEP 3333: whatever happened). */
static void close_result(struct call *c, PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return;
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

static void call_application(struct call *c, PyObject *app, PyObject *env)
{
    PyObject *args[] = {NULL, env, c->start};
    c->x->times.called = clock_ns();
    PyObject *result = PyObject_Vectorcall(app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (result)
        answer(c, result);
    else
        raised(c);
    Py_XDECREF(result);
    c->x->times.returned = clock_ns();
}

static void run(struct call *c)
{
    PyObject *app, *env = NULL;
    c->input = input_new(c->wsgi, c->x->body);
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

/* A process that the application forked has come back out of its call. The connection is not its
 * own: it must end here, without a byte sent and without what the worker does when it leaves. */
static void end_if_forked(const struct wsgi *w)
{
    if (!w->forked)
        return;
    log_event(w->voice->log, LOG_ERROR,
              "a process that the application forked returned from the application: it was ended");
    log_flush(w->voice->log);
    _exit(1);
}

static int wsgi_request(struct handler *h, struct exchange *x)
{
    struct wsgi *w = container_of(h, struct wsgi, handler);
    struct call c = {
        .wsgi = w, .x = x, .length = -1, .is_head = slice_eq(x->request.method, SLICE("HEAD"))};
    gil_take(w->gil);
    holds_settle(&w->holds);
    w->voice->speaking = x;
    run(&c);
    end_if_forked(w);
    w->voice->speaking = NULL;
    x->wire->leave(x);
    return 0;
}

/* ---- What a call that runs inline has no need of ---- */

/* Bodies are taken in whole, and nothing is tunnelled: no stream ever comes. */
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

static const struct handler_ops wsgi_ops = {
    .name = "wsgi",
    .whole_body = true,
    .request = wsgi_request,
    .body = wsgi_body,
    .writable = wsgi_notice,
    .gone = wsgi_notice,
    .timeout = wsgi_notice,
};

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
    w->handler.ops = &wsgi_ops;
    w->state = PyModule_GetState(setup->module);
    w->gil = setup->gil;
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
