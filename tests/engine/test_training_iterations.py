"""Tests of complete scripted iterations under each training setting: what one leaves on disk is what the next starts
from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reflectevo_tui.engine_client.directives import issue_and_wait
from store.settings.toml_file import load_settings
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

TRAINING = '\n[evaluation]\npromote = "always"\n'


def folders(policy: Path) -> list[str]:
    """The weight folders of a policy directory."""
    return sorted(str(path.relative_to(policy)) for path in policy.rglob("*") if path.is_dir())


def test_settings_follow_one_another(harness: Callable[[str], EngineHarness], tmp_path: Path) -> None:
    """Two stages with an adapter each, preferences on the reflector, the baseline on the reasoner."""
    one = harness(quiz_settings(tmp_path, sections=TRAINING, train=30, test=4))
    one.start()
    settings = load_settings(one.workspace.settings_file).model_dump(mode="json")
    one.run()
    one.wait_state("done")
    plan = (
        {"setting": "sft-two-stage", "adapters": "separate", "validation_share": 0.2, "patience": 2},
        {"setting": "dpo-verdict"},
        {"setting": "sft-qa"},
    )
    for number, training in enumerate(plan, 2):
        changed = {**settings, "training": {**settings["training"], **training}}
        issue_and_wait(one.workspace, "start_iteration", {"run": 1, "settings": changed}, start=False)
        one.wait(lambda number=number: one.status()["iteration"]["number"] == number)
        iteration = one.wait_state("done")["iteration"]
        assert iteration["complete"], iteration
        expected = ["adapter", "merged", "reflector", "reflector/adapter", "reflector/merged"]
        assert folders(Path(iteration["child"]["path"])) == expected
    stages = one.rows("SELECT DISTINCT value FROM metrics WHERE name = 'training_stage' ORDER BY value")
    assert stages == [(1.0,), (2.0,)]
    steps = one.rows("SELECT step FROM metrics WHERE name = 'loss' AND iteration_id = 2 ORDER BY step")
    assert [step for (step,) in steps] == list(range(1, len(steps) + 1))
    assert one.rows("SELECT count(*) > 0 FROM metrics WHERE name = 'eval_loss'") == [(1,)]


def test_a_full_policy_is_the_base_of_the_next(harness: Callable[[str], EngineHarness], tmp_path: Path) -> None:
    sections = '\nmethod = "full"\n' + TRAINING
    one = harness(quiz_settings(tmp_path, "iterations = 2", sections, train=30, test=4))
    one.start()
    one.run()
    one.wait(lambda: len(one.rows("SELECT id FROM policies")) == 3)
    one.wait_state("done")
    policies = one.rows("SELECT path, base_model, json_extract(details, '$.method') FROM policies WHERE id > 1")
    assert policies == [(path, f"{path}/merged", "full") for path, _, _ in policies]
    assert all(folders(one.workspace.root / path) == ["merged"] for path, _, _ in policies)


def test_first_attempts_are_trained_on_beside_d_plus(harness: Callable[[str], EngineHarness], tmp_path: Path) -> None:
    """Corrected and right ones, in the stage that answers; the policy's row records what it was trained on."""
    changed = '\nsetting = "sft-two-stage"\nrehearsal = 0.5\ndistillation = true\n' + TRAINING
    one = harness(quiz_settings(tmp_path, sections=changed, train=30, test=4))
    one.start()
    one.run()
    one.wait_state("done")
    ((rows,),) = one.rows("SELECT count(*) FROM curated WHERE set_name = 'd_plus' AND included")
    ((right,),) = one.rows(
        "SELECT count(*) FROM attempts JOIN run_questions USING (question_id)"
        " WHERE split = 'train' AND turn = 1 AND verdict = 'correct'"
    )
    assert rows > 1 and right > 0
    details = one.rows("SELECT json_extract(details, '$.first_attempts') FROM policies WHERE id > 1")
    assert details == [(rows + min(round(0.5 * rows), right),)]
