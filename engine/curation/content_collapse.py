"""Warns when reflections stop naming anything of their question, or only repeat earlier ones.

Pure; independent of the database.
"""

from __future__ import annotations

from typing import TypeGuard

from engine.curation.diversity import FEWEST, LOSS, joined
from engine.curation.task_shares import Drop, Shares, overall


def content_warning(novel: Shares, least: float, grounded_drop: Drop | None, novel_drop: Drop | None) -> str | None:
    """Return a warning if few reflections are novel, or the grounded or novel share fell.

    A fall counts when the share is below 70 % of the previous iteration's and the difference exceeds sampling noise.

    Args:
        novel: novel reflections of this iteration.
        least: the smallest novel share without a warning (`curation.collapse_novel`).
        grounded_drop: the grounded share compared with the previous iteration's; None without one.
        novel_drop: the same of the novel share, measured against equally many neighbours.
    """
    share, measured = overall(novel), sum(one.measured for one in novel.values())
    signs = []
    if _fell(grounded_drop):
        signs.append(
            f"the share that names something of its question or attempt fell from {grounded_drop.then:.0%} to "
            f"{grounded_drop.now:.0%}"
        )
    if share is not None and measured >= FEWEST and share < least:
        signs.append(
            f"{share:.0%} differ from the previous iteration's and the worked examples', fewer than {least:.0%}"
        )
    elif _fell(novel_drop):
        signs.append(
            "the share that differs from the previous iteration's and the worked examples' fell from "
            f"{novel_drop.then:.0%} to {novel_drop.now:.0%}"
        )
    if not signs:
        return None
    return (
        f"the reflections of this iteration are losing their content: {joined(signs)}. "
        "Read some of them, vary the worked examples, draw more instructions, or start from an earlier policy"
    )


def _fell(found: Drop | None) -> TypeGuard[Drop]:
    return found is not None and found.certain and found.now < LOSS * found.then
