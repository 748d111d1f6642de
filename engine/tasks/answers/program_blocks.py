"""Finds the program in a reply: which of its fenced blocks define what the tests call, and what those depend on.

Models show usage, output and earlier versions beside their program, and split it over several blocks. The program is
the last definition of each name that the tests call, with the blocks that define what it uses. Fences may be
indented, and written as ``` or ~~~. Nothing is run here; every block is parsed once.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LONGEST_PROGRAM = 100_000
"""Maximum number of characters of a text that is parsed as a program."""

_FENCE = re.compile(
    r"(?P<indent>[ \t]*)(?:[*+-][ \t]+|\d+[.)][ \t]+)?(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^`\n]*)$"
)
_INLINE = re.compile(r"```[ \t]*(?:python3?|py)?[ \t]*([^`\n]+?)[ \t]*```")
_PYTHON = frozenset({"", "python", "python3", "py", "py3", "python2", "pycon", "ipython"})
_WRAPPER = re.compile(r"^[ \t]*[<\[]/?(?:BEGIN|END|DONE|PYTHON|CODE|ANSWER|answer|code|python|solution)[>\]][ \t]*$")
_CODE_START = re.compile(
    r"(?:async\s+)?(?:def|class)\s+\w+|import\s+\w|from\s+[\w.]+\s+import\b|@\w"
    r"|[A-Za-z_]\w*(?:\s*:\s*\w+)?\s*=\s*\S"
)
_CODE_LINE = re.compile(
    r"\s|$|#|[)\]}]|(?:if|elif|else|for|while|try|except|finally|with|return|raise|assert|print|del|global|pass)\b.*"
    r"|[A-Za-z_][\w.]*\s*(?:\(|\[|[-+*/%|&]?=)"
)
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__", "self"}


@dataclass(frozen=True)
class Block:
    """One piece of Python in a reply."""

    source: str
    defines: frozenset[str]
    """Names that it binds at its top level."""
    uses: frozenset[str]
    """Names that it loads anywhere and does not bind itself."""


def fenced_blocks(reply: str) -> list[str]:
    """Return the contents of the fenced blocks that are Python or name no language, in order, without their
    indentation.

    An unclosed last block extends to the end of the reply. A single pass over the lines.
    """
    blocks: list[str] = []
    lines: list[str] = []
    opened: re.Match[str] | None = None
    for line in reply.split("\n"):
        match = _FENCE.match(line)
        if opened is None:
            if match is not None:
                opened, lines = match, []
            continue
        fence = opened.group("fence")
        if match is not None and match.group("fence").startswith(fence) and not match.group("language").strip():
            blocks += _of(opened, lines)
            opened = None
        else:
            lines.append(line)
    if opened is not None:
        blocks += _of(opened, lines)
    return blocks or [match.group(1) for match in _INLINE.finditer(reply)]


def has_fence(reply: str) -> bool:
    """Check whether a reply has a fenced block of any language."""
    return any(_FENCE.match(line) for line in reply.split("\n"))


def has_unclosed_fence(reply: str) -> bool:
    """Check whether a reply ends inside a fenced block."""
    opened: str | None = None
    for line in reply.split("\n"):
        if (match := _FENCE.match(line)) is None:
            continue
        if opened is None:
            opened = match.group("fence")
        elif match.group("fence").startswith(opened) and not match.group("language").strip():
            opened = None
    return opened is not None


def choose_program(sources: Sequence[str], called: frozenset[str]) -> str | None:
    """Choose the program among the blocks of a reply.

    Args:
        sources: the blocks in order.
        called: the names that the tests call.

    Returns:
        The last blocks that define the called names, after the blocks that define what they use; if no block defines a
        called name, the last block that defines anything, else the last block. None if there are no blocks.
    """
    full = [source for source in sources if source.strip()]
    if not full:
        return None
    parsed = [(source, block_of(source)) for source in full]
    blocks = [block for _, block in parsed if block is not None]
    wanted = {name: last for name in called if (last := _last(blocks, name)) is not None}
    if wanted:
        chosen = set(wanted.values())
    else:
        defining = [index for index, block in enumerate(blocks) if block.defines]
        if not defining:
            return full[-1]
        if (broken := [source for source, block in parsed if block is None and _names(source, called)]) and called:
            return broken[-1]
        chosen = {defining[-1]}
    used = _closure(blocks, chosen)
    return "\n\n".join(blocks[index].source for index in used)


def without_wrappers(reply: str) -> str:
    """Return a reply without lines such as `[BEGIN]` and `[DONE]`, with which models enclose a program."""
    return "\n".join(line for line in reply.split("\n") if not _WRAPPER.match(line))


def unfenced_program(reply: str) -> str | None:
    """Return the program of a reply without fences: the lines from its first definition or import to the first line
    that is no code. None if they are not Python, or define nothing."""
    lines = reply.split("\n")
    start = next((number for number, line in enumerate(lines) if _CODE_START.match(line.lstrip())), None)
    if start is None:
        return None
    indent = len(lines[start]) - len(lines[start].lstrip())
    taken: list[str] = []
    for line in lines[start:]:
        bare = line[indent:] if not line[:indent].strip() else line
        if not (_CODE_LINE.match(bare) or _CODE_START.match(bare)):
            break
        taken.append(bare)
    source = "\n".join(taken).rstrip()
    block = block_of(source)
    return source if block is not None and block.defines else None


def block_of(source: str) -> Block | None:
    """Parse a piece of Python; None if it is none, or too long."""
    tree = parsed_program(source)
    if tree is None:
        return None
    bound = frozenset(name for node in tree.body for name in _bound(node))
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return Block(source, bound, frozenset(loaded - bound - stored - arguments - _BUILTINS))


def parsed_program(text: str) -> ast.Module | None:
    """Parse a text as Python; None if it is none, or longer than `LONGEST_PROGRAM`."""
    if len(text) > LONGEST_PROGRAM:
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def called_names(tests: Iterable[str]) -> frozenset[str]:
    """Return the names that tests use and do not define: the functions and classes that a program has to define."""
    found: set[str] = set()
    for test in tests:
        if (block := block_of(test)) is not None:
            found |= block.uses
    return frozenset(found)


def _of(opened: re.Match[str], lines: Sequence[str]) -> list[str]:
    language = opened.group("language").strip().split(" ", 1)[0].strip("{}.").casefold()
    if language.partition(":")[0] not in _PYTHON:
        return []
    source = textwrap.dedent("\n".join(lines)) if opened.group("indent") or _indented(lines) else "\n".join(lines)
    if source.lstrip().startswith(">>> "):
        source = "\n".join(line[4:] for line in source.split("\n") if line.startswith((">>> ", "... ")))
    return [source] if source.strip() else []


def _indented(lines: Sequence[str]) -> bool:
    first = next((line for line in lines if line.strip()), "")
    return first[:1] in (" ", "\t")


def _last(blocks: Sequence[Block], name: str, before: int | None = None) -> int | None:
    places = [index for index, block in enumerate(blocks[:before]) if name in block.defines]
    return places[-1] if places else None


def _closure(blocks: Sequence[Block], chosen: set[int]) -> list[int]:
    """Return the chosen blocks after those that define what they use, the nearest earlier definition first."""
    ordered = sorted(chosen)
    needed: list[int] = []
    waiting = [(index, name) for index in ordered for name in sorted(blocks[index].uses)]
    while waiting:
        index, name = waiting.pop()
        if any(name in blocks[taken].defines for taken in (*ordered, *needed)):
            continue
        place = _last(blocks, name, index)
        if place is None:
            place = _last(blocks, name)
        if place is not None:
            needed.append(place)
            waiting += [(place, other) for other in sorted(blocks[place].uses)]
    return [*sorted(set(needed)), *ordered]


def _names(source: str, called: frozenset[str]) -> bool:
    return any(re.search(rf"\b(?:def|class)\s+{re.escape(name)}\b", source) for name in called)


def _bound(node: ast.stmt) -> Iterable[str]:
    """Yield the names that a statement binds at the top level of a program."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        if isinstance(node.target, ast.Name):
            yield node.target.id
    elif isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.stmt):
                yield from _bound(inner)
