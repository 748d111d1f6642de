"""Counts what flows through a generator: progress of each stage, throughput, and the texts that grow right now.

Values only; the stage process writes them to the store now and then.
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
"""How many growing texts are shown. Streaming costs the generator's front end, so only these are streamed."""

_WINDOW_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _LiveView:
    """Called with the text so far of one generation."""

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
    """The rollout's watcher: what is done, how fast, and what is being said."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.in_flight = 0
        self._finished: deque[tuple[float, int, int, int]] = deque()
        self._live: dict[int, LiveText] = {}
        self._began = time.monotonic()
        self.completion_tokens = 0

    def started(self, stage: WorkKind, question: StoredQuestion, instruction: str) -> Callable[[str], None] | None:
        """A generation starts; gives it a live slot when one is free."""
        self.in_flight += 1
        slot = next((slot for slot in range(LIVE_SLOTS) if slot not in self._live), None)
        if slot is None:
            return None
        view = _LiveView(self._live, slot, stage, question, instruction)
        view("")
        return view

    def finished(self, stage: WorkKind, generated: Generated | None, show: Callable[[str], None] | None) -> None:
        """A generation ended; frees its live slot."""
        self.in_flight -= 1
        if isinstance(show, _LiveView):
            self._live.pop(show.slot, None)
        if generated is not None:
            self.completion_tokens += generated.completion_tokens
            self._finished.append(
                (time.monotonic(), generated.completion_tokens, generated.prompt_tokens, generated.cached_tokens)
            )

    def owes(self, stage: WorkKind, items: int) -> None:
        """More (or fewer) items of a stage became known."""
        self.counts.total[stage] += items

    def did(self, stage: WorkKind, verdict: Verdict | None = None, *, reused: bool = False) -> None:
        """An item of a stage is stored; `reused`: it was taken over from earlier work."""
        self.counts.done[stage] += 1
        self.counts.reused[stage] += reused
        self.counts.correct[stage] += verdict == "correct"

    def live(self) -> list[LiveText]:
        """The texts that grow right now."""
        # Asked for from another thread than the one that generates: a copy is one step, a walk is not.
        live = dict(self._live)
        return [live[slot] for slot in sorted(live)]

    def rates(self) -> dict[str, float | None]:
        """Generated tokens a second and the share of prompt tokens found cached, over the last seconds."""
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
