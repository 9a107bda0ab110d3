/* The body of a response: what the application returned, sent as PEP 3333 asks.
 *
 * A list or tuple has its whole length known before the head is sent. Anything else is iterated:
 * the head waits for the first chunk that is not empty (an application may call start_response as
 * late as then), and every chunk is sent on before the next is asked for, because the next may take
 * its time. An iterable that says it has one chunk gets a length, too. What is not bytes is refused
 * by name. close() is the caller's business. */
#include "py/call.h"
#include "py/wsgi.h"

static enum outcome sent(int err)
{
    return err < 0 ? LOST : WENT_WELL;
}

static enum outcome refuse(PyObject *chunk)
{
    PyErr_Format(PyExc_TypeError, "the application yielded %s where bytes are wanted",
                 Py_TYPE(chunk)->tp_name);
    return RAISED;
}

static bool has_head(const struct call *c)
{
    if (c->stage != CALL_OPEN)
        return true;
    PyErr_SetString(PyExc_AssertionError, "the application did not call start_response");
    return false;
}

/* ---- Lists and tuples ---- */

static PyObject *item_of(PyObject *sequence, Py_ssize_t i)
{
    return PyList_CheckExact(sequence) ? PyList_GET_ITEM(sequence, i)
                                       : PyTuple_GET_ITEM(sequence, i);
}

/* The bytes of all items together, or -1 with an exception. */
static int64_t total_of(PyObject *sequence)
{
    int64_t total = 0;
    for (Py_ssize_t i = 0; i < Py_SIZE(sequence); i++) {
        PyObject *item = item_of(sequence, i);
        if (!PyBytes_Check(item)) {
            refuse(item);
            return -1;
        }
        total += PyBytes_GET_SIZE(item);
    }
    return total;
}

/* While the wire waits, another thread may change a list: look again for each item. */
static enum outcome send_sequence(struct call *c, PyObject *sequence)
{
    int64_t total = has_head(c) ? total_of(sequence) : -1;
    if (total < 0)
        return RAISED;
    c->in_memory = true;
    int err = response_start(c, total);
    for (Py_ssize_t i = 0; err == 0 && i < Py_SIZE(sequence); i++) {
        PyObject *item = Py_NewRef(item_of(sequence, i));
        err = PyBytes_Check(item) ? response_bytes(c, item) : 0;
        Py_DECREF(item);
    }
    return sent(err);
}

/* ---- Other iterables ---- */

/* Sends one chunk that is not empty. */
static enum outcome send_chunk(struct call *c, PyObject *chunk, bool single, bool stream)
{
    if (!has_head(c))
        return RAISED;
    int err = response_start(c, single ? PyBytes_GET_SIZE(chunk) : -1);
    if (err == 0)
        err = response_bytes(c, chunk);
    if (err == 0 && stream)
        err = response_flush(c);
    return sent(err);
}

/* The iterator has come to its end, or raised. */
static enum outcome ended(struct call *c)
{
    return PyErr_Occurred() || !has_head(c) ? RAISED : WENT_WELL;
}

enum outcome body_iterate(struct call *c, PyObject *iterator, bool single, bool stream)
{
    iternextfunc next = Py_TYPE(iterator)->tp_iternext;
    enum outcome outcome = WENT_WELL;
    while (outcome == WENT_WELL) {
        call_away(c);
        PyObject *chunk = next(iterator);
        call_end_if_forked(c);
        if (!chunk) {
            if (PyErr_ExceptionMatches(PyExc_StopIteration))
                PyErr_Clear();
            return ended(c);
        }
        if (!PyBytes_Check(chunk))
            outcome = refuse(chunk);
        else if (PyBytes_GET_SIZE(chunk) > 0)
            outcome = send_chunk(c, chunk, single, stream);
        Py_DECREF(chunk);
    }
    return outcome;
}

/* Whether the iterable has exactly one chunk, by its own len() (PEP 3333, "Handling the
 * Content-Length Header"), or as the iterator over a list knows. */
static bool has_one(PyObject *result, PyObject *iterator, bool builtin)
{
    PySequenceMethods *methods = Py_TYPE(result)->tp_as_sequence;
    Py_ssize_t n = -1;
    if (builtin)
        n = PyObject_LengthHint(iterator, -1);
    else if (methods && methods->sq_length)
        n = PyObject_Size(result);
    if (n < 0)
        PyErr_Clear();
    return n == 1;
}

static enum outcome send_iterable(struct call *c, PyObject *result)
{
    call_away(c);
    PyObject *iterator = PyObject_GetIter(result);
    if (!iterator)
        return RAISED;
    bool builtin =
        Py_IS_TYPE(iterator, &PyListIter_Type) || Py_IS_TYPE(iterator, &PyTupleIter_Type);
    enum outcome outcome = body_iterate(c, iterator, has_one(result, iterator, builtin), !builtin);
    Py_DECREF(iterator);
    return outcome;
}

enum outcome body_send(struct call *c, PyObject *result)
{
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return send_sequence(c, result);
    if (Py_IS_TYPE(result, c->wsgi->state->file_wrapper))
        return file_wrapper_send(c, result);
    if (PyBytes_Check(result) || PyUnicode_Check(result) || result == Py_None) {
        PyErr_Format(
            PyExc_TypeError,
            "the application returned %s where an iterable of bytes is wanted, such as a list",
            Py_TYPE(result)->tp_name);
        return RAISED;
    }
    return send_iterable(c, result);
}
