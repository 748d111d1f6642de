"""Lineage screen: the tree of policies and a paired comparison of two of them; promote, reject, roll back, branch."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message

from reflectevo_tui.screens.base.framed_screen import FramedScreen
from reflectevo_tui.screens.dialogs.confirm import ConfirmDialog
from reflectevo_tui.screens.dialogs.gate import VERBS, PolicyDirective, ended_iteration_text
from reflectevo_tui.state.messages import DirectiveWanted, TrajectoriesWanted, TrajectoryWanted, WorkFailed
from reflectevo_tui.state.policy_comparison import Compared, read_comparison
from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.state.store_query import ask_store
from reflectevo_tui.text import display, formatting
from reflectevo_tui.widgets.comparison_lines import comparison_lines, flip_line
from reflectevo_tui.widgets.lineage_tree import LineageTree, measured_words
from reflectevo_tui.widgets.paged_list import ListedRow, PagedList
from reflectevo_tui.widgets.policy_facts import PolicyPanel
from store.errors import OperatorError
from store.evaluation.comparisons import Turn
from store.records import GateName, Iteration, Policy
from store.rollouts.trajectories import TrajectoryFilter
from store.runs.lineage import LineageNode, answer_trajectory, common_protocols, lineage
from store.runs.policies import REFLECTOR_POLICY
from store.workspace import Workspace

MARK_TWO = """\
Mark two policies with space: the first is A, the second B.

⏎ opens the answers of the policy under the cursor."""


def start_of(nodes: Sequence[LineageNode]) -> int | None:
    """Return the id of the policy the next iteration starts from: the newest promoted reasoner."""
    promoted = [
        node.policy.id for node in nodes if node.policy.state == "promoted" and "reasoner" in node.policy.roles.split()
    ]
    return max(promoted, default=None)


class LineageScreen(FramedScreen):
    """The tree at the top; comparison and flips below it."""

    mode: ClassVar[str] = "lineage"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark A/B"),
        Binding("enter", "open", "open"),
        Binding("tab", "switch_pane", "flips"),
        Binding("P", "decide('promote')", "promote"),
        Binding("R", "decide('reject')", "reject"),
        Binding("Z", "decide('rollback')", "roll back"),
        Binding("B", "decide('branch')", "branch"),
        Binding("t", "turn", "turn 1/2", show=False),
        Binding("o", "protocol", "protocol", show=False),
        Binding("a", "open_side(0)", "A's answer to the flip", show=False),
        Binding("b", "open_side(1)", "B's answer to the flip", show=False),
        Binding("x", "unmark", "clear marks", show=False),
    ]

    class TreeRead(Message):
        """Posted when the policies of the run were read."""

        def __init__(self, run_id: int, nodes: list[LineageNode]) -> None:
            super().__init__()
            self.run_id = run_id
            self.nodes = nodes

    class ComparisonRead(Message):
        """Posted when the comparison of two policies was computed."""

        def __init__(self, number: int, compared: Compared) -> None:
            super().__init__()
            self.number = number
            self.compared = compared

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._policies: list[LineageNode] = []
        self._snapshot: Snapshot | None = None
        self._marks: list[int] = []
        self._turn: Turn = "t2"
        self._protocol = 0
        self._number = 0
        self._compared: Compared | None = None
        self._stale = True

    def compose_body(self) -> ComposeResult:
        """Compose tree, comparison and flips."""
        yield LineageTree()
        with Horizontal(id="lineage-lower"):
            yield PolicyPanel("Side by side", id="comparison", classes="panel")
            yield PagedList("Flips", "The questions that only one of the two answers right.", id="flips")

    def on_mount(self) -> None:
        """Focus the tree."""
        super().on_mount()
        self.query_one(LineageTree).focus()
        self._show_comparison()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Reload the tree when the store has changed."""
        super().show_snapshot(snapshot)
        self._snapshot, self._stale = snapshot, True
        if not self._policies:
            self.tick()

    def tick(self) -> None:
        """Reload a changed tree, at most once per second."""
        super().tick()
        if self._stale and self._snapshot is not None and self._snapshot.run is not None:
            self._stale = False
            self._read_tree(self._snapshot.run.id)

    @work(thread=True, exclusive=True, group="tree")
    def _read_tree(self, run_id: int) -> None:
        try:
            nodes = ask_store(self.workspace, lambda connection: lineage(connection, run_id))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the lineage can't be read: {error}"))
            return
        self.post_message(self.TreeRead(run_id, nodes))

    @on(TreeRead)
    def _tree_arrived(self, message: TreeRead) -> None:
        known = {node.policy.id for node in message.nodes}
        self._policies = message.nodes
        self._marks = [mark for mark in self._marks if mark in known]
        self._show_tree()
        self._moved()

    def _show_tree(self) -> None:
        tree = self.query_one(LineageTree)
        tree.show_nodes(self._policies, self._marks, start_of(self._policies))
        run = self._snapshot.run if self._snapshot else None
        name = f"Policies of {run.name} · {len(self._policies)}" if run else "Policies"
        measured = measured_words(self._policies, tree.size.width)
        tree.set_title(display.line((name, "bold"), (f"  ◀ the next iteration starts here{measured}", "$quiet")))

    @on(LineageTree.Moved)
    def _moved(self) -> None:
        if len(self._marks) < 2:
            self._show_comparison()

    def _policy(self) -> Policy | None:
        node = self.query_one(LineageTree).node
        return node.policy if node else None

    def action_mark(self) -> None:
        """Mark the policy under the cursor for comparison; a third mark replaces the older second one."""
        policy = self._policy()
        if policy is None:
            return
        if policy.id in self._marks:
            self._marks.remove(policy.id)
        else:
            self._marks = [*self._marks[:1], policy.id]
        self._protocol = 0
        self._show_tree()
        self._compare()

    def action_unmark(self) -> None:
        """Clear the marks."""
        self._marks = []
        self._show_tree()
        self._compare()

    def _compare(self) -> None:
        by_id = {node.policy.id: node for node in self._policies}
        self._number += 1
        self._compared = None
        if len(self._marks) == 2:
            first, second = by_id[self._marks[0]], by_id[self._marks[1]]
            shared = common_protocols(first, second)
            if shared:
                protocol = shared[self._protocol % len(shared)]
                self.query_one("#comparison", PolicyPanel).show_lines([display.line(("comparing …", "$quiet"))])
                self._read_comparison(self._number, first, second, protocol)
                return
        self._show_comparison()

    @work(thread=True, exclusive=True, group="comparison")
    def _read_comparison(self, number: int, first: LineageNode, second: LineageNode, protocol: str) -> None:
        def question(connection: sqlite3.Connection) -> Compared:
            return read_comparison(connection, first, second, protocol)

        try:
            self.post_message(self.ComparisonRead(number, ask_store(self.workspace, question)))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the policies can't be compared: {error}"))

    @on(ComparisonRead)
    def _comparison_arrived(self, message: ComparisonRead) -> None:
        if message.number == self._number:
            self._compared = message.compared
            self._show_comparison()

    def _show_comparison(self) -> None:
        panel, flips = self.query_one("#comparison", PolicyPanel), self.query_one("#flips", PagedList)
        compared = self._compared
        if compared is None:
            words, node = MARK_TWO, self.query_one(LineageTree).node
            if len(self._marks) == 2:
                words, node = "These two were not measured under a common protocol.\n\nx clears the marks.", None
            panel.set_title(display.line("Policy" if node else "Side by side"))
            hints = [display.line((one, "$quiet")) for one in words.split("\n")]
            if node:
                panel.tell(node, hints)
            else:
                panel.show_lines(hints)
            flips.set_title(display.line("Flips"))
            flips.show_rows(())
            return
        names = compared.first.policy.name, compared.second.policy.name
        split = compared.second.measured[compared.protocol].split
        others = len(common_protocols(compared.first, compared.second)) - 1
        panel.set_title(
            display.line(
                "Side by side", (f" · on {split} questions{' · o compares others' if others else ''}", "$quiet")
            )
        )
        sides = (compared.first, compared.second)
        metrics = tuple(node.measured[compared.protocol].metrics for node in sides)
        panel.show_lines(
            comparison_lines(
                *names, compared.protocol, compared.differences, (metrics[0], metrics[1]), noise=compared.noise
            )
        )
        found = compared.differences.get(("", self._turn))
        rows = []
        for gained, questions in ((True, found.gained if found else ()), (False, found.lost if found else ())):
            rows += [
                ListedRow(question, flip_line(compared.pairs[question], self._turn, gained)) for question in questions
            ]
        turn = "turn 1" if self._turn == "t1" else "turn 2"
        title = f"Flips at {turn} · {formatting.count(len(rows))}"
        flips.set_title(display.line((title, "bold"), ("  ⏎ b B's answer · a A's · t turn", "$quiet")))
        flips.say_empty(
            "Both answer the same questions right." if compared.pairs else "No question was answered by both."
        )
        flips.show_rows(rows)

    def action_turn(self) -> None:
        """Show the flips of the other turn."""
        self._turn = "t1" if self._turn == "t2" else "t2"
        self._show_comparison()

    def action_protocol(self) -> None:
        """Compare under another protocol that both policies were evaluated with."""
        self._protocol += 1
        self._compare()

    @on(PagedList.Opened)
    def _flip_opened(self) -> None:
        self.action_open_side(1)

    def action_open_side(self, side: int) -> None:
        """Open the answer of policy A or B to the question of the selected flip."""
        question, compared = self.query_one("#flips", PagedList).key, self._compared
        if question is not None and compared is not None:
            node = (compared.first, compared.second)[side]
            self._find_answer(node.policy.id, compared.protocol, question)

    @work(thread=True, exclusive=True, group="answer")
    def _find_answer(self, policy_id: int, protocol: str, question_id: int) -> None:
        try:
            found = ask_store(
                self.workspace, lambda connection: answer_trajectory(connection, policy_id, protocol, question_id)
            )
        except OperatorError as error:
            self.post_message(WorkFailed(f"the answer can't be found: {error}"))
            return
        self.post_message(
            TrajectoryWanted(found)
            if found is not None
            else WorkFailed(f"no trajectory of question {question_id} is stored for this policy")
        )

    def action_open(self) -> None:
        """Open the trajectories of the policy under the cursor."""
        policy = self._policy()
        if policy is not None:
            self.post_message(TrajectoriesWanted(TrajectoryFilter(policy=policy.id)))

    def action_switch_pane(self) -> None:
        """Switch between tree and flips; on a small terminal the flips replace the comparison."""
        flips, tree = self.query_one("#flips", PagedList), self.query_one(LineageTree)
        self.set_class(not flips.has_focus, "-flips")
        (tree if flips.has_focus else flips).focus()

    def _closes_iteration(self, policy: Policy) -> bool:
        snapshot = self._snapshot
        if snapshot is None or snapshot.child is None:
            return False
        return snapshot.gate == "promote" and snapshot.child.id == policy.id

    def _waiting(self) -> tuple[Iteration, GateName] | None:
        """Return the iteration of this run that waits at a gate, and that gate."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.iteration is None or snapshot.gate is None:
            return None
        return snapshot.iteration, snapshot.gate

    def action_decide(self, kind: PolicyDirective) -> None:
        """Promote, reject, roll back to or branch from the selected policy; irreversible actions need confirmation."""
        policy = self._policy()
        if policy is None:
            return
        wanted = DirectiveWanted(kind, {"policy": policy.id})
        question, name, waiting = "", policy.name, self._waiting()
        if kind in ("promote", "reject") and self._closes_iteration(policy):
            question = (
                f"{kind.capitalize()} {name}?\n\nThe iteration is waiting for this decision and will end with it."
            )
        elif waiting is not None and (kind == "rollback" or kind == "branch"):
            iteration, gate = waiting
            wanted = DirectiveWanted(kind, {"policy": policy.id, "put_aside": iteration.id, "stage": gate})
            question = ended_iteration_text(kind, name, iteration.title, gate)
        elif kind == "rollback":
            later = [
                node.policy.name
                for node in self._policies
                if node.policy.id > policy.id
                and node.policy.state == "promoted"
                and node.policy.name != REFLECTOR_POLICY
            ]
            undone = f"\nThis rejects {', '.join(later)}, promoted later." if later else ""
            question = f"Roll back to {name}?\n\nThe next iteration starts from it.{undone}"
        elif kind == "branch":
            question = f"Branch from {name}?\n\nA new iteration starts from it now, with the run's settings."
        if not question:
            self.post_message(wanted)
            return

        def decided(yes: bool | None) -> None:
            if yes:
                self.post_message(wanted)

        self.app.push_screen(ConfirmDialog(question, VERBS.get(kind, kind)), decided)
