"""Glossary of the method, one sentence per term. `?` shows it; `docs/glossary.md` is generated from it.

`python -m tests.docs` writes the page, and `tests/test_docs.py` checks that it is up to date.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Term(NamedTuple):
    """A term and its definition, one sentence without markup."""

    name: str
    meaning: str


GLOSSARY: Final = (
    Term("attempt", "The policy's first answer to a question, judged correct, incorrect or unverified."),
    Term("verdict", "What a verifier says of an answer: correct, incorrect, or unverified where it can't judge it."),
    Term(
        "oracle",
        "A verifier with the reference answer that tells the policy its attempt was wrong; an oracle-free protocol "
        "asks for a reflection on every attempt instead.",
    ),
    Term("reflection", "What the policy writes about a wrong attempt when an instruction asks it what went wrong."),
    Term("correction", "The second attempt, written from the question, the wrong attempt and one reflection on it."),
    Term("retry", "A second attempt at the same question without a reflection: the baseline of every correction."),
    Term(
        "trajectory",
        "One attempt with one of its reflections and the correction that followed, or a correct attempt alone; "
        "a row of the Trajectories screen.",
    ),
    Term(
        "transition",
        "The verdicts of a trajectory before and after its reflection: i→c is incorrect to correct, c→i the reverse.",
    ),
    Term(
        "lift",
        "The share of corrections that come right with a reflection less the share that come right without it.",
    ),
    Term(
        "grounded",
        "Of a reflection: it names something specific to its own question or attempt, which few other questions share.",
    ),
    Term(
        "novel",
        "Of a reflection: it differs from every worked example and every reflection of the previous iteration.",
    ),
    Term("error kind", "The kind of mistake in a wrong attempt, as a reviewer records it."),
    Term(
        "localisation",
        "Whether a reflection names the error in its attempt, as a reviewer records it: yes, partly or no.",
    ),
    Term("policy", "A version of the model: the base model, or the weights that one training produced."),
    Term("lineage", "The tree of policies: which policy was trained from which, and which was promoted."),
    Term("iteration", "One pass of the loop: rollouts, curation, training of a child policy, and its evaluation."),
    Term("rollout plan", "All attempts, reflections and corrections of one policy over a set of questions."),
    Term("gate", "A point at which an iteration waits for an operator's approval before its next stage."),
    Term(
        "curation", "Selecting training examples from the trajectories, with a recorded reason for each one left out."
    ),
    Term("D+", "The SFT set: reflections whose correction is correct, each with that correction."),
    Term(
        "D±",
        "The preference set by verdict: pairs of reflections on one attempt, of which one led to a correct answer "
        "and the other to an incorrect one.",
    ),
    Term(
        "Dpref",
        "The preference set by judge: pairs of reflections on one attempt that both led to a correct answer, "
        "ranked by a judge.",
    ),
    Term(
        "protocol",
        "How held-out questions are asked and answers judged (feedback, settings, prompts, questions); results "
        "compare only under the same protocol.",
    ),
    Term(
        "arm",
        "In a controlled comparison, what replaces the reflection, such as nothing or another question's reflection.",
    ),
    Term(
        "floor",
        "The Acc@t2 that guessing reaches, such as the commonest training answer and then the second commonest; "
        "a gain counts only above it.",
    ),
    Term("Acc@t1, Acc@t2", "The share of questions answered correctly at the first turn, and after one reflection."),
)
"""Terms in the order of the loop: generation, training, measurement."""
