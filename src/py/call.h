/* One call of a WSGI application: the exchange it answers, and what it has said so far.
 *
 * A call lives on the stack of the thread that runs it, from the request to leave(). It knows its
 * exchange and the exchange's wire, and nothing of the loop. The objects that the application was
 * given (wsgi.input, start_response, write) point to it and are detached, under the GIL, before it
 * ends: an application may keep them, and then gets an exception instead of a look at memory that
 * is gone.
 *
 * Threads: the one that runs the call, with the GIL. */
#ifndef PENSTOCK_PY_CALL_H
#define PENSTOCK_PY_CALL_H

#include "http/exchange.h"
#include "py/crew.h"
#include "py/python.h"

struct wsgi;

enum call_stage {
    CALL_OPEN,    /* start_response was not called */
    CALL_HEADED,  /* there is a head, not sent yet */
    CALL_STARTED, /* the head is sent */
    CALL_LOST,    /* nobody takes the response any more */
};

struct call {
    struct wsgi *wsgi;
    struct exchange *x;
    struct seat *seat;    /* of the thread that runs it */
    unsigned long thread; /* that thread, as Python names it */
    bool away;            /* in code of the application, where the token may be passed on */
    PyObject *input;      /* its wsgi.input */
    PyObject *start;      /* its start_response */
    int body_error;       /* what went wrong when the application read the body by itself */
    struct head head;
    int64_t length; /* of the content: the application's Content-Length or what was found out; -1:
                       unknown */
    int64_t sent;   /* bytes of content given to the wire */
    enum call_stage stage;
    bool is_head;   /* the request is HEAD */
    bool mute;      /* the response has no content: HEAD, 204, 205, 304 */
    bool in_memory; /* the content is a list: all of it exists already */
    unsigned lent;  /* chunks of it that were lent since the wire was last waited for */
    bool told;      /* it was logged that there is too much content */
};

/* How a step of the call ended. */
enum outcome {
    WENT_WELL,
    RAISED, /* there is an exception */
    LOST,   /* there is none, but the stage is CALL_LOST */
};

/* What follows runs code of the application, which may take long. Does nothing when it is so
 * already. */
void call_away(struct call *c);

/* What follows talks to the wire: finds out whether this thread still holds the loop. Every
 * function below that does so begins with it. */
void call_back(struct call *c);

/* Ends the process if it is one that the application forked; call_back() does it, too: wherever
 * such a process comes back from the application, its copies of descriptors are closed, and their
 * numbers may be others'. */
void call_end_if_forked(const struct call *c);

/* Takes what start_response was given. Returns 0, or -1 with an exception, and then the head is as
 * it was. The stage is CALL_OPEN or CALL_HEADED. (response.c) */
int response_head(struct call *c, PyObject *status, PyObject *headers);

/* Sends the head, if that has not happened yet. `known`: the bytes of content to come where the
 * caller can tell, or -1; what the application announced comes first. Returns 0 or a negative
 * error. */
int response_start(struct call *c, int64_t known);

/* Sends the bytes of `chunk`, a bytes object; what is beyond the announced length is dropped and
 * logged. The head is sent. Waits, without the GIL, when the client is slow. Returns 0 or a
 * negative error. */
int response_bytes(struct call *c, PyObject *chunk);

/* Sends `length` bytes of the file `fd` from `offset`; `fd` is taken. Returns 0 or a negative
 * error. */
int response_file(struct call *c, int fd, int64_t offset, int64_t length);

/* Sends on what is queued, unless the content is complete and leaves with the batch anyway. */
int response_flush(struct call *c);

/* Ends the response; logs when there was less content than announced. */
int response_finish(struct call *c);

/* Sends what the application returned. (body.c) */
enum outcome body_send(struct call *c, PyObject *result);

/* Sends what a file_wrapper wraps: by sendfile if it is a real file, else by reading.
 * (file_wrapper.c) */
enum outcome file_wrapper_send(struct call *c, PyObject *wrapper);

/* Sends everything that `iterator` yields. `known`: the length of the content, if it yields one
 * chunk; `stream`: each chunk is sent on at once. (body.c) */
enum outcome body_iterate(struct call *c, PyObject *iterator, bool single, bool stream);

/* A wsgi.input that reads the call's body until input_detach(). (input.c) */
PyObject *input_new(struct wsgi *w, struct call *c);
/* Takes the body away from it, and gives the reference back. */
void input_detach(struct wsgi *w, PyObject *input);

/* A start_response for the call, until start_detach(). (start_response.c) */
PyObject *start_new(struct wsgi *w, struct call *c);
void start_detach(struct wsgi *w, PyObject *start);

/* A wsgi.errors of the process; it outlives every call. (errors.c) */
struct voice;
PyObject *errors_new(PyTypeObject *type, struct voice *voice);

/* An environ for the call: a new reference, or NULL with an exception. Sets *app (borrowed), NULL
 * when no application is mounted there. (environ.c) */
PyObject *environ_new(struct call *c, PyObject **app);

#endif
