"""Tests that every private name of a library in use is listed in docs/dependencies.md, and exists as written.

The table in that page is the list. A release of Textual or TRL that renames or changes one of them fails here first,
with the name, instead of as a screen that stays empty.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("reflectevo_tui", "store", "engine")
DOCUMENTED = {"_exit", "_getframe", "_replace", "_asdict", "_fields", "_make"}
"""Names that the documentation of Python makes public in spite of the underscore."""
NAMED_BY_STRING = {"getattr", "hasattr", "setattr", "delattr"}
NOT_A_LIBRARY = {"builtins", "typing", "enum", "abc"}

_ROW = re.compile(r"^\| `(?P<name>[\w.]+)` \| (?:(?P<attribute>attribute)|`(?P<parameters>[\w, ]+)`)? ?\|")


def _listed() -> dict[str, tuple[str, ...] | None]:
    """Return dotted names with the parameters of each (without `self`); None for an attribute."""
    _, _, section = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").partition("## Private names in use")
    found = [match for line in section.splitlines() if (match := _ROW.match(line))]
    return {
        row["name"]: None if row["attribute"] else tuple(filter(None, (row["parameters"] or "").split(", ")))
        for row in found
    }


LISTED = _listed()
NAMES = {part for name in LISTED for part in name.split(".") if part.startswith("_")}


def _is_private(name: str) -> bool:
    return re.fullmatch(r"_[A-Za-z]\w*", name) is not None and not name.endswith("__")


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def _defined_in(path: Path) -> frozenset[str]:
    """Return the private names that a file defines: functions, classes, variables, and attributes set on `self`."""
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            names.add(node.attr)
    return frozenset(filter(_is_private, names))


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _used_in(path: Path) -> Iterator[tuple[str, int]]:
    """Return the private names that a file uses on objects other than `self`, or imports; with the line."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Attribute) and not _is_self(node.value):
            yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield from ((name, node.lineno) for name in (node.module or "").split("."))
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((name, node.lineno) for alias in node.names for name in alias.name.split("."))
        elif isinstance(node, ast.Call) and _name_of(node.func) in NAMED_BY_STRING:
            for given in node.args[:2]:
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    yield given.value.rpartition(".")[2], node.lineno


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _owner_of(dotted: str) -> Any:
    """Return the module or class that a listed name belongs to. Skips the test where its library isn't installed."""
    parts = dotted.split(".")[:-1]
    pytest.importorskip(parts[0])
    owner = importlib.import_module(parts[0])
    for done, part in enumerate(parts[1:], 1):
        if not hasattr(owner, part):
            importlib.import_module(".".join(parts[: done + 1]))
        owner = getattr(owner, part)
    return owner


@functools.cache
def _private_names_of(cls: type) -> frozenset[str]:
    """Return the private names of a class itself, including those that its methods set on `self`."""
    names = set(vars(cls))
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):
        return frozenset(filter(_is_private, names))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            names.add(node.attr)
    return frozenset(filter(_is_private, names))


def _names_in_class(cls: type) -> set[str]:
    """Return the private names that the source of one of our classes defines, or uses on `self` or `super()`."""
    names: set[str] = set()
    [source] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(source, ast.ClassDef)
    for node in source.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)} | {getattr(node, "name", "")}
    for node in ast.walk(source):
        of_base = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call)
        if isinstance(node, ast.Attribute) and (of_base or _is_self(node.value)):
            names.add(node.attr)
    return set(filter(_is_private, names))


def test_the_table_is_read() -> None:
    assert len(LISTED) > 20
    assert LISTED["textual.app.App._display"] == ("screen", "renderable")
    assert LISTED["asyncio.Queue._get"] == ()
    assert LISTED["sys._base_executable"] is None


@pytest.mark.parametrize("dotted", LISTED)
def test_a_listed_name_exists_as_it_is_used(dotted: str) -> None:
    owner, name, parameters = _owner_of(dotted), dotted.rpartition(".")[2], LISTED[dotted]
    if parameters is not None:
        found = [one for one in inspect.signature(getattr(owner, name)).parameters if one != "self"]
        assert tuple(found) == parameters, f"{dotted} takes other parameters: see who overrides or calls it"
    elif inspect.isclass(owner):
        assert any(name in _private_names_of(cls) for cls in owner.__mro__), f"{dotted} is gone: see who uses it"
    else:
        assert hasattr(owner, name), f"{dotted} is gone: see who uses it"


def test_no_other_private_name_of_a_library_is_used() -> None:
    """A private name on anything but `self` is defined in the same file, or listed; tests may read ours."""
    ours = frozenset().union(*(_defined_in(path) for path in _files(*PACKAGES, "tests")))
    unlisted = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in _files(*PACKAGES, "tests")
        for name, line in _used_in(path)
        if _is_private(name)
        and name not in NAMES | DOCUMENTED
        and name not in (ours if path.is_relative_to(ROOT / "tests") else _defined_in(path))
    ]
    assert not unlisted, "use a public name, or add these to docs/dependencies.md:\n" + "\n".join(unlisted)


def test_every_listed_name_is_still_used() -> None:
    """An unused name must not hold an upgrade back."""
    used = {name for path in _files(*PACKAGES, "tests") for name, _ in _used_in(path)}
    used |= {name for path in _files(*PACKAGES) for name in _defined_in(path)}
    assert not NAMES - used


def test_no_class_of_ours_hides_a_private_name_of_its_library_base() -> None:
    """An attribute with the name of one of Textual's own would replace it silently."""
    pytest.importorskip("trl")
    hidden: list[str] = []
    for path in _files(*PACKAGES):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if path.stem == "__main__":
            continue
        module = importlib.import_module(name)
        for cls in vars(module).values():
            if not inspect.isclass(cls) or cls.__module__ != name:
                continue
            bases = [one for one in cls.__mro__ if one.__module__.partition(".")[0] not in {*PACKAGES, *NOT_A_LIBRARY}]
            taken = frozenset().union(*(_private_names_of(base) for base in bases))
            if bases:
                hidden += [f"{name}.{cls.__name__}.{one}" for one in _names_in_class(cls) & taken - NAMES - DOCUMENTED]
    assert not hidden, "rename these, or add them to docs/dependencies.md:\n" + "\n".join(sorted(hidden))
