"""The pool of 2 × 8 × 2 = 32 reflection instructions, and how an iteration draws from it.

An instruction is composed of three sentences: verify the attempt, locate one kind of mistake, plan the change. So the
pool is built from 12 sentences and keyed `v-l-p`; an operator's own sentences are appended to the three lists.
Source of the grid: ReflectEvo (ACL 2025 Findings, arXiv 2505.16475), section 3.1; the wording is our own.
Independent of the prompts around an instruction, and of models, files and databases: parts, usage and yields are
arguments.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from engine.errors import EngineError
from store.settings.rollout import GENERAL_INSTRUCTION

VERIFY: tuple[str, ...] = (
    "Check your attempt step by step.",
    "Check your attempt in one quick pass.",
)
"""Sentences on how to verify the attempt: part `v`."""

LOCATE: tuple[str, ...] = (
    "Look for a mistake in a calculation.",
    "Look for steps done in the wrong order.",
    "Look for a step that does not follow from the steps before it.",
    "Look for a conclusion that contradicts what you stated.",
    "Look for a condition of the question that you misread.",
    "Look for a part of the question that you did not address.",
    "Look for a rule on the form of the answer that you broke.",
    "Look for a fact that is not true.",
)
"""Sentences on which mistake to locate and diagnose: part `l`."""

PLAN: tuple[str, ...] = (
    "Then say what to do differently and why that avoids the mistake.",
    "Then list the exact steps to correct.",
)
"""Sentences on how to plan the change, at a high or a low level: part `p`."""

GENERAL = GENERAL_INSTRUCTION
"""Key of the single instruction that evaluation uses, which training can draw too."""

_GENERAL_TEXT = "Name the most likely cause of the mistake. Then give a short plan to avoid it."

_KEY = re.compile(r"([1-9]\d*)-([1-9]\d*)-([1-9]\d*)")
_DRAW = re.compile(r"(random|balanced|adaptive):([1-9]\d*)")
_AND_GENERAL = f"+{GENERAL}"


@dataclass(frozen=True)
class Pool:
    """The sentences that instructions are composed of."""

    verify: tuple[str, ...]
    locate: tuple[str, ...]
    plan: tuple[str, ...]

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of all instructions, in order."""
        return tuple(
            f"{verify}-{locate}-{plan}"
            for verify in range(1, len(self.verify) + 1)
            for locate in range(1, len(self.locate) + 1)
            for plan in range(1, len(self.plan) + 1)
        )

    def extended(self, parts: Mapping[str, Sequence[str]]) -> Pool:
        """Return this pool with further sentences of each kind (`verify`, `locate`, `plan`), numbered consecutively."""
        return Pool(
            (*self.verify, *parts.get("verify", ())),
            (*self.locate, *parts.get("locate", ())),
            (*self.plan, *parts.get("plan", ())),
        )

    def nearest(self, key: str) -> str:
        """Return the key of the pool that is most similar to an unknown key."""
        if match := _KEY.fullmatch(key):
            sizes = (len(self.verify), len(self.locate), len(self.plan))
            return "-".join(str(min(int(part), size)) for part, size in zip(match.groups(), sizes, strict=True))
        return difflib.get_close_matches(key, self.keys, n=1, cutoff=0.0)[0]


BUILT_IN = Pool(VERIFY, LOCATE, PLAN)
"""The pool without an operator's own parts."""


def parse(key: str, pool: Pool = BUILT_IN) -> tuple[int, int, int]:
    """Return the three parts (v, l, p) of a key, each from 1. Raises EngineError for a key that is not in the pool."""
    match = _KEY.fullmatch(key)
    if match is None or key not in pool.keys:
        raise EngineError(
            f"there is no reflection instruction {key!r}; the nearest is {pool.nearest(key)!r}. Keys are v-l-p with v "
            f"1–{len(pool.verify)}, l 1–{len(pool.locate)}, p 1–{len(pool.plan)}, e.g. '1-3-2'"
        )
    verify, locate, plan = (int(part) for part in match.groups())
    return verify, locate, plan


def compose(key: str, pool: Pool = BUILT_IN) -> str:
    """Return the text of an instruction: three sentences, or the general one. Raises EngineError for an unknown key."""
    if key == GENERAL:
        return _GENERAL_TEXT
    verify, locate, plan = parse(key, pool)
    return f"{pool.verify[verify - 1]} {pool.locate[locate - 1]} {pool.plan[plan - 1]}"


def check_draw(spec: str | Sequence[str], pool: Pool) -> None:
    """Check that a pool satisfies a draw specification. Raises EngineError as `draw` does."""
    draw(spec, pool=pool, question_hash="", seed=0, iteration=1, usage={}, yields={})


def draw(
    spec: str | Sequence[str],
    *,
    question_hash: str,
    seed: int,
    iteration: int,
    usage: Mapping[str, int],
    yields: Mapping[str, tuple[int, int]],
    pool: Pool = BUILT_IN,
) -> tuple[str, ...]:
    """Draw the keys to use for one question, without repeats; deterministic in its arguments.

    `spec` is `all`, `general`, a list of keys, `random:n`, `balanced:n` (least used first, ties drawn by seed) or
    `adaptive:n` (Thompson sampling: the n largest draws from Beta(1 + successes, 1 + failures)). `+general` after a
    draw adds the general instruction, last; the keys drawn are the same as without it.
    `usage` counts how often each key was used so far; `yields` maps each key to (successes, tries), a success being an
    i→c transition. Keys missing from either count as unused.

    Raises EngineError for an unknown spec or key, for n above the pool's size, and for impossible counts.
    """
    if not isinstance(spec, str):
        for key in spec:
            if key != GENERAL:
                parse(key, pool)
        return tuple(dict.fromkeys(spec))
    if spec == GENERAL:
        return (GENERAL,)
    if spec.endswith(_AND_GENERAL):
        drawn = draw(
            spec.removesuffix(_AND_GENERAL),
            question_hash=question_hash,
            seed=seed,
            iteration=iteration,
            usage=usage,
            yields=yields,
            pool=pool,
        )
        return tuple(dict.fromkeys((*drawn, GENERAL)))
    if spec == "all":
        return pool.keys
    match = _DRAW.fullmatch(spec)
    if match is None:
        raise EngineError(
            f"{spec!r} draws no instructions: use 'all', 'general', a list of keys, 'random:n', 'balanced:n' or "
            "'adaptive:n', with '+general' to add that one"
        )
    way, count = match.group(1), int(match.group(2))
    if count > len(pool.keys):
        raise EngineError(f"{spec!r} asks for {count} instructions, and the pool has {len(pool.keys)}: use 'all'")
    random = _random(question_hash, seed, iteration)
    if way == "random":
        return tuple(random.sample(pool.keys, count))
    shuffled = random.sample(pool.keys, len(pool.keys))
    if way == "balanced":
        return tuple(sorted(shuffled, key=lambda key: usage.get(key, 0))[:count])
    chances = {key: _thompson(random, key, yields.get(key, (0, 0))) for key in pool.keys}
    return tuple(sorted(shuffled, key=lambda key: -chances[key])[:count])


def _thompson(random: Random, key: str, outcome: tuple[int, int]) -> float:
    successes, tries = outcome
    if not 0 <= successes <= tries:
        raise EngineError(f"instruction {key} can't have {successes} successes in {tries} tries")
    return random.betavariate(1 + successes, 1 + tries - successes)


def _random(question_hash: str, seed: int, iteration: int) -> Random:
    """Return a random generator that is the same for the same arguments in every process."""
    digest = hashlib.sha256(f"instructions|{seed}|{iteration}|{question_hash}".encode()).digest()
    return Random(int.from_bytes(digest, "big"))
