"""Settings of curation and of the judge of Dpref."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.settings.base import Section


class CurationSection(Section):
    """What is left out of the training sets, and how much of one kind is let in."""

    min_words: int = Field(default=5, ge=0)
    """Reflections with fewer words are left out."""
    max_words: int = Field(default=300, ge=1)
    """Reflections with more words are left out."""
    max_per_question: int = Field(default=2, ge=1)
    """Most D+ rows, and most D± pairs, of one question."""
    max_task_share: float = Field(default=1.0, gt=0.0, le=1.0)
    """Largest share of one task in a set; the rest is left out, so that no task drowns the others."""
    drop_leaks: bool = True
    """Leave out reflections that state the reference answer."""
    max_repetition: float = Field(default=0.5, ge=0.0, le=1.0)
    """Leave out reflections in which a larger share of the word 3-grams are repeats."""
    max_echo: float = Field(default=0.5, ge=0.0, le=1.0)
    """Leave out reflections of which a larger share of the word 3-grams stands in the request for them: they repeat
    what they were told; 1 keeps all."""
    max_similarity: float = Field(default=0.9, gt=0.0, le=1.0)
    """Leave out reflections whose word 3-grams overlap more than this (Jaccard, by MinHash) with one that is in the
    set already; 1 leaves out only equal ones."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{2}$")
    """Leave out reflections in another language than this (ISO 639-1, e.g. `en`); unset: any language."""
    max_per_instruction: int | None = Field(default=None, ge=1)
    """Most rows of one instruction in a set."""
    max_per_task: int | None = Field(default=None, ge=1)
    """Most rows of one task in a set."""
    collapse_similarity: float = Field(default=0.5, gt=0.0, le=1.0)
    """Warn when reflections of an iteration are on average more alike than this: the reflector repeats itself."""


class JudgeSection(Section):
    """Who ranks the pairs of Dpref: two reflections that both led to a correct answer."""

    by: Literal["operator", "self", "endpoint"] = "operator"
    """`operator` (pair mode of the Review screen), `self` (the policy, asked in both orders), or an OpenAI-compatible
    `endpoint`."""
    pairs_per_question: int = Field(default=1, ge=1, le=64)
    """Most pairs of one question that are judged."""
    min_confidence: float = Field(default=0.5, ge=0.0, le=1.0)
    """Preferences below this confidence are not trained on."""
    url: str | None = None
    """Base address of the endpoint, e.g. `http://127.0.0.1:8000/v1`."""
    model: str | None = None
    """Model the endpoint is asked for."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the endpoint's key; the key itself stands nowhere."""
    timeout: float = Field(default=60.0, gt=0.0)
    """Seconds one request may take."""
    retries: int = Field(default=3, ge=0, le=10)
    """How often a failed request is tried again."""
    max_requests: int = Field(default=1000, ge=1)
    """Most requests of one iteration: the budget."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests to the endpoint at once."""
    max_tokens: int = Field(default=256, ge=1)
    """Most new tokens of one judgement."""
