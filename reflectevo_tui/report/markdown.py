"""Writes a document as Markdown. Charts become a sentence with their numbers; only the HTML page draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reflectevo_tui.report.document import Bars, Block, Cell, Chart, Document, Facts, Heat, Paragraph, Table, Verbatim
from reflectevo_tui.report.escaping import as_fence, as_markdown
from reflectevo_tui.report.formatting import ratio


def to_markdown(document: Document) -> str:
    """Return the complete document as Markdown."""
    parts = [f"# {as_markdown(document.title)}", *_blocks(document.lead)]
    for section in document.sections:
        parts += [f"## {as_markdown(section.title)}", *_blocks(section.blocks)]
    return "\n\n".join(parts) + "\n"


def _blocks(blocks: Iterable[Block]) -> Iterable[str]:
    for block in blocks:
        yield from _block(block)


def _block(block: Block) -> Iterable[str]:
    if isinstance(block, Paragraph):
        text = as_markdown(block.text)
        yield f"> **Note:** {text}" if block.tone == "warning" else text
    elif isinstance(block, Facts):
        yield "\n".join(f"- **{as_markdown(name)}:** {as_markdown(value)}" for name, value in block.rows)
    elif isinstance(block, Table):
        if block.title:
            yield f"**{as_markdown(block.title)}**"
        yield _table(block.head, block.rows, block.labels)
    elif isinstance(block, Bars):
        yield f"**{as_markdown(block.title)}** (of {block.total:,})"
        parts = [(name, f"{n:,}", ratio(n, block.total)) for name, n in block.rows]
        yield _table(("", "Rows", "Share"), parts, 1)
    elif isinstance(block, Heat):
        rows = [(row, *(_heat(block.cells.get((row, column))) for column in block.columns)) for row in block.rows]
        yield _table((block.corner, *block.columns), rows, 1)
    elif isinstance(block, Chart):
        yield f"**{as_markdown(block.title)}** (drawn in the HTML report): {as_markdown(block.summary)}"
    elif isinstance(block, Verbatim):
        if block.label:
            yield f"{as_markdown(block.label)}:"
        yield as_fence(block.text)
    else:
        yield f"**{as_markdown(block.title)}**"
        yield from _blocks(block.blocks)


def _heat(cell: tuple[int, int] | None) -> str:
    return "–" if cell is None or not cell[1] else f"{ratio(*cell)} ({cell[0]}/{cell[1]})"


def _table(head: Sequence[str], rows: Iterable[Sequence[Cell]], labels: int) -> str:
    def line(cells: Iterable[Cell]) -> str:
        return "| " + " | ".join(as_markdown(str(cell)) for cell in cells) + " |"

    marks = ["---" if position < labels else "---:" for position in range(len(head))]
    return "\n".join([line(head), f"| {' | '.join(marks)} |", *map(line, rows)])
