"""The plan of the house, where import-linter has no contract for it: names, sizes, quiet imports, the third wall."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median

import spiritsafe

PACKAGE = Path(spiritsafe.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Reports every write and every connection that an import makes. Compiled kernels and bytecode are kept in
# caches beside the code; those are no results of ours.
WATCH = """
import sys, pkgutil, importlib
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        print(event, args)
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        if "__pycache__" not in str(args[0]) and str(args[0]) != "/dev/null":
            print(event, args)
import duckdb, jinja2, numba, numpy, pyarrow.parquet, rich.console, scipy.stats, typer, graspologic_native
sys.addaudithook(watch)
import spiritsafe
for module in pkgutil.walk_packages(spiritsafe.__path__, "spiritsafe."):
    importlib.import_module(module.name)
"""


def test_no_file_is_long_and_most_are_short():
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text("utf-8").splitlines())
        for path in FILES
        if path.name != "__init__.py"
    }
    # What a stranger copies and reads alone is one file, which imports nothing of ours (ADR 17).
    assert lengths.pop("cases/verify.py") <= 650
    assert {name: length for name, length in lengths.items() if length > 400} == {}
    assert median(lengths.values()) <= 200


def test_no_file_has_a_name_that_says_nothing():
    empty = {"utils", "common", "helpers", "manager", "core"}
    assert [path for path in FILES if empty & set(path.relative_to(PACKAGE).with_suffix("").parts)] == []


def test_verify_imports_the_standard_library_and_cryptography_only():
    # An outsider must be able to read cases/verify in one sitting.
    allowed = {*sys.stdlib_module_names, "cryptography"}
    for path in [*PACKAGE.glob("cases/verify.py"), *PACKAGE.glob("cases/verify/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "" if node.level == 0 else "a relative import"]
            assert {name.partition(".")[0] for name in names} <= allowed, (
                f"{path}:{getattr(node, 'lineno', 0)}"
            )


def test_import_writes_nothing_and_connects_nowhere():
    ended = subprocess.run([sys.executable, "-B", "-c", WATCH], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
