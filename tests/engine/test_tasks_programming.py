"""Tests of verdicts on programs: right ones pass, wrong ones fail, and none can cheat its tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from engine.errors import TaskError
from engine.tasks import programming, task_type
from engine.tasks.answers.asserts import checks
from engine.tasks.base import Verification
from engine.tasks.programming import Code
from engine.tasks.sandbox import SandboxUnavailable, probe, run_steps
from engine.tasks.sandbox.tiers import TIERS
from store.settings.tasks import CodeTask

SAMPLE = Path(__file__).parents[3] / "shared/data/mbpp_sample.jsonl"
ASSIGNMENT = {
    "text": "Write a function to double a number.",
    "code": "def double(x):\r\n    return 2 * x",
    "task_id": 1,
    "test_setup_code": "",
    "test_list": ["assert double(2) == 4", "assert double(5) == 10", "assert double(-1) == -2"],
    "challenge_test_list": [],
}
PAYLOAD = {"tests": ASSIGNMENT["test_list"], "setup": "", "seconds": 1.0, "memory_mib": 256}


@pytest.fixture(params=TIERS)
def in_tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run programs in each tier available here."""
    broken = next((one.reason for one in probe() if one.name == request.param and not one.works), None)
    if broken is not None:
        pytest.skip(f"{request.param} doesn't work here: {broken}")
    monkeypatch.setattr(programming, "run_steps", partial(run_steps, tier=request.param))
    return str(request.param)


def judged(source: str, **payload: object) -> Verification:
    """Return the verdict on a reply that contains this program."""
    return Code().verify(f"Here it is.\n```python\n{source}\n```\n", "", {**PAYLOAD, **payload})


def settings(path: Path, **more: object) -> CodeTask:
    """Settings of a task that reads a file."""
    values = {"kind": "code", "name": "mbpp", "path": str(path), "train": 2, "test": 1, **more}
    return CodeTask.model_validate(values)


def rows(tmp_path: Path, *changes: dict[str, object]) -> Path:
    """Write a file with one row for each change to the assignment, each with its own text."""
    path = tmp_path / "mbpp.jsonl"
    lines = [json.dumps({**ASSIGNMENT, "text": f"Double a number, {n}.", **change}) for n, change in enumerate(changes)]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.skipif(not SAMPLE.exists(), reason=f"the sample rows are not at {SAMPLE}")
def test_all_reference_programs_of_the_sample_pass_their_own_tests(in_tier: str) -> None:
    """Real rows of MBPP: a verifier that rejects a reference can't be trusted with a model's program."""
    loaded = task_type("code").load(settings(SAMPLE, train=80, test=20), Path(), 0)
    questions = (*loaded.train, *loaded.test)
    lines = SAMPLE.read_text().splitlines()
    found = [programming._question(settings(SAMPLE), json.loads(line), "train") for line in lines]
    verdicts = {
        question.text: Code().verify(str(question.payload["worked"]), question.reference, question.payload)
        for question in found
    }
    assert len(found) == 100
    assert [text for text, verification in verdicts.items() if verification.verdict != "correct"] == []
    assert all("weaker" not in verification.detail for verification in verdicts.values())
    assert len(questions) >= 98, "the sample repeats one or two assignments"
    swapped = [
        Code().verify(str(other.payload["worked"]), one.reference, one.payload).verdict
        for one, other in pairwise(questions[:21])
    ]
    assert swapped == ["incorrect"] * 20


WRONG = {
    "wrong value": ("def double(x): return x * x", "test 2 of 3: assert double(5) == 10 gave 25"),
    "wrong type": ("def double(x): return str(2 * x)", "test 1 of 3: assert double(2) == 4 gave '4'"),
    "no function": ("def triple(x): return 3 * x", "NameError: name 'double' is not defined"),
    "raises": ("def double(x): raise KeyError(x)", "raised KeyError: 2"),
    "syntax": ("def double(x: return x", "the program failed before its tests: SyntaxError"),
    "endless": ("def double(x):\n    while True: pass", "test 1 of 3: assert double(2) == 4 the time limit"),
    "endless at once": ("while True: pass", "did not finish loading: the time limit"),
    "all memory": ("kept = []\nwhile True: kept.append(b'x' * 2**20)", "the memory limit (256 MiB)"),
    "all output": ("while True: print('x' * 1000)", "more output than 65536 bytes"),
    "leaves at once": ("import os\nos._exit(0)", "ended its process (exit code 0)"),
    "leaves in its test": (
        "import os\ndef double(x): os._exit(0)",
        "test 1 of 3: assert double(2) == 4 the program ended",
    ),
    "sys.exit at once": ("import sys\nsys.exit(0)", "it calls sys.exit (SystemExit: 0)"),
    "sys.exit in its test": ("import sys\ndef double(x): sys.exit(0)", "raised SystemExit: 0"),
    "segmentation fault": ("import ctypes\nctypes.string_at(0)", "ended by SIGSEGV"),
    "asks": ("x = input()", "EOFError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_is_incorrect_and_the_detail_says_why(in_tier: str, name: str) -> None:
    """The first failing test, or the limit exceeded, is reported to the operator."""
    source, why = WRONG[name]
    verification = judged(source)
    assert (verification.verdict, verification.rule, verification.answer) == ("incorrect", "fence", source)
    assert why in verification.detail
    assert verification.score is not None and verification.score < 1.0


FORGE = """
import gc, os, sys
def forge(kind, value):
    # Whatever the harness keeps in this process can be found: its frames, its nonce, its private pipe.
    frame = sys._getframe()
    while frame:
        names = frame.f_locals
        if "nonce" in names:
            for place in range(-2, 10):
                os.write(names["result_fd"], b"%s %s %d %s\\n" % (names["nonce"], kind, place, value))
        frame = frame.f_back
"""
CHEATS = {
    "equals everything": "class Any:\n    def __eq__(self, other): return True\n"
    "    def __ne__(self, other): return False\n    def __bool__(self): return True\n"
    "    def __repr__(self): return '4'\ndef double(x): return Any()",
    "a text that equals everything": "class Text(str):\n    def __eq__(self, other): return True\n"
    "    __hash__ = str.__hash__\n    def __repr__(self): return '4'\ndef double(x): return Text('4')",
    "a number that equals everything": "class Number(int):\n    def __eq__(self, other): return True\n"
    "    __hash__ = int.__hash__\n    def __repr__(self): return '4'\ndef double(x): return Number(3)",
    "forged records": FORGE + "forge(b'ran', b''); forge(b'value', b'True'); os._exit(0)",
    "forged records of every kind": FORGE + "for kind in (b'ran', b'value', b'passed', b'correct'):\n"
    "    forge(kind, b'True')\n    forge(kind, b'correct')\ndef double(x): return None",
    "no equality left": "import builtins, ast, json\nbuiltins.repr = builtins.ascii = lambda x: '4'\n"
    "builtins.isinstance = lambda *a: True\nbuiltins.compile = builtins.eval = builtins.exec = lambda *a: None\n"
    "ast.literal_eval = json.loads = json.dumps = lambda *a: 4\ndef double(x): return None",
    "its harness rewritten": "import gc\nfor found in gc.get_objects():\n"
    "    if type(found).__name__ == 'function' and found.__name__ in ('literal', 'tell', 'attempt', 'step'):\n"
    "        try:\n            found.__code__ = (lambda *a: True).__code__\n"
    "        except ValueError:\n            pass\n"
    "def double(x): return None",
    "import hooks": "import sys\nclass Hook:\n    def find_spec(self, name, path=None, target=None): print(name)\n"
    "sys.meta_path.insert(0, Hook())\nsys.modules['ast'] = sys.modules['json'] = None\nimport builtins\n"
    "builtins.__import__ = lambda *a, **k: 4\ndef double(x): return None",
    "when it is deleted": "class Last:\n    def __del__(self):\n        import os\n        os._exit(0)\nlast = Last()\n"
    "def double(x):\n    global last\n    del last",
    "traces every call": "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\n"
    "def double(x): return sys.exc_info()",
    "nothing but brackets": FORGE + "def double(x):\n    forge(b'value', b'[' * 50000)\n    return '[' * 50000",
    "a list in itself": "def double(x):\n    found = []\n    found.append(found)\n    return found",
    "a deep list": "def double(x):\n    found = []\n    for _ in range(100000): found = [found]\n    return found",
    "a wide list": "def double(x):\n    found = []\n    for _ in range(60): found = [found, found]\n    return found",
    "a generator without end": "def double(x):\n    while True:\n        yield 4",
    "an error that can't be told": "class E(BaseException):\n    def __str__(self): raise self\n"
    "def double(x): raise E()",
    "reads its input": "import sys\ndef double(x): return len(sys.stdin.read()) or len(sys.argv) > 1 or None",
}


@pytest.mark.parametrize("name", CHEATS)
def test_cheats_do_not_pass(in_tier: str, name: str) -> None:
    """Expected values never enter the sandbox, and no output of a program is accepted as a verdict."""
    verification = judged(CHEATS[name])
    assert verification.verdict == "incorrect", verification


def test_the_expected_value_is_nowhere_in_the_sandbox(in_tier: str) -> None:
    """A program that searches its memory, its frames and its input finds no answer to return."""
    source = """
import gc, os, sys
def answer(x):
    wanted, seen = 918273644 + 1, []
    frame = sys._getframe()
    while frame:
        seen.append(frame.f_locals)
        frame = frame.f_back
    def known(found, depth=0):
        if found == wanted and found is not wanted or isinstance(found, str | bytes) and str(wanted) in str(found):
            return True
        if depth > 3 or isinstance(found, str | bytes):
            return False
        if isinstance(found, dict):
            found = [*found.keys(), *found.values()]
        return isinstance(found, list | tuple) and any(known(item, depth + 1) for item in found)
    seen += [found for found in gc.get_objects() if isinstance(found, dict | list | tuple) and found is not seen]
    for fd in range(64):
        try:
            seen.append(os.pread(fd, 10**6, 0))
        except OSError:
            pass
    return wanted if any(known(found) for found in seen) else "not found"
"""
    verification = judged(source, tests=["assert answer(1) == 918273645"])
    assert verification.detail == "test 1 of 1: assert answer(1) == 918273645 gave 'not found'"
    leaked = judged(source, tests=["assert answer(1) == 918273645 or False"])
    assert leaked.verdict == "correct", "the search is a real one: it finds the value where the weaker check needs it"


def test_a_forger_passes_no_more_than_the_weaker_check(in_tier: str) -> None:
    """What the nonce can't prevent is flagged as a weaker check: a program that inspects its own process can forge only
    what it could compute anyway.
    """
    source = FORGE + "def double(x):\n    forge(b'ran', b'')\n    os._exit(0)"
    weak = judged(source, tests=["assert double(1) == double(2)"])
    assert (weak.verdict, "weaker check" in weak.detail) == ("correct", True)
    assert judged(source, tests=["assert double(1) == double(2)", "assert double(1) == 2"]).verdict == "incorrect"


def test_what_a_program_writes_into_its_errors_reaches_no_terminal(in_tier: str) -> None:
    """The detail of a verdict is displayed: terminal control sequences are escaped."""
    verification = judged("raise ValueError('\\x1b]52;c;aGVsZA==\\x07 \\u202e x')")
    assert verification.detail.isprintable()
    assert "\\x1b]52;c;aGVsZA==\\x07" in verification.detail


def test_tests_that_need_the_program_are_marked_as_weaker(in_tier: str) -> None:
    """Where a test compares two results of the program, the program could fake it: the verdict must show that."""
    verification = judged(
        "def double(x): return 2 * x", tests=["assert double(2) == 4", "assert double(1) == double(1)"]
    )
    assert (verification.verdict, verification.score) == ("correct", 1.0)
    assert verification.detail == "all 2 tests passed; weaker check: test 2 ran beside the program"
    wrong = judged("def double(x): return object()", tests=["assert double(1) == double(1), 'differs'"])
    assert (wrong.verdict, wrong.score) == ("incorrect", 0.0)
    assert "raised AssertionError: differs" in wrong.detail


def test_set_up_code_runs_between_the_program_and_its_tests(in_tier: str) -> None:
    """MBPP builds trees of the program's own classes in its set-up code."""
    source = "class Node:\n    def __init__(self, v): self.v = v\ndef double(node): return 2 * node.v"
    payload = {"setup": "root = Node(3)", "tests": ["assert double(root) == 6"]}
    assert judged(source, **payload).verdict == "correct"
    broken = judged("def double(x): return 6", **payload)
    assert "failed before its tests: NameError: name 'Node' is not defined" in broken.detail


def test_without_a_sandbox_a_program_stays_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never run in this process or unconfined; the operator sees the reason of the refusal."""

    def refuse(*_: object) -> None:
        raise SandboxUnavailable("no sandbox works here. install bubblewrap")

    monkeypatch.setattr(programming, "run_steps", refuse)
    verification = judged("open('/tmp/reflectevo-was-run', 'w')")
    assert (verification.verdict, verification.score) == ("unverified", None)
    assert "install bubblewrap" in verification.detail


def test_both_halves_of_a_test_count() -> None:
    """`assert a and b` is two checks, and a failure in either fails the test."""
    first, second = checks("assert f(1) == 2 and g(1) == 3")
    assert (first.code, second.code) == ("f(1)", "g(1)")
    assert judged_with(lambda: {"f": 2, "g": 4}).verdict == "incorrect"


def judged_with(values: Callable[[], dict[str, int]]) -> Verification:
    """Return the verdict on a program with constant functions, verified by a test of two halves."""
    found = values()
    source = f"def f(x): return {found['f']}\ndef g(x): return {found['g']}"
    return judged(source, tests=["assert f(1) == 2 and g(1) == 3"])


def test_rows_become_questions_that_never_show_the_program(tmp_path: Path) -> None:
    """The assignment shows as many tests as requested; the program serves as a few-shot example for other questions."""
    loaded = Code().load(settings(rows(tmp_path, {}, {}, {}, {}), few_shot=1), Path(), 0)
    assert (len(loaded.train), len(loaded.test), len(loaded.few_shot)) == (2, 1, 1)
    question = loaded.train[0]
    assert question.text.endswith("\n\nThe program has to pass tests like this:\nassert double(2) == 4")
    assert "return" not in question.text and "\r" not in question.reference
    assert loaded.few_shot[0].answer == "```python\ndef double(x):\n    return 2 * x\n```" == question.payload["worked"]
    hidden = Code().load(settings(rows(tmp_path, {}, {}, {}), shown_tests=0), Path(), 0)
    assert "assert" not in hidden.train[0].text
    assert json.loads(json.dumps(dict(question.payload))) == question.payload


def test_rows_without_tests_are_skipped_with_the_reason(tmp_path: Path) -> None:
    """A row by which no reply could be graded is no question."""
    path = rows(
        tmp_path, {}, {"test_list": []}, {"test_list": "assert 1"}, {"test_list": ["assert (("]}, {"code": ""}, {}
    )
    loaded = Code().load(settings(path, train=1), Path(), 0)
    assert [(row.line, row.reason.partition(" (in")[0].partition(" ('(")[0]) for row in loaded.skipped] == [
        (2, "field 'test_list' is not a list of tests"),
        (3, "field 'test_list' is not a list of tests"),
        (4, "the test 'assert ((' isn't Python"),
        (5, "field 'code' is empty"),
    ]


@pytest.mark.skipif(not any(one.works for one in probe()), reason="no tier of the sandbox works here")
def test_questions_whose_own_program_fails_are_left_out(tmp_path: Path) -> None:
    """No model could answer them; their count and the first reason are reported."""
    bad = {"code": "def double(x): return x"}
    loaded = Code().load(settings(rows(tmp_path, {}, {}, {}, bad, bad), train=3, test=2), Path(), 0)
    assert len(loaded.train) + len(loaded.test) == 3
    (note,) = loaded.notes
    assert "2 questions left out, whose reference program fails its tests (test 1 of 3" in note
    with pytest.raises(TaskError, match="no reference program of the training questions passes its tests"):
        Code().load(settings(rows(tmp_path, bad, bad), train=1, test=1), Path(), 0)


def test_questions_stay_where_programs_can_not_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a sandbox loads the same questions; only the verdicts are missing."""

    def refuse(*_: object) -> None:
        raise SandboxUnavailable("no sandbox works here")

    monkeypatch.setattr(programming, "run_steps", refuse)
    loaded = Code().load(settings(rows(tmp_path, {}, {}, {})), Path(), 0)
    assert (len(loaded.train), len(loaded.test)) == (2, 1)
    assert loaded.notes == ("task 'mbpp': the reference programs of 3 questions were not run",)
