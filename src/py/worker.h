/* A worker's life. Threads: the main one, with the GIL. */
#ifndef PENSTOCK_PY_WORKER_H
#define PENSTOCK_PY_WORKER_H

#include "py/process.h"
#include "py/python.h"

struct worker_setup {
    struct process *process; /* begun; lives as long as the process */
    PyObject *module;        /* ours */
    PyObject *load;          /* penstock._load.load */
    PyObject *mounts;        /* what it returned in the template, or NULL: it is to be called */
};

/* Loads the application, serves it until the master or a signal ends that, and returns the status
 * to exit with. Whoever called then lets Python end as it does, which is bounded in time. */
int worker_run(const struct worker_setup *setup);

#endif
