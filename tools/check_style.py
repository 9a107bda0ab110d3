#!/usr/bin/env python3
"""Fail when C code outgrows its limits.

    check_style.py [DIR...]

No function takes more than 6 parameters, and nothing is left to be done later. Outside of tests,
whose functions may hold long tables of cases, no function is longer than 100 lines, and no object
outlives the functions that use it unless it is constant. It reads what clang-format has laid out:
the braces of a function's body stand alone in the first column.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_LINES = 100
MAX_PARAMETERS = 6
FOLDERS = ("src", "tests/unit", "tests/fuzz")

# Objects that CPython's interface wants without const.
CPYTHON_TABLES = re.compile(
    r"\bPy(MethodDef|MemberDef|GetSetDef|Type_Slot|Type_Spec|ModuleDef|ModuleDef_Slot)\b"
)
LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
NOISE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)
FUNCTION = re.compile(r"^((?:[A-Za-z_][^;{}\n]*\n)(?:[ \t][^;{}]*\n)?)\{\n(.*?)^\}", re.M | re.S)
LOCAL_STATIC = re.compile(r"^[ \t]+(static [^;{]*)", re.MULTILINE)
BRACES = re.compile(r"\{[^{}]*\}")
NO_OBJECT = re.compile(r"(typedef|extern|_Static_assert|static_assert)\b")
TYPE_ONLY = re.compile(r"(?:struct|union|enum)(?: \w+)?(?: ?\{\})?|\w*")
POINTER_TO_FUNCTION = re.compile(r"[\w *]*\(\*")


def erase(match: re.Match[str]) -> str:
    """Return spaces and line ends in the place of the match, so that positions stay."""
    return re.sub(r"[^\n]", " ", match[0])


def parameters(signature: str) -> int:
    """Count the parameters of a function's signature."""
    signature = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", signature, flags=re.DOTALL).rstrip()
    depth, commas = 0, 0
    for char in reversed(signature):
        depth += (char in ")]") - (char in "([")
        commas += char == "," and depth == 1
        if depth == 0:
            break
    inside = signature[signature.rfind("(") + 1 :].strip(" )\n")
    return 0 if commas == 0 and inside in {"", "void"} else commas + 1


def mutable(declaration: str) -> bool:
    """Tell whether a declaration of static duration makes an object that can change."""
    head = declaration.split("=")[0].strip()
    if not head or NO_OBJECT.match(head) or CPYTHON_TABLES.search(head):
        return False
    if TYPE_ONLY.fullmatch(head) or ("(" in head and not POINTER_TO_FUNCTION.match(head)):
        return False  # a type; a prototype, a function, a macro's call
    of_pointer = head.rpartition("*")[2] if "*" in head and "[" not in head else head
    return not re.search(r"\bconst\b", of_pointer)


def static_objects(text: str) -> Iterator[tuple[int, str]]:
    """Yield position and text of each declaration of static duration."""
    for found in LOCAL_STATIC.finditer(text):
        yield found.start(1), found[1]
    while BRACES.search(text):
        text = BRACES.sub(lambda m: re.sub(r"[^\n]", "\x01", m[0]), text)
    text = re.sub(r"\)\s*\x01[\x01\n]*", lambda m: ")" + m[0][1:-1] + ";", text)
    position = 0
    for part in text.split(";"):
        body = re.sub(r"\x01[\x01\n]*", "{}", part)
        yield position + len(part) - len(part.lstrip()), " ".join(body.split())
        position += len(part) + 1


def faults(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and complaint for each fault of a file."""
    raw = path.read_text(encoding="utf-8")
    text = DIRECTIVE.sub(erase, NOISE.sub(erase, raw))

    def line(position: int) -> int:
        return text.count("\n", 0, position) + 1

    of_test = "tests" in path.parts
    for found in LATER.finditer(raw):
        yield line(found.start()), f"{found[0]}: do it now, or file it"
    for found in FUNCTION.finditer(text):
        lines = found[0].count("\n") + 1
        if lines > MAX_LINES and not of_test:
            yield line(found.start()), f"function of {lines} lines, more than {MAX_LINES}"
        if (count := parameters(found[1])) > MAX_PARAMETERS:
            yield line(found.start()), f"function of {count} parameters, more than {MAX_PARAMETERS}"
    for position, declaration in static_objects(text):
        if mutable(declaration) and not of_test:
            yield line(position), f"an object that can change: {declaration[:60]}"


def main() -> int:
    """Check the folders named on the command line, or ours."""
    root = Path(__file__).parent.parent
    count = 0
    for folder in sys.argv[1:] or [str(root / name) for name in FOLDERS]:
        for path in sorted(p for p in Path(folder).rglob("*") if p.suffix in {".c", ".h"}):
            for number, complaint in faults(path):
                print(f"{path}:{number}: {complaint}")
                count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
