"""Typed messages that background workers post to the application. Values only; handlers own the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    # For type checking only: the modules of Review and Launch are loaded after the first frame.
    from reflectevo_tui.state.review_reader import Card
    from reflectevo_tui.state.snapshot import Snapshot
    from reflectevo_tui.state.trajectory_reader import Choices
    from reflectevo_tui.text.word_diff import WordChanges
    from store.curation.records import OpenPair
    from store.curation.review_queue import ReviewQueue
    from store.records import Directive, DirectiveKind, JsonObject, ReviewState, TrajectoryRow
    from store.rollouts.trajectories import Anchors, TrajectoryFilter
    from store.rollouts.trajectory_detail import TrajectoryDetail
    from store.settings import RunSettings


class SnapshotRead(Message):
    """The workspace changed; a newer snapshot replaces one that was not handled yet."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        """Return whether the pending message can be replaced: only the newest snapshot matters."""
        return isinstance(message, SnapshotRead)


class StoreLost(Message):
    """The database can't be read any more; `reason` is shown to the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class DirectiveIssued(Message):
    """A directive was stored; its outcome is pending."""

    def __init__(self, kind: DirectiveKind, uuid: str) -> None:
        super().__init__()
        self.kind = kind
        self.uuid = uuid


class DirectiveAnswered(Message):
    """The engine answered a directive of this terminal."""

    def __init__(self, directive: Directive) -> None:
        super().__init__()
        self.directive = directive


class WorkFailed(Message):
    """An operator's request failed; `reason` gives the cause and the fix."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class EngineStarted(Message):
    """An engine reported READY, or was running before (`already`)."""

    def __init__(self, pid: int, already: bool) -> None:
        super().__init__()
        self.pid = pid
        self.already = already


class DirectiveWanted(Message):
    """Request to issue a directive."""

    def __init__(self, kind: DirectiveKind, arguments: JsonObject) -> None:
        super().__init__()
        self.kind = kind
        self.arguments = arguments


class EngineWanted(Message):
    """Request to start the engine."""


class TakeoverOffered(Message):
    """The engine is unresponsive; `lines` describe it. It can be ended when `may_end`."""

    def __init__(self, lines: tuple[str, ...], may_end: bool) -> None:
        super().__init__()
        self.lines = lines
        self.may_end = may_end


class TakeoverWanted(Message):
    """Request to end the unresponsive engine and start another one."""


class SearchWanted(Message):
    """Request to search trajectories."""


class TrajectoryWanted(Message):
    """Request to show a complete trajectory."""

    def __init__(self, trajectory_id: int) -> None:
        super().__init__()
        self.trajectory_id = trajectory_id


class TrajectoriesWanted(Message):
    """Request to show the trajectories behind a number."""

    def __init__(self, wanted: TrajectoryFilter) -> None:
        super().__init__()
        self.wanted = wanted


class PageRead(Message):
    """A page of the trajectory list was read. `number` is the list it belongs to; `lifts`, whether any is known."""

    def __init__(self, number: int, page: int, rows: tuple[TrajectoryRow, ...], lifts: bool = False) -> None:
        super().__init__()
        self.lifts = lifts
        self.number = number
        self.page = page
        self.rows = rows


class AnchorsRead(Message):
    """A trajectory list was counted; `total` is the count without filters."""

    def __init__(self, number: int, anchors: Anchors, total: int) -> None:
        super().__init__()
        self.number = number
        self.anchors = anchors
        self.total = total


class DetailRead(Message):
    """A complete trajectory was read."""

    def __init__(self, number: int, detail: TrajectoryDetail, changes: WordChanges | None) -> None:
        super().__init__()
        self.number = number
        self.detail = detail
        self.changes = changes


class ChoicesRead(Message):
    """The choices of the filters were read."""

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self.choices = choices


class FilterNamesRead(Message):
    """The names of policies and iterations were read, for the chips of filters by id."""

    def __init__(self, names: Choices) -> None:
        super().__init__()
        self.names = names


class ChoicesMade(Message):
    """The operator changed preferences to be saved; `changes` are fields of `OperatorChoices`."""

    def __init__(self, changes: dict[str, object]) -> None:
        super().__init__()
        self.changes = changes


class SettingsSaved(Message):
    """The settings file was written; `quiet` when a launch follows with its own message."""

    def __init__(self, text: str, *, quiet: bool) -> None:
        super().__init__()
        self.text = text
        self.quiet = quiet


class Estimated(Message):
    """The estimate of a run with these settings, as lines of text."""

    def __init__(self, settings: RunSettings, lines: tuple[str, ...]) -> None:
        super().__init__()
        self.settings = settings
        self.lines = lines


class SnapshotWanted(Message):
    """Request of a newly shown screen for the current snapshot."""


class QueueRead(Message):
    """A review sample was drawn, or its decisions were read again; `reviewed` are the newest decisions."""

    def __init__(self, number: int, queue: ReviewQueue, reviewed: dict[int, ReviewState]) -> None:
        super().__init__()
        self.number = number
        self.queue = queue
        self.reviewed = reviewed


class CardRead(Message):
    """A trajectory to review was read, or `failure` gives the reason why there is none."""

    def __init__(self, number: int, card: Card | None, failure: str = "") -> None:
        super().__init__()
        self.number = number
        self.card = card
        self.failure = failure


class DecisionsWritten(Message):
    """Decisions were written, or `failure` gives the reason why some are not."""

    def __init__(self, failure: str) -> None:
        super().__init__()
        self.failure = failure


class PairsRead(Message):
    """Undecided preference pairs were read; `left` is the number of all undecided pairs."""

    def __init__(self, pairs: tuple[OpenPair, ...], left: int) -> None:
        super().__init__()
        self.pairs = pairs
        self.left = left
