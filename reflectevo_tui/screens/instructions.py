"""Instructions screen: the yield of each reflection instruction in the pool, per task, with its wording."""

from __future__ import annotations

import sqlite3
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from reflectevo_tui.screens.base.iteration_screen import ITERATION_KEYS, IterationScreen
from reflectevo_tui.state.messages import TrajectoriesWanted, WorkFailed
from reflectevo_tui.state.store_query import ask_store
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.heatmap import Heatmap, key_parts
from reflectevo_tui.widgets.line_panel import LinePanel
from store.errors import OperatorError
from store.rollouts.instruction_yield import InstructionYield, instruction_wording, instruction_yields
from store.rollouts.trajectories import TrajectoryFilter
from store.workspace import Workspace

Yields = dict[str, dict[str, InstructionYield]]
"""Yields by task (the empty string stands for all tasks) and instruction key."""


def wording(key: str, pool: dict[str, list[str]]) -> str:
    """Return the sentences of an instruction."""
    parts = key_parts(key)
    if not pool or parts is None:
        return "The engine stores the wording when it starts: press 1, then e."
    found = []
    for name, number in zip(("verify", "locate", "plan"), parts, strict=True):
        sentences = pool.get(name, [])
        found.append(
            sentences[number - 1] if number <= len(sentences) else f"({name} {number}: a part of this run's own)"
        )
    return " ".join(found)


def tasks_line(tasks: list[str], chosen: str, where: str) -> Content:
    """Format the list of tasks, with the selected one highlighted."""
    parts: list[Part] = [(f" {where}  ", "bold")]
    for task in tasks:
        parts += [(f" {task or 'all tasks'} ", "bold reverse" if task == chosen else "$quiet"), " "]
    return display.line(*parts)


class InstructionsScreen(IterationScreen):
    """The heatmap, with the instruction under the cursor below it."""

    mode: ClassVar[str] = "instructions"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "task(1)", "next task"),
        Binding("shift+tab", "task(-1)", "previous task", show=False),
        Binding("enter", "open", "trajectories"),
        Binding("b", "best", "best"),
        *ITERATION_KEYS,
    ]

    class YieldsRead(Message):
        """Posted when the yields of an iteration and the wording of the pool were read."""

        def __init__(self, number: int, yields: Yields, pool: dict[str, list[str]]) -> None:
            super().__init__()
            self.number = number
            self.yields = yields
            self.pool = pool

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._yields: Yields = {"": {}}
        self._pool: dict[str, list[str]] = {}
        self._of_task = ""
        self._number = 0

    def compose_body(self) -> ComposeResult:
        """Compose task list, heatmap and wording."""
        yield LinePanel(id="instruction-tasks")
        yield Heatmap()
        yield Static(id="instruction-words", classes="panel", markup=False)

    def on_mount(self) -> None:
        """Focus the heatmap."""
        super().on_mount()
        self.query_one(Heatmap).focus()

    def read_iteration(self) -> None:
        """Read the yields of the iteration."""
        if self.iteration is None:
            self._show()
            return
        self._number += 1
        self._read(self._number, self.iteration.id)

    @work(thread=True, exclusive=True, group="yields")
    def _read(self, number: int, iteration_id: int) -> None:
        def question(connection: sqlite3.Connection) -> tuple[Yields, dict[str, list[str]]]:
            return instruction_yields(connection, iteration_id), instruction_wording(connection)

        try:
            self.post_message(self.YieldsRead(number, *ask_store(self.workspace, question)))
        except OperatorError as error:
            self.post_message(WorkFailed(f"the yields can't be read: {error}"))

    @on(YieldsRead)
    def _arrived(self, message: YieldsRead) -> None:
        if message.number == self._number:
            self._yields, self._pool = message.yields, message.pool
            self._of_task = self._of_task if self._of_task in self._yields else ""
            self._show()

    def _show(self) -> None:
        line = tasks_line(list(self._yields), self._of_task, self.iteration_words)
        self.query_one("#instruction-tasks", LinePanel).show_lines([line])
        found = self._yields[self._of_task]
        total = InstructionYield(sum(one.helped for one in found.values()), sum(one.n for one in found.values()))
        title = (
            f"i→c · {self._of_task or 'all tasks'} · {formatting.percent(total.share)} of {formatting.count(total.n)}"
        )
        self.query_one(Heatmap).show_yields(title, found, self._pool)
        self._show_words()

    @on(Heatmap.Moved)
    def _show_words(self) -> None:
        key = self.query_one(Heatmap).key
        found = self._yields[self._of_task].get(key)
        if found is None or found.share is None:
            numbers = "not used in this iteration" if self._yields[self._of_task] else "nothing was reflected on yet"
        else:
            interval = found.interval
            numbers = f"{formatting.interval(found.share, interval.low, interval.high)} of {formatting.count(found.n)}"
        head = display.line(
            (key, "bold $primary"), "  ", (numbers, "bold"), ("   ⏎ trajectories" if found else "", "$quiet")
        )
        words = self.query_one("#instruction-words", Static)
        words.border_title = display.line("Instruction under the cursor")
        words.update(display.stacked([head, display.text(wording(key, self._pool)), *self._by_task(key)]))

    def _by_task(self, key: str) -> list[Content]:
        """Return the yield of the instruction in each task, if there is room for it."""
        tasks = [(task, found[key]) for task, found in self._yields.items() if task and key in found]
        if not tasks or self.has_class("-short"):
            return []
        lines = [display.line(), display.line((f"{key} by task", "bold"))]
        for task, one in tasks:
            filled, empty = formatting.bar(one.share or 0.0, 24)
            words = f"{formatting.interval(one.share, one.interval.low, one.interval.high):>22}"
            lines.append(
                display.line(
                    display.fitted(task, 20), (filled, "$success"), (empty, "$rule"), words, (f"  n {one.n}", "$quiet")
                )
            )
        return lines

    def action_task(self, by: int) -> None:
        """Select the yields of another task."""
        tasks = list(self._yields)
        self._of_task = tasks[(tasks.index(self._of_task) + by) % len(tasks)]
        self._show()

    def action_best(self) -> None:
        """Show the instructions with the highest yield in this task, with their confidence intervals."""
        found = [(one.share, key, one) for key, one in self._yields[self._of_task].items() if one.share is not None]
        best = sorted(found, key=lambda one: (-one[0], one[1]))[:3]
        words = [
            f"{key}: {formatting.interval(share, one.interval.low, one.interval.high)}" for share, key, one in best
        ]
        self.notify("\n".join(words) or "Nothing was reflected on yet.", title="Highest yield", markup=False)

    def action_open(self) -> None:
        """Open the trajectories of the instruction under the cursor."""
        self._open(self.query_one(Heatmap).key)

    @on(Heatmap.Opened)
    def _opened(self, message: Heatmap.Opened) -> None:
        self._open(message.key)

    def _open(self, key: str) -> None:
        if self.iteration is None or key not in self._yields[self._of_task]:
            self.notify("There is no trajectory under this instruction here.", markup=False)
            return
        wanted = TrajectoryFilter(
            iteration=self.iteration.id, split="train", task=self._of_task or None, instruction=key
        )
        self.post_message(TrajectoriesWanted(wanted))
