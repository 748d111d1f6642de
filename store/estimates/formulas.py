"""The formulas of an estimate: texts, tokens and time of each stage of an iteration, disk space and memory.

Pure arithmetic on settings and figures, some of which may be unknown. `store.estimates.estimate` combines the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from store.curation.training_settings import TRAINING_SETTINGS
from store.estimates import symbolic
from store.estimates.expected_examples import examples_of_attempt
from store.estimates.inputs import Figures
from store.estimates.symbolic import Symbolic, number
from store.estimates.training_steps import added_attempts, training_passes
from store.records import StageName
from store.settings import ROLLOUT_STAGES, RunSettings

StageLabel = Literal[StageName, "loads"]

NOTHING = number(0)

_OPTIMIZER_BYTES = 16
"""Bytes per trained parameter: weight, gradient and the two moments of AdamW, each in float32."""


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """Estimate of one stage. `texts` are generated texts (examples in `train`, trajectories in `curate`); `seconds` is
    wall-clock time.

    The stage `loads` covers the starts of generation processes.
    """

    stage: StageLabel
    texts: Symbolic = NOTHING
    prompt_tokens: Symbolic = NOTHING
    generated_tokens: Symbolic = NOTHING
    training_tokens: Symbolic = NOTHING
    seconds: Symbolic = NOTHING


@dataclass(frozen=True, slots=True)
class Owed:
    """Outstanding work of an iteration at a gate: texts by stage, training examples, policies to measure.

    `repeats` says whether one of these policies is a base policy, which `evaluation.repeat` measures twice.
    """

    texts: Mapping[StageName, int] = field(default_factory=dict)
    examples: int | None = None
    policies: int | None = None
    repeats: bool = False


class StageFormulas:
    """The formulas for one set of settings and figures."""

    def __init__(self, settings: RunSettings, figures: Figures, owed: Owed) -> None:
        self._settings = settings
        self._trained = TRAINING_SETTINGS[settings.training.setting]
        self._owed = owed
        self._term = figures.term
        self._figures = figures
        shown = sum(task.train * (task.few_shot + len(task.examples)) for task in settings.tasks)
        self._shots = number(shown / sum(task.train for task in settings.tasks))

    def stages(self, *, first: bool) -> tuple[StageEstimate, ...]:
        """Return the stages of the first iteration, which has outstanding work only, or of a later one."""
        return (
            self._attempts(first),
            self._reflections(first),
            self._corrections(first),
            self._curation(first),
            self._training(first),
            self._evaluation(first),
            self._loads(first),
        )

    # -- rollouts

    def _attempts(self, first: bool) -> StageEstimate:
        sampled = number(1 + self._settings.attempt.samples)
        texts = self._owed_or("attempt", first, self._term("train_questions") * sampled)
        return self._generated("attempt", texts, self._attempt_prompt(), self._term("attempt_tokens"))

    def _reflections(self, first: bool) -> StageEstimate:
        texts = self._owed_or("reflect", first, self._reflected() * self._per_attempt() * self._rounds(self._chain()))
        return self._generated("reflect", texts, self._reflection_prompt(), self._term("reflection_tokens"))

    def _corrections(self, first: bool) -> StageEstimate:
        planned = self._reflected() * self._per_attempt() * self._rounds(self._chain()) + self._further_corrections()
        texts = self._owed_or("correct", first, planned)
        return self._generated("correct", texts, self._correction_prompt(), self._term("correction_tokens"))

    def _owed_or(self, stage: StageName, first: bool, planned: Symbolic) -> Symbolic:
        known = self._owed.texts.get(stage) if first else None
        return planned if known is None else number(known)

    def _generated(self, stage: StageLabel, texts: Symbolic, prompt: Symbolic, length: Symbolic) -> StageEstimate:
        generated = texts * length
        return StageEstimate(stage, texts, texts * prompt, generated, seconds=self._generating(generated))

    def _generating(self, tokens: Symbolic) -> Symbolic:
        rate = self._term("generation_tokens_per_s")
        return tokens / (rate * self._devices("gpus"))

    def _devices(self, name: str) -> Symbolic:
        """Number of devices that share the work; a CPU counts as one."""
        return number(1, name) if self._figures[name].value == 0 else self._term(name)

    def _wrong(self) -> Symbolic:
        return self._term("train_questions") * self._term("wrong_share")

    def _reflected(self) -> Symbolic:
        """Training attempts that are reflected on."""
        return self._term("train_questions") if self._settings.reflection.on == "all" else self._wrong()

    def _further_corrections(self) -> Symbolic:
        """Texts that the lift of reflections is computed from: corrections after the first, and tries without one.

        Their prompts are estimated as those of corrections.
        """
        samples = self._settings.correction.samples
        if samples == 1:
            return NOTHING
        return self._wrong() * (self._per_attempt() * number(samples - 1) + number(samples))

    def _per_attempt(self) -> Symbolic:
        return self._term("reflections_per_attempt")

    def _chain(self) -> int:
        return self._settings.reflection.rounds

    def _rounds(self, rounds: int) -> Symbolic:
        """Texts of a chain of rounds: each further round only follows a correction that is wrong again."""
        if rounds == 1:
            return number(1)
        fixed = self._figures["yield_share"].value
        if fixed is None:
            return symbolic.name("texts_per_chain")
        return number(sum((1 - fixed) ** round for round in range(rounds)), "yield_share")

    # -- prompts

    def _attempt_prompt(self) -> Symbolic:
        if self._figures.has("attempt_prompt_tokens"):
            return self._term("attempt_prompt_tokens")
        question, answer = self._term("question_tokens"), self._term("attempt_tokens")
        shot = question + answer + self._term("shot_overhead_tokens")
        return question + self._term("attempt_overhead_tokens") + self._shots * shot

    def _reflection_prompt(self) -> Symbolic:
        if self._figures.has("reflection_prompt_tokens"):
            return self._term("reflection_prompt_tokens")
        return self._attempt_prompt() + self._term("attempt_tokens") + self._term("reflection_overhead_tokens")

    def _correction_prompt(self) -> Symbolic:
        if self._figures.has("correction_prompt_tokens"):
            return self._term("correction_prompt_tokens")
        shown = self._term("attempt_tokens") if self._settings.correction.show_previous_attempt else NOTHING
        asked = self._term("reflection_tokens") + self._term("correction_overhead_tokens")
        return self._attempt_prompt() + shown + asked

    def _retry_prompt(self) -> Symbolic:
        """A second try without a reflection has the question and, where it is shown, the attempt in its prompt."""
        shown = self._term("attempt_tokens") if self._settings.correction.show_previous_attempt else NOTHING
        return self._attempt_prompt() + shown

    # -- the rest of an iteration

    def trajectories(self) -> Symbolic:
        """Return the number of trajectories of an iteration's training questions."""
        return self._term("train_questions") + self._reflected() * (self._per_attempt() + number(-1))

    def _curation(self, first: bool) -> StageEstimate:
        made = self._owed_or("curate", first, self.trajectories())
        return StageEstimate("curate", made, seconds=made / self._term("curated_per_s"))

    def _examples(self, first: bool) -> Symbolic:
        if first and self._owed.examples is not None:
            return number(self._owed.examples)
        if self._trained.row_source == "questions":
            return self._term("train_questions")
        if self._trained.row_source == "sampled attempts":
            return self._term("train_questions") * self._examples_of_samples()
        if self._figures.has("examples_per_attempt"):
            return self._wrong() * self._term("examples_per_attempt")
        reflections, fixed = self._figures["reflections_per_attempt"].value, self._figures["yield_share"].value
        if reflections is None or fixed is None:
            return self._wrong() * symbolic.name("examples_per_attempt")
        mean = examples_of_attempt(self._settings, round(reflections), fixed)
        return self._reflected() * number(mean, "yield_share", "reflections_per_attempt")

    def _examples_of_samples(self) -> Symbolic:
        """Examples of the sampled first attempts per question, if they are right as often as the greedy one."""
        wrong = self._figures["wrong_share"].value
        if wrong is None:
            return symbolic.name("examples_per_question")
        mean = examples_of_attempt(self._settings, self._settings.attempt.samples, 1 - wrong)
        return number(mean, "wrong_share")

    def _training(self, first: bool) -> StageEstimate:
        training = self._settings.training
        examples = self._examples(first)
        kept = examples * number(1 - training.validation_share)
        lengths = self._example_lengths()
        passes = training_passes(training)
        tokens = symbolic.total(
            [kept * length * number(epochs) for length, (epochs, _, _) in zip(lengths, passes, strict=True)]
        )
        if share := added_attempts(training):
            beside = kept * number(share) * (self._attempt_prompt() + self._term("attempt_tokens"))
            tokens = tokens + beside * number(passes[-1][0])
        rate = self._term("training_tokens_per_s")
        seconds = tokens / (rate * self._devices("training_gpus")) + self._term("training_start_s")
        return StageEstimate("train", examples, training_tokens=tokens, seconds=seconds)

    def _example_lengths(self) -> list[Symbolic]:
        """Tokens of an example in each stage of the training, including the prompt."""
        prompts = {
            "attempt": self._attempt_prompt,
            "reflection": self._reflection_prompt,
            "correction": self._correction_prompt,
            "retry": self._retry_prompt,
        }
        lengths = []
        for stage in self._trained.stages:
            length = prompts[stage.prompt]()
            for text in stage.learnt:
                length = length + self._term(f"{text}_tokens")
            lengths.append(number(self._trained.sequences) * length if self._trained.paired else length)
        return lengths

    def _evaluation(self, first: bool) -> StageEstimate:
        policies = self._owed.policies if first and self._owed.policies is not None else 2 if first else 1
        measured = self._settings.evaluation
        asked = number(policies) * self._term("held_out_questions")
        if self._settings.reports_on_test and self._owed.policies is None:
            # At most: a policy that isn't promoted is not measured on the test questions.
            asked = asked + number(2 if first else 1) * self._term("reported_questions")
        own = "held_out_wrong_share" if self._figures.has("held_out_wrong_share") else "wrong_share"
        wrong = asked * self._term(own)
        oracle = {"oracle": 1, "oracle-free": 0, "both": 1}[measured.protocol]
        free = {"oracle": 0, "oracle-free": 1, "both": 1}[measured.protocol]
        chains = number(oracle) * wrong + number(free) * asked
        turns = chains * self._rounds(measured.rounds)
        retries = number((oracle + free) * (measured.retry_samples if measured.retry_baseline else 0)) * wrong
        answers = asked * number(1 + measured.vote_samples)
        attempt, reflection, correction = (
            self._term(f"{name}_tokens") for name in ("attempt", "reflection", "correction")
        )
        retry_prompt = self._retry_prompt()
        prompts = (
            answers * self._attempt_prompt()
            + turns * (self._reflection_prompt() + self._correction_prompt())
            + retries * retry_prompt
        )
        generated = answers * attempt + turns * (reflection + correction) + retries * correction
        texts = answers + turns * number(2) + retries
        if again := self._repeated(first):
            # The base policy answers, reflects and corrects once more, under the protocol that decides.
            chain = again if measured.protocol == "oracle-free" else again * self._term(own)
            chain = chain * self._rounds(measured.rounds)
            texts = texts + again + chain * number(2)
            prompts = prompts + again * self._attempt_prompt()
            prompts = prompts + chain * (self._reflection_prompt() + self._correction_prompt())
            generated = generated + again * attempt + chain * (reflection + correction)
        if measured.controls.enabled:
            section = measured.controls
            corrected, judged = (
                wrong * number(measured.control_corrections()),
                asked * number(section.judgement_samples),
            )
            texts = texts + corrected + judged
            prompts = prompts + corrected * self._correction_prompt() + judged * retry_prompt
            generated = generated + corrected * correction + asked * number(section.judgement_tokens)
        return StageEstimate("evaluate", texts, prompts, generated, seconds=self._generating(generated))

    def _repeated(self, first: bool) -> Symbolic | None:
        """Held-out questions that a base policy answers a second time for its repeat noise; None without."""
        if not first or not self._settings.evaluation.repeat:
            return None
        if self._owed.policies is not None:
            return self._term("held_out_questions") if self._owed.repeats else None
        asked = self._term("held_out_questions")
        return asked + self._term("reported_questions") if self._settings.reports_on_test else asked

    def _loads(self, first: bool) -> StageEstimate:
        """Starts of generation processes: the parent's, one after each stop at a gate, and the child's."""
        settings = self._settings
        stops = [stage for stage in ROLLOUT_STAGES[1:] if settings.pace == "step" or stage in settings.gates]
        alone = first and (settings.pace == "step" or "evaluate" in settings.gates)
        loads = 1 + len(stops) + 1 + alone
        return StageEstimate("loads", seconds=number(loads) * self._term("load_s"))

    # -- disk, memory, price

    def trajectory_bytes(self) -> Symbolic:
        """Return the bytes of the database per trajectory."""
        if self._figures.has("trajectory_bytes"):
            return self._term("trajectory_bytes")
        tokens = symbolic.total([self._term(f"{name}_tokens") for name in ("attempt", "reflection", "correction")])
        return self._term("row_bytes") + tokens * self._term("text_bytes_per_token")

    def further_bytes(self) -> Symbolic:
        """Return the bytes of the texts of an iteration that belong to no trajectory: further attempts and corrections.

        They are not in the search index, so this is an upper bound.
        """
        samples = self._settings.attempt.samples
        if not samples and self._settings.correction.samples == 1:
            return NOTHING
        attempts = self._term("train_questions") * number(samples) * self._term("attempt_tokens")
        tokens = attempts + self._further_corrections() * self._term("correction_tokens")
        return tokens * self._term("text_bytes_per_token")

    def policy_bytes(self) -> Symbolic:
        """Return the bytes of a child policy: its adapter, and the merged model where adapters aren't served (CPU)."""
        whole = self._term("parameters") * self._term("weight_bytes")
        if self._settings.training.method == "full":
            return whole
        separate = len(self._trained.stages) > 1 and self._settings.training.adapters == "separate"
        adapter = self._term("adapter_parameters") * number(4)
        merged = whole if self._figures["gpus"].value == 0 else NOTHING
        return number(2 if separate else 1) * (adapter + merged)

    def generation_bytes(self) -> Symbolic:
        """Return the bytes of weights and KV cache, with `generation.concurrency` texts at their full mean length."""
        length = self._correction_prompt() + self._term("correction_tokens")
        cache = number(self._settings.generation.concurrency) * length
        return self._term("parameters") * self._term("weight_bytes") + cache * self._term("cached_values") * self._term(
            "cache_bytes"
        )

    def training_bytes(self) -> Symbolic:
        """Return the bytes of weights, optimizer and activations on one device."""
        training = self._settings.training
        batch = number(training.batch_size * training.max_length * self._trained.sequences)
        activations = batch * self._term("activation_bytes_per_token")
        if training.method == "full":
            return self._term("parameters") * number(_OPTIMIZER_BYTES) + activations
        base = self._term("parameters") * self._term("training_weight_bytes")
        return base + self._term("adapter_parameters") * number(_OPTIMIZER_BYTES) + activations
