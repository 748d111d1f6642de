"""The plan of the controls of one policy: which texts are to be generated for its wrong first answers, and what each
of them is shown.

A pure function of stored work: after a restart the same work is outstanding. Texts that the evaluation stored for the
same prompt with the same decoding are taken over instead of being generated again. Source: shared design of controls
for reflection (content, repetition, place and length, ceiling), see docs/controls.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.evaluation.answer_outcomes import answer_group
from engine.evaluation.control_arms import Reflected, foreign, generic_words, shuffled
from engine.evaluation.protocol import GENERAL_KEY
from engine.prompts.control_prompts import generic_reflection, judgement_messages, stated_answer
from engine.prompts.rollout import Message, prompt_hash
from engine.rollout.plan import Done, RolloutPlan
from engine.rollout.plan_prompts import attempt_prompt, correction_prompt, feedback_on, reflection_prompt, retry_prompt
from engine.tasks.base import normalised
from store.records import Arm, ControlText, FirstAnswers, StoredAttempt, StoredQuestion
from store.rollouts.control_texts import StoredControl
from store.settings import ControlsSection, Decoding
from store.settings.controls import OTHER_ANSWER_TRIES

ControlKey = tuple[ControlText, int, int]
"""Arm, question id and sample."""

JUDGEMENT_TOKENS = 8
"""Maximum length of a judgement, which is one word."""

USES_OWN: frozenset[Arm] = frozenset({"own", "generic", "shuffled", "foreign", "parent-correction"})
"""The arms that need the policy's own reflections."""
BY_PARENT: frozenset[Arm] = frozenset({"parent-reflection", "parent-correction"})
"""The arms that need the parent policy."""

BY_POLICY, OF_PARENT = 0, 1
"""Samples of the kind `reflection`: who wrote it."""


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """A wrong first answer that every arm corrects. `group` is equal for equivalent answers, None without one."""

    question: StoredQuestion
    attempt: StoredAttempt
    group: str | None

    @property
    def answer(self) -> str:
        """What makes two wrong answers the same: the answer, or the whole reply if none could be read from it."""
        return f"reply {normalised(self.attempt.reasoning)}" if self.group is None else f"answer {self.group}"


@dataclass(frozen=True, slots=True)
class ControlItem:
    """A text to generate, or to take over from the evaluation (`reuse`)."""

    key: ControlKey
    wrong: WrongAnswer
    shown: Reflected | None
    literal: str | None
    messages: tuple[Message, ...]
    decoding: Decoding
    seed: int
    author_id: int
    """The policy that writes the text."""
    served_id: int
    """The policy whose generators are used: the measured policy or its parent, whoever reflects for them."""
    reuse: StoredAttempt | None = None
    divided: bool = False
    """Whether the reply contains a correction after the reflection, which is cut off."""

    @property
    def reflects(self) -> bool:
        """Whether the text is a reflection, which a reflector writes."""
        return self.key[0] == "reflection"

    @property
    def verified(self) -> bool:
        """Whether the text is an answer to the question."""
        return not self.reflects and self.key[0] != "judgement"


@dataclass(frozen=True)
class ControlPlan:
    """Everything that the controls of one policy depend on.

    `first` are the policy's own first answers with a verdict, by question id, for its own judgement. `evaluated` is the
    evaluation's stored work by question id, from which texts may be taken over; empty if the wrong answers are those of
    another policy. `unavailable` names the arms that can't be measured, each with its reason.
    """

    plan: RolloutPlan
    section: ControlsSection
    kinds: Mapping[str, str]
    wrong: Sequence[WrongAnswer]
    first: Sequence[WrongAnswer]
    evaluated: Mapping[int, Done]
    stored: Mapping[ControlKey, StoredControl]
    parent_id: int | None = None
    parent_in_one_generation: bool = False
    """Whether the parent reflects and corrects in one reply, as `RolloutPlan.one_generation` says of the policy."""
    unavailable: dict[Arm, str] = field(default_factory=dict)

    @property
    def first_answers(self) -> FirstAnswers:
        """Whose wrong first answers are corrected."""
        return self.section.first_answers

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms that can be measured."""
        return tuple(arm for arm in self.section.measured_arms if arm not in self.unavailable)

    @property
    def own_reflections_are_stored(self) -> bool:
        """Whether the reflections are those of the evaluation; otherwise the controls generate them."""
        return bool(self.evaluated) or not self.wrong

    def seed_of(self, key: ControlKey) -> int:
        """Return the seed of a text, which depends on its place in the plan and not on when it is generated."""
        arm, question_id, sample = key
        identity = f"{self.plan.seed}|{self.plan.protocol}|controls|{self.first_answers}|{arm}|{question_id}|{sample}"
        return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") >> 1

    def reflections(self, by: int = BY_POLICY) -> list[Reflected] | None:
        """Return the reflections of the policy, or of its parent, on the wrong answers; None while some are missing.

        Failed reflections are left out, and empty ones, which are the same as none.
        """
        found = []
        for wrong in self.wrong:
            question = wrong.question
            if by == BY_POLICY and self.own_reflections_are_stored:
                made = self.evaluated[question.id].reflections.get(GENERAL_KEY)
                if made is not None and made.error is None and made.text.strip():
                    found.append(Reflected(question.id, question.task, wrong.answer, made.text, reflection_id=made.id))
                continue
            control = self.stored.get(("reflection", question.id, by))
            if control is None:
                return None
            if control.error is None and control.text.strip():
                found.append(Reflected(question.id, question.task, wrong.answer, control.text, control_id=control.id))
        return found

    def items(self) -> list[ControlItem]:
        """Return the texts that can be generated now and are not stored.

        Once they are stored, further ones can follow: arms after the reflections that they show, and the next sample of
        `other-answer`.
        """
        made = [*self._reflecting(), *self._arms(), *self._judgements()]
        return [item for item in made if item.key not in self.stored]

    def _reflecting(self) -> Iterable[ControlItem]:
        if not self.own_reflections_are_stored and USES_OWN.intersection(self.arms):
            yield from (self._reflection(wrong, BY_POLICY) for wrong in self.wrong)
        if "parent-reflection" in self.arms:
            yield from (self._reflection(wrong, OF_PARENT) for wrong in self.wrong)

    def _reflection(self, wrong: WrongAnswer, by: int) -> ControlItem:
        own = by == BY_POLICY
        plan = self.plan if own else self._parent_plan
        said = feedback_on(plan.detailed_kinds, wrong.question.task, wrong.attempt)
        messages = reflection_prompt(plan, wrong.question.id, wrong.attempt.reasoning, GENERAL_KEY[0], said)
        decoding = plan.one_reply if plan.one_generation else plan.reflection
        author = self.plan.reflector_id if own else self._parent
        item = self._item(("reflection", wrong.question.id, by), wrong, messages, decoding, author, plan.policy_id)
        return replace(item, divided=plan.one_generation)

    @property
    def _parent_plan(self) -> RolloutPlan:
        """The plan as the parent policy is asked."""
        return replace(
            self.plan,
            policy_id=self._parent,
            reflector_id=self._parent,
            one_generation=self.parent_in_one_generation,
        )

    @property
    def _parent(self) -> int:
        assert self.parent_id is not None
        return self.parent_id

    def _arms(self) -> Iterable[ControlItem]:
        arms = self.arms
        if "none" in arms:
            for wrong in self.wrong:
                said = feedback_on(self.plan.detailed_kinds, wrong.question.task, wrong.attempt)
                messages = retry_prompt(self.plan, wrong.question.id, wrong.attempt.reasoning, said)
                yield self._answer(("none", wrong.question.id, 0), wrong, messages, reuse=self._retry(wrong))
        if "told" in arms:
            for wrong in self.wrong:
                if wrong.question.reference.strip():
                    literal = stated_answer(wrong.question.reference)
                    yield self._correction(("told", wrong.question.id, 0), wrong, literal=literal)
        if "other-answer" in arms:
            yield from (item for wrong in self.wrong for item in self._other_answers(wrong))
        reflections = self.reflections()
        if reflections is not None:
            yield from self._showing(arms, reflections)
        by_parent = self.reflections(OF_PARENT) if "parent-reflection" in arms else None
        if by_parent is not None:
            known = {one.question_id: one for one in by_parent}
            yield from self._corrections("parent-reflection", 0, known)

    def _showing(self, arms: Sequence[Arm], reflections: Sequence[Reflected]) -> Iterable[ControlItem]:
        """The arms that need all of the policy's own reflections."""
        own = {one.question_id: one for one in reflections}
        for sample in range(2):
            yield from self._corrections("own", sample, own)
        if "generic" in arms and own:
            literal = generic_reflection(generic_words(reflections))
            for wrong in self.wrong:
                yield self._correction(("generic", wrong.question.id, 0), wrong, literal=literal)
        if "shuffled" in arms:
            for sample, assigned in enumerate(shuffled(reflections, self.section.shuffles, self.plan.seed)):
                yield from self._corrections("shuffled", sample, assigned)
        if "foreign" in arms:
            yield from self._corrections("foreign", 0, foreign(reflections, self.plan.seed))
        if "parent-correction" in arms:
            yield from self._corrections("parent-correction", 0, own)

    def _corrections(self, arm: Arm, sample: int, shown: Mapping[int, Reflected]) -> Iterable[ControlItem]:
        for wrong in self.wrong:
            reflection = shown.get(wrong.question.id)
            if reflection is not None:
                yield self._correction((arm, wrong.question.id, sample), wrong, shown=reflection)

    def _correction(
        self, key: ControlKey, wrong: WrongAnswer, shown: Reflected | None = None, literal: str | None = None
    ) -> ControlItem:
        text = shown.text if shown is not None else literal
        assert text is not None
        plan = self._parent_plan if key[0] == "parent-correction" else self.plan
        said = feedback_on(plan.detailed_kinds, wrong.question.task, wrong.attempt)
        messages = correction_prompt(plan, wrong.question.id, wrong.attempt.reasoning, text, GENERAL_KEY[0], said)
        reuse = None
        if key[0] == "own" and key[2] == 0 and shown is not None and shown.reflection_id is not None:
            reuse = self.evaluated[wrong.question.id].corrections.get(shown.reflection_id)
            if self._is_in_reply(reuse, shown):
                made = self._item(key, wrong, messages, plan.correction, plan.policy_id, plan.policy_id, shown)
                return replace(made, reuse=reuse)
        return self._answer(key, wrong, messages, shown=shown, literal=literal, reuse=reuse, author=plan.policy_id)

    def _is_in_reply(self, correction: StoredAttempt | None, shown: Reflected) -> bool:
        """Check whether a correction is the second try of the reply that contains the reflection.

        Both are greedy, so that continuing the reply after the line `SECOND_TRY` gives the same text. A reply without
        this line has no second try to take over; it is continued, as in the other arms.
        """
        if correction is None or correction.error is not None or not correction.reasoning.strip():
            return False
        made = self.evaluated[shown.question_id].reflections.get(GENERAL_KEY)
        return self.plan.one_generation and made is not None and correction.prompt_hash == made.prompt_hash

    def _answer(
        self,
        key: ControlKey,
        wrong: WrongAnswer,
        messages: list[Message],
        *,
        shown: Reflected | None = None,
        literal: str | None = None,
        reuse: StoredAttempt | None = None,
        author: int | None = None,
    ) -> ControlItem:
        author = author or self.plan.policy_id
        made = self._item(key, wrong, messages, self.plan.correction, author, author, shown, literal)
        same = reuse is not None and reuse.error is None and reuse.prompt_hash == prompt_hash(messages)
        return replace(made, reuse=reuse) if same else made

    def _retry(self, wrong: WrongAnswer) -> StoredAttempt | None:
        """The evaluation's retry, if it was decoded like a correction; several retries are sampled."""
        done = self.evaluated.get(wrong.question.id)
        greedy = self.plan.baselines.retry.temperature == self.plan.correction.temperature
        return done.retries.get(0) if done is not None and greedy else None

    def _other_answers(self, wrong: WrongAnswer) -> Iterable[ControlItem]:
        """The next sample of `other-answer`, unless one differs already or all tries are used."""
        for sample in range(OTHER_ANSWER_TRIES):
            key: ControlKey = ("other-answer", wrong.question.id, sample)
            stored = self.stored.get(key)
            if stored is None:
                messages = attempt_prompt(self.plan, wrong.question.id)
                decoding = self.plan.baselines.vote
                policy = self.plan.policy_id
                yield self._item(key, wrong, messages, decoding, policy, policy)
                return
            if differs(stored, wrong.group):
                return

    def _judgements(self) -> Iterable[ControlItem]:
        decoding = Decoding(max_tokens=JUDGEMENT_TOKENS, temperature=1.0)
        policy = self.plan.policy_id
        for answer in self.first:
            messages = judgement_messages(self.plan.problems[answer.question.id], answer.attempt.reasoning)
            for sample in range(self.section.judgement_samples):
                key: ControlKey = ("judgement", answer.question.id, sample)
                yield self._item(key, answer, messages, decoding, policy, policy)

    def _item(
        self,
        key: ControlKey,
        wrong: WrongAnswer,
        messages: Sequence[Message],
        decoding: Decoding,
        author: int,
        served: int,
        shown: Reflected | None = None,
        literal: str | None = None,
    ) -> ControlItem:
        return ControlItem(
            key, wrong, shown, literal, tuple(messages), decoding, self.seed_of(key), author, served, None
        )


def differs(control: StoredControl, wrong_group: str | None) -> bool:
    """Check whether a sampled first answer differs from the wrong one. One without a readable answer doesn't."""
    return control.error is None and control.answer_group is not None and control.answer_group != wrong_group


def wrong_answers(
    questions: Iterable[StoredQuestion], done: Mapping[int, Done], kinds: Mapping[str, str], *, only_wrong: bool = True
) -> list[WrongAnswer]:
    """Return the first answers that were verified as wrong, or with `only_wrong` False all verified ones."""
    found = []
    for question in questions:
        entry = done.get(question.id)
        attempt = None if entry is None else entry.attempt
        if attempt is None or attempt.error is not None or attempt.verdict == "unverified":
            continue
        if attempt.verdict == "incorrect" or not only_wrong:
            group = answer_group(kinds.get(question.task, ""), attempt.answer)
            found.append(WrongAnswer(question, attempt, group))
    return found
