"""Document model of a report: sections of tables, charts and texts. Values only; the writers determine the look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reflectevo_tui.report.formatting import Number

Cell = str | Number


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences. A `note` explains, a `warning` must not be missed."""

    text: str
    tone: Literal["plain", "note", "warning"] = "plain"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, one pair per line."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first `labels` columns are text and whose other columns are numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: int = 1
    title: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """Counts that are parts of a total, each with its share of it."""

    title: str
    total: int
    rows: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Heat:
    """Shares by row and column; a cell is (successes, attempts), and a missing cell had no attempts."""

    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a line; `low` and `high` bound its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of a chart."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over a common x axis. `ticks` name the positions 1, 2, … of the axis; without them x is a number.

    `id` is unique in a document. `summary` describes the picture in Markdown, which has no charts.
    """

    id: str
    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    summary: str
    ticks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Unmodified text, e.g. of a model; untrusted until a writer has escaped it."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Folded:
    """Collapsed blocks that a reader can expand."""

    title: str
    blocks: tuple[Paragraph | Table | Verbatim, ...]


Block = Paragraph | Facts | Table | Bars | Heat | Chart | Verbatim | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the report."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A complete report."""

    title: str
    lead: tuple[Paragraph | Facts, ...]
    sections: tuple[Section, ...]
