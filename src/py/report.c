/* Exceptions as text, and into the error log (report.h has the contract).
 *
 * The text is made by Python's own traceback module, which is imported when the first exception
 * comes. Our code has no Python frames on a request's path, so a traceback begins with the
 * application's own. Never raises. What a traceback says is the application's business: nothing is
 * taken out of it. */
#include "py/report.h"

#include "http/server.h"

enum { LINE_SIZE = 1024 };

PyObject *report_take(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback && value)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* "".join(traceback.format_exception(exception)) */
static PyObject *formatted(PyObject *exception)
{
    PyObject *module = PyImport_ImportModule("traceback");
    if (!module)
        return NULL;
    PyObject *lines = PyObject_CallMethod(module, "format_exception", "O", exception);
    Py_DECREF(module);
    if (!lines)
        return NULL;
    PyObject *empty = PyUnicode_FromString("");
    PyObject *text = empty ? PyUnicode_Join(empty, lines) : NULL;
    Py_XDECREF(empty);
    Py_DECREF(lines);
    return text;
}

PyObject *report_text(PyObject *exception)
{
    PyObject *text = formatted(exception);
    if (!text) {
        PyErr_Clear();
        text = PyUnicode_FromFormat("%s (its traceback cannot be printed)\n",
                                    Py_TYPE(exception)->tp_name);
    }
    PyErr_Clear();
    return text;
}

/* "GET /path HTTP/1.1", cut when it is long. */
static struct slice request_line(const struct exchange *x, char out[static LINE_SIZE])
{
    const struct request *r = &x->request;
    struct slice target = server_shown(x->server, r->target);
    int n = snprintf(out, LINE_SIZE, "%.*s %.*s HTTP/%u.%u", (int)r->method.len, r->method.ptr,
                     (int)target.len, target.ptr, r->major, r->minor);
    return slice_of(out, n < LINE_SIZE ? (size_t)n : LINE_SIZE - 1);
}

static void emit(struct log *log, const struct exchange *x, enum log_level level,
                 const char *message, struct slice lines)
{
    char id[EXCHANGE_ID + 1], line[LINE_SIZE];
    if (!x) {
        log_event(log, level, message, LOG_LINES("traceback", lines));
        return;
    }
    struct slice name = exchange_name(x, id);
    struct slice request = request_line(x, line);
    if (lines.len)
        log_event(log, level, message, LOG_SLICE("request", request), LOG_SLICE("id", name),
                  LOG_LINES("traceback", lines));
    else
        log_event(log, level, message, LOG_SLICE("request", request), LOG_SLICE("id", name));
}

PyObject *report_exception(struct log *log, const struct exchange *x, const char *message)
{
    PyObject *exception = report_take();
    PyObject *text = exception ? report_text(exception) : NULL;
    PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
    struct slice lines = SLICE("(no memory for the traceback)");
    if (bytes)
        lines = slice_of(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    emit(log, x, LOG_ERROR, message, lines);
    Py_XDECREF(bytes);
    Py_XDECREF(exception);
    PyErr_Clear();
    return text;
}

void report_event(struct log *log, const struct exchange *x, enum log_level level,
                  const char *message)
{
    emit(log, x, level, message, SLICE(""));
}
