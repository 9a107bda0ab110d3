/* Loading the application (load.h has the contract).
 *
 * The options that _load.py needs become a dict, named as in the configuration. What it cannot load
 * it reports by an exception whose text is the whole story, traceback of the application included;
 * it is logged as it is. */
#include "py/load.h"

#include "py/report.h"

static PyObject *list_of(const struct text_list *list)
{
    PyObject *out = PyList_New(0);
    for (unsigned i = 0; out && i < list->count; i++) {
        PyObject *item = PyUnicode_DecodeFSDefault(list->items[i]);
        if (!item || PyList_Append(out, item))
            Py_CLEAR(out);
        Py_XDECREF(item);
    }
    return out;
}

static PyObject *dict_of(const struct text_table *table)
{
    PyObject *out = PyDict_New();
    for (unsigned i = 0; out && i < table->count; i++) {
        PyObject *value = PyUnicode_FromString(table->items[i].value);
        if (!value || PyDict_SetItemString(out, table->items[i].key, value))
            Py_CLEAR(out);
        Py_XDECREF(value);
    }
    return out;
}

static const char *interface_name(enum option_interface interface)
{
    switch (interface) {
    case INTERFACE_AUTO: return "auto";
    case INTERFACE_WSGI: return "wsgi";
    }
    return "";
}

static PyObject *options_of(const struct app_options *o)
{
    return Py_BuildValue("{s:z,s:z,s:O,s:s,s:z,s:N,s:N,s:N}", "module", o->module, "file", o->file,
                         "factory", o->factory ? Py_True : Py_False, "interface",
                         interface_name(o->interface), "directory", o->directory, "app-dir",
                         list_of(&o->app_dir), "middleware", list_of(&o->middleware), "mounts",
                         dict_of(&o->mounts));
}

/* The text of what _load.py raised. */
static void log_story(struct process *p)
{
    PyObject *exception = report_take();
    PyObject *text = exception ? PyObject_Str(exception) : NULL;
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
    log_event(&p->log, LOG_ERROR, "the application could not be loaded",
              LOG_LINES("reason", slice_text(utf8 ? utf8 : "(no memory for the reason)")));
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(exception);
}

PyObject *load_application(struct process *p, PyObject *load)
{
    PyObject *options = options_of(p->app);
    PyObject *mounts = options ? PyObject_CallOneArg(load, options) : NULL;
    Py_XDECREF(options);
    if (mounts)
        return mounts;
    PyObject *type = PyErr_Occurred();
    if (type && strstr(((PyTypeObject *)type)->tp_name, "LoadError"))
        log_story(p);
    else
        Py_XDECREF(report_exception(&p->log, NULL, "the application could not be loaded"));
    return NULL;
}
