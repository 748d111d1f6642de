"""The typed messages that background work posts to the application. Values only; handlers own the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    # Only their names: what Review and Launch need is loaded after the first frame.
    from reflectevo_tui.state.review_reader import Card
    from reflectevo_tui.state.snapshot import Snapshot
    from reflectevo_tui.state.trajectory_reader import Choices
    from reflectevo_tui.text.word_diff import WordChanges
    from store.curation.records import OpenPair
    from store.curation.review_queue import ReviewQueue
    from store.records import Directive, DirectiveKind, JsonObject, ReviewState, TrajectoryDetail, TrajectoryRow
    from store.rollouts.trajectories import Anchors, TrajectoryFilter
    from store.settings import RunSettings


class SnapshotRead(Message):
    """The workspace changed; a newer snapshot replaces one that was not handled yet."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        """Only the newest snapshot matters."""
        return isinstance(message, SnapshotRead)


class StoreLost(Message):
    """The database can't be read any more; `reason` says why, for an operator."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class DirectiveIssued(Message):
    """A directive was stored; its outcome is still open."""

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
    """Something the operator asked for could not be done; `reason` says why and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class EngineStarted(Message):
    """An engine answered READY (or ran before: `already`)."""

    def __init__(self, pid: int, already: bool) -> None:
        super().__init__()
        self.pid = pid
        self.already = already


class DirectiveWanted(Message):
    """The operator wants a directive issued."""

    def __init__(self, kind: DirectiveKind, arguments: JsonObject) -> None:
        super().__init__()
        self.kind = kind
        self.arguments = arguments


class EngineWanted(Message):
    """The operator wants the engine started."""


class TakeoverOffered(Message):
    """The engine is silent; `lines` say what is known of it. It can be ended when `may_end`."""

    def __init__(self, lines: tuple[str, ...], may_end: bool) -> None:
        super().__init__()
        self.lines = lines
        self.may_end = may_end


class TakeoverWanted(Message):
    """The operator wants the silent engine ended and another one started."""


class SearchWanted(Message):
    """The operator wants to search trajectories."""


class TrajectoryWanted(Message):
    """The operator wants to see a trajectory whole."""

    def __init__(self, trajectory_id: int) -> None:
        super().__init__()
        self.trajectory_id = trajectory_id


class TrajectoriesWanted(Message):
    """The operator wants to see the trajectories behind a number."""

    def __init__(self, wanted: TrajectoryFilter) -> None:
        super().__init__()
        self.wanted = wanted


class PageRead(Message):
    """A page of the trajectory list arrived. `number` is the list it was read for."""

    def __init__(self, number: int, page: int, rows: tuple[TrajectoryRow, ...]) -> None:
        super().__init__()
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
    """A trajectory was read whole."""

    def __init__(self, number: int, detail: TrajectoryDetail, changes: WordChanges | None) -> None:
        super().__init__()
        self.number = number
        self.detail = detail
        self.changes = changes


class ChoicesRead(Message):
    """What the filters offer."""

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self.choices = choices


class ChoicesMade(Message):
    """The operator chose something of their own that is to be kept: `changes` are fields of their choices."""

    def __init__(self, changes: dict[str, object]) -> None:
        super().__init__()
        self.changes = changes


class SettingsSaved(Message):
    """The settings file was written; `quiet` when a launch follows that will say so itself."""

    def __init__(self, text: str, *, quiet: bool) -> None:
        super().__init__()
        self.text = text
        self.quiet = quiet


class Estimated(Message):
    """What a run with these settings would take, in lines."""

    def __init__(self, settings: RunSettings, lines: tuple[str, ...]) -> None:
        super().__init__()
        self.settings = settings
        self.lines = lines


class SnapshotWanted(Message):
    """A screen came into view and wants to show how things stand."""


class QueueRead(Message):
    """A sample was drawn, or what was decided on it was read again; `reviewed` are the newest decisions."""

    def __init__(self, number: int, queue: ReviewQueue, reviewed: dict[int, ReviewState]) -> None:
        super().__init__()
        self.number = number
        self.queue = queue
        self.reviewed = reviewed


class CardRead(Message):
    """A trajectory to be reviewed was read, or `failure` says why there is none to show."""

    def __init__(self, number: int, card: Card | None, failure: str = "") -> None:
        super().__init__()
        self.number = number
        self.card = card
        self.failure = failure


class DecisionsWritten(Message):
    """Decisions were written, or `failure` says why some are not."""

    def __init__(self, failure: str) -> None:
        super().__init__()
        self.failure = failure


class PairsRead(Message):
    """Pairs that wait to be judged; `left` counts all of them."""

    def __init__(self, pairs: tuple[OpenPair, ...], left: int) -> None:
        super().__init__()
        self.pairs = pairs
        self.left = left
