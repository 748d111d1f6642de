"""Settings of curation and of the judge of Dpref."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.settings.base import Section


class CurationSection(Section):
    """Filters on reflections and caps on the size of the training sets."""

    min_words: int = Field(default=5, ge=0)
    """Leave out reflections with fewer words than this."""
    max_words: int = Field(default=300, ge=1)
    """Leave out reflections with more words than this."""
    max_per_question: int = Field(default=2, ge=1)
    """Maximum number of D+ rows, and of D± pairs, per question."""
    max_task_share: float = Field(default=1.0, gt=0.0, le=1.0)
    """Largest share of a set that one task may contribute; its other rows are left out, so that no task dominates."""
    drop_leaks: bool = True
    """Leave out reflections that state the reference answer."""
    max_repetition: float = Field(default=0.5, ge=0.0, le=1.0)
    """Leave out reflections in which more than this share of the word 3-grams are repeats."""
    max_echo: float = Field(default=0.5, ge=0.0, le=1.0)
    """Leave out reflections that copy more than this share of their word 3-grams from their own prompt; 1 keeps all."""
    max_similarity: float = Field(default=0.9, gt=0.0, le=1.0)
    """Leave out near-duplicates: reflections whose word 3-grams have a Jaccard similarity (by MinHash) above this with
    a reflection already in the set; 1 leaves out only identical ones."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{2}$")
    """Leave out reflections that are not in this language (ISO 639-1 code, e.g. `en`); unset: any language."""
    max_per_instruction: int | None = Field(default=None, ge=1)
    """Maximum number of rows per instruction in a set; unset: no limit."""
    max_per_task: int | None = Field(default=None, ge=1)
    """Maximum number of rows per task in a set; unset: no limit."""
    min_lift: float | None = Field(default=None, ge=-1.0, le=1.0)
    """Leave out reflections whose lift is known and below this: out of D+ and Dpref, and of the chosen sides of D±.
    Needs `correction.samples` of at least 2; unset: the lift decides nothing."""
    pairs_by: Literal["verdict", "lift"] = "verdict"
    """What tells the chosen from the rejected reflection of a D± pair: the `verdict` on their first corrections, or
    their `lift` over all samples, which doesn't depend on one draw. `lift` needs `correction.samples` of at least 2."""
    lift_margin: float = Field(default=0.25, ge=0.0, le=1.0)
    """With `pairs_by = "lift"`, the smallest difference between the lifts of a pair; never less than one correction's
    worth (1 / `correction.samples`)."""
    max_right_per_wrong: float = Field(default=1.0, ge=0.0)
    """With `reflection.on = "all"`, the largest number of rows on right attempts per row on a wrong attempt, in each
    task of a set."""
    max_examples: int | None = Field(default=None, ge=1)
    """Maximum number of D+ rows, for a series over the size of the training set; unset: no limit. Tasks take turns, and
    the rows of a smaller maximum are among those of a larger one under the same seed."""
    collapse_similarity: float = Field(default=0.5, gt=0.0, le=1.0)
    """Warn of a collapse of the reflector when the mean similarity of an iteration's reflections exceeds this."""
    collapse_novel: float = Field(default=0.1, ge=0.0, le=1.0)
    """Warn of a collapse of the reflector when fewer than this share of an iteration's reflections differ from the
    previous iteration's and the worked examples'; 0 never warns of it."""


class JudgeSection(Section):
    """The judge of Dpref, which ranks pairs of reflections that both led to a correct answer."""

    by: Literal["operator", "self", "endpoint"] = "operator"
    """Who judges: `operator` (pair mode of the Review screen), `self` (the policy, with each pair shown in both
    orders), or an OpenAI-compatible `endpoint`."""
    pairs_per_question: int = Field(default=1, ge=1, le=64)
    """Maximum number of pairs judged per question."""
    min_confidence: float = Field(default=0.5, ge=0.0, le=1.0)
    """Minimum confidence of a preference; pairs below it are not trained on."""
    url: str | None = None
    """Base URL of the endpoint, e.g. `http://127.0.0.1:8000/v1`."""
    model: str | None = None
    """Model name sent to the endpoint."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the endpoint's API key. The key itself is never stored."""
    timeout: float = Field(default=60.0, gt=0.0)
    """Timeout of one request in seconds."""
    retries: int = Field(default=3, ge=0, le=10)
    """Number of times a failed request is retried."""
    max_requests: int = Field(default=1000, ge=1)
    """Request budget of one iteration."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Maximum number of concurrent requests to the endpoint."""
    max_tokens: int = Field(default=256, ge=1)
    """Maximum number of new tokens per judgement."""
