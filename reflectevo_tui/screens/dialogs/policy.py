"""Dialog that selects a policy of a run: lists name, training setting, state and measured accuracy."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from reflectevo_tui.state.messages import WorkFailed
from reflectevo_tui.state.store_query import ask_store
from reflectevo_tui.terminal.immediate_repaint import Dialog
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.lineage_tree import APART
from store.errors import OperatorError
from store.evaluation.floors import FLOOR, floor_value
from store.evaluation.held_out_answers import is_oracle
from store.records import Policy
from store.runs.lineage import LineageNode, lineage
from store.workspace import Workspace


def policy_parts(node: LineageNode) -> tuple[Part, ...]:
    """Format name, setting, state and Acc@t2."""
    policy = node.policy
    second = node.shown.metrics.get("acc_t2") if node.shown else None
    value = second.get("value") if second else None
    words = "not measured"
    if node.shown is not None and value is not None:
        floor = f", floor {floor_value(node.shown.metrics.get(FLOOR))}" if is_oracle(node.shown.protocol) else ""
        words = f"Acc@t2 {formatting.percent(value)}{floor}{f' {APART}' if node.apart else ''}"
    return (
        (f"{display.fitted(policy.name, 10)}  ", "bold"),
        f"{display.fitted(policy.setting, 16)}  {policy.state:<10} ",
        (words, "$quiet"),
    )


class PolicyDialog(Dialog[Policy | None]):
    """Closes with a reasoner policy, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "cancel")]

    class PoliciesRead(Message):
        """Posted when the policies of the run were read."""

        def __init__(self, nodes: list[LineageNode]) -> None:
            super().__init__()
            self.nodes = nodes

    def __init__(self, workspace: Workspace, run_id: int, title: str, *, leave_out: int | None = None) -> None:
        super().__init__()
        self._workspace = workspace
        self._run_id = run_id
        self._title = title
        self._leave_out = leave_out
        self._policies: list[Policy] = []

    def compose(self) -> ComposeResult:
        """Compose the list of policies and the keys."""
        with Vertical(classes="dialog"):
            yield Static(display.text(self._title, "bold"), markup=False)
            yield OptionList(id="policies", markup=False)
            yield Static(
                display.line(("⏎", "bold $accent"), " OK   ", ("esc", "bold $accent"), " cancel"),
                classes="dialog-keys",
                markup=False,
            )

    def on_mount(self) -> None:
        """Focus the list."""
        self.query_one(OptionList).focus()
        self._read()

    @work(thread=True)
    def _read(self) -> None:
        try:
            nodes = ask_store(self._workspace, lambda connection: lineage(connection, self._run_id))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the policies can't be read: {error}"))
            return
        self.post_message(self.PoliciesRead(nodes))

    @on(PoliciesRead)
    def _arrived(self, message: PoliciesRead) -> None:
        offered = [
            node
            for node in message.nodes
            if "reasoner" in node.policy.roles.split() and node.policy.id != self._leave_out
        ]
        self._policies = [node.policy for node in offered]
        choices = self.query_one(OptionList)
        choices.add_options([Option(display.line(*policy_parts(node))) for node in offered])
        choices.highlighted = 0 if offered else None

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._policies[event.option_index])

    def action_leave(self) -> None:
        """Close without a selection."""
        self.dismiss(None)
