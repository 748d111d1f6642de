"""Records of published files as values, between the file formats (`engine.exchange`) and the stored rows."""

from __future__ import annotations

from dataclasses import dataclass

from store.curation.training_settings import SetName
from store.records import Verdict


@dataclass(frozen=True, slots=True)
class ImportedQuestion:
    """The question of a record."""

    task: str
    domain: str
    text: str
    reference: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class ImportedAttempt:
    """An attempt or correction of a record. `detail` states where the verdict comes from."""

    reasoning: str
    answer: str | None
    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class ImportedBranch:
    """A reflection with its correction. `reflection` is None for a retry without one.

    `on` is the index of the earlier branch whose correction is reflected on; None for attempt 1.
    """

    reflection: str | None
    instruction: str
    flags: str
    correction: ImportedAttempt
    turn: int = 2
    on: int | None = None


@dataclass(frozen=True, slots=True)
class ImportedRecord:
    """One record of a published file.

    `number` counts the records of the file from 1, including skipped ones. With a `set_name`, the first branch is the
    included or chosen side, the second the rejected one, and texts that are stored already are not stored again.
    `remainder` is the content of the record that no row contains, as JSON; it refers to shared `texts` by digest.
    """

    number: int
    question: ImportedQuestion
    attempt: ImportedAttempt
    branches: tuple[ImportedBranch, ...]
    set_name: SetName | None
    remainder: str
    texts: tuple[tuple[str, str], ...] = ()
