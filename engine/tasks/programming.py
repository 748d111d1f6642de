"""The task type `code`: Python programs as in MBPP, verified by tests that run in the sandbox.

No code of a reply runs in this process. If a test compares with a constant, the constant never enters the sandbox.
Without a working sandbox every verdict is `unverified`. Independent of how a program is confined.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from engine.errors import TaskError
from engine.tasks.answers.asserts import NO_LITERAL, Check, checks, read_literal
from engine.tasks.answers.extraction import extract
from engine.tasks.answers.program_blocks import (
    block_of,
    called_names,
    choose_program,
    fenced_blocks,
    has_fence,
    has_unclosed_fence,
    unfenced_program,
    without_wrappers,
)
from engine.tasks.answers.stated_program import Solves, states_program
from engine.tasks.answers.thoughts import without_thoughts
from engine.tasks.base import Example, Loaded, Question, Verification
from engine.tasks.loading.fields import RowRefused, asked, text_field
from engine.tasks.loading.sources import load_local
from engine.tasks.sandbox import Limits, Record, Report, SandboxUnavailable, Step, run_steps
from engine.tasks.task_kind import TaskType
from store.evaluation.number_format import counted
from store.records import Split
from store.settings.tasks import CodeTask

LONGEST_CHECK_OF_REFERENCES = 60.0
"""Seconds that loading spends at most on running the reference programs; the remaining ones are accepted unchecked."""

_WALL_PER_CPU = 2.0
_START = 2.0
_LONGEST_SHOWN = 200
_FAILED = re.compile(
    r"(?:^|: )(test \d+ of \d+: .*|the (?:program|time limit|memory limit)\b.*|no program found.*)", re.DOTALL
)
_AT_LINE = re.compile(r"\[line (\d{1,6})\]$")


class Program(NamedTuple):
    """The program extracted from a reply, and the rule that matched."""

    source: str | None
    rule: Literal["fence", "answer line", "whole reply", ""]


class Code(TaskType[CodeTask]):
    """The task type `code`."""

    kind: ClassVar[str] = "code"
    sandboxed: ClassVar[bool] = True
    reasoning_instruction: ClassVar[str] = "Think in short steps first, in plain words."

    def load(self, settings: CodeTask, base_dir: Path, seed: int) -> Loaded:
        """Load train, dev and test questions and worked examples, without questions whose reference program fails.

        Raises:
            TaskError: if the files can't be used, or no training question is left.
        """

        def question(row: Mapping[str, object], split: Split) -> Question:
            return _question(settings, row, split)

        return _proven(settings.name, load_local(settings, base_dir, seed, question, _example))

    def verify(self, reply: str, reference: str, payload: Mapping[str, object]) -> Verification:
        """Verify a reply: correct if its program passes every test. Blocks while the program runs.

        The verdict is `unverified` if no sandbox works. The score is the share of tests passed.
        """
        program = extract_program(reply, called_names(_texts(payload.get("tests"))))
        if program.source is None:
            return Verification("incorrect", None, "", None, "no program found in the reply")
        return verify_program(program.source, program.rule, payload)

    def format_instruction(self, settings: CodeTask) -> str:
        """Return the instruction on the answer format, the same for every code task."""
        return "Finish with the whole program in one ```python block. Only Python's standard library is there."

    def ends_in_answer(self, reply: str) -> bool:
        """Check whether a reply ends inside a fenced block."""
        return has_unclosed_fence(without_thoughts(reply))

    def same_answer_key(self, answer: str) -> str:
        """Return the program unchanged but for surrounding whitespace, because indentation is significant."""
        return answer.strip()

    def feedback(self, detail: str, score: float | None) -> str:
        """Return the first test that failed and how, or why the program ran no test, as in the paper (section 3.1).

        Only the test that failed is shown: the others, and the reference program, stay hidden.
        """
        failed = _FAILED.search(detail)
        return f"The tests report: {failed.group(1).rstrip('.')}." if failed else ""

    def states_answer(
        self, text: str, *, reference: str, question_text: str, attempt_text: str, solves: Solves | None = None
    ) -> bool:
        """Check whether the text contains the reference program or one that defines the requested names.

        With `solves`, a program of the second sort counts only if it passes the tests.
        """
        if not reference.strip():
            return False
        return states_program(text, reference, question_text=question_text, attempt_text=attempt_text, solves=solves)

    def solver(self, payload: Mapping[str, object]) -> Solves:
        """Return a cached predicate that runs a program against the tests of a question."""
        return cache(partial(may_pass, payload=payload))


def extract_program(reply: str, called: frozenset[str] = frozenset()) -> Program:
    """Extract the program of a reply.

    In order of preference: the fenced blocks that define the names that the tests call, with the blocks that those
    depend on; the last fenced block that defines a name; the last fenced block; the text after `Answer:`; the reply
    itself, or the part of it that is Python.

    Args:
        reply: the complete reply.
        called: the names that the tests call.
    """
    text = without_thoughts(reply)
    source = choose_program(fenced_blocks(text), called)
    if source is not None:
        return Program(source, "fence")
    if has_fence(text):
        # A block in another language, or an empty one, is not searched for lines that look like Python.
        return Program(None, "")
    found = extract(text, multiline=True)
    if found.rule in ("answer line", "answer tag") and found.raw is not None:
        block = block_of(found.raw)
        if block is not None and (block.defines or found.rule == "answer line"):
            return Program(found.raw, "answer line")
    text = without_wrappers(text)
    block = block_of(text)
    if block is not None and block.defines:
        return Program(text, "whole reply")
    part = unfenced_program(text)
    return Program(part, "whole reply") if part is not None else Program(None, "")


def verify_program(source: str, rule: str, payload: Mapping[str, object]) -> Verification:
    """Run a program with all tests of a payload in one sandbox."""
    tests = _texts(payload["tests"])
    planned = [checks(test) for test in tests]
    seconds, memory = float(str(payload["seconds"])), int(str(payload["memory_mib"]))
    limits = Limits(seconds, _WALL_PER_CPU * seconds + _START, memory * 2**20)
    steps = [Step(check.kind, check.code) for parts in planned for check in parts]
    try:
        report = run_steps(source, str(payload["setup"]), steps, limits)
    except SandboxUnavailable as error:
        return Verification("unverified", source, rule, None, str(error))
    return _verification(source, rule, tests, planned, report, limits)


def may_pass(program: str, payload: Mapping[str, object]) -> bool:
    """Check whether a program passes the tests of a payload. Blocks while the program runs.

    Also returns True if no sandbox works, so that a text that might contain the solution is treated as a leak.
    """
    return verify_program(program, "", payload).verdict != "incorrect"


def _verification(
    source: str, rule: str, tests: Sequence[str], planned: Sequence[Sequence[Check]], report: Report, limits: Limits
) -> Verification:
    records = iter(report.records)
    wrong: list[str] = []
    for number, (test, parts) in enumerate(zip(tests, planned, strict=True), start=1):
        failures = [_failure(check, record) for check, record in [(check, next(records)) for check in parts]]
        first = next((failure for failure in failures if failure is not None), None)
        if first is not None:
            wrong.append(f"test {number} of {len(tests)}: {_short(test)} {first or _end(report, limits)}")
    passed = len(tests) - len(wrong)
    if report.loaded is None:
        detail = f"the program did not finish loading: {_end(report, limits)}"
    elif report.loaded.kind == "raised":
        detail = f"the program failed before its tests: {_raised(report.loaded.text, limits, source)}"
    elif wrong:
        detail = wrong[0]
    elif report.outcome.state != "finished":
        detail = _end(report, limits)
    else:
        weak = [str(number) for number, parts in enumerate(planned, 1) if not all(check.strong for check in parts)]
        note = f"; weaker check: test {', '.join(weak)} ran beside the program" if weak else ""
        return Verification("correct", source, rule, 1.0, f"all {len(tests)} tests passed{note}")
    return Verification("incorrect", source, rule, passed / len(tests) if passed < len(tests) else 0.0, detail)


def _failure(check: Check, record: Record | None) -> str | None:
    """Return why a check failed; None if it holds, an empty string if it was not reached."""
    if record is None:
        return ""
    if record.kind == "raised":
        return f"raised {_short(record.text)}"
    if check.kind == "run":
        return None if record.kind == "ran" else "gave no result"
    value = NO_LITERAL if record.kind != "value" else read_literal(record.text)
    if check.holds(value):
        return None
    return f"gave {_short(record.text)}" if record.kind == "value" else f"gave {_short(record.text)}, no plain value"


def _end(report: Report, limits: Limits) -> str:
    """Return why a program ended early."""
    outcome = report.outcome
    if outcome.state == "time":
        return f"the time limit ({outcome.reason or f'{limits.cpu_seconds:g} s'})"
    if outcome.state == "memory":
        return f"the memory limit ({limits.memory_bytes // 2**20} MiB)"
    if outcome.state == "finished":
        return f"the program ended its process (exit code {outcome.exit_code})"
    return f"the program was ended: {outcome.reason}"


def _raised(text: str, limits: Limits, source: str) -> str:
    """Describe the error of a program that could not be loaded, with the line of the program that raised it."""
    if place := _AT_LINE.search(text):
        lines = source.split("\n")
        number = int(place.group(1))
        text = text[: place.start()].rstrip(" :")
        shown = f" at line {number}: {lines[number - 1].strip()}" if 0 < number <= len(lines) else ""
        if not text.startswith(("MemoryError", "SystemExit")):
            return _short(f"{text}{shown}")
    name = text.partition(":")[0]
    if name == "MemoryError":
        return f"the memory limit ({limits.memory_bytes // 2**20} MiB)"
    return f"it calls sys.exit ({_short(text)})" if name == "SystemExit" else _short(text)


def _short(text: str) -> str:
    """Shorten a text to one line of bounded length, without control characters."""
    words = " ".join(text.split())
    one_line = "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words[: 2 * _LONGEST_SHOWN]
    )
    return one_line if len(one_line) <= _LONGEST_SHOWN else f"{one_line[:_LONGEST_SHOWN]}…"


def _question(settings: CodeTask, row: Mapping[str, object], split: Split) -> Question:
    code = _unix(text_field(row, settings.answer_field))
    tests = _tests(row, settings.tests_field)
    setup = row.get(settings.setup_field) if settings.setup_field is not None else None
    assignment = _unix(asked(settings, row))
    shown = tests[: settings.shown_tests]
    if shown:
        assignment = "\n".join([assignment, "", "The program has to pass tests like this:", *shown])
    return Question(
        task=settings.name,
        domain=settings.domain,
        split=split,
        text=assignment,
        options=(),
        reference=code,
        payload={
            "tests": tests,
            "setup": _unix(setup) if isinstance(setup, str) else "",
            "seconds": settings.seconds,
            "memory_mib": settings.memory_mib,
            "worked": f"```python\n{code}\n```",
        },
    )


def _tests(row: Mapping[str, object], field: str) -> list[str]:
    value = row.get(field)
    if not isinstance(value, list) or not value or not all(isinstance(test, str) and test.strip() for test in value):
        raise RowRefused(f"field {field!r} is not a list of tests")
    tests = [_unix(test) for test in value]
    for test in tests:
        try:
            checks(test)
        except ValueError as error:
            raise RowRefused(str(error)) from None
    return tests


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else []


def _example(question: Question, row: Mapping[str, object]) -> Example:
    return Example(question.text, str(question.payload["worked"]))


def _proven(name: str, loaded: Loaded) -> Loaded:
    """Drop the questions whose reference program fails their tests, because no reply could be verified by those.

    A question is kept if its program ran into a limit, so that load on the machine does not change the questions; also
    if it was not reached in time, or if no sandbox works. Raises TaskError if no training question is left.
    """
    questions = (*loaded.train, *loaded.dev, *loaded.test)
    until = time.monotonic() + LONGEST_CHECK_OF_REFERENCES

    def fails(question: Question) -> str | None:
        if time.monotonic() > until:
            return "?"
        verification = verify_program(question.reference, "", question.payload)
        failed = verification.verdict == "incorrect" and "limit" not in verification.detail
        return verification.detail if failed else "?" if verification.verdict == "unverified" else None

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        found = dict(zip((question.content_hash for question in questions), threads.map(fails, questions), strict=True))
    unchecked = sum(answer == "?" for answer in found.values())
    bad = {key: answer for key, answer in found.items() if answer not in (None, "?")}
    notes = loaded.notes
    if unchecked:
        notes += (f"task {name!r}: the reference programs of {counted(unchecked, 'question')} were not run",)
    if bad:
        first = next(iter(bad.values()))
        several = counted(len(bad), "question")
        notes += (f"task {name!r}: {several} left out, whose reference program fails its tests ({first})",)
    train = tuple(question for question in loaded.train if question.content_hash not in bad)
    if not train:
        raise TaskError(f"task {name!r}: no reference program of the training questions passes its tests; {notes[-1]}")
    dev, test = (
        tuple(question for question in part if question.content_hash not in bad) for part in (loaded.dev, loaded.test)
    )
    return replace(loaded, train=train, dev=dev, test=test, notes=notes)
