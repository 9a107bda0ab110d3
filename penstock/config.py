"""The configuration: command line, environment and file become one set of checked settings.

Precedence: command line, ``PENSTOCK_`` variables, file, the variables of platforms (``PORT``, ``WEB_CONCURRENCY``),
defaults.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock import addresses, handback, inherited, machine, tomlfile
from penstock.options import (
    AUTO,
    Option,
    Value,
    WrongValueError,
    default,
    from_variable,
    looks_like_object,
    suggestion,
    table,
)
from penstock.settings import ConfigurationError, Problem, Section, Setting, Settings, Source

FILE_NAME = "penstock.toml"
FORMAT_VERSION = 1
WHAT_RUNS = ("module", "file", "mounts")

BELONGS = {
    "mode": (("unix",), "only a Unix socket with a path has one"),
    "owner": (("unix",), "only a Unix socket with a path has one"),
    "ipv6-only": (("tcp6",), "only an IPv6 listener has it"),
    "reuse-port": (("tcp4", "tcp6"), "only a TCP listener that penstock opens has it"),
    "defer-accept": (("tcp4", "tcp6"), "only a TCP listener that penstock opens has it"),
    "backlog": (
        ("tcp4", "tcp6", "unix", "abstract"),
        "whoever made the socket has chosen it already",
    ),
}
"""Options of a listener that have no meaning for every kind: for which they have, and why not for others."""

SERVICE_VARIABLE = re.compile(r"PENSTOCK_(SERVICE_(HOST|PORT).*|PORT(_.*)?)")
"""What Kubernetes sets in every pod beside a Service that is called penstock."""


@dataclass(slots=True)
class Configuration:
    """The checked settings of a server, its listeners and its applications, every option filled in."""

    server: Settings = field(default_factory=dict)
    listen: list[Settings] = field(default_factory=list)
    app: dict[str, Settings] = field(default_factory=dict)

    def canonical(self) -> dict[str, object]:
        """Return what the master reads: plain values, by the options' names."""
        return {
            "version": FORMAT_VERSION,
            "server": _plain(self.server),
            "listen": [_plain(listener) for listener in self.listen],
            "app": {name: _plain(settings) for name, settings in self.app.items()},
        }


def _plain(settings: Settings) -> dict[str, Value]:
    options = table()
    return {options[name].json: setting.value for name, setting in settings.items()}


# ---- the environment ----


def from_environment(environment: Mapping[str, str], base: Path) -> tuple[Settings, list[Problem]]:
    """Return the settings of the ``PENSTOCK_`` variables, and what is wrong with them."""
    variables = {o.variable: o for o in table().values() if o.variable is not None}
    settings: Settings = {}
    problems = []
    for name, text in environment.items():
        if not name.startswith("PENSTOCK_"):
            continue
        option = variables.get(name)
        if option is None:
            if not SERVICE_VARIABLE.fullmatch(name):
                hint = suggestion(name, variables, "{}")
                problems.append(Problem(name, f"no option is set by this variable{hint}"))
            continue
        try:
            value = from_variable(option, text, base)
            settings[option.name] = Setting(value, name, Source.ENVIRONMENT)
        except WrongValueError as error:
            problems.append(Problem(name, str(error)))
    return settings, problems


# ---- putting it together ----


class _Maker:
    """Makes one configuration of its sources."""

    def __init__(self, command: Settings, environment: Mapping[str, str], cwd: Path) -> None:
        self.cwd = cwd
        self.command = command
        self.platform = environment
        self.environment, self.problems = from_environment(environment, cwd)
        self.file = self.read_file()
        self.made = Configuration()

    def read_file(self) -> tomlfile.File | None:
        """Read the file that was named, or ``./penstock.toml`` where there is one."""
        named = self.command.get("config") or self.environment.get("config")
        path = self.cwd / FILE_NAME if named is None else Path(str(named.value))
        if named is None and not path.exists():
            return None
        shown = os.path.relpath(path, self.cwd)
        if shown.startswith("../"):
            shown = str(path)
        if named is not None and not path.exists():
            self.problems.append(named.problem(f'the file "{shown}" does not exist'))
            return None
        found = tomlfile.read(path, shown)
        self.problems += found.problems
        return found

    def base(self, setting: Setting) -> Path:
        """Return the folder from which a setting's relative paths are seen."""
        in_file = setting.source is Source.FILE and self.file is not None
        return self.file.path.parent if in_file and self.file is not None else self.cwd

    def wrong(self, setting: Setting, text: str) -> None:
        self.problems.append(setting.problem(text))

    def make(self) -> Configuration:
        self.make_server()
        for name, section in self.applications().items():
            self.made.app[name] = self.make_app(name, section)
        self.made.listen = [self.make_listener(section) for section in self.listeners()]
        self.check_listeners()
        if self.problems:
            raise ConfigurationError(self.problems)
        return self.made

    def layers(self, option: Option, section: Section | None) -> Iterator[Setting]:
        """Yield an option's settings, the one that counts first."""
        sections = [section] if section is not None else []
        if self.file is not None and option.inherit:
            sections.append(self.file.server)
        sources = [self.command, self.environment, *(found.settings for found in sections)]
        yield from (source[option.name] for source in sources if option.name in source)
        name = option.environment
        if name is not None and self.platform.get(name):
            try:
                value = from_variable(option, self.platform[name], self.cwd)
                yield Setting(value, name, Source.PLATFORM)
            except WrongValueError as error:
                self.problems.append(Problem(name, str(error)))
        yield Setting(default(option, self.file is not None))

    def setting(self, option: Option, section: Section | None) -> Setting:
        """Return an option's setting."""
        found = list(self.layers(option, section))
        if option.type == "table":
            return _merged(found)
        return found[0]

    # ---- [server] ----

    def make_server(self) -> None:
        server = self.made.server
        for name, option in table().items():
            if option.scope == "server" and option.becomes is None:
                server[name] = self.setting(option, None)
        terminal = handback.terminal()
        if server["access-log"].source is Source.DEFAULT and terminal:
            server["access-log"] = Setting("-", "default on a terminal")
        server["package"] = Setting(str(Path(__file__).resolve().parent))
        server["config-file"] = Setting(None if self.file is None else str(self.file.path))
        server["terminal"] = Setting(terminal)
        server["launcher"] = Setting(list(handback.command()))
        server["launch-directory"] = Setting(handback.directory(self.platform))
        for name in ("access-log", "error-log", "pid"):
            path = server[name].value
            trouble = (
                machine.output_trouble(path) if isinstance(path, str) and path != "-" else None
            )
            if trouble is not None:
                self.wrong(server[name], f"{name}: {trouble}")

    # ---- [app.NAME] ----

    def named_outside(self) -> Setting | None:
        """Return what names an application on the command line or in the environment."""
        for source in (self.command, self.environment):
            for name in WHAT_RUNS:
                if name in source:
                    return source[name]
        return None

    def applications(self) -> dict[str, Section]:
        """Return the applications' sections of the file, or one for what is named outside of it."""
        sections = dict(self.file.app) if self.file is not None else {}
        outside = self.named_outside()
        if len(sections) > 1 and outside is not None:
            names = ", ".join(sections)
            self.wrong(outside, f"the configuration file has several applications ({names})")
        if sections:
            return sections
        if outside is not None:
            return {_app_name(outside, self.command | self.environment): Section(outside.where)}
        if self.file is not None and not self.problems:
            text = "no application is named: write [app.NAME] with module, file or mounts"
            self.problems.append(Problem(self.file.shown, text))
        if self.file is None and not self.problems:
            text = f"no application is named, and there is no {FILE_NAME} here"
            self.problems.append(Problem("penstock", text, usage=True))
        return {}

    def make_app(self, name: str, section: Section) -> Settings:
        app: Settings = {}
        for option_name, option in table().items():
            if option.scope == "app" and not option.computed:
                app[option_name] = self.setting(option, section)
        self.choose_what_runs(app, section)
        self.fill_in_folders(app)
        if app["workers"].value == AUTO:
            app["workers"] = app["workers"].with_value(machine.cpus())
        self.fill_in_descriptors(app)
        self.check_peers(app)
        self.fill_in_python(app)
        self.fill_in_identity(app)
        return app

    def choose_what_runs(self, app: Settings, section: Section) -> None:
        """Leave the one of module, file and mounts that counts most; refuse two of one source, and none."""
        for source in (self.command, self.environment, section.settings):
            given = [name for name in WHAT_RUNS if name in source and source[name].value]
            if given:
                break
        for name in set(WHAT_RUNS) - set(given):
            app[name] = Setting(default(table()[name], in_file=False))
        self.split_file(app)
        module = app["module"].value
        bare = isinstance(module, str) and module.startswith(":")
        if section.wrong.intersection(WHAT_RUNS):
            return
        if not given or (bare and app["file"].value is None):
            text = "the application is not named: set module, file or mounts"
            self.problems.append(Problem(section.where, text))
        elif len(given) > 1 and not (bare and given == ["module", "file"]):
            self.wrong(
                app[given[1]], f"{given[0]} names the application, too ({app[given[0]].where})"
            )

    @staticmethod
    def split_file(app: Settings) -> None:
        """Take the object's name off ``file.py:object``."""
        file = app["file"]
        path, _, name = str(file.value).rpartition(":")
        if file.value is None or not path or os.path.exists(str(file.value)):
            return
        if looks_like_object(name):
            app["file"], app["module"] = file.with_value(path), file.with_value(f":{name}")

    def fill_in_folders(self, app: Settings) -> None:
        """Fill in the working directory and where modules are searched; look whether what is named exists."""
        named = next((app[name] for name in WHAT_RUNS if app[name].value), Setting(None))
        if app["directory"].value is None:
            app["directory"] = Setting(str(self.base(named)))
        folders = [str(app["directory"].value)]
        file = app["file"].value
        if isinstance(file, str):
            trouble = machine.input_trouble(file)
            if trouble is not None:
                self.wrong(app["file"], trouble)
            folders = list(dict.fromkeys([os.path.dirname(file), *folders]))
        if app["app-dir"].value is None:
            app["app-dir"] = Setting(folders)
        given = app["app-dir"].value
        items = [str(item) for item in given] if isinstance(given, list) else []
        trouble = machine.folder_trouble(folders[-1])
        if trouble is not None:
            self.wrong(app["directory"], f"directory: {trouble}")
        for index, item in enumerate(items):
            trouble = machine.folder_trouble(item)
            if trouble is not None and app["app-dir"].source is not Source.DEFAULT:
                self.problems.append(app["app-dir"].problem(f"app-dir: {trouble}", index))

    def fill_in_descriptors(self, app: Settings) -> None:
        wanted = app["max-descriptors"]
        if wanted.value == AUTO:
            app["max-descriptors"] = wanted.with_value(machine.descriptors())
        elif isinstance(wanted.value, int):
            trouble = machine.descriptors_trouble(wanted.value)
            if trouble is not None:
                self.wrong(wanted, f"max-descriptors: {trouble}")

    def check_peers(self, app: Settings) -> None:
        """Refuse what is no network; items may stand between commas, as Gunicorn has them."""
        setting = app["forwarded-allow-ips"]
        found = []
        for index, item in enumerate(setting.value if isinstance(setting.value, list) else []):
            for part in filter(None, map(str.strip, str(item).split(","))):
                try:
                    found.append(addresses.network(part))
                except WrongValueError as error:
                    self.problems.append(setting.problem(f"forwarded-allow-ips: {error}", index))
        app["forwarded-allow-ips"] = setting.with_value(found)

    def fill_in_python(self, app: Settings) -> None:
        venv = app["venv"].value
        app["python"] = Setting(sys.executable)
        if isinstance(venv, str):
            try:
                app["python"] = Setting(machine.python_of(venv), app["venv"].where)
            except WrongValueError as error:
                self.wrong(app["venv"], f"venv: {error}")

    def fill_in_identity(self, app: Settings) -> None:
        user, group = app["user"].value, app["group"].value
        who = machine.Identity()
        try:
            if isinstance(group, str):
                machine.group_number(group)
        except WrongValueError as error:
            self.wrong(app["group"], f"group: {error}")
            group = None
        try:
            who = machine.identity(_text(user), _text(group))
        except WrongValueError as error:
            self.wrong(app["user"], f"user: {error}")
        if machine.unchanged(who):
            who = machine.Identity()
        app["uid"] = Setting(who.uid, app["user"].where)
        app["gid"] = Setting(who.gid, app["group"].where if user is None else app["user"].where)
        app["groups"] = Setting(list(who.groups), app["gid"].where)

    # ---- [[listen]] ----

    def listeners(self) -> list[Section]:
        """Return a section for each listener of the source that counts most."""
        words = ("host", "port", "uds", "fd")
        short: Settings = {name: self.command[name] for name in words if name in self.command}
        if short:
            return [self.short_listener(short)]
        for source in (self.command, self.environment):
            if "bind" in source:
                return _bound(source["bind"])
        found: list[Section] = []
        if self.file is not None:
            bind = self.file.server.settings.get("bind")
            found = [*(_bound(bind) if bind is not None else []), *self.file.listen]
            found = [section for section in found if "address" in section.settings]
            if self.file.listen and not found:
                return []
        passed = inherited.passed(self.platform)
        places = [f"fd://{one.number}" for one in passed] or handback.passed(self.platform)
        if not found and places:
            return _bound(Setting(places, "LISTEN_FDS", Source.PLATFORM))
        port = self.platform.get("PORT")
        if not found and port:
            return _bound(Setting([f"0.0.0.0:{port}"], "PORT", Source.PLATFORM))
        return found or _bound(Setting(default(table()["bind"], in_file=False)))

    def short_listener(self, short: Settings) -> Section:
        """Return the listener of ``--host`` and ``--port``, of ``--uds``, or of ``--fd``."""
        first = next(iter(short.values()))
        alone = [name for name in ("uds", "fd") if name in short]
        if "bind" in self.command or (alone and len(short) > 1):
            other = "bind" if "bind" in self.command else alone[-1]
            self.wrong(first, f"--{other} says where to listen, too")
        if alone:
            form = {"uds": "unix:{}", "fd": "fd://{}"}[alone[0]]
            return _bound(first.with_value([form.format(short[alone[0]].value)]))[0]
        host = str(short["host"].value) if "host" in short else "127.0.0.1"
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        port = short["port"].value if "port" in short else 8000
        return _bound(first.with_value([f"{host}:{port}"]))[0]

    def make_listener(self, section: Section) -> Settings:
        listener: Settings = {}
        for name, option in table().items():
            if option.scope == "listen" and not option.computed and name not in ("address", "app"):
                listener[name] = self.setting(option, section)
        written = section.settings["address"]
        try:
            address = addresses.parse(str(written.value), self.base(written))
        except WrongValueError as error:
            self.wrong(written, str(error))
            address = addresses.Address("tcp4", "0.0.0.0", 0)
        self.leave_out_foreign(listener, section, address)
        self.check_folder(section, address)
        self.fill_in_owner(listener)
        listener["address"] = written.with_value(str(address))
        listener["kind"] = written.with_value(address.kind)
        listener["listen-host"] = written.with_value(address.host)
        listener["listen-port"] = written.with_value(address.port)
        listener["listen-path"] = written.with_value(address.path)
        listener["listen-fd"] = Setting(None)
        listener["app"] = self.listener_app(section)
        return listener

    def leave_out_foreign(
        self, listener: Settings, section: Section, address: addresses.Address
    ) -> None:
        """Refuse what has no meaning for a listener's kind where it is said of just this one; leave it out else."""
        abstract = address.path is not None and address.path.startswith("@")
        kind = "abstract" if abstract else address.kind
        for name, (kinds, text) in BELONGS.items():
            if kind in kinds:
                continue
            without = default(table()[name], in_file=False)
            if name in section.settings and section.settings[name].value != without:
                self.wrong(section.settings[name], f"{name}: {text}")
            listener[name] = listener[name].with_value(without)

    def check_folder(self, section: Section, address: addresses.Address) -> None:
        """Look whether a Unix socket's folder is there."""
        if address.path is None or address.path.startswith("@"):
            return
        parent = os.path.dirname(address.path)
        trouble = machine.folder_trouble(parent)
        if trouble is None and not os.access(parent, os.W_OK | os.X_OK):
            trouble = f'nothing can be made in the folder "{parent}": permission denied'
        if trouble is not None:
            self.wrong(section.settings["address"], trouble)

    def fill_in_owner(self, listener: Settings) -> None:
        """Fill in the numbers of the user and group that a Unix socket is given to."""
        owner = listener["owner"]
        numbers: tuple[int | None, int | None] = (None, None)
        if isinstance(owner.value, str):
            try:
                numbers = machine.owner(owner.value)
            except WrongValueError as error:
                self.wrong(owner, f"owner: {error}")
        listener["owner-uid"], listener["owner-gid"] = map(owner.with_value, numbers)

    def listener_app(self, section: Section) -> Setting:
        """Return the application that answers on a listener."""
        names = list(self.made.app)
        given = section.settings.get("app")
        if given is None:
            if len(names) > 1:
                text = f"the listener does not say which application answers: {', '.join(names)}"
                self.wrong(section.settings["address"], text)
            return Setting(names[0] if names else None)
        if given.value not in names and names:
            hint = suggestion(str(given.value), names) or f"; there is {', '.join(names)}"
            self.wrong(given, f'app: there is no application "{given.value}"{hint}')
        return given

    def check_listeners(self) -> None:
        """Refuse an address that is named twice, and an application that nothing leads to."""
        seen: dict[Value, Setting] = {}
        for listener in self.made.listen:
            address = listener["address"]
            before = seen.setdefault(address.value, address)
            chosen = listener["listen-host"].value is None or listener["listen-port"].value != 0
            if before is not address and chosen:
                self.wrong(address, f"{address.value} is listened on already ({before.where})")
        for listener in self.made.listen:
            port = listener["listen-port"].value
            other = seen.get(f"0.0.0.0:{port}")
            if listener["listen-host"].value == "::" and other is not None and port != 0:
                self.refuse_both(listener, other)
        if self.problems:
            return
        for listener in self.made.listen:
            self.check_proxied(listener)
        answered = {listener["app"].value for listener in self.made.listen}
        for name in self.made.app:
            if name not in answered and self.file is not None:
                text = f'no listener leads to the application "{name}": add [[listen]] with app = "{name}"'
                self.problems.append(Problem(self.file.app[name].where, text))

    def refuse_both(self, listener: Settings, other: Setting) -> None:
        """Refuse [::] beside 0.0.0.0 on one port, unless it is for IPv6 alone."""
        if not listener["ipv6-only"].value:
            address = listener["address"]
            text = f"{address.value} takes IPv4 connections as well: leave out {other.value}, or set ipv6-only"
            self.wrong(address, text)

    def check_proxied(self, listener: Settings) -> None:
        """Refuse a listener that wants a PROXY header and believes nobody who could send one."""
        app = self.made.app[str(listener["app"].value)]
        peers = app["forwarded-allow-ips"].value
        believed = set(map(str, peers)) if isinstance(peers, list) else set()
        if listener["kind"].value in ("tcp4", "tcp6"):
            believed -= {"unix"}
        if listener["proxy-protocol"].value and not believed:
            text = "name the proxies whose PROXY header is believed in forwarded-allow-ips"
            self.wrong(listener["proxy-protocol"], f"proxy-protocol: {text}")


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None


def _merged(layers: list[Setting]) -> Setting:
    """Return one table of all layers; the first counts most."""
    merged: dict[str, str] = {}
    for setting in reversed(layers):
        if isinstance(setting.value, dict):
            merged |= setting.value
    said = [setting for setting in layers if setting.value] or layers[-1:]
    where = ", ".join(dict.fromkeys(setting.where for setting in said))
    return Setting(merged, where, said[0].source)


def _bound(bind: Setting) -> list[Section]:
    """Return a section for each address of ``bind``."""
    items = bind.value if isinstance(bind.value, list) else []
    places = bind.items or (bind.where,) * len(items)
    return [
        Section(where, {"address": Setting(str(item), where, bind.source)})
        for item, where in zip(items, places, strict=True)
    ]


def _app_name(setting: Setting, settings: Settings) -> str:
    """Return the name of an application that no section names: the first part of its module."""
    if "mounts" in settings and settings["mounts"] is setting:
        return "app"
    text = str(setting.value)
    if "file" in settings and settings["file"] is setting:
        text = os.path.basename(text)
    name = re.split(r"[.:(]", text)[0]
    return name if tomlfile.APP_NAME.fullmatch(name) else "app"


def make(command: Settings, environment: Mapping[str, str], cwd: Path) -> Configuration:
    """Return the configuration.

    Parameters
    ----------
    command
        The settings of the command line.
    environment
        The environment, with ``PENSTOCK_`` variables and others.
    cwd
        The folder in which penstock was started.

    Raises
    ------
    ConfigurationError
        With every problem that was found.
    """
    return _Maker(command, environment, cwd).make()
