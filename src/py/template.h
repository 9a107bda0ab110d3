/* A template's life: the process that workers are forked from. Threads: the main one, with the GIL.
 */
#ifndef PENSTOCK_PY_TEMPLATE_H
#define PENSTOCK_PY_TEMPLATE_H

#include "py/process.h"
#include "py/python.h"

struct template_setup {
    struct process *process; /* begun */
    PyObject *module;        /* ours */
    PyObject *load;          /* penstock._load.load */
    PyObject *look;          /* penstock._boot.look */
};

/* Imports the application if it is to be shared, and forks a worker for each order. Returns twice
 * over: in the template with the status to exit with, and in every worker with the worker's. */
int template_run(const struct template_setup *t);

#endif
