"""Tests rules of the package that reviewers need not check: light imports, and no unescaped text in a widget."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import reflectevo_tui

PACKAGE = Path(reflectevo_tui.__file__).parent
HEAVY = ("torch", "transformers", "vllm", "trl", "peft", "datasets", "pandas", "numpy", "engine")
DRAWING = [
    PACKAGE / "app" / "app.py",
    *sorted((PACKAGE / "screens").rglob("*.py")),
    *sorted((PACKAGE / "widgets").glob("*.py")),
]


def test_the_terminal_loads_nothing_heavy() -> None:
    code = (
        "import sys, pkgutil, importlib, store, reflectevo_tui.app\n"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(store.__path__, 'store.')]\n"
        "from reflectevo_tui.widgets import metric_chart\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_first_frame_needs_no_settings_and_no_review() -> None:
    """Their models take a fifth of the start-up time to build; a gate, a form or an estimate loads them."""
    code = (
        "import sys, reflectevo_tui.app\n"
        "late = ('pydantic', 'tomlkit', 'store.settings', 'store.estimates.estimate', 'store.curation.review_queue')\n"
        "print([m for m in late if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert ran.stdout.strip() == "[]"


def calls(path: Path) -> Iterator[ast.Call]:
    """Return every call in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def name_of(call: ast.Call) -> str:
    """Return the name of the called object: `Static`, or the attribute of `self.notify`."""
    function = call.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def is_safe_argument(node: ast.expr) -> bool:
    """Check for a literal, or a value returned by `display`."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return node.func.value.id == "display"
    return False


@pytest.mark.parametrize("path", DRAWING, ids=lambda path: path.name)
def test_text_reaches_widgets_only_through_display(path: Path) -> None:
    for call in calls(path):
        name, where = name_of(call), f"{path.name}:{call.lineno}"
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if name in ("Static", "Label", "OptionList", "notify"):
            markup = keywords.get("markup")
            assert isinstance(markup, ast.Constant) and markup.value is False, f"{where}: {name} without markup=False"
        if name in ("Static", "Label", "Option") and call.args:
            assert is_safe_argument(call.args[0]), f"{where}: {name} with text that did not pass display"
        assert name not in ("from_markup", "Content", "Markdown", "RichLog", "Log"), f"{where}: {name} bypasses display"
        if name == "Text":
            assert is_safe_argument(call.args[0]), f"{where}: rich text that did not pass display"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_no_sql_and_no_engine_in_the_terminal(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not any(name.split(".")[0] in HEAVY for name in names), f"{path.name}: {names}"
    for word in ("SELECT * ", "INSERT INTO", " SET ", "DELETE FROM", '.execute("S', "PRAGMA "):
        assert word not in source, f"{path.name} holds SQL"


@pytest.mark.parametrize("path", DRAWING[1:], ids=lambda path: path.name)
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 350


def test_the_application_stays_small() -> None:
    assert len((PACKAGE / "app" / "app.py").read_text(encoding="utf-8").splitlines()) <= 350
