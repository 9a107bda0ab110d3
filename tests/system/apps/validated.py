"""Applications of the tests behind wsgiref.validate, which complains about either side."""

import importlib
from wsgiref.validate import validator

applications = {}


def application(environ, start_response):
    """/module/rest: the application of a module, validated."""
    _, name, rest = environ["PATH_INFO"].split("/", 2)
    if name not in applications:
        module = importlib.import_module(name)
        found = getattr(module, "application", None) or module.app
        applications[name] = validator(found)
    environ["SCRIPT_NAME"] += f"/{name}"
    environ["PATH_INFO"] = f"/{rest}"
    return applications[name](environ, start_response)
