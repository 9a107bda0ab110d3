/* Loading the application: what penstock/_load.py does, asked for from C. Threads: the main one,
 * with the GIL. */
#ifndef PENSTOCK_PY_LOAD_H
#define PENSTOCK_PY_LOAD_H

#include "py/process.h"
#include "py/python.h"

/* Calls `load` (penstock._load.load) with the application's options. Returns a list of (prefix,
 * application), longest prefix first, or NULL: the log then says why, and no exception is left. */
PyObject *load_application(struct process *p, PyObject *load);

#endif
