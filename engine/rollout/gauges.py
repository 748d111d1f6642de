"""Live measurements of a rollout: progress of each kind of work, throughput, and the texts being generated.

Holds values only; the telemetry thread writes them to the store periodically.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from engine.generation.base import Generated
from engine.rollout.plan import Counts, WorkKind
from store.records import LiveText, StoredQuestion, Verdict

LIVE_SLOTS = 2
"""Number of generations whose text is shown live. Only these are streamed, because streaming slows the generator."""

_WINDOW_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _LiveView:
    """Callback that receives the text of one generation so far."""

    live: dict[int, LiveText]
    slot: int
    stage: WorkKind
    question: StoredQuestion
    instruction: str

    def __call__(self, text: str) -> None:
        self.live[self.slot] = LiveText(
            self.slot, self.stage, self.question.id, self.question.task, self.instruction, text, time.time()
        )


class Gauges:
    """The watcher of a rollout, which tracks progress, throughput and live texts.

    Args:
        counts: the counts of stored work at the start; they are updated in place.
    """

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.in_flight = 0
        self._finished: deque[tuple[float, int, int, int]] = deque()
        self._live: dict[int, LiveText] = {}
        self._began = time.monotonic()
        self.completion_tokens = 0

    def started(self, stage: WorkKind, question: StoredQuestion, instruction: str) -> Callable[[str], None] | None:
        """Record the start of a generation; return the callback for its live text if a slot is free, else None."""
        self.in_flight += 1
        slot = next((slot for slot in range(LIVE_SLOTS) if slot not in self._live), None)
        if slot is None:
            return None
        view = _LiveView(self._live, slot, stage, question, instruction)
        view("")
        return view

    def finished(self, stage: WorkKind, generated: Generated | None, show: Callable[[str], None] | None) -> None:
        """Record the end of a generation (`generated` is None if it failed) and free its live slot."""
        self.in_flight -= 1
        if isinstance(show, _LiveView):
            self._live.pop(show.slot, None)
        if generated is not None:
            self.completion_tokens += generated.completion_tokens
            self._finished.append(
                (time.monotonic(), generated.completion_tokens, generated.prompt_tokens, generated.cached_tokens)
            )

    def add_total(self, stage: WorkKind, items: int) -> None:
        """Add newly known items of a kind of work to its total; negative if items are dropped."""
        self.counts.total[stage] += items

    def completed(self, stage: WorkKind, verdict: Verdict | None = None, *, reused: bool = False) -> None:
        """Record that an item of a kind of work is stored; `reused` if it was copied from earlier work."""
        self.counts.done[stage] += 1
        self.counts.reused[stage] += reused
        self.counts.correct[stage] += verdict == "correct"

    def live(self) -> list[LiveText]:
        """Return the texts of the generations in progress."""
        # Called from another thread than the generating one: copying a dict is atomic, iterating over it is not.
        live = dict(self._live)
        return [live[slot] for slot in sorted(live)]

    def rates(self) -> dict[str, float | None]:
        """Return generated tokens per second and the share of cached prompt tokens (0 to 1; None without prompts) over
        the last 15 seconds."""
        now = time.monotonic()
        while self._finished and now - self._finished[0][0] > _WINDOW_SECONDS:
            self._finished.popleft()
        span = min(_WINDOW_SECONDS, max(now - self._began, 1.0))
        finished = list(self._finished)
        prompt = sum(entry[2] for entry in finished)
        cached = sum(entry[3] for entry in finished)
        return {
            "tokens_per_s": round(sum(entry[1] for entry in finished) / span, 1),
            "prefix_cache_hit": round(cached / prompt, 3) if prompt else None,
        }
