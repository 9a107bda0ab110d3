"""The gate of tools/check_style.py lets nothing past its limits, and complains of nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "check_style.py"


def complaints(folder: Path, text: str) -> str:
    (folder / "a.c").write_text(text)
    done = subprocess.run(
        [sys.executable, TOOL, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == (1 if done.stdout else 0), done.stderr
    return done.stdout


def function(lines: int, parameters: str = "void") -> str:
    return f"int f({parameters})\n{{\n" + "    g();\n" * (lines - 3) + "}\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (function(101), "a.c:1: function of 101 lines"),
        (function(9, "int a, int b, int c, int d, int (*e)(int, int), int g, int h"), "of 7 param"),
        ("\n\nstatic int counter;\n", "a.c:3: an object that can change: static int counter"),
        ("int counter = 3;\n", "int counter"),
        ("static const char *name;\n", "static const char *name"),
        ("static int (*hook)(int);\n", "static int (*hook)(int)"),
        ("static struct ops ops = {\n    .a = f,\n};\n", "static struct ops ops"),
        ("void f(void)\n{\n    static int calls;\n}\n", "a.c:3: an object that can change"),
        ("/* TO" + "DO: later */\n", "do it now, or file it"),
    ],
)
def test_what_passes_a_limit_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in complaints(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        function(100),
        function(9, "int a, int b, int c, int d, int (*e)(int, int), int g"),
        "static const int three = 3;\n",
        'static const char *const names[] = {"a", "b"};\n',
        "static const struct ops ops = {\n    .a = f,\n    .b = {1, 2},\n};\n",
        "struct later;\nstruct thing {\n    int a;\n};\n",
        "enum e { A, B };\ntypedef int (*fn)(int);\n",
        "extern int other;\nint f(int (*g)(int));\n",
        "static PyMethodDef methods[] = {{0}};\n",
        "void f(void)\n{\n    static const int table[] = {1};\n}\n",
        '_Static_assert(sizeof(int) == 4, "an int; has four bytes");\n',
    ],
)
def test_what_keeps_the_limits_passes(tmp_path: Path, text: str) -> None:
    assert complaints(tmp_path, text) == ""
