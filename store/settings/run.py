"""Run settings: the single source for the engine, the command line and the forms.

A run is described in one TOML file. Every section is a frozen pydantic model that refuses keys it does
not know, so a misspelt setting is an error with a place and a suggestion, never a silent default.
This module knows nothing of models, devices or databases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from store.curation.training_settings import TrainingSetting
from store.runs.stages import GateName
from store.settings.base import Section
from store.settings.experiment import ExperimentSection
from store.settings.tasks import Task

PreviousAttempt = bool | Literal["quoted"]
GeneratorName = Literal["auto", "vllm", "transformers", "scripted"]


_DRAW = re.compile(r"(random|balanced|adaptive):([1-9]\d*)")
_KEY = re.compile(r"[1-9]\d*-[1-9]\d*-[1-9]\d*")


class Decoding(Section):
    """How one role decodes."""

    max_tokens: int = Field(default=512, ge=1)
    """Most new tokens of one generation."""
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus sampling share."""


class ReflectionSection(Decoding):
    """How reflections are drawn. Defaults are the paper's (section 3.1): k = 2, temperature 0.8."""

    temperature: float = Field(default=0.8, ge=0.0, le=5.0)
    """0 is greedy; with several samples it must be above 0."""
    instructions: str | list[str] = "random:2"
    """`all`, a list of keys `v-l-p`, or `random:n`, `balanced:n` (least used first), `adaptive:n`."""
    samples: int = Field(default=2, ge=1, le=64)
    """Reflections per instruction (k)."""
    rounds: int = Field(default=1, ge=1, le=8)
    """Rounds of reflection: from the second on, each failed correction is reflected on again, once (Reflexion)."""
    parts: str | None = None
    """TOML file with further instruction parts (`verify`, `locate`, `plan`), relative to the settings file."""

    @field_validator("instructions")
    @classmethod
    def _known_draw(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list):
            if not value:
                raise ValueError("an empty list draws nothing; use 'all' or name some keys")
            wrong = [key for key in value if not _KEY.fullmatch(key)]
            if wrong:
                raise ValueError(f"{wrong[0]!r} is not an instruction key; keys look like '1-3-2'")
            if len(set(value)) != len(value):
                raise ValueError("an instruction key is listed twice")
            return value
        if value != "all" and not _DRAW.fullmatch(value):
            raise ValueError("use 'all', a list of keys, 'random:n', 'balanced:n' or 'adaptive:n'")
        return value

    @model_validator(mode="after")
    def _samples_differ(self) -> ReflectionSection:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 with temperature 0 would repeat one text; raise the temperature")
        return self


class CorrectionSection(Decoding):
    """How the second attempt is asked for."""

    show_previous_attempt: PreviousAttempt = True
    """Show the wrong attempt beside the reflection: `true` as a turn of its own, `"quoted"` inside one question that is
    asked as first attempts are (small models keep the answer format there), `false` not at all."""


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


class SecondStageSection(Section):
    """What the second stage of `sft-two-stage` does differently; unset values are those of `[training]`."""

    learning_rate: float | None = Field(default=None, gt=0.0, le=1.0)
    """Peak learning rate."""
    epochs: float | None = Field(default=None, gt=0.0)
    """Passes over the set."""
    batch_size: int | None = Field(default=None, ge=1)
    """Examples per forward pass on one device."""
    accumulation: int | None = Field(default=None, ge=1)
    """Forward passes per optimizer step."""
    weight_decay: float | None = Field(default=None, ge=0.0)
    """AdamW weight decay."""
    patience: int | None = Field(default=None, ge=1)
    """Evaluations without a better held-out loss before the stage ends."""


class TrainingSection(Section):
    """How the next policy is trained. Rates and sizes as in the paper's appendix unless said otherwise."""

    setting: TrainingSetting = "sft-one-stage"
    """`sft-one-stage` or `sft-two-stage` (on D+), `dpo-verdict` (on D±), `dpo-judge` (on Dpref), or the baseline
    `sft-qa` (question → correct answer, no reflection)."""
    method: Literal["lora", "qlora", "full"] = "lora"
    """`lora`, `qlora` (LoRA on a 4-bit NF4 base, needs CUDA), or `full` fine-tuning."""
    adapters: Literal["chained", "separate"] = "chained"
    """Two-stage: stage 2 continues stage 1's adapter, or each stage trains its own (a reflector and a reasoner)."""
    second_stage: SecondStageSection = SecondStageSection()
    """What stage 2 of `sft-two-stage` does differently."""
    validation_share: float = Field(default=0.0, ge=0.0, le=0.5)
    """Share of the questions whose examples are kept out to measure held-out loss."""
    patience: int | None = Field(default=None, ge=1)
    """Evaluations without a better held-out loss before training ends; needs `validation_share`."""
    evaluation_steps: int = Field(default=20, ge=1)
    """Optimizer steps between measurements of the held-out loss."""
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    """Peak learning rate."""
    epochs: float = Field(default=1.0, gt=0.0)
    """Passes over the set."""
    batch_size: int = Field(default=8, ge=1)
    """Examples per forward pass on one device."""
    accumulation: int = Field(default=1, ge=1)
    """Forward passes per optimizer step."""
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the steps used to warm up."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """Shape of the learning rate after warm-up."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW weight decay."""
    max_length: int = Field(default=2048, ge=16)
    """Longest example in tokens. Longer ones are dropped and counted, never cut."""
    lora_rank: int = Field(default=8, ge=1)
    """Rank of the LoRA matrices."""
    lora_alpha: int = Field(default=32, ge=1)
    """LoRA scale."""
    lora_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Dropout on the LoRA input."""
    lora_targets: list[str] | Literal["all-linear"] = Field(default=["q_proj", "k_proj", "v_proj"])
    """Modules that get an adapter."""
    beta: float = Field(default=0.1, gt=0.0)
    """DPO temperature; the paper uses 0.01."""
    reference: Literal["base", "parent"] = "parent"
    """Reference policy of DPO."""
    rehearsal: float = Field(default=0.0, ge=0.0, le=10.0)
    """Right first attempts that SFT on D+ trains on as well, so many for each of its rows (two-stage: in stage 2): what
    the policy can do already is not unlearnt. The paper has none."""
    distillation: bool = False
    """SFT on D+ trains on its corrected attempts as first attempts too (two-stage: in stage 2): what was found by
    reflecting is answered at once. For answers with reasoning; where they are guesses, it teaches guessing. The paper
    has none."""
    min_examples: int = Field(default=1, ge=1)
    """Refuse to train on fewer examples than this."""
    checkpoint_steps: int = Field(default=20, ge=1)
    """Optimizer steps between checkpoints. A stop or `save_now` saves at once."""
    gradient_checkpointing: bool = False
    """Trade speed for memory."""


class EvaluationSection(Section):
    """How parent and child are compared on held-out questions."""

    protocol: Literal["oracle", "oracle-free", "both"] = "oracle"
    """`oracle`: reflect on wrong answers only, as in the paper. `oracle-free`: reflect on every answer. `both` measures
    the two on the same first answers; the promotion rule then looks at `oracle`."""
    rounds: int = Field(default=1, ge=1, le=8)
    """Rounds of reflection on the newest attempt (Reflexion); above 1 their majority vote is measured too."""
    retry_baseline: bool = True
    """Also answer wrong questions a second time without a reflection, at equal attempts."""
    retry_samples: int = Field(default=1, ge=1, le=64)
    """Tries of the retry baseline. Above 1 they are sampled, and counted up to the tokens that reflection took."""
    vote_samples: int = Field(default=0, ge=0, le=64)
    """Sampled answers of the majority-vote baseline, counted up to the tokens that reflection took; 0 leaves it out."""
    baseline_temperature: float = Field(default=0.7, gt=0.0, le=5.0)
    """Temperature of the sampled baselines."""
    promote: Literal["operator", "not-worse", "always"] = "not-worse"
    """What becomes of the child without a `promote` gate: an operator decides, promote unless it lost, or always."""
    split: Literal["test", "dev"] = "test"
    """Questions to measure on: the held-out ones, or those set aside for tuning."""


class GenerationSection(Section):
    """Which generator serves the policies, and how wide."""

    generator: GeneratorName = "auto"
    """`auto` takes vLLM where it imports, else transformers."""
    concurrency: int = Field(default=64, ge=1, le=4096)
    """Requests in flight at once."""
    max_model_len: int = Field(default=2048, ge=64)
    """Longest prompt plus answer in tokens."""
    memory_gib: float = Field(default=2.0, gt=0.0)
    """KV cache on CPU, in GiB. On a GPU vLLM sizes it from `gpu_memory_share`."""
    gpu_memory_share: float = Field(default=0.9, gt=0.0, le=1.0)
    """Share of the GPU's memory vLLM may use."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights while generating."""
    retries: int = Field(default=2, ge=0, le=10)
    """How often a failed generation is tried again before it becomes a row with its error."""


class ReuseSection(Section):
    """Stored texts taken over from an earlier iteration of the run instead of generated again."""

    iteration: int = Field(ge=1)
    """Number of the iteration they are taken from."""
    what: Literal["attempts", "reflections"] = "attempts"
    """`attempts`: first attempts only, to be reflected on anew. `reflections`: the reflections on them too."""


class RunSettings(Section):
    """Everything that defines a run."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the experiment."""
    model: str
    """Base model: a local path, an installed model package, or a hub name (looked up in this order)."""
    reflector: str | None = None
    """Another model that writes the reflections; unset: the policy reflects itself."""
    seed: int = Field(default=0, ge=0)
    """Seed of every draw in the run."""
    question_seed: int | None = Field(default=None, ge=0)
    """Seed that questions are chosen by; unset: `seed`. With it, iterations of one run may differ in their seed."""
    pace: Literal["flow", "step"] = "flow"
    """`flow`: stages stream into each other. `step`: each stage waits for an operator's word."""
    gates: list[GateName] = Field(default=[])
    """Stages that wait for an operator's approval before they start; `promote` waits after evaluation."""
    iterations: int = Field(default=1, ge=1)
    """How many iterations follow one another without being asked."""
    stall_minutes: float = Field(default=30.0, ge=0.0)
    """Minutes without any progress after which a process counts as hung, is ended and started again; 0 never."""
    trust_remote_code: list[str] = Field(default=[])
    """Models, as named in `model` or `reflector`, whose own code may run here; the start of the run asks again."""
    tasks: list[Task] = Field(min_length=1)
    """The task mix."""
    generation: GenerationSection = GenerationSection()
    """Generator and its width."""
    attempt: Decoding = Decoding()
    """Decoding of the first attempt."""
    reflection: ReflectionSection = ReflectionSection()
    """Decoding of reflections and draw of instructions."""
    correction: CorrectionSection = CorrectionSection()
    """Decoding of the second attempt."""
    reuse: ReuseSection | None = None
    """Stored texts to take over; unset: everything is generated."""
    curation: CurationSection = CurationSection()
    """Filters and caps."""
    judge: JudgeSection = JudgeSection()
    """Who ranks the pairs of Dpref."""
    training: TrainingSection = TrainingSection()
    """Training of the child policy."""
    evaluation: EvaluationSection = EvaluationSection()
    """Comparison on held-out questions."""
    series: str | None = None
    """Series of an experiment that an iteration belongs to; set by `reflectevo experiment`."""
    experiment: ExperimentSection | None = None
    """Several series from one base policy, for `reflectevo experiment`."""

    @property
    def chooses_by(self) -> int:
        """The seed that questions are chosen by."""
        return self.seed if self.question_seed is None else self.question_seed

    @model_validator(mode="after")
    def _experiment_is_sound(self) -> RunSettings:
        if self.experiment is not None:
            check_experiment(self)
        return self

    @model_validator(mode="after")
    def _has_dev_questions(self) -> RunSettings:
        if self.evaluation.split == "dev" and not any(task.dev for task in self.tasks):
            raise ValueError(
                "evaluation.split is 'dev', but no task sets dev questions aside; give one of them dev = 50"
            )
        return self

    @model_validator(mode="after")
    def _trusts_its_own_models(self) -> RunSettings:
        strange = [name for name in self.trust_remote_code if name not in (self.model, self.reflector)]
        if strange:
            raise ValueError(f"trust_remote_code names {strange[0]!r}, which is neither model nor reflector")
        return self

    @field_validator("tasks")
    @classmethod
    def _names_differ(cls, value: list[Task]) -> list[Task]:
        names = [task.name for task in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two tasks are named {twice[0]!r}; names must differ")
        return value


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested settings with some of them changed; tables are merged, anything else is replaced."""
    result = dict(values)
    for name, change in changes.items():
        old = result.get(name)
        result[name] = merged(old, change) if isinstance(change, Mapping) and isinstance(old, Mapping) else change
    return result


def of_series(settings: RunSettings, name: str, seed: int) -> RunSettings:
    """The settings of an iteration of a series.

    Raises:
        ValidationError: when the series' changes don't fit.
    """
    assert settings.experiment is not None
    series = next(one for one in settings.experiment.series if one.name == name)
    values = settings.model_dump(mode="json", exclude={"experiment"})
    own = {"seed": seed, "series": name, "iterations": 1}
    return type(settings).model_validate(merged(merged(values, series.changes), own))


def measuring(settings: RunSettings, place: Literal["each", "end", "base"]) -> RunSettings:
    """The settings under which a policy is measured on the test questions: one of a series, its end, or the base.

    Raises:
        ValidationError: when the experiment's changes don't fit.
    """
    assert settings.experiment is not None
    own = {"each": {}, "end": settings.experiment.measure_ends, "base": settings.experiment.measure_base}[place]
    values = settings.model_dump(mode="json", exclude={"experiment"})
    changes = {**settings.experiment.measure, **own, "split": "test"}
    return type(settings).model_validate(merged(values, {"evaluation": changes}))


def check_experiment(settings: RunSettings) -> None:
    """Whether an experiment is honest and can be whole.

    Raises:
        ValueError: with what is wrong, and where.
    """
    experiment = settings.experiment
    assert experiment is not None
    if settings.evaluation.split != "dev":
        raise ValueError(
            "an experiment needs evaluation.split = 'dev': what decides over a policy must not look at the test "
            "questions, which measure it"
        )
    if experiment.repeat_seeds and settings.question_seed is None:
        raise ValueError("repeat_seeds needs question_seed, so that all seeds are measured on the same questions")
    if settings.seed in experiment.repeat_seeds:
        raise ValueError(f"seed {settings.seed} is the run's own; name others in repeat_seeds")
    if not all(task.test for task in settings.tasks):
        raise ValueError("an experiment needs test questions of every task")
    for one in experiment.series:
        _try(f"series {one.name}", partial(of_series, settings, one.name, settings.seed))
    _try("measure", partial(measuring, settings, "each"))
    _try("measure_ends", partial(measuring, settings, "end"))
    _try("measure_base", partial(measuring, settings, "base"))


def _try(place: str, make: Callable[[], RunSettings]) -> None:
    try:
        make()
    except ValidationError as error:
        first = error.errors()[0]
        wrong = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {wrong}: {first['msg'].removeprefix('Value error, ')}") from error


FIXED_SETTINGS = ("name", "model", "reflector", "trust_remote_code", "question_seed", "tasks")
"""Settings that can't change within a run; nor can `seed`, where it chooses the questions."""


def changed_fixed(old: RunSettings, new: RunSettings) -> list[str]:
    """The settings that differ and can't change within a run."""
    found = [name for name in FIXED_SETTINGS if getattr(old, name) != getattr(new, name)]
    moved = old.chooses_by != new.chooses_by and "question_seed" not in found
    return [*found, "seed"] if moved else found
