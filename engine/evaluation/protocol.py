"""Evaluation protocols: the plans that evaluate a policy on held-out questions, and the metrics of their answers.

Greedy decoding throughout, one general instruction, one reflection (paper, section 4); only the baselines are sampled.
Each policy is asked as it was trained: one that learnt to reflect and to correct in one reply gets that prompt.
An evaluation belongs to a policy and a protocol, not to an iteration: a parent that was evaluated as a child is not
evaluated again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from engine.evaluation.answer_outcomes import Answer, Feedback, QuestionAnswers, answer_group
from engine.evaluation.baselines import baselines, budgets
from engine.evaluation.em_f1 import grade, graded
from engine.evaluation.metrics import Metric, evaluate
from engine.prompts.instructions import GENERAL
from engine.prompts.rollout import PROMPT_VERSION, Problem
from engine.rollout.load_plan import detailed_kinds
from engine.rollout.plan import Baselines, Done, RolloutPlan
from engine.rollout.reuse import Reusable
from engine.tasks import TASK_TYPES
from store.database.rows import dump_json
from store.evaluation.transfer import grouped
from store.records import StoredAttempt, StoredQuestion
from store.settings import CorrectionSection, Decoding, RunSettings

GENERAL_KEY = (GENERAL, 0)
"""Instruction and sample of the only reflection in an evaluation."""


def feedbacks_of(settings: RunSettings) -> tuple[Feedback, ...]:
    """Return the feedback of each protocol to measure, in order; the second reuses the first answers of the first."""
    chosen = settings.evaluation.protocol
    return ("oracle", "oracle-free") if chosen == "both" else (chosen,)


def deciding_feedback(settings: RunSettings) -> Feedback:
    """Return the feedback that decides on a child's promotion: `oracle` when both are measured."""
    return feedbacks_of(settings)[0]


def protocol_name(settings: RunSettings, questions: Sequence[StoredQuestion], feedback: Feedback | None = None) -> str:
    """Return a protocol's name, with a digest of all that makes evaluations comparable; the deciding one by default.

    The names of the oracle and the oracle-free protocol differ only in the part before the digest.
    """
    measured = settings.evaluation
    sampled = measured.vote_samples > 0 or (measured.retry_baseline and measured.retry_samples > 1)
    # Settings that earlier versions did not have enter the digest only where they are set, so that names stay.
    added: dict[str, object] = {}
    for role in ("attempt", "reflection", "correction"):
        section: Decoding = getattr(settings, role)
        if section.greedy() != Decoding(max_tokens=section.max_tokens).greedy():
            added[f"decoding of {role}"] = section.greedy()
    for name in ("template", "system"):
        if value := getattr(settings.generation, name):
            added[name] = value
    content = dump_json(
        added
        | {
            "prompt": PROMPT_VERSION,
            # A rule for all policies, so that a child and its parent are measured under one protocol although a
            # one-stage policy answers one prompt and its untrained parent two.
            "second_turn": "asked as trained",
            "feedback": settings.reflection.feedback,
            "attempt": settings.attempt.max_tokens,
            "reflection": settings.reflection.max_tokens,
            "correction": settings.correction.max_tokens,
            "show_previous_attempt": settings.correction.show_previous_attempt,
            "reflector": settings.reflector,
            "rounds": measured.rounds,
            "retries": measured.retry_samples if measured.retry_baseline else 0,
            "votes": measured.vote_samples,
            "temperature": measured.baseline_temperature if sampled else None,
            "questions": [question.content_hash for question in questions],
        }
    )
    digest = hashlib.sha256(content.encode()).hexdigest()[:10]
    return f"{feedback or deciding_feedback(settings)}/{digest}"


def feedback_of(protocol: str) -> Feedback:
    """Return the feedback of a protocol, given its name."""
    return "oracle-free" if protocol.startswith("oracle-free/") else "oracle"


def sibling_protocol(protocol: str) -> str:
    """Return the name of the protocol that differs only in its feedback."""
    feedback, _, digest = protocol.partition("/")
    return f"{'oracle' if feedback == 'oracle-free' else 'oracle-free'}/{digest}"


def evaluation_plan(
    *,
    iteration_id: int | None,
    policy_id: int,
    settings: RunSettings,
    questions: Sequence[StoredQuestion],
    problems: Mapping[int, Problem],
    feedback: Feedback | None = None,
    reflector_id: int | None = None,
    reusable: Reusable | None = None,
    one_generation: bool = False,
) -> RolloutPlan:
    """Build the plan of one policy over the held-out questions under one feedback, by default the deciding one.

    `reflector_id` is the policy that reflects, if it is not the same. `reusable` are texts of the sibling protocol.
    With `one_generation` the policy reflects and corrects in one reply, as it was trained to.
    """
    feedback = feedback or deciding_feedback(settings)
    correction = CorrectionSection.model_validate(
        settings.correction.greedy() | {"show_previous_attempt": settings.correction.show_previous_attempt}
    )
    attempt = Decoding.model_validate(settings.attempt.greedy())
    measured = settings.evaluation
    retries = measured.retry_samples if measured.retry_baseline else 0
    sampled = {"temperature": measured.baseline_temperature}
    return RolloutPlan(
        iteration_id=iteration_id,
        iteration_number=0,
        policy_id=policy_id,
        reflector_id=reflector_id or policy_id,
        protocol=protocol_name(settings, questions, feedback),
        questions=tuple(questions),
        problems=problems,
        draws={question.id: (GENERAL_KEY,) for question in questions},
        attempt=attempt,
        reflection=Decoding.model_validate(settings.reflection.greedy()),
        correction=correction,
        reflect_on_all=feedback == "oracle-free",
        stages=frozenset({"attempt", "reflect", "correct"}),
        seed=settings.seed,
        rounds=measured.rounds,
        baselines=Baselines(
            retries=retries,
            # A single retry decodes like the correction; several ones must be sampled, or they would be the same text.
            retry=correction.model_copy(update=sampled) if retries > 1 else correction,
            votes=measured.vote_samples,
            vote=attempt.model_copy(update=sampled),
        ),
        reusable=reusable or Reusable(),
        one_generation=one_generation,
        detailed_kinds=detailed_kinds(settings),
    )


def answered(
    questions: Iterable[StoredQuestion], done: Mapping[int, Done], kinds: Mapping[str, str] | None = None
) -> list[QuestionAnswers]:
    """The answers to each answered held-out question; `kinds` names the task type of each task."""
    rows = []
    for question in questions:
        entry = done.get(question.id)
        if entry is None or entry.attempt is None:
            continue
        kind = (kinds or {}).get(question.task, "")
        turns, reflection_tokens, reflection_prompts = [_answer(entry.attempt, question, kind)], 0, 0
        reflection = entry.reflections.get(GENERAL_KEY)
        while reflection is not None:
            reflection_tokens += reflection.completion_tokens
            reflection_prompts += reflection.prompt_tokens
            correction = entry.corrections.get(reflection.id)
            if correction is None:
                break
            turns.append(_answer(correction, question, kind))
            reflection = entry.later.get((correction.id, GENERAL_KEY))
        rows.append(
            QuestionAnswers(
                question.id,
                question.task,
                tuple(turns),
                reflection_tokens,
                retries=tuple(_answer(entry.retries[sample], question, kind) for sample in sorted(entry.retries)),
                votes=tuple(_answer(entry.votes[sample], question, kind) for sample in sorted(entry.votes)),
                reflection_prompt_tokens=reflection_prompts,
            )
        )
    return rows


def _answer(stored: StoredAttempt, question: StoredQuestion, kind: str) -> Answer:
    group = answer_group(kind, stored.answer)
    exact, f1 = None, None
    task = TASK_TYPES.get(kind)
    if task is not None and task.graded:
        given = stored.answer
        same = given is not None and task.matches_exactly(given, question.reference, question.payload)
        exact, f1 = grade(verdict=stored.verdict, score=stored.score, exact=same)
    return Answer(stored.verdict, group, stored.completion_tokens, exact, f1, stored.prompt_tokens)


def measure(rows: Sequence[QuestionAnswers], feedback: Feedback, settings: RunSettings) -> dict[str, dict[str, Metric]]:
    """Compute the metrics by task and name; those over all trained tasks are under the empty task name, those over all
    transfer tasks under `TRANSFER`."""
    budget = budgets(rows, settings.seed)

    def measured(part: Sequence[QuestionAnswers]) -> dict[str, Metric]:
        return {
            **evaluate(part, protocol=feedback, rounds=settings.evaluation.rounds).by_name(),
            **baselines(part, budget, protocol=feedback),
            **graded(part, protocol=feedback),
        }

    return {task: measured(part) for task, part in grouped(rows, settings.transfer_tasks).items()}
