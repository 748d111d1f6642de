"""Tests of the sandbox through its interface: outcomes, limits, and refusal where nothing can be confined."""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.supervisor import capabilities
from engine.tasks import sandbox
from engine.tasks.answers.asserts import NO_LITERAL, read_literal
from engine.tasks.sandbox import (
    Limits,
    SandboxUnavailable,
    Step,
    TierReport,
    interpreter,
    probe,
    probing,
    run_steps,
    runner,
    tiers,
)
from engine.tasks.sandbox.confined_program import literal
from reflectevo_tui.commands import doctor
from tests.support.sandboxed import run_python

QUICK = Limits(cpu_seconds=2.0, wall_seconds=10.0, memory_bytes=256 * 2**20)


@pytest.fixture(params=tiers.TIERS)
def tier(request: pytest.FixtureRequest) -> tiers.TierName:
    """Each tier available here."""
    broken = next((one.reason for one in probe() if one.name == request.param and not one.works), None)
    if broken is not None:
        pytest.skip(f"{request.param} doesn't work here: {broken}")
    name: tiers.TierName = request.param
    return name


def test_a_program_runs_as_a_script(tier: tiers.TierName) -> None:
    """Input, output, exit handlers and exit code behave as those of a script."""
    source = (
        "import atexit, sys\natexit.register(print, 'bye')\nif __name__ == '__main__':\n"
        "    print(sys.stdin.read(), file=sys.stderr)\n    sys.exit(7)"
    )
    outcome = run_python(source, b"given", QUICK, tier)
    assert (outcome.state, outcome.exit_code, outcome.stdout, outcome.stderr) == ("finished", 7, b"bye\n", b"given\n")
    assert (outcome.tier, outcome.reason) == (tier, "")


def test_an_error_is_told_as_a_script_tells_it(tier: tiers.TierName) -> None:
    """The traceback contains the program's lines, and none of the sandbox's."""
    outcome = run_python("def f():\n    1 / 0\nf()", limits=QUICK, tier=tier)
    assert (outcome.state, outcome.exit_code) == ("finished", 1)
    lines = outcome.stderr.decode().splitlines()
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "ZeroDivisionError: division by zero")
    assert [line for line in lines if "File" in line] == [
        '  File "program.py", line 3, in <module>',
        '  File "program.py", line 2, in f',
    ]


def test_the_standard_library_is_there(tier: tiers.TierName) -> None:
    """Imports that ordinary programs need work: threads, random numbers, hashes, time zones, databases, text."""
    source = """
import asyncio, bisect, bz2, collections, concurrent.futures, copy, csv, ctypes, dataclasses, datetime, decimal
import enum, fractions, functools, hashlib, heapq, itertools, json, lzma, math, operator, random, re, secrets
import sqlite3, statistics, string, threading, typing, unicodedata, uuid, zlib, zoneinfo
from multiprocessing.pool import ThreadPool
done = []
thread = threading.Thread(target=done.append, args=(1,)); thread.start(); thread.join()
@dataclasses.dataclass
class Point:
    x: int
print(done, Point(1), hashlib.sha256(b"x").hexdigest()[:4], sqlite3.connect(":memory:").execute("select 1").fetchone())
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(abs, range(-100, 0))), secrets.token_hex(1) != "", random.random() < 1, math.comb(5, 2))
open("/dev/null", "w").write("x")
"""
    outcome = run_python(source, limits=QUICK, tier=tier)
    assert outcome.stderr == b""
    assert outcome.stdout == b"[1] Point(x=1) 2d71 (1,)\n5050 True True 10\n"


def test_foreign_packages_are_out_of_sight(tier: tiers.TierName) -> None:
    """The engine's site-packages contain nothing that a program needs, and would reveal what is installed."""
    folders = [str(folder) for folder in interpreter.interpreter().foreign]
    source = f"""
import ast
import os
for folder in {folders!r} + [{str(Path(os.__file__).parent / "site-packages")!r}]:
    try:
        print(os.listdir(folder))
    except OSError:
        print([])
import sys
sys.path += {folders!r}
try:
    import pip
except ImportError:
    print("none")
"""
    lines = run_python(source, limits=QUICK, tier=tier).stdout.decode().split("\n")
    assert set(lines[:-2]) == {"[]"}
    assert lines[-2] == "none"


def test_hashes_are_the_same_in_every_run(tier: tiers.TierName) -> None:
    """The order of a set of strings decides some verdicts; a verdict has to be reproducible."""
    first, second = (run_python("print({'a', 'b', 'c', 'd'})", limits=QUICK, tier=tier).stdout for _ in range(2))
    assert first == second


def test_steps_share_one_sandbox_and_say_what_they_give(tier: tiers.TierName) -> None:
    """Values are returned as literals; a value without one, and an exception, is reported."""
    source = "import collections, fractions\nseen = []\ndef f(x):\n    seen.append(x)\n    return x"
    cases = [
        ("value", "f({1: [2.5, None, (True,)]})", "value", "{1:[2.5,None,(True,)]}"),
        ("value", "len(seen)", "value", "1"),
        ("value", "f(collections.Counter('aab'))", "value", "{'a':2,'b':1}"),
        ("value", "f(fractions.Fraction(1, 2))", "value", "0.5"),
        ("value", "f({1: 2}.keys())", "value", "{1}"),
        ("value", "f(float('-inf'))", "value", "-1e999"),
        ("value", "f(float('nan'))", "other", "nan"),
        ("value", "f(object())", "other", "object"),
        ("value", "f('x' * 100000)", "other", "a value of 100002 characters"),
        ("truth", "f([])", "value", "False"),
        ("run", "assert f(1) == 2, 'no'", "raised", "AssertionError: no"),
        ("run", "assert f(1) == 1", "ran", ""),
        ("value", "g(1)", "raised", "NameError: name 'g' is not defined"),
        ("value", "1 +", "raised", "SyntaxError: invalid syntax (test.py, line 1)"),
        ("value", "later", "value", "5"),
    ]
    report = run_steps(source, "later = 5", [Step(kind, code) for kind, code, *_ in cases], QUICK, tier)  # type: ignore[arg-type]
    assert report.loaded is not None and report.loaded.kind == "ran"
    assert [(one.kind, one.text) for one in report.records if one] == [(kind, text) for *_, kind, text in cases]


def test_a_program_that_leaves_early_leaves_no_records(tier: tiers.TierName) -> None:
    """`os._exit(0)` is an early end, not a success."""
    report = run_steps("import os\nos._exit(0)", "", [Step("value", "1")], QUICK, tier)
    assert (report.outcome.state, report.outcome.exit_code) == ("finished", 0)
    assert (report.loaded, report.records) == (None, (None,))


def test_output_just_below_its_limit_is_kept_whole(tier: tiers.TierName) -> None:
    """A pipe holds as much as the limit: no printed output may be lost at the end."""
    limits = Limits(2.0, 10.0, output_bytes=64 * 2**10)
    outcome = run_python("print('x' * (2**16 - 1))", limits=limits, tier=tier)
    assert (outcome.state, len(outcome.stdout)) == ("finished", 2**16)
    over = run_python("import sys\nprint('x' * 2**16)\nsys.stdout.flush()", limits=limits, tier=tier)
    assert over.state == "output"


def test_many_at_once_keep_their_answers_apart(tier: tiers.TierName) -> None:
    """Verdicts are computed on several threads."""
    answers: dict[int, bytes] = {}

    def one(number: int) -> None:
        answers[number] = run_python(f"print({number})", limits=QUICK, tier=tier).stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"{number}\n".encode() for number in range(8)}


def test_nothing_is_left_open(tier: tiers.TierName) -> None:
    """A run over thousands of replies must exhaust no file descriptors of the engine and leave no zombie processes."""
    run_python("pass", limits=QUICK, tier=tier)
    before = sorted(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        run_python("pass", limits=QUICK, tier=tier)
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    corpses = [pid for pid in children.read_text().split() if "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]]
    assert corpses == []


def test_where_nothing_confines_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The refusal names the problem of each tier and the remedy."""
    monkeypatch.setattr(probing, "_known", [])
    monkeypatch.setattr(tiers.shutil, "which", lambda name: None)
    monkeypatch.setattr(tiers.landlock, "version", lambda: 0)
    first, second = probe()
    assert (first.works, first.reason) == (False, "bubblewrap is not installed")
    assert (second.works, second.reason) == (False, "the kernel has no Landlock, or it is switched off")
    mark = tmp_path / "mark"
    with pytest.raises(SandboxUnavailable, match="no sandbox works here.*apt install bubblewrap.* or use Linux"):
        run_python(f"open({str(mark)!r}, 'w')")
    assert not mark.exists()
    published = capabilities.sandbox()
    assert published["tier"] is None
    finding = doctor._sandbox(published)
    assert (finding.level, "apt install bubblewrap" in finding.fix) == ("warning", True)


def test_a_tier_that_lets_something_through_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tier is used only if a trial program was confined in it, not because it is installed."""
    if not any(one.works for one in probe() if one.name == "landlock"):
        pytest.skip("landlock doesn't work here")
    monkeypatch.setattr(probing, "_known", [])
    monkeypatch.setattr(tiers.shutil, "which", lambda name: None)
    rules = tiers._rules(interpreter.interpreter(), tiers.landlock.version())
    monkeypatch.setattr(tiers, "_rules", lambda *_: [*rules, ("/", 0b1100)])
    reports = {one.name: one for one in probe()}
    assert not reports["landlock"].works
    assert "a file outside can be read" in reports["landlock"].reason


def test_a_bubblewrap_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where user namespaces are refused, the tier names the reason and the setting, and the next one is used."""
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(probing, "_known", [])
    monkeypatch.setattr(tiers.shutil, "which", lambda name: str(refusing))
    first = probe()[0]
    assert not first.works
    assert "No permissions to create new namespace" in first.reason
    assert "kernel.unprivileged_userns_clone=1" in first.fix


def test_doctor_tells_the_tiers() -> None:
    """The best tier is reported as fine; the second with what is missing."""
    good, bad = TierReport("bubblewrap", True), TierReport("bubblewrap", False, "not installed", "install it")
    second = TierReport("landlock", True)

    def finding(*reports: TierReport) -> doctor.Finding:
        values = [{"name": one.name, "works": one.works, "reason": one.reason, "fix": one.fix} for one in reports]
        return doctor._sandbox({"tier": next((one.name for one in reports if one.works), None), "tiers": values})

    assert finding(good, second) == doctor.Finding("ok", "sandbox for programs: bubblewrap")
    assert finding(bad, second).level == "warning"
    assert finding(bad, second).fix == "install it"


def test_the_package_needs_the_standard_library_alone() -> None:
    """Its code runs next to hostile programs and in other Python installations in tests: it must import nothing
    heavy.
    """
    for path in Path(sandbox.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                own = name == "engine.errors" or name.startswith("engine.tasks.sandbox")
                assert own or name.partition(".")[0] in sys.stdlib_module_names, (path.name, name)


@pytest.mark.parametrize(
    "value",
    [
        0,
        -(10**5000),
        2**64,
        True,
        None,
        ...,
        1.5,
        -0.0,
        1e300,
        2 + 3j,
        "",
        "é\n'\"\0\ud800",
        b"\xff",
        [],
        (1,),
        {1: {2}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_literals_come_back_as_the_same_value(value: object) -> None:
    """The comparison outside must give the result of the one that the test states."""
    assert read_literal(literal(value)) == value
    assert read_literal(literal([value, (value, {"k": value})])) == [value, (value, {"k": value})]


def test_subclasses_count_as_what_they_are_and_are_never_asked() -> None:
    """A class that claims to equal everything must not be able to do so outside."""

    class Text(str):
        def __repr__(self) -> str:
            return "'right'"

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__
        __str__ = __repr__

    class Number(int):
        def __repr__(self) -> str:
            return "42"

        __index__ = __int__ = __add__ = lambda self, *_: 42  # type: ignore[assignment]

    class Items(list[int]):
        def __iter__(self) -> Iterator[int]:
            return iter([42])

    assert read_literal(literal(Text("wrong"))) == "wrong"
    assert read_literal(literal(Number(1))) == 1
    assert read_literal(literal(Items([1]))) == [1]


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 50_000, "(" * 50_000, "-" * 50_000 + "1", "{[]:1}", "9" * 50_000, "1" + "+1j" * 15_000),
        *("", "a", "f()", "\0"),
        "not " * 9_000 + "1",
        "lambda:" * 8_000 + "1",
        "a" + ".a" * 30_000,
        "[1," * 8_000 + "]" * 8_000,
        "1 if 1 else " * 4_000,
    ],
    ids=lambda text: text[:6],
)
def test_a_forged_literal_is_nothing_worse_than_wrong(text: str) -> None:
    """A program that found the private pipe can write anything to it."""
    assert read_literal(text) is NO_LITERAL


def test_limits_that_make_no_sense_are_refused() -> None:
    """Python itself needs some memory; with a tiny limit every program would be blamed for it."""
    with pytest.raises(ValueError, match="at least 64 MiB"):
        Limits(memory_bytes=2**20)
    with pytest.raises(ValueError, match="positive"):
        Limits(cpu_seconds=0)
    assert runner.TAG
