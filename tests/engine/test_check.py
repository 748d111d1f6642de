"""Tests of the dry run: it reports every error that would stop a run in one pass, and neither starts nor writes
anything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.commands.check import at_once, everything
from engine.commands.check.findings import Finding
from engine.models import resolve
from engine.models.resolve import Located
from store.settings.recipes import recipe_text
from store.workspace import Workspace
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.rows import Rows
from tests.support.waiting import run

BROKEN = """
name = "broken"
model = "./no-such-model"
reflector = "./no-such-reflector"

[[tasks]]
kind = "choice"
name = "missing"
path = "missing.jsonl"

[[tasks]]
kind = "choice"
name = "untidy"
path = "untidy.jsonl"
train = 4
test = 2

[[tasks]]
kind = "procedural"
name = "unknown"
dataset = "no_such_dataset"

[reflection]
instructions = ["1-1-1", "9-9-9"]

[curation]
language = "xx"

[generation]
generator = "vllm"

[training]
method = "qlora"
"""


def of(findings: list[Finding], where: str) -> list[Finding]:
    """The findings about one subject."""
    return [finding for finding in findings if finding.where == where]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Settings with an error in nearly every part beyond the syntax."""
    rows = [{"question": f"Which? {n}\nA. a\nB. b", "answer": "AB"[n % 2]} for n in range(5)]
    lines = [json.dumps(row) for row in rows]
    lines += [json.dumps({"question": "no answer here"})] * 2 + [lines[0], "{torn"]
    (tmp_path / "untidy.jsonl").write_text("\n".join(lines), encoding="utf-8")
    file = tmp_path / "broken.toml"
    file.write_text(BROKEN, encoding="utf-8")
    return file


def test_one_look_finds_all_that_is_wrong(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors in model, reflector, two tasks, instructions, generator and training are all reported, not only the
    first.
    """
    monkeypatch.setattr("engine.commands.check.machine.installed", lambda name: name != "vllm")
    found = everything(broken, None)
    errors = {finding.where for finding in found if finding.level == "error"}
    assert errors >= {
        *("model", "reflector", "tasks.missing", "tasks.unknown", "reflection.instructions"),
        *("generation.generator", "training", "curation.language"),
    }
    assert all(finding.fix for finding in found if finding.level == "error")
    assert "no such file" in of(found, "tasks.missing")[0].what
    assert "no_such_dataset" in of(found, "tasks.unknown")[0].what


def test_skipped_rows_are_counted_by_reason_with_their_first_example(broken: Path) -> None:
    """The loss is visible before hours are spent on the rest."""
    ok, *skipped = of(everything(broken, None), "tasks.untidy")
    assert ok.level == "ok" and "training" in ok.what
    texts = [finding.what for finding in skipped if finding.level == "warning"]
    assert any(text.startswith("2 rows are left out, the first") and "line 6)" in text for text in texts), texts
    assert any(text.startswith("1 row is left out") and "line 8)" in text for text in texts)
    assert any("line 9" in text and "torn" in text for text in texts)


def test_every_mistake_of_the_settings_has_its_line(tmp_path: Path) -> None:
    """No further check is possible then, but every one of these errors is reported."""
    file = tmp_path / "wrong.toml"
    file.write_text('name = "x"\nmodel = "m"\n[training]\nepoch = 3\nbatch_size = 0\n', encoding="utf-8")
    found = everything(file, None)
    assert [finding.level for finding in found] == ["error"] * 3
    text = "\n".join(finding.what for finding in found)
    assert "line 4: unknown setting 'training.epoch'" in text and "line 5" in text and "'tasks' is missing" in text
    assert at_once(file, None) == found
    assert [finding.level for finding in everything(tmp_path / "none.toml", None)] == ["error"]


def test_a_recipe_for_cuda_on_a_machine_without_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reported before rollouts that would be useless, also by the quick check before a start."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    file = tmp_path / "recipe.toml"
    file.write_text(recipe_text("paper-llama3-8b-one-stage"), encoding="utf-8")
    errors = [finding for finding in at_once(file, None) if finding.level == "error" and finding.where == "training"]
    assert any("CUDA" in finding.what for finding in errors), errors


@pytest.mark.parametrize(
    ("located", "level", "words"),
    [
        (Located("hub", Path("/cache"), 2**30, True), "ok", "1.0 GiB"),
        (Located("hub", None, 2**30, None), "warning", "only once it is downloaded"),
        (Located("package", None, None, None), "ok", "converted at the first start"),
        (Located("path", Path("/m"), 10, False), "error", "no chat template"),
    ],
)
def test_where_a_model_would_come_from_is_said_without_fetching_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, located: Located, level: str, words: str
) -> None:
    """A gigabyte is not downloaded to learn that a task's path is wrong."""
    monkeypatch.setattr("engine.commands.check.models.locate_model", lambda name, cache: located)
    file = tmp_path / "run.toml"
    file.write_text(quiz_settings(tmp_path).replace('generator = "scripted"', 'generator = "auto"'), encoding="utf-8")
    found = of(everything(file, None), "model")
    assert found[-1].level == level
    assert any(words in finding.what for finding in found)


def test_a_model_is_located_as_it_would_be_resolved(tmp_path: Path) -> None:
    """Local directory first, then packages; a missing model is reported with the same message."""
    directory = tmp_path / "model"
    directory.mkdir()
    with pytest.raises(resolve.ModelNotFound, match=r"config\.json"):
        resolve.locate_model(str(directory), tmp_path)
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(b"12345")
    assert resolve.locate_model(str(directory), tmp_path) == Located("path", directory, 5, False)
    (directory / "chat_template.jinja").write_text("{{ messages }}")
    assert resolve.locate_model(str(directory), tmp_path).chat_template is True
    with pytest.raises(resolve.ModelNotFound) as located:
        resolve.locate_model("/no/such/model", tmp_path)
    with pytest.raises(resolve.ModelNotFound) as resolved:
        resolve.resolve_model("/no/such/model", tmp_path)
    assert str(located.value) == str(resolved.value)


def test_a_judge_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    """Reported before the rollouts whose pairs it would rank; contacted only where it is needed."""
    file = tmp_path / "run.toml"
    judge = '\n[judge]\nby = "endpoint"\nurl = "http://127.0.0.1:9/v1"\nmodel = "large"\n'
    file.write_text(quiz_settings(tmp_path, sections='setting = "dpo-judge"') + judge, encoding="utf-8")
    (problem,) = of(everything(file, None), "judge")
    assert problem.level == "error" and "can't be reached" in problem.what and problem.fix
    file.write_text(quiz_settings(tmp_path) + judge, encoding="utf-8")
    assert of(everything(file, None), "judge") == []
    file.write_text(quiz_settings(tmp_path, sections='setting = "dpo-judge"'), encoding="utf-8")
    (operator,) = of(everything(file, None), "judge.by")
    assert operator.level == "ok" and "training waits for them" in operator.what


def test_programs_need_a_sandbox_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sandbox every verdict would be `unverified`. Runs without programs need none."""
    from engine.tasks import sandbox

    row = {
        "text": "Add two numbers.",
        "code": "def add(a, b):\n    return a + b",
        "test_list": ["assert add(1, 2) == 3"],
    }
    lines = [json.dumps({**row, "text": f"{row['text']} Again: {n}."}) for n in range(6)]
    (tmp_path / "programs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    task = '\n[[tasks]]\nkind = "code"\nname = "programs"\npath = "programs.jsonl"\ntrain = 4\ntest = 2\n'
    file = tmp_path / "run.toml"
    file.write_text(quiz_settings(tmp_path), encoding="utf-8")
    assert of(everything(file, None), "sandbox") == []
    file.write_text(quiz_settings(tmp_path) + task, encoding="utf-8")
    broken = sandbox.TierReport("bubblewrap", False, "not installed", "apt install bubblewrap")
    monkeypatch.setattr(sandbox, "probe", lambda: (broken,))
    (problem,) = of(everything(file, None), "sandbox")
    assert (problem.level, problem.fix) == ("error", "apt install bubblewrap")
    monkeypatch.setattr(sandbox, "probe", lambda: (broken, sandbox.TierReport("landlock", True)))
    (fine,) = of(everything(file, None), "sandbox")
    assert fine.level == "ok" and "landlock" in fine.what


def test_too_little_disk_or_memory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that can't be written loses the complete training."""
    monkeypatch.setattr("engine.commands.check.models.locate_model", lambda *_: Located("path", tmp_path, 10**15, True))
    file = tmp_path / "run.toml"
    file.write_text(quiz_settings(tmp_path).replace('generator = "scripted"', 'generator = "auto"'), encoding="utf-8")
    monkeypatch.setattr("engine.commands.check.machine.gpus", list)
    found = everything(file, Workspace(tmp_path / "not" / "there"))
    assert [finding.level for finding in of(found, "disk")] == ["error"]
    assert [finding.level for finding in of(found, "memory")] == ["error"]
    assert not (tmp_path / "not").exists()


def test_a_run_of_that_name_must_have_the_same_fixed_settings(tmp_path: Path) -> None:
    """Each difference is reported; without one the dry run reports how the run would resume."""
    root = tmp_path / "workspace"
    root.mkdir()
    rows = Rows(root / "reflectevo.db")
    rows.connection.close()
    (tmp_path / "quiz.jsonl").write_text('{"question": "q", "answer": "A"}\n')
    file = tmp_path / "run.toml"
    text = 'name = "run"\nmodel = "{}"\nseed = {}\n[[tasks]]\nkind = "choice"\nname = "quiz"\npath = "quiz.jsonl"\n'
    text += '[generation]\ngenerator = "scripted"\n'
    file.write_text(text.format("none", 0))
    assert [(one.level, one.where) for one in at_once(file, Workspace(root)) if one.where == "name"] == [("ok", "name")]
    file.write_text(text.format("other", 5))
    errors = [one for one in at_once(file, Workspace(root)) if one.level == "error"]
    assert [one.where for one in errors] == ["model", "seed"]
    assert all("another name" in one.fix for one in errors)


def test_the_command_prints_findings_and_writes_nothing(broken: Path, tmp_path: Path) -> None:
    """As the terminal calls it: JSON, exit code 0 whatever was found, no file created."""
    before = sorted(tmp_path.rglob("*"))
    ran = run(
        [sys.executable, "-m", "engine", "check", "--settings", str(broken), "-w", str(tmp_path / "w"), "--quick"],
        check=True,
    )
    findings = json.loads(ran.stdout)
    assert findings and all(set(finding) == {"level", "where", "what", "fix"} for finding in findings)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_quick_look_loads_no_model_library() -> None:
    """It runs before every start."""
    code = (
        "import sys\nimport engine.commands.check\n"
        "print([m for m in ('torch', 'transformers', 'vllm', 'sympy', 'datasets') if m in sys.modules])"
    )
    ran = run([sys.executable, "-c", code], check=True)
    assert ran.stdout.strip() == "[]"


def test_a_dry_run_says_all_and_starts_nothing(harness: Callable[[str], EngineHarness], broken: Path) -> None:
    """From the command line: glyphs and fixes for people, JSON for scripts, exit code 1 for errors and 0 without."""
    from typer.testing import CliRunner

    from reflectevo_tui.cli import app

    one = harness(quiz_settings(broken.parent))
    root, runner = str(one.workspace.root), CliRunner()
    fine = runner.invoke(app, ["run", "--dry-run", "-w", root])
    assert fine.exit_code == 0, fine.output
    assert "✓ tasks.sums: 24 training, 10 held-out" in fine.output and "the run can start" in fine.output
    wrong = runner.invoke(app, ["run", "--dry-run", "-w", root, "--settings", str(broken)])
    assert wrong.exit_code == 1
    assert "✗ tasks.missing" in wrong.output and "    → " in wrong.output and "! tasks.untidy" in wrong.output
    printed = runner.invoke(app, ["run", "--dry-run", "-w", root, "--settings", str(broken), "--json"])
    answer = json.loads(printed.output)
    assert printed.exit_code == 1 and answer["possible"] is False and len(answer["findings"]) > 5
    assert one.engine_pid() is None and one.rows("SELECT count(*) FROM directives") == [(0,)]
    refused = runner.invoke(app, ["run", "-w", root, "--settings", str(broken)])
    assert refused.exit_code == 1 and "bitsandbytes" in refused.output + refused.stderr
    assert one.engine_pid() is None
