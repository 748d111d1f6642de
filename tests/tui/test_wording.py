"""Tests the wording of all operator-visible text: no message, label or note uses a retired phrase.

It checks every string literal of the packages except docstrings: screens, dialogs, notifications, help and output of
the commands, findings, events, outcomes and errors. An f-string is read as one text, with `{}` for its values.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("reflectevo_tui", "engine", "store")

RETIRED = {
    # Phrases of earlier versions, each with its current replacement.
    r"seconds \(unknown:": "time unknown (not measured yet)",
    r"newer count at": "decisions not applied yet",
    r"\bleave it\b(?! out)": "cancel",
    r"\besc nothing\b|^ nothing$": "cancel",
    r"\bno change\b": "cancel",
    r"\btake it\b": "OK",
    r"take the changes": "apply",
    r"this word": "this decision",
    r"\b[Gg]o(es|ing)? on\b": "resumed, continues, keeps running",
    r"\b[Ll]ook in with\b|come back with": "open it with:",
    r"after \{\}: your decision": "promote {} over {}?",
    r"lost against": "worse than its parent",
    r"\btold apart\b": "no significant difference",
    r"\b(with|without) an oracle\b": "oracle protocol, oracle-free protocol",
    r"about to settle": "is still waiting for your decision on",
    r"\b[Pp]ut (it )?aside\b|taken up again|read and taken over": "ended here; it can't be resumed",
    r"an operator (promoted|rejected|gave)": "promoted by NAME",
    r"full stop change": "use , and .",
    r"^Kept; ": "Saved.",
    r"above: the last": "recent throughput (tokens/s)",
    r"What it takes": "Estimate",
    r"nobody measured": "not measured",
    r"^  by $": "generator:",
    r"hash (matches|differs)": "identical to what was sent",
    r"Prompt of the attempt": "Prompt of attempt 1",
    r"over the (cap|task share)\b": "above max_per_question",
    r"(chosen|rejected) partner": "no correct counterpart",
    r"\{\} worked examples": "counted(n, 'worked example')",
    r"^rolled back( to)?$": "rolled back to NAME",
    r"\bis noted\b": "queued",
    # Words that are not used in this sense in the field.
    r"\b(says|said|gives?|tells) (a|the|its) word\b|without a word": "plain verbs",
    r"(?<!`)\btold\b(?!`)": "plain verbs",  # `told` is the name of a control arm
    r"\bow(ed?|es)\b": "left to do",
    r"\blets? go of\b": "releases",
    r"\bstands (beside|in|at|on)\b": "is",
    r"\bin hand\b": "running work",
    r"\bof its own accord\b": "by itself",
    r"left as it (is|was)\b": "was not changed",
}
"""Pattern of a retired phrase, and its replacement."""

NO_MESSAGES = (
    # Prompts are versioned data: another word makes another prompt (PROMPT_VERSION).
    "engine/prompts/",
    # Released migrations: their comments are part of the schema.
    "store/database/schema",
)


def literals(file: Path) -> Iterator[tuple[int, str]]:
    """Return line and text of every string literal of a file except docstrings; `{}` stands for a filled-in value."""
    tree = ast.parse(file.read_text())
    ignored: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            ignored.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            ignored.update(id(part) for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in ignored:
            yield node.lineno, node.value


def is_message(text: str) -> bool:
    """Check whether people read it: more than one word. A single one is a key, a column or a name."""
    return " " in text.strip() or text.startswith(" ")


def found_in(file: Path) -> list[str]:
    """Return the retired phrases of a file, each with its place and its replacement."""
    return [
        f"{file.relative_to(ROOT)}:{line}: {text.strip()[:90]!r} → {instead}"
        for line, text in literals(file)
        if is_message(text)
        for pattern, instead in RETIRED.items()
        if re.search(pattern, text)
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_message_uses_a_retired_phrase(package: str) -> None:
    """New messages use the same terms as the existing ones."""
    files = sorted((ROOT / package).rglob("*.py"))
    looked_at = [file for file in files if not str(file.relative_to(ROOT)).startswith(NO_MESSAGES)]
    assert len(looked_at) > 20
    assert [line for file in looked_at for line in found_in(file)] == []


def test_the_search_sees_messages_and_only_those(tmp_path: Path) -> None:
    """Plain literals, f-strings and parts of calls; no docstring, no comment, no name."""
    file = tmp_path / "module.py"
    file.write_text(
        '"""It goes on."""\n'
        "# it goes on\n"
        'NAME = "goes_on"\n'
        "def f(title: str) -> str:\n"
        '    """It was told."""\n'
        '    say(f"{title} goes on", key="owed")\n'
        '    return "left; the engine " + "goes on"\n'
    )
    texts = list(literals(file))
    assert (6, "{} goes on") in texts and (7, "goes on") in texts and (6, "owed") in texts
    assert not any("It " in text or "# " in text for _, text in texts)
    assert not is_message("owed") and is_message("goes on") and is_message(" nothing")
