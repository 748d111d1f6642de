"""The analysis of controls in a report: the sentence, the table of the arms and the notes, of one policy or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reflectevo_tui.report.document import Block, Paragraph, Table
from reflectevo_tui.text.control_words import control_rows, dependence_line, judgement_lines, remarks

_HEAD = ("Arm", "In place of the reflection", "Right (95 % interval)", "n", "own − this, points (95 % interval)")


def analysis_blocks(name: str, title: str, results: Mapping[str, Any]) -> list[Block]:
    """Return the sentence, the table of the arms with the given title, and the notes, of one policy or several."""
    rows = tuple((row.arm, row.stands, row.share, row.n, row.difference) for row in control_rows(results))
    blocks: list[Block] = [
        Paragraph(f"{name}: {results['analysis']['sentence']}."),
        Table(_HEAD, rows, labels=2, title=title),
        Paragraph(f"{name}: {dependence_line(results)}. {_holm(results)}", "note"),
    ]
    lines = [*judgement_lines(results), *remarks(results)]
    if lines:
        blocks.append(Paragraph("; ".join(lines) + ".", "note"))
    return blocks


def _holm(results: Mapping[str, Any]) -> str:
    """Return the corrected p values of the primary differences in words."""
    found = [
        f"own − {name} {one['p_holm']:.3f}"
        for name, one in results["analysis"]["primary"].items()
        if one["p_holm"] is not None
    ]
    return f"p, corrected for the three differences by Holm's method: {', '.join(found)}." if found else ""
