"""Analysis of a policy's own judgement of its first answers: accuracy, AUROC, calibration, and when to reflect. Pure.

The confidence in an answer is the share of yes among the readable replies to "Is this answer right?", sampled several
times: it takes as many values as there are samples, plus one. Answers without a readable reply are left out.

Without an oracle, a policy may reflect on the answers whose confidence is below a threshold τ and keep the others. The
threshold is chosen on dev questions, and the accuracy at that threshold is reported on others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from store.evaluation.intervals import wilson
from store.evaluation.number_format import counted

BINS = 10

ALWAYS = 1.01
"""The threshold above every confidence: every answer is reflected on. At 0 none is."""


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """A first answer, the policy's confidence in it (0 to 1; None if no reply could be read), and its correctness.

    `second` is the correctness of the correction without an oracle; None if there is none with a verdict.
    """

    question_id: int
    confidence: float | None
    right: bool
    second: bool | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % Wilson interval; all are None if n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose confidence is in one tenth of the range from 0 to 1; the last bin contains 1."""

    low: float
    high: float
    n: int
    confidence: float | None
    """Mean confidence; None without answers."""
    right: float | None
    """Share of right answers; None without answers."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The rule "reflect when the confidence is below `threshold`": the share reflected on, and the accuracy."""

    threshold: float
    reflected: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class OwnJudgement:
    """The analysis over `n` judged answers; a number that can't be computed is None, and `notes` says why."""

    n: int
    unreadable: int
    """Answers left out because no reply was yes or no."""
    accuracy: Share
    """Share of answers whose correctness the policy judges right: confidence of at least one half for right ones."""
    right: Share
    """Share of right first answers, the accuracy of keeping each of them."""
    auroc: float | None
    """Probability that a right answer has a higher confidence than a wrong one, ties counted half."""
    calibration_error: float | None
    """Expected calibration error: mean distance between confidence and share right of the bins, by their size."""
    bins: tuple[Bin, ...]
    curve: tuple[CurvePoint, ...]
    """Over the answers that also have a correction without an oracle; empty if there are none."""
    best_threshold: float | None
    """The threshold of the highest accuracy on these answers, the lowest in a tie."""
    threshold: float | None
    """The threshold chosen on dev questions; None if they were not judged."""
    accuracy_at_threshold: Share
    """Accuracy without an oracle at `threshold`, on these answers."""
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists and numbers."""
        return asdict(self)


def confidence(replies: Iterable[str | None]) -> float | None:
    """Return the share of `yes` among the replies that are `yes` or `no`; None if none is."""
    read = [reply == "yes" for reply in replies if reply in ("yes", "no")]
    return sum(read) / len(read) if read else None


def auroc(right: Sequence[float], wrong: Sequence[float]) -> float | None:
    """Return the area under the ROC curve (Mann–Whitney U over the number of pairs); None without both classes."""
    if not right or not wrong:
        return None
    ranked = sorted([(value, True) for value in right] + [(value, False) for value in wrong])
    rank_sum, place = 0.0, 0
    while place < len(ranked):
        end = place
        while end < len(ranked) and ranked[end][0] == ranked[place][0]:
            end += 1
        # Tied values share the mean of their ranks, which are counted from 1.
        mean_rank = (place + 1 + end) / 2
        rank_sum += mean_rank * sum(is_right for _, is_right in ranked[place:end])
        place = end
    return (rank_sum - len(right) * (len(right) + 1) / 2) / (len(right) * len(wrong))


def calibration(rows: Sequence[tuple[float, bool]]) -> tuple[Bin, ...]:
    """Return ten bins of equal width of (confidence, is right)."""
    found = []
    for place in range(BINS):
        inside = [row for row in rows if min(int(row[0] * BINS), BINS - 1) == place]
        n = len(inside)
        mean = sum(value for value, _ in inside) / n if n else None
        right = sum(is_right for _, is_right in inside) / n if n else None
        found.append(Bin(place / BINS, (place + 1) / BINS, n, mean, right))
    return tuple(found)


def threshold_curve(rows: Sequence[tuple[float, bool, bool]]) -> tuple[CurvePoint, ...]:
    """Return the accuracy of reflecting below each threshold that changes which answers are reflected on.

    Args:
        rows: confidence, whether the first answer is right, whether its correction is.
    """
    if not rows:
        return ()
    thresholds = [0.0, *sorted({value for value, _, _ in rows if value > 0}), ALWAYS]
    return tuple(
        CurvePoint(
            threshold,
            sum(value < threshold for value, _, _ in rows) / len(rows),
            sum(second if value < threshold else first for value, first, second in rows) / len(rows),
        )
        for threshold in thresholds
    )


def analyse_judgement(rows: Iterable[JudgedAnswer], dev_threshold: float | None = None) -> OwnJudgement:
    """Analyse a policy's own judgement of its first answers.

    Args:
        rows: the first answers with a verdict.
        dev_threshold: the threshold chosen on dev questions; None if these are the dev questions, or none were judged.
    """
    every = list(rows)
    known = [(one.confidence, one.right) for one in every if one.confidence is not None]
    paired = [
        (one.confidence, one.right, one.second)
        for one in every
        if one.confidence is not None and one.second is not None
    ]
    right = [value for value, is_right in known if is_right]
    wrong = [value for value, is_right in known if not is_right]
    bins, curve = calibration(known), threshold_curve(paired)
    best = max(curve, key=lambda point: (point.accuracy, -point.threshold), default=None)
    error = None
    if known:
        parts = [(one.n, one.confidence, one.right) for one in bins]
        error = sum(n * abs(mean - share) for n, mean, share in parts if mean is not None and share is not None)
        error /= len(known)
    at = (
        [second if value < dev_threshold else first for value, first, second in paired]
        if dev_threshold is not None
        else []
    )
    return OwnJudgement(
        n=len(known),
        unreadable=len(every) - len(known),
        accuracy=_share([(value >= 0.5) == is_right for value, is_right in known]),
        right=_share([is_right for _, is_right in known]),
        auroc=auroc(right, wrong),
        calibration_error=error,
        bins=bins,
        curve=curve,
        best_threshold=best.threshold if best else None,
        threshold=dev_threshold,
        accuracy_at_threshold=_share(at),
        notes=tuple(_notes(len(every), known, len(paired), dev_threshold)),
    )


def _notes(n: int, known: Sequence[tuple[float, bool]], paired: int, dev_threshold: float | None) -> Iterable[str]:
    if not n:
        yield "no first answer was judged"
        return
    if len(known) < n:
        yield f"no reply on {counted(n - len(known), 'answer')} was yes or no; they are left out"
    if known and len({is_right for _, is_right in known}) == 1:
        which = "right" if known[0][1] else "wrong"
        yield f"all first answers are {which}, so that AUROC can't be computed"
    if not paired:
        yield "no corrections without an oracle: evaluation.protocol must be 'both' or 'oracle-free' for a threshold"
    elif dev_threshold is None:
        yield "no threshold from dev questions: judge them with reflectevo eval --controls --split dev"


def _share(outcomes: Sequence[bool]) -> Share:
    if not outcomes:
        return Share(None, None, None, 0)
    interval = wilson(sum(outcomes), len(outcomes))
    return Share(sum(outcomes) / len(outcomes), interval.low, interval.high, len(outcomes))


def stored_threshold(results: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the threshold of the newest stored results (oldest first) that were measured on dev questions."""
    found = None
    for one in results:
        judged = one.get("judgement")
        if one.get("split") == "dev" and isinstance(judged, Mapping) and judged.get("best_threshold") is not None:
            found = float(judged["best_threshold"])
    return found
