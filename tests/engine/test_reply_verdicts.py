"""Tests of the verdicts on replies as models write them: layout, corrections, negations, reasons, thoughts, cut
replies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import TaskError
from engine.tasks import load_task, task_type
from engine.tasks.answers.block_layout import in_one_line
from engine.tasks.answers.extraction import ends_in_answer, extract
from engine.tasks.answers.remarks import without_lead, without_remark
from engine.tasks.answers.statements import last_retraction
from engine.tasks.answers.thoughts import without_thoughts
from engine.tasks.sandbox.resource_limits import Ended
from engine.tasks.sandbox.runner import _report
from store.settings.tasks import FreeTextTask, ProceduralTask
from tests.support.reply_cases import CHOICES, FREE_TEXT, LETTER_B, NUMBER_42, PROGRAMS

VERDICTS = Path(__file__).parents[1] / "support" / "reply_verdicts.jsonl"
SHARED = Path(__file__).parents[3] / "shared" / "cases" / "verifiers.jsonl"
CODE = {"tests": ["assert add(1, 2) == 3"], "setup": "", "seconds": 2.0, "memory_mib": 256}

ACCEPTED_MISTAKES: dict[str, str] = {
    "Answer: a 20% increase": "a noun after a share is no unit; 'a 20% decrease' would have to differ",
}
"""Replies that are judged wrongly, with the reason."""


def _said(right: bool) -> str:
    return "correct" if right else "incorrect"


@pytest.mark.parametrize(("reply", "right"), NUMBER_42)
def test_numbers(reply: str, right: bool) -> None:
    """Layout, units, reasons and corrections do not hide a number; hedges and withdrawals are no answer."""
    pytest.importorskip("math_verify")
    assert task_type("math").verify(reply, "42", {}).verdict == _said(right)


@pytest.mark.parametrize("kind", ["choice", "math", "free_text", "code"])
def test_verdicts_of_every_kind(kind: str) -> None:
    """Each reply of reply_verdicts.jsonl has the verdict of a careful teacher."""
    pytest.importorskip("math_verify")
    rows = [json.loads(line) for line in VERDICTS.read_text(encoding="utf-8").splitlines()]
    wrong = []
    for row in (row for row in rows if row["kind"] == kind):
        reference, options = row.get("reference", ""), row.get("options", {})
        payload = {"options": options, "letters": "".join(options)} if options else {"references": [reference]}
        if kind == "code":
            payload = CODE | {"tests": row["tests"]}
        verdict = task_type(kind).verify(row["reply"], reference, payload).verdict
        if verdict != _said(row["correct"]):
            wrong.append((reference, row["reply"], verdict))
    assert wrong == []


@pytest.mark.parametrize(("reply", "right"), LETTER_B)
def test_letters(reply: str, right: bool) -> None:
    """The last option that a reply commits to counts; a negated or attributed one does not."""
    payload = {"options": CHOICES, "letters": "ABCD"}
    assert task_type("choice").verify(reply, "B", payload).verdict == _said(right)


@pytest.mark.parametrize(("reply", "reference", "right"), FREE_TEXT)
def test_short_texts(reply: str, reference: str, right: bool) -> None:
    """Symbols that change the meaning count; spelling, dates and number words do not make a difference."""
    assert task_type("free_text").verify(reply, reference, {"references": [reference]}).verdict == _said(right)


@pytest.mark.parametrize(("reply", "right"), PROGRAMS)
def test_programs(reply: str, right: bool) -> None:
    """The program is what defines what the tests call."""
    verification = task_type("code").verify(reply, "", CODE)
    if verification.verdict == "unverified":
        pytest.skip(verification.detail)
    assert verification.verdict == _said(right), verification


def test_the_failing_line_of_a_program_is_named() -> None:
    """A program that ends with its own wrong assertion is incorrect, as in the benchmark's own harness."""
    reply = "```python\ndef add(a, b):\n    return a + b\n\nassert add(1, 2) == 4\n```"
    verification = task_type("code").verify(reply, "", CODE)
    if verification.verdict == "unverified":
        pytest.skip(verification.detail)
    assert "AssertionError at line 4: assert add(1, 2) == 4" in verification.detail


@pytest.mark.parametrize(
    ("reply", "cut"),
    [
        ("Answer: 1", True),
        ("6 * 7 = 42\nAnswer:", True),
        ("The answer is 1", True),
        ("\\boxed{1", True),
        ("<answer>1", True),
        ("Answer: 12\n\nI added the", False),
        ("\\boxed{12}", False),
        ("First I add 1 and", False),
        ("<think>Answer: 1", False),
        ("<answer>1</answer>", False),
        ("The answer is 12. It is the sum of", False),
    ],
)
def test_a_cut_answer_has_no_verdict(reply: str, cut: bool) -> None:
    """`Answer: 1` may be the beginning of 12; a reply that was cut elsewhere is verified."""
    assert ends_in_answer(reply) == cut
    verification = task_type("math").verify_finished(reply, "1", {}, "length")
    assert (verification.verdict == "unverified" and verification.rule == "truncated") == cut
    assert task_type("math").verify_finished("Answer: 1", "1", {}, "stop").verdict == "correct"


def test_a_cut_program_has_no_verdict() -> None:
    """A program whose block is not closed may lack its end."""
    cut = task_type("code").verify_finished("```python\ndef add(a, b):\n    return a", "", CODE, "length")
    assert (cut.verdict, cut.rule) == ("unverified", "truncated")


@pytest.mark.parametrize("dataset", ["game_of_life_halting", "complex_arithmetic", "coin_flip"])
def test_a_scorer_that_accepts_nonsense_is_refused(dataset: str) -> None:
    """The verdicts of such a dataset mean nothing."""
    pytest.importorskip("reasoning_gym")
    task = ProceduralTask(kind="procedural", name="x", dataset=dataset, train=3, test=2)
    with pytest.raises(TaskError, match="accepts"):
        load_task(task, Path(), 1)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        *[
            (f"Answer: {form}", True)
            for form in ("N", "N.0", "N legs", "x = N", "= N", "The total is N", "N, I counted")
        ],
        *[(reply, True) for reply in ("N", "There are N legs in total.", "Answer: 9999\nActually, the answer is N.")],
        *[(f"Answer: {form}", False) for form in ("N1", "N or 9999", "not N", "more than N", "N dozen", "N + 1")],
        ("<think>Answer: N", False),
    ],
)
def test_procedural_numbers(reply: str, right: bool) -> None:
    """A unit or a sentence around a number does not make it wrong."""
    pytest.importorskip("reasoning_gym")
    task = ProceduralTask(kind="procedural", name="x", dataset="leg_counting", train=1, test=0)
    (question,) = load_task(task, Path(), 1).train
    verification = task_type("procedural").verify(
        reply.replace("N", question.reference), question.reference, question.payload
    )
    assert verification.verdict == _said(right), verification
    assert task_type("procedural").isolated, "a scorer may hang on a hostile reply"


def test_each_row_decides_whether_it_is_multiple_choice(tmp_path: Path) -> None:
    """Rows with options in their text accept the letter or the option's text; the counts of both kinds are noted."""
    rows = [
        {"question": "Does it follow?\nOptions:\nA. True\nB. False\nC. Neither", "answer": "a"},
        {"question": "Unscramble: tac", "answer": "cat"},
        {"question": "Which grade is the best?", "answer": "a"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    task = FreeTextTask(kind="free_text", name="mixed", path=str(path), train=3, test=0)
    loaded = load_task(task, tmp_path, 0)
    listed = {question.text.partition("?")[0]: question for question in loaded.train}
    choice = listed["Does it follow"]
    judge = task_type("free_text").verify
    for reply, right in (("Answer: A", True), ("Answer: a", True), ("Answer: True", True), ("Answer: A. True", True)):
        assert judge(reply, choice.reference, choice.payload).verdict == _said(right), reply
    for reply in ("Answer: B", "Answer: False", "Answer: A. False", "Answer: A or B"):
        assert judge(reply, choice.reference, choice.payload).verdict == "incorrect", reply
    assert "options" not in listed["Which grade is the best"].payload
    assert any("1 question with options in the text" in note and "2 free text" in note for note in loaded.notes)


@pytest.mark.parametrize("kind", ["choice", "math", "free_text", "code", "procedural"])
def test_every_kind_can_be_asked_to_reason(kind: str) -> None:
    """`attempt.reason` adds the request once and keeps the answer format."""
    task = task_type(kind)
    reasoned, plain = (task.instruction(None, reason=reason) for reason in (True, False))
    assert reasoned.endswith(plain)
    assert reasoned.count("short steps") == 1


@settings(max_examples=300)
@given(st.binary(max_size=200), st.lists(st.sampled_from([b"value", b"ran", b"raised", b"x", b"other"]), max_size=5))
def test_no_bytes_of_a_program_stop_the_engine(noise: bytes, kinds: list[bytes]) -> None:
    """The program shares its process with the reporter and may write anything to the pipe, with the right nonce."""
    lines = [b"N confined 0 ", *(b"N " + kind + b" " + noise for kind in kinds)]
    lines += [b"N value --1 1", b"N value " + b"9" * 5000 + b" 1", b"N value \xd9\xa1 1", b"N raised -2 \xff", noise]
    ended = Ended("finished", "", 0, 0.1, b"", b"", b"\n".join(lines))
    assert _report("bubblewrap", ended, "N", 2).outcome.state == "finished"


@pytest.mark.parametrize(
    "piece", ["\n", " ", "<think>", "Answer: ", "the answer is ", "```\n", "> ", "$$", "\\[", "no, "]
)
def test_repetitions_cost_no_more_than_their_length(piece: str) -> None:
    """100,000 characters of a looping model are read in one pass."""
    reply = piece * (100_000 // len(piece))
    extract(reply, whole_reply=True)
    ends_in_answer(reply)
    for work in (without_thoughts, in_one_line, without_remark, without_lead, last_retraction):
        work(reply)


def _listed() -> Iterator[dict[str, Any]]:
    for line in (Path(__file__).parent / "cases" / "replies.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _shared() -> Iterator[dict[str, Any]]:
    if SHARED.exists():
        yield from map(json.loads, SHARED.read_text(encoding="utf-8").splitlines())


def _payload(case: dict[str, Any]) -> tuple[str, dict[str, object]]:
    """Return the reference and the payload of a shared case."""
    kind, reference = case["kind"], case["reference"]
    if kind == "choice":
        return reference, {"letters": "".join(case["options"]), "options": case["options"]}
    if kind == "free_text":
        return reference[0], {"references": reference}
    if kind == "code":
        return "", CODE | {"tests": case["question"].split("\n")}
    if kind == "math":
        return reference, {}
    # The metadata that the scorers of these two datasets read; the file holds questions and answers only.
    metadata: dict[str, object] = {"task": "is_leap_year"}
    if case["group"].startswith("number_sorting"):
        metadata = {"direction": "descending"}
    entry = {"question": case["question"], "answer": reference, "metadata": metadata}
    return reference, {"dataset": case["group"].split("/")[0], "options": {}, "entry": entry}


def test_the_shared_replies_are_judged_as_they_deserve() -> None:
    """No false positive; false negatives only with a reason."""
    cases = list(_shared())
    if not cases:
        pytest.skip("../shared/cases/verifiers.jsonl is not there")
    pytest.importorskip("math_verify")
    pytest.importorskip("reasoning_gym")
    wrong = []
    for case in cases:
        reference, payload = _payload(case)
        verdict = task_type(case["kind"]).verify(case["reply"], reference, payload).verdict
        if verdict == "unverified" and case["kind"] == "code":
            continue
        if (verdict == "correct") != (case["truth"] == "correct") and case["reply"] not in ACCEPTED_MISTAKES:
            wrong.append((case["kind"], case["reply"], reference, verdict))
    assert not wrong


@pytest.mark.parametrize("kind", ["choice", "math", "free_text", "code", "procedural"])
def test_replies_as_small_models_write_them(kind: str) -> None:
    """Layout, notation, corrections, negations, alternatives and thoughts in replies of every kind."""
    for library in {"math": ["math_verify"], "procedural": ["reasoning_gym"]}.get(kind, []):
        pytest.importorskip(library)
    wrong = []
    for case in (case for case in _listed() if case["kind"] == kind):
        reference, payload = _payload(case)
        verdict = task_type(kind).verify(case["reply"], reference, payload).verdict
        if verdict == "unverified" and kind == "code":
            continue
        if (verdict == "correct") != (case["truth"] == "correct") and case["reply"] not in ACCEPTED_MISTAKES:
            wrong.append((case["reply"], reference, verdict))
    assert not wrong
