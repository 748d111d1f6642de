"""Gate dialog: what waits, what the next stages will do and with which settings; approve, reject or keep waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from reflectevo_tui.screens.dialogs.confirm import ConfirmDialog
from reflectevo_tui.screens.dialogs.policy import PolicyDialog
from reflectevo_tui.state.gate_settings import dump_changes, settings_ahead
from reflectevo_tui.state.messages import DirectiveWanted, WorkFailed
from reflectevo_tui.state.promotion_facts import PromotionFacts
from reflectevo_tui.state.snapshot import AccuracyPoint, GateFacts, Snapshot, read_gate
from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display, formatting
from reflectevo_tui.widgets.comparison_lines import TURNS, comparison_lines, flip_line
from store.curation.training_settings import SET_TITLES, SetName
from store.database.connection import reading
from store.errors import OperatorError
from store.evaluation.comparisons import Difference
from store.evaluation.floors import floor_and_position
from store.records import DirectiveKind, GateName, JsonObject, Policy, StageName
from store.workspace import Workspace

GateDecision = Literal["approve", "reject", "skip"]

FLIPS_SHOWN = 12
"""Number of flips of each kind, gained or lost at a turn, that the dialog lists."""


def curation_lines(counts: Mapping[SetName, Mapping[str, int]]) -> list[Content]:
    """Format the number of rows in each set and the reasons for the excluded ones."""
    lines = []
    for name, reasons in counts.items():
        total = sum(reasons.values())
        lines.append(
            display.line(
                (f"{SET_TITLES[name]:<6}", "bold"),
                (f"{formatting.count(reasons.get('included', 0)):>8}", "bold $success"),
                f" of {formatting.count(total)} included",
            )
        )
        for reason, n in reasons.items():
            if reason != "included":
                lines.append(display.line((f"      {formatting.count(n):>8} left out: {reason}", "$quiet")))
    return lines


def skip_words(gate: GateName, stages: Sequence[StageName]) -> str:
    """Return the confirmation question for skipping a stage, naming everything that is skipped with it."""
    if gate == "evaluate":
        return "Skip the evaluation?\n\nYou then decide on the child without a comparison."
    behind = stages[stages.index(gate) + 1 :]
    return (
        f"Skip {gate}?\n\nThis also skips {', '.join(behind)}, and the iteration ends without a child.\n"
        "Its data is kept, and its parent stays the current policy. To continue from another one: Z or B."
    )


PolicyDirective = Literal["promote", "reject", "rollback", "branch"]
"""The directives that concern a policy of the lineage."""

LeavingKind = Literal["rollback", "branch"]
"""The directives that abandon a waiting iteration."""

VERBS: Mapping[DirectiveKind, str] = {"rollback": "roll back", "branch": "branch"}
"""Verb for each directive, as shown in questions and key hints."""


def ended_iteration_text(kind: LeavingKind, policy: str, iteration: str, gate: GateName) -> str:
    """Return the confirmation question for leaving a waiting iteration: its outcome, and what runs next."""
    if kind == "rollback":
        head = f"Roll back to {policy}?"
        after = (
            f"Policies promoted after {policy} and this iteration's child are rejected.\n"
            f"The next iteration starts from {policy}."
        )
    else:
        head, after = f"Branch from {policy}?", f"A new iteration with the same settings starts from {policy} now."
    return (
        f"{head}\n\n{iteration.capitalize()} is ended here, at gate {gate}: it can't be resumed, "
        f"its data stays available.\n\n{after}"
    )


def accuracy_line(role: str, point: AccuracyPoint | None) -> Content:
    """Format Acc@t1 and Acc@t2 of a policy with their intervals."""
    if point is None:
        return display.line(f"{role:<7}", ("not evaluated", "$quiet"))
    shown = [
        formatting.interval(metric.get("value"), metric.get("low"), metric.get("high"))
        for metric in (point.first, point.second)
    ]
    return display.line(f"{role:<7}", (f"{point.policy:<5}", "bold"), f"Acc@t1 {shown[0]}  Acc@t2 {shown[1]}")


def promotion_lines(snapshot: Snapshot, found: PromotionFacts | None) -> list[Content]:
    """Format child against parent by task, and the questions that only one of the two answers right."""
    if found is None or snapshot.parent is None or snapshot.child is None:
        return []
    questions = f"{found.split} questions, {found.protocol.partition('/')[0]}"
    lines = [
        display.line(),
        *comparison_lines(snapshot.parent.name, snapshot.child.name, questions, found.differences, narrow=True),
    ]
    flips = [
        flip_line(found.pairs[question], turn, gained)
        for turn in (one for one, _ in TURNS)
        for gained in (True, False)
        for question in _flipped(found.differences.get(("", turn)), gained=gained)[:FLIPS_SHOWN]
    ]
    every = sum(len(one.gained) + len(one.lost) for (task, _), one in found.differences.items() if not task)
    if flips:
        more = f", {len(flips)} of {every} shown; all are on 5 Lineage" if len(flips) < every else ""
        lines += [display.line(), display.line(("Flips", "bold"), (f"  right for only one of the two{more}", "$quiet"))]
    return lines + flips


def _flipped(difference: Difference | None, *, gained: bool) -> tuple[int, ...]:
    if difference is None:
        return ()
    return difference.gained if gained else difference.lost


def floor_line(point: AccuracyPoint | None) -> list[Content]:
    """Format the floor of a policy's Acc@t2 and its own retry without a reflection; no line without an oracle."""
    if point is None or not point.oracle:
        return []
    retry = formatting.percent(point.retry.get("value")) if point.retry else "not measured"
    words = f"{floor_and_position(point.second, point.floor)} · own retry {retry}"
    return [display.line(f"{'':<12}", (words, "$quiet"))]


def gate_lines(snapshot: Snapshot, gate: GateName, facts: GateFacts | None) -> list[Content]:
    """Return everything that the dialog shows above the settings."""
    note = next((stage.note for stage in snapshot.stages if stage.name == gate), "")
    lines = [display.line(note)] if note else []
    # At the gate of a stage, the reason for waiting is the note of the stage, which is already shown.
    if gate == "promote" and snapshot.iteration is not None and snapshot.iteration.reason:
        lines += [display.line(part) for part in snapshot.iteration.reason.split("; ")]
    if facts is None:
        return [*lines, display.line(("reading …", "$quiet"))]
    if gate == "promote":
        lines.append(display.line())
        for role, point in (("parent", facts.parent), ("child", facts.child)):
            lines += [accuracy_line(role, point), *floor_line(point)]
        if facts.gain:
            lines += [display.line(), display.line(facts.gain)]
        lines += promotion_lines(snapshot, facts.promotion)
    elif gate == "train":
        counted = curation_lines(facts.curation)
        lines += [display.line(), *(counted or [display.line(("no examples yet", "$quiet"))])]
    if facts.ahead:
        lines += [display.line(), display.line(("Ahead", "bold"))]
        lines += [display.line(f"  {name:<10}", (words, "$quiet")) for name, words in facts.ahead]
    return lines


class GateDialog(Dialog[GateDecision | None]):
    """Closes with `approve`, `reject` (promote gate only), `skip` (stages only), or None to keep waiting."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "approve", "approve"),
        Binding("r", "reject", "reject (promote only)"),
        Binding("s", "skip", "skip this stage (asks first)"),
        Binding("e", "edit", "edit the settings ahead"),
        Binding("Z", "leave_for('rollback')", "roll back to an earlier policy (asks first)"),
        Binding("B", "leave_for('branch')", "branch from a policy (asks first)"),
        Binding("escape,q", "leave", "close; the gate keeps waiting"),
    ]

    class FactsRead(Message):
        """Posted when the facts behind the gate were read."""

        def __init__(self, facts: GateFacts) -> None:
            super().__init__()
            self.facts = facts

    def __init__(self, snapshot: Snapshot, gate: GateName, workspace: Workspace) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._gate = gate
        self._workspace = workspace

    def compose(self) -> ComposeResult:
        """Compose title, facts, settings and keys."""
        iteration = self._snapshot.iteration
        settings = settings_ahead(iteration.settings, self._gate) if iteration else ""
        number = iteration.number if iteration else 0
        other = ("r", "reject") if self._gate == "promote" else ("s", "skip")
        keys = (("a", "approve"), other, ("e", "settings"), ("Z", "roll back"), ("B", "branch"), ("esc", "close"))
        with Vertical(classes="dialog dialog-large"):
            yield Static(
                display.line(("◆ GATE ", "bold reverse $warning"), (f"  {self._gate} · iteration {number}", "bold")),
                markup=False,
            )
            with VerticalScroll(id="gate-body"):
                yield Static(display.stacked(gate_lines(self._snapshot, self._gate, None)), id="facts", markup=False)
                yield Static(display.line(("Settings ahead", "bold")), classes="gap-above", markup=False)
                yield Static(display.text(settings.rstrip(), "$quiet"), id="gate-settings", markup=False)
            yield Static(
                display.joined(display.line((key, "bold $accent"), f" {words}  ") for key, words in keys),
                classes="dialog-keys",
                markup=False,
            )

    def on_mount(self) -> None:
        """Focus the text and read the facts in the background."""
        self.query_one("#gate-body").focus()
        self._read()

    @work(thread=True)
    def _read(self) -> None:
        try:
            with reading(self._workspace.database) as connection:
                self.post_message(self.FactsRead(read_gate(connection, self._snapshot, self._workspace)))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the facts behind the gate can't be read: {error}"))

    @on(FactsRead)
    def _show(self, message: FactsRead) -> None:
        content = display.stacked(gate_lines(self._snapshot, self._gate, message.facts))
        self.query_one("#facts", Static).update(content)

    def action_approve(self) -> None:
        """Approve the gate."""
        self.dismiss("approve")

    def action_reject(self) -> None:
        """Reject the child policy; possible at the promote gate only."""
        if self._gate == "promote":
            self.dismiss("reject")

    def action_skip(self) -> None:
        """Skip the stage after confirmation, because this is irreversible."""
        if self._gate == "promote":
            return

        def decided(yes: bool | None) -> None:
            if yes:
                self.dismiss("skip")

        words = skip_words(self._gate, [stage.name for stage in self._snapshot.stages])
        self.app.push_screen(ConfirmDialog(words, "skip"), decided)

    def action_leave_for(self, kind: LeavingKind) -> None:
        """Leave the iteration and continue from another policy: select it, then confirm."""
        iteration = self._snapshot.iteration
        if iteration is None:
            return
        arguments = {"put_aside": iteration.id, "stage": self._gate}
        child = iteration.child_id if kind == "rollback" else None

        def chosen(policy: Policy | None) -> None:
            if policy is not None:
                words = ended_iteration_text(kind, policy.name, iteration.title, self._gate)
                self.app.push_screen(ConfirmDialog(words, VERBS[kind]), lambda yes: decided(policy.id) if yes else None)

        def decided(policy_id: int) -> None:
            self.app.post_message(DirectiveWanted(kind, {"policy": policy_id, **arguments}))
            self.dismiss(None)

        title = "Roll back to" if kind == "rollback" else "Branch from"
        self.app.push_screen(PolicyDialog(self._workspace, iteration.run_id, title, leave_out=child), chosen)

    def action_edit(self) -> None:
        """Change the settings of the remaining stages."""
        from reflectevo_tui.screens.dialogs.settings import SettingsDialog
        from reflectevo_tui.state.settings_form import open_keys

        iteration = self._snapshot.iteration
        if iteration is None:
            return

        def changed(changes: JsonObject | None) -> None:
            if changes:
                self.app.post_message(DirectiveWanted("set_settings", {"iteration": iteration.id, "settings": changes}))
                words = display.text(f"sent to the engine:\n\n{dump_changes(changes)}")
                self.query_one("#gate-settings", Static).update(words)

        self.app.push_screen(
            SettingsDialog(iteration.settings, open_keys(self._snapshot.stages, iteration.kind)), changed
        )

    def action_leave(self) -> None:
        """Close and keep the gate waiting."""
        self.dismiss(None)
