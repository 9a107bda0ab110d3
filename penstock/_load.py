"""Finds the application that the configuration names.

:func:`load` returns what is to be served, or raises :class:`LoadError`, whose text tells people what went wrong: the
application's own traceback, without our frames, and where was searched. It runs in the application's Python, in
every worker; what only failures need is imported when one happens.

:func:`check` does the same for ``penstock check``, which asks in a process of its own.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing itself would cost memory in every worker
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType, TracebackType
    from typing import Any, NoReturn

    Application = Callable[..., Any]

EXIT_IMPORT = 4
DEFAULT_NAMES = ("application", "app")

CO_VARARGS = 0x04
CO_COROUTINE = 0x80
CO_ASYNC_GENERATOR = 0x200


class LoadError(Exception):
    """The application cannot be loaded; the text says all there is to say."""


# ---- What people are told ----


def _similar(name: str, names: Iterable[str]) -> str:
    """Return a question that names what may have been meant; empty when nothing is similar."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(names), n=3)
    return f"\nDid you mean {' or '.join(close)}?" if close else ""


def _searched() -> str:
    lines = "".join(f"\n  {entry or os.getcwd()}" for entry in sys.path)
    return f"\nSearched were, in this order:{lines}\nby {sys.executable}"


def _modules_in(folder: str) -> Iterable[str]:
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix == ".py" or (not suffix and os.path.isdir(os.path.join(folder, name))):
            yield stem


def _missing_module(name: str, missing: str) -> str:
    """Tell what is known about a module that does not exist."""
    parent, _, last = missing.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", []) if parent else sys.path[:3]
    names = [found for folder in folders for found in _modules_in(folder)]
    dotted = [f"{parent}.{found}" if parent else found for found in names]
    guess = _similar(missing, dotted) if last else ""
    return f"There is no module {missing!r}, which {name!r} needs.{guess}{_searched()}"


def _is_ours(traceback: TracebackType) -> bool:
    filename = traceback.tb_frame.f_code.co_filename
    return filename == __file__ or filename.startswith("<frozen importlib")


def _story(error: BaseException) -> str:
    """Return the traceback from the application's first frame on."""
    from traceback import format_exception

    traceback = error.__traceback__
    while traceback is not None and _is_ours(traceback):
        traceback = traceback.tb_next
    return "".join(format_exception(type(error), error, traceback)).rstrip("\n")


# ---- Modules and files ----


def _import(name: str) -> ModuleType:
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(missing + "."):
            raise
        raise LoadError(_missing_module(name, missing)) from None
    return sys.modules[name]


def _run_file(path: str) -> ModuleType:
    """Run a file as a module named after it, so that it is found again by those who import it by name."""
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from importlib.util import module_from_spec

    path = os.path.abspath(path)
    if not os.path.isfile(path):
        near = _similar(os.path.basename(path), _names_in(os.path.dirname(path)))
        raise LoadError(f"There is no file {path}.{near}")
    name = os.path.splitext(os.path.basename(path))[0]
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == path:
        return known
    if known is not None or not name.isidentifier() or name in sys.stdlib_module_names:
        name = f"_penstock_file_{name}"
    loader = SourceFileLoader(name, path)
    spec = ModuleSpec(name, loader, origin=path)
    spec.has_location = True
    module = module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


# ---- Objects ----


def _attribute(module: ModuleType, dotted: str) -> object:
    found: object = module
    done = module.__name__
    for part in dotted.split("."):
        if not hasattr(found, part):
            public = [name for name in dir(found) if not name.startswith("__")]
            raise LoadError(f"{done!r} has no attribute {part!r}.{_similar(part, public)}")
        found = getattr(found, part)
        done = f"{done}.{part}"
    return found


def _default(module: ModuleType) -> object:
    for name in DEFAULT_NAMES:
        if hasattr(module, name):
            return getattr(module, name)
    public = [
        name for name, value in vars(module).items() if callable(value) and not name.startswith("_")
    ]
    listed = f" It has: {', '.join(sorted(public)[:20])}." if public else ""
    raise LoadError(
        f"Neither 'application' nor 'app' is in {module.__name__!r}: name the object, as in "
        f"{module.__name__}:NAME.{listed}"
    )


def _code(target: object) -> Any:
    """Return the code of a function, method or partial; None of anything else."""
    while hasattr(target, "func") and callable(target.func):
        target = target.func
    return getattr(getattr(target, "__func__", target), "__code__", None)


def _speaks_asgi(app: object) -> bool:
    codes = (_code(app), _code(type(app).__call__) if not isinstance(app, type) else None)
    for code in codes:
        if code is None:
            continue
        if code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR):
            return True
        if code.co_varnames[: code.co_argcount][-3:] == ("scope", "receive", "send"):
            return True
    return False


def _check(app: object, name: str, guess: bool) -> Application:
    """Return the application if it can be one; `guess`: nobody said that it is WSGI."""
    if not callable(app):
        raise LoadError(f"{name} is not callable: it is an object of type {type(app).__name__!r}")
    if guess and _speaks_asgi(app):
        raise LoadError(
            f"{name} is an ASGI application, which this version of penstock does not serve; it serves WSGI (PEP 3333). "
            'If it is WSGI all the same, say interface = "wsgi"'
        )
    code = _code(app)
    if (
        code is not None
        and code.co_argcount + code.co_kwonlyargcount == 0
        and not code.co_flags & CO_VARARGS
    ):
        raise LoadError(
            f"{name} takes no arguments, so it is no WSGI application. If it returns one, say so: "
            f"{name}() or --factory"
        )
    return app


def _find(spec: str, file: str | None, factory: bool) -> object:
    """Return the object of ``package.module:object``, ``module:factory()``, ``module`` or ``file.py:object``."""
    where, _, dotted = spec.partition(":")
    if dotted.endswith("()"):
        dotted, factory = dotted[:-2], True
    if file is None and ("/" in where or where.endswith(".py")):
        file = where
    module = _run_file(file) if file is not None else _import(where)
    found = _attribute(module, dotted) if dotted else _default(module)
    if not factory:
        return found
    if not callable(found):
        raise LoadError(f"{spec} is named as a factory and is not callable: it is {found!r}")
    return found()


def _wrapped(app: Application, middleware: list[str]) -> Application:
    """Put middleware around an application; the first named is the outermost."""
    for name in reversed(middleware):
        wrap = _find(name, None, False)
        if not callable(wrap):
            raise LoadError(f"the middleware {name} is not callable: it is {wrap!r}")
        app = wrap(app)
        if not callable(app):
            raise LoadError(f"the middleware {name} returned no application but {app!r}")
    return app


# ---- The configuration ----


def _prepare_path(options: Mapping[str, Any]) -> None:
    """Go to the application's folder and have its modules found first."""
    directory = options.get("directory")
    if directory:
        os.chdir(directory)
    folders = [os.path.abspath(folder) for folder in options.get("app-dir") or [os.getcwd()]]
    if options.get("file"):
        folders.insert(0, os.path.dirname(os.path.abspath(options["file"])))
    known = set(folders)
    sys.path[:] = folders + [entry for entry in sys.path if entry not in known]


def _wanted(options: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Return (object, file) by the path where it is mounted."""
    mounts = options.get("mounts") or {}
    if mounts:
        return {path.rstrip("/"): (spec, None) for path, spec in mounts.items()}
    module, file = options.get("module"), options.get("file")
    if not module and not file:
        raise LoadError("no application is named")
    return {"": (module or "", file)}


def _load(options: Mapping[str, Any]) -> list[tuple[str, Application]]:
    _prepare_path(options)
    loaded: dict[tuple[str, str | None], Application] = {}
    mounts = []
    for prefix, wanted in _wanted(options).items():
        if wanted not in loaded:
            spec, file = wanted
            found = _find(spec, file, bool(options.get("factory")))
            app = _check(found, spec or str(file), options.get("interface") != "wsgi")
            loaded[wanted] = _wrapped(app, options.get("middleware") or [])
        mounts.append((prefix, loaded[wanted]))
    mounts.sort(key=lambda mount: len(mount[0]), reverse=True)
    return mounts


def load(options: Mapping[str, Any]) -> list[tuple[str, Application]]:
    """Load an application.

    Parameters
    ----------
    options
        The options ``module``, ``file``, ``factory``, ``interface``, ``directory``, ``app-dir``, ``middleware`` and
        ``mounts`` of ``[app.NAME]``; what is missing or None was not set.

    Returns
    -------
    list of (str, callable)
        Where each application is mounted ("" or "/admin"), the longest path first, and the application (PEP 3333)
        with its middleware around it. An application that is mounted twice is loaded once.

    Raises
    ------
    LoadError
        With the whole story as its text, whatever went wrong.
    """
    try:
        return _load(options)
    except LoadError:
        raise
    except (
        BaseException
    ) as error:  # SystemExit, too: an import must not end the worker without a word
        raise LoadError(_story(error) + _searched()) from None


def check() -> NoReturn:
    """Load the application whose options stand on the standard input, as JSON, and end: with 0, or with 4 and why."""
    import json

    status = 0
    try:
        load(json.load(sys.stdin))
    except LoadError as error:
        print(error, file=sys.stderr)
        status = EXIT_IMPORT
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads that the application started are of no interest
