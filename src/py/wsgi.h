/* The handler for WSGI applications (PEP 3333). A request becomes a job of the crew: a call that
 * begins in the thread that holds the loop and goes on there or, when it takes long, without the
 * loop.
 *
 * Threads: each function but the handler's own needs the GIL. */
#ifndef PENSTOCK_PY_WSGI_H
#define PENSTOCK_PY_WSGI_H

#include "base/log.h"
#include "http/exchange.h"
#include "py/crew.h"
#include "py/state.h"

/* Who speaks in wsgi.errors: the log, and the request at hand. Lives as long as the process, since
 * applications keep wsgi.errors. */
struct voice {
    struct log *log;
    Py_tss_t speaking; /* the exchange whose call the thread runs, or NULL */
};

/* An application and where it is mounted. */
struct mount {
    struct slice prefix; /* of the path behind root-path: "" or "/admin" */
    PyObject *script;    /* SCRIPT_NAME: root-path and prefix */
    PyObject *app;
};

enum { KNOWN_SETS = (HEADER_COUNT + 63) / 64 };

struct environ_maker;

struct wsgi {
    struct handler handler;
    struct state *state;
    struct crew *crew;
    struct holds holds;
    struct voice *voice;
    const struct app_options *options;
    struct mount *mounts; /* longest prefix first */
    unsigned mount_count;
    struct environ_maker *maker;
    PyObject *input, *start;   /* of the last call, to be used again */
    uint64_t told[KNOWN_SETS]; /* hop-by-hop fields that were warned of, by header id */
    bool forked; /* this is a process that the application forked: it must not go on here */
};

struct wsgi_setup {
    PyObject *module; /* ours */
    PyObject *mounts; /* what _load.load returned: a list of (prefix, application), longest prefix
                         first */
    struct crew *crew;
    struct voice *voice; /* its `speaking` made */
    const struct app_options *options;
};

/* Makes the handler; NULL with an exception. */
struct wsgi *wsgi_new(const struct wsgi_setup *setup);
void wsgi_free(struct wsgi *w);

/* environ.c */
struct environ_maker *environ_maker_new(struct wsgi *w);
void environ_maker_free(struct environ_maker *m);

#endif
