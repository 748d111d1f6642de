"""Tests that the facts about a setting, a generator or a kind of task are stated only in its registry entry.

A comparison with a name in other code is a fact that a new entry can't state, and one more file to change.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.tasks import TASK_TYPES
from engine.training.row_kinds import ROW_KINDS
from store.curation.training_settings import TRAINING_SETTINGS
from store.registry import Registry
from store.settings.generation import GENERATORS
from store.settings.tasks import TASK_SECTIONS

ROOT = Path(__file__).parents[1]
NAMES = {*TRAINING_SETTINGS, *GENERATORS, *TASK_TYPES}
HOLD_ENTRIES = {
    "engine/generation/__init__.py": "what makes each generator",
    "store/settings/presets.py": "known datasets by name, one of which is called `math`",
    "store/estimates/inputs.py": "published accuracies by the paper's tasks",
}
"""Modules that may use these names as keys: they define entries."""

ELSEWHERE = {
    "engine/models/quiet_libraries.py": "asks whether the library transformers is loaded",
    "engine/training/scripted.py": "`scripted` is a key of `policy.json`",
}
"""Modules in which such a word has another meaning."""


def sources() -> Iterator[Path]:
    """Return every module of the three packages."""
    for package in ("engine", "store", "reflectevo_tui"):
        yield from sorted((ROOT / package).rglob("*.py"))


def strings(node: ast.AST) -> Iterator[str]:
    """Return the strings in an expression itself, in a tuple, list or set of it, or in an f-string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for one in node.elts:
            yield from strings(one)
    elif isinstance(node, ast.JoinedStr):
        for one in node.values:
            yield from strings(one)


def named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Return line and name of every comparison, case or table key with the name of an entry."""
    for node in ast.walk(tree):
        found: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            found = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            found = [node.value]
        elif isinstance(node, ast.Dict):
            found = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("frozenset", "set"):
            found = list(node.args)
        for expression in found:
            yield from ((expression.lineno, text) for text in strings(expression) if text in NAMES)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_but_its_entry_knows_a_name(path: Path) -> None:
    place = str(path.relative_to(ROOT))
    found = list(named(ast.parse(path.read_text(encoding="utf-8"))))
    if place in HOLD_ENTRIES or place in ELSEWHERE:
        assert found, f"{place} names no entry any more; take it off the list"
    else:
        assert found == [], f"{place} asks for a name; ask the entry for what it says of itself"


@pytest.mark.parametrize(
    "code",
    [
        "if kind == 'code': pass",
        "if kind != 'code': pass",
        "if setting in ('sft-qa', 'dpo-judge'): pass",
        "if 'vllm' not in usable: pass",
        "match kind:\n    case 'math': pass",
        "_SET_OF = {'dpo-verdict': 'd_pm'}",
        "GRADED = frozenset({'free_text'})",
    ],
)
def test_every_form_of_asking_is_found(code: str) -> None:
    """A check that overlooks a form would let it return."""
    assert list(named(ast.parse(code)))


def test_the_two_halves_of_an_entry_agree() -> None:
    """A kind of task has settings; a training setting has rows that some builder produces."""
    assert set(TASK_TYPES) == set(TASK_SECTIONS)
    assert {entry.rows for entry in TRAINING_SETTINGS.values()} <= set(ROW_KINDS)


def test_a_registry_keeps_its_order_and_refuses_a_name_twice() -> None:
    registry: Registry[int] = Registry("colour", {"green": 1})
    registry.register("red", 2)
    assert list(registry) == ["green", "red"] and registry["red"] == 2 and len(registry) == 2
    with pytest.raises(ValueError, match="there is a colour 'red' already"):
        registry.register("red", 3)
    assert registry.unknown("gren") == "there is no colour 'gren'; did you mean 'green'?"
    assert registry.unknown("x") == "there is no colour 'x'; use green, red"
    registry.unregister("red")
    assert "red" not in registry and registry.get("red") is None
    with pytest.raises(KeyError):
        registry.unregister("red")
