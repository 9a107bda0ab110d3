/* Python's own header, for every file of this folder.
 *
 * Its inline functions convert integers in ways that our warnings refuse; they are not ours to
 * change. */
#ifndef PENSTOCK_PY_PYTHON_H
#define PENSTOCK_PY_PYTHON_H

#define PY_SSIZE_T_CLEAN

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <Python.h>
#include <structmember.h>
#pragma GCC diagnostic pop

#include "base/slice.h"

/* The bytes of a str whose characters are all at most U+00FF (latin-1), which its caller has
 * checked. */
static inline struct slice latin1_bytes(PyObject *text)
{
    return slice_of((const char *)PyUnicode_1BYTE_DATA(text), (size_t)PyUnicode_GET_LENGTH(text));
}

/* Whether the object is exactly a str, and each of its characters one byte of latin-1. */
static inline bool is_latin1(PyObject *text)
{
    return PyUnicode_CheckExact(text) && PyUnicode_READY(text) == 0 &&
           PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND;
}

/* A str of latin-1 bytes: PEP 3333's native string. */
static inline PyObject *latin1(struct slice s)
{
    return PyUnicode_DecodeLatin1(s.ptr, (Py_ssize_t)s.len, NULL);
}

#endif
