"""Detects reflections on a programming task that contain a program which solves it.

Two programs are equal if they parse to the same tree, regardless of comments, docstrings and layout. A program that the
attempt already contains is no leak, because it failed. Independent of the sandbox: a caller that can run programs
passes a predicate.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator

Solves = Callable[[str], bool]
"""Predicate that is true if a candidate answer is correct, e.g. if a program passes the tests of its question."""

_LONGEST_PARSED = 20_000
_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_QUOTED = re.compile(r"```([^\n`]+)```|`([^`\n]+)`")
_DEFINITION = re.compile(r"(?m)^([ \t>*-]*)((?:async[ \t]+)?def|class)[ \t]+(\w+)\b.*$")
_INLINE_DEFINITION = re.compile(r"\b(?:def[ \t]+(\w+)[ \t]*\(|class[ \t]+(\w+)[ \t]*[:(]|(\w+)[ \t]*=[ \t]*lambda\b)")
_BODY = re.compile(
    r"\bdef[ \t]+\w+[ \t]*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*(?:->[^:\n]+)?:(.*)"
    r"|\bclass[ \t]+\w+[ \t]*(?:\([^)]*\))?:(.*)"
    r"|=[ \t]*lambda\b[^:]*:(.*)",
    re.DOTALL,
)
_COMMENT = re.compile(r"(?m)#.*$")


def states_program(
    text: str, reference: str, *, question_text: str, attempt_text: str, solves: Solves | None = None
) -> bool:
    """Check whether a text contains the reference program, or one that defines the names which the question requests.

    Args:
        text: the reflection.
        reference: the reference program.
        question_text: the rendered question.
        attempt_text: the attempt that is reflected on; its programs are ignored.
        solves: if given, a program that defines the requested names counts only if it passes this predicate.
    """
    failed = {_form(program) for program in programs(attempt_text)}
    found = [program for program in programs(text) if _form(program) not in failed]
    wanted = _form(reference)
    compact = _squeezed(reference)
    if any(_form(program) == wanted for program in found) or (compact and compact in _squeezed(text)):
        return True
    names = asked_names(reference, question_text)
    solving = [program for program in found if names & defined_names(program) and _has_body(program)]
    return any(map(solves, solving)) if solves is not None else bool(solving)


def asked_names(reference: str, question_text: str) -> frozenset[str]:
    """Return the functions and classes that a question requests: those of the reference that the question mentions,
    e.g. in a test; all of them if it mentions none."""
    defined = defined_names(reference)
    named = frozenset(name for name in defined if re.search(rf"\b{re.escape(name)}\b", question_text))
    return named or defined


def defined_names(program: str) -> frozenset[str]:
    """Return the names of the functions and classes that a program defines, including lambdas bound to a name."""
    return frozenset(name for groups in _INLINE_DEFINITION.findall(program) for name in groups if name)


def programs(text: str) -> Iterator[str]:
    """Yield the programs in a text: fenced blocks, quoted code, and definitions without any markup."""
    for match in _FENCE.finditer(text):
        yield match.group(1)
    rest = _FENCE.sub("\n", text)
    for match in _QUOTED.finditer(rest):
        yield match.group(1) or match.group(2)
    yield from _plain_definitions(_QUOTED.sub(" ", rest))


def _plain_definitions(text: str) -> Iterator[str]:
    """Yield definitions with their bodies: the following lines that are blank or indented deeper."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = _DEFINITION.match(line)
        if match is None:
            continue
        indent = len(match.group(1))
        block = [" " * indent + line[indent:]]
        for following in lines[number + 1 :]:
            if following.strip() and len(following) - len(following.lstrip()) <= indent:
                break
            block.append(following)
        yield textwrap.dedent("\n".join(block)).rstrip()


def _has_body(program: str) -> bool:
    """Check whether a definition has a body; false for a mere signature, as in "`def area(r):` ignores r"."""
    match = _BODY.search(_COMMENT.sub("", program))
    body = next((part for part in match.groups() if part), "") if match else ""
    return body.strip() not in ("", "pass", "...", "…")


def _form(program: str) -> str:
    """Return a canonical form that equal programs share: the tree without docstrings, or for text that does not parse,
    the text without comments and spacing."""
    source = textwrap.dedent(program.replace("\r\n", "\n")).strip()
    if len(source) <= _LONGEST_PARSED:
        try:
            with warnings.catch_warnings():
                # Programs written by models often contain invalid escapes, which cause warnings.
                warnings.simplefilter("ignore")
                tree = ast.parse(source)
                for node in ast.walk(tree):
                    _drop_docstring(node)
                return ast.dump(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return _squeezed(source)


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or len(node.body) < 2:
        return
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:]


def _squeezed(program: str) -> str:
    return "".join(_COMMENT.sub("", program).split())
