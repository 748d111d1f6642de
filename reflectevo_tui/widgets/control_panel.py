"""The panel "Does the reflection help?": the sentence that the controls allow, and the shares of their arms."""

from __future__ import annotations

from textual.content import Content

from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.text import display
from reflectevo_tui.text.control_words import TITLE, control_rows, dependence_line, judgement_lines, remarks, short_line
from reflectevo_tui.widgets.line_panel import LinePanel
from store.rollouts.control_results import ControlResults

_STYLES = {"helps": "bold $success", "below-guessing": "bold $error"}
_GLYPHS = {"helps": "▲", "asked-again": "=", "below-guessing": "▼", "cannot-tell": "?"}


def control_lines(found: ControlResults) -> list[Content]:
    """Format the panel. The first two lines are complete by themselves, for a small terminal."""
    results = found.results
    analysis = results["analysis"]
    conclusion = analysis["conclusion"]
    style = _STYLES.get(conclusion, "bold")
    lines = [
        display.line((f"{_GLYPHS.get(conclusion, '?')} ", style), (analysis["sentence"], style)),
        display.line((short_line(results), "$quiet")),
        display.line((f"{'arm':<18}{'right':>22}  {'own − this (points)':>24}", "$quiet")),
    ]
    lines += [
        display.line((f"{row.arm:<18}", "bold" if row.arm == "own" else ""), f"{row.share:>22}  {row.difference:>24}")
        for row in control_rows(results)
    ]
    lines.append(display.line((dependence_line(results), "$quiet")))
    lines += [display.line((words, "$quiet")) for words in (*judgement_lines(results), *remarks(results))]
    return lines


class ControlPanel(LinePanel):
    """Shows the newest controls of the child policy, or of its parent."""

    def __init__(self) -> None:
        super().__init__(TITLE, id="controls", classes="panel")
        self._shown: tuple[int, float] | None = None

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot."""
        found = snapshot.controls
        if found is None or self._shown == (found.policy_id, found.created):
            return
        self._shown = found.policy_id, found.created
        self.set_title(display.line(f"{TITLE} {found.policy}"))
        self.show_lines(control_lines(found))
