"""Writes a document as one self-contained HTML file: styles and pictures inline, no scripts, no network.

A content security policy in the page forbids scripts and requests even if a text got past the escaping.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

from reflectevo_tui.report.charts import draw
from reflectevo_tui.report.document import Bars, Block, Cell, Chart, Document, Facts, Heat, Paragraph, Table, Verbatim
from reflectevo_tui.report.escaping import as_html
from reflectevo_tui.report.formatting import NOT_MEASURED, Number, ratio

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def to_html(document: Document) -> str:
    """Return the complete HTML page."""
    style = files("reflectevo_tui.report").joinpath("page.css").read_text(encoding="utf-8")
    contents = "".join(
        f'<li><a href="#s{number}">{as_html(section.title)}</a></li>'
        for number, section in enumerate(document.sections, start=1)
    )
    sections = "\n".join(
        f'<section id="s{number}"><h2>{as_html(section.title)}</h2>{_blocks(section.blocks)}</section>'
        for number, section in enumerate(document.sections, start=1)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{as_html(document.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{as_html(document.title)}</h1>\n{_blocks(document.lead)}\n<nav><ol>{contents}</ol></nav>\n"
        f"{sections}\n</main>\n</body>\n</html>\n"
    )


def _blocks(blocks: Iterable[Block]) -> str:
    return "\n".join(_block(block) for block in blocks)


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f'<p class="{block.tone}">{as_html(block.text)}</p>'
    if isinstance(block, Facts):
        rows = "".join(f"<dt>{as_html(name)}</dt><dd>{as_html(value)}</dd>" for name, value in block.rows)
        return f"<dl>{rows}</dl>"
    if isinstance(block, Table):
        return _table(block.head, block.rows, block.labels, block.title)
    if isinstance(block, Bars):
        return _bars(block)
    if isinstance(block, Heat):
        return _heat(block)
    if isinstance(block, Chart):
        caption = f"{as_html(block.title)}: {as_html(block.summary)}"
        return f"<figure>{draw(block)}<figcaption>{caption}</figcaption></figure>"
    if isinstance(block, Verbatim):
        label = f"<h4>{as_html(block.label)}</h4>" if block.label else ""
        return f"{label}<pre>{as_html(block.text)}</pre>"
    return f"<details><summary>{as_html(block.title)}</summary>{_blocks(block.blocks)}</details>"


def _cell(cell: Cell, tag: str = "td", kind: str = "") -> str:
    if isinstance(cell, Number):
        aside = f"<small>{as_html(cell.aside)}</small>" if cell.aside else ""
        missing = " missing" if cell.value == NOT_MEASURED else ""
        return f'<{tag} class="number{missing}">{as_html(cell.value)}{aside}</{tag}>'
    missing = " missing" if cell == NOT_MEASURED else ""
    return f'<{tag} class="{kind}{missing}">{as_html(cell)}</{tag}>'


def _table(head: Sequence[str], rows: Iterable[Sequence[Cell]], labels: int, title: str) -> str:
    kinds = ["label" if position < labels else "number" for position in range(len(head))]
    heading = "".join(f'<th class="{kind}">{as_html(name)}</th>' for name, kind in zip(head, kinds, strict=True))
    body = []
    before: Cell = ""
    for row in rows:
        # A new first label starts a group; a repeated one is dimmed.
        begins = ' class="begins"' if before and row[0] != before else ""
        again = labels > 1 and row[0] == before
        shown = [f"{kind} again" if again and not place else kind for place, kind in enumerate(kinds)]
        cells = "".join(_cell(cell, kind=kind) for cell, kind in zip(row, shown, strict=True))
        body.append(f"<tr{begins}>{cells}</tr>")
        before = row[0]
    caption = f"<caption>{as_html(title)}</caption>" if title else ""
    return (
        f'<div class="wide"><table>{caption}<thead><tr>{heading}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _bars(bars: Bars) -> str:
    rows = []
    for name, n in bars.rows:
        share = 100 * n / bars.total if bars.total else 0
        kind = "kept" if name == "included" else "left"
        rows.append(
            f'<tr><td class="label">{as_html(name)}</td><td class="number">{n:,}</td>'
            f'<td class="number">{ratio(n, bars.total)}</td>'
            f'<td class="bar"><span class="{kind}" style="width:{share:.1f}%"></span></td></tr>'
        )
    return (
        f'<table class="bars"><caption>{as_html(bars.title)} (of {bars.total:,})</caption>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _heat(heat: Heat) -> str:
    heading = "".join(f'<th class="number">{as_html(column)}</th>' for column in heat.columns)
    body = []
    for row in heat.rows:
        cells = []
        for column in heat.columns:
            good, tried = heat.cells.get((row, column), (0, 0))
            if not tried:
                cells.append('<td class="number missing">–</td>')
                continue
            depth = 0.85 * good / tried
            cells.append(
                f'<td class="number" style="background:rgb(15 118 110 / {depth:.2f})'
                f'{";color:#fff" if depth > 0.65 else ""}">{ratio(good, tried)}<small>{good}/{tried}</small></td>'
            )
        body.append(f'<tr><td class="label">{as_html(row)}</td>{"".join(cells)}</tr>')
    return (
        f'<div class="wide"><table class="heat"><thead><tr><th class="label">{as_html(heat.corner)}</th>{heading}</tr>'
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
    )
