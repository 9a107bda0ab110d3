/* The module's state: its types, and the names it looks attributes up by.
 *
 * One for each interpreter that imports the module; nothing here is static. Threads: with the GIL.
 */
#ifndef PENSTOCK_PY_STATE_H
#define PENSTOCK_PY_STATE_H

#include "py/python.h"

/* Attributes that are looked up while requests are served. */
#define ATTRIBUTE_MAP(X) X(close) X(fileno) X(flush) X(raw) X(read) X(tell)

struct state {
    PyTypeObject *input;        /* input.c */
    PyTypeObject *errors;       /* errors.c */
    PyTypeObject *start;        /* start_response.c */
    PyTypeObject *write;        /* start_response.c */
    PyTypeObject *file_wrapper; /* file_wrapper.c */
    PyTypeObject *file;         /* _io.FileIO */
    PyTypeObject *reader;       /* _io.BufferedReader */
    PyTypeObject *random;       /* _io.BufferedRandom */
#define X(name) PyObject *name;
    ATTRIBUTE_MAP(X)
#undef X
};

/* The types of this folder, made for `module`; new references, or NULL with an exception. */
PyTypeObject *input_type(PyObject *module);
PyTypeObject *errors_type(PyObject *module);
PyTypeObject *start_type(PyObject *module);
PyTypeObject *write_type(PyObject *module);
PyTypeObject *file_wrapper_type(PyObject *module);

#endif
