"""Tests the structure of the code base: types, docstrings, small files, labelled folders, no import circle."""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from store import records
from store.curation.training_settings import SetName

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "store", "reflectevo_tui")
FOLDERS = {"engine": 12, "store": 9, "reflectevo_tui": 10}
MODULES = {
    "engine": {"__main__", "errors"},
    "store": {"errors", "records", "workspace", "registry"},
    "reflectevo_tui": {"cli"},
}
"""Top level of each package: the number of folders, and the modules beside them, which every folder may import."""

LONGEST_FILE, MEDIAN_FILE = 350, 120
DOCUMENTED = 0.98


@cache
def files(*folders: str) -> tuple[Path, ...]:
    """Return every Python file of some folders of the checkout."""
    return tuple(sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, node: ast.expr | ast.stmt | ast.arg) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_function_says_what_it_returns() -> None:
    untyped = [
        f"{place(path, node)} {node.name}"
        for path in files(*PACKAGES, "tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is None
    ]
    assert not untyped, "\n".join(untyped)


def public(
    body: list[ast.stmt], within: str = ""
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Return the public classes, functions and methods of a module or class, with their dotted names."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            overload = any(ast.unparse(one).endswith("overload") for one in node.decorator_list)
            if not overload:
                yield within + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{within}{node.name}.")


def test_what_is_public_is_documented() -> None:
    """Modules, classes, functions and methods of the three packages."""
    documented: list[str] = []
    bare: list[str] = []
    for path in files(*PACKAGES):
        module = tree(path)
        if module.body:
            (documented if ast.get_docstring(module) else bare).append(str(path.relative_to(ROOT)))
        for name, node in public(module.body):
            (documented if ast.get_docstring(node) else bare).append(f"{place(path, node)} {name}")
    share = len(documented) / (len(documented) + len(bare))
    assert share >= DOCUMENTED, f"{share:.2%}\n" + "\n".join(bare)


def test_files_are_small() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files(*PACKAGES, "tests")}
    long = {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > LONGEST_FILE}
    assert not long
    assert statistics.median(lengths.values()) <= MEDIAN_FILE


def test_no_module_has_the_name_of_one_of_the_standard_library() -> None:
    """A module with such a name on the path would be imported in place of the other."""
    names = {path: path.parent.name if path.name == "__init__.py" else path.stem for path in files(*PACKAGES)}
    taken = sorted(str(path.relative_to(ROOT)) for path, name in names.items() if name in STANDARD)
    assert not taken


STANDARD = sys.stdlib_module_names - {"__main__"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_top_of_a_package_is_a_short_list(package: str) -> None:
    folders = [path for path in (ROOT / package).iterdir() if path.is_dir() and any(path.rglob("*.py"))]
    assert len(folders) == FOLDERS[package]
    assert {path.stem for path in (ROOT / package).glob("*.py")} <= MODULES[package] | {"__init__"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, known: Set[str]) -> set[str]:
    """Return our modules that a module imports, anywhere in it, including those under TYPE_CHECKING."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            for name in node.names:
                full = f"{node.module}.{name.name}"
                found.add(full if full in known else node.module)
    return found & known


def circles(graph: Mapping[str, Set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            at = stack.index(name)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                found.append(sorted(component))

    for name in sorted(graph):
        if name not in number:
            visit(name)
    return found


def test_imports_form_no_circle() -> None:
    known = {module_name(path): path for path in files(*PACKAGES)}
    graph = {name: imports(path, known.keys()) - {name} for name, path in known.items()}
    assert sum(map(len, graph.values())) > len(graph), "the graph is that of the packages"
    assert circles(graph) == []


def test_a_circle_would_be_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


CLOSED = {
    "state": "StageState, IterationState, PolicyState or RunState",
    "stage": "StageName",
    "stages": "StageName",
    "gate": "GateName",
    "control": "Control",
    "verdict": "Verdict",
    "set_name": "SetName",
    "directive": "DirectiveKind",
    "setting": "TrainingSetting",
    "slot": "Slot",
}
"""Names of parameters and fields that hold a word of a closed set, and its type."""

FREE = {
    ("store/records.py", "setting"): "of a policy: a training setting, or where the policy came from",
    ("store/runs/policies.py", "setting"): "as above",
    ("store/records.py", "state"): "of a heartbeat: what the process says of itself, to be read by an operator",
    ("store/control/telemetry.py", "state"): "as above",
    ("engine/stages/context.py", "state"): "as above",
    ("reflectevo_tui/commands/control.py", "stage"): "from a command line, before the engine validates it",
    ("reflectevo_tui/commands/exchange.py", "setting"): "from a command line, before the engine validates it",
    ("reflectevo_tui/report/paper_results.py", "setting"): "the setting as the paper's table writes it",
}


def test_a_word_of_a_closed_set_is_no_bare_string() -> None:
    """A misspelt state is then an error of the type checker."""
    bare = [
        f"{where} {name}: {ast.unparse(annotation)}; it is {CLOSED[name]}"
        for path in files(*PACKAGES)
        for name, annotation, where in annotated(path)
        if name in CLOSED and (str(path.relative_to(ROOT)), name) not in FREE and holds_str(annotation)
    ]
    assert not bare, "\n".join(bare)


def annotated(path: Path) -> Iterator[tuple[str, ast.expr, str]]:
    """Return the annotated parameters, fields and attributes of a module."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.arg) and node.annotation is not None:
            yield node.arg, node.annotation, place(path, node)
        elif isinstance(node, ast.AnnAssign):
            target = node.target
            name = (
                target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""
            )
            yield name.lstrip("_"), node.annotation, place(path, node)


def holds_str(annotation: ast.expr) -> bool:
    """Check whether a value may be any string: `str`, `str | None`, `tuple[str, ...]`; not a mapping from strings."""
    if isinstance(annotation, ast.BinOp):
        return holds_str(annotation.left) or holds_str(annotation.right)
    if isinstance(annotation, ast.Subscript):
        container = ast.unparse(annotation.value)
        if container in ("tuple", "list", "set", "frozenset", "Sequence", "Iterable", "Collection", "Annotated"):
            inner = annotation.slice
            return any(holds_str(one) for one in (inner.elts if isinstance(inner, ast.Tuple) else [inner]))
        return False
    return isinstance(annotation, ast.Name) and annotation.id == "str"


WORDS: dict[str, frozenset[str]] = {
    "state": frozenset(
        word
        for kind in (records.StageState, records.IterationState, records.PolicyState, records.RunState)
        for word in get_args(kind)
    )
    | {"stale"},
    "control": frozenset(get_args(records.Control)),
    "verdict": frozenset(get_args(records.Verdict)),
    "gate": frozenset(get_args(records.GateName)),
    "set_name": frozenset(get_args(SetName)),
}
"""Types of the values that attributes and variables of these names are compared with. `stale` is a state of the engine.
"""


def test_membership_and_cases_name_words_that_exist() -> None:
    """mypy compares the types on both sides of `==`, but accepts any string in a tuple or a `case`."""
    wrong = [
        f"{where} {name}: {word!r}"
        for path in files(*PACKAGES)
        if path.parent.name != "sandbox"  # whose programs have other states
        for name, word, where in compared(path)
        if name in WORDS and word not in WORDS[name]
    ]
    assert not wrong, "\n".join(wrong)


def compared(path: Path) -> Iterator[tuple[str, str, str]]:
    """Return name, word and place of every `name in (word, …)` and of every `case word` of `match name`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            for part in ast.walk(node.comparators[0]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield last_name(node.left), part.value, place(path, node)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                for part in ast.walk(case.pattern):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield last_name(node.subject), part.value, place(path, node)


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
