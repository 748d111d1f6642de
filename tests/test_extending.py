"""Tests that the packages can be extended from outside: runs the examples of docs/extending.md verbatim.

Each registers a kind of task, a generator, a filter, a training setting or a screen, and one run uses the first four.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from engine.commands.check.machine import check_generator
from engine.commands.check.models import check_models
from engine.curation.filters import FILTERS
from engine.errors import TaskError
from engine.generation import MAKERS, choose, unregister_generator
from engine.stages.context import Commands, Pulse, StageContext
from engine.stages.curate import curate
from engine.stages.generate import generate
from engine.stages.job import Job, JobKind
from engine.stages.prepare import prepare
from engine.stages.train import train, training_request
from engine.supervisor.capabilities import collect
from engine.supervisor.child_environment import needed_secrets
from engine.tasks import TASK_TYPES, task_type, unregister_task_kind
from engine.training.examples import Example
from engine.training.row_kinds import ROW_KINDS
from reflectevo_tui.screens.registry import SCREENS
from reflectevo_tui.state.settings_form import form_fields
from store.curation.curated import curation_counts
from store.curation.training_settings import (
    TRAINING_SETTINGS,
    StageFacts,
    TrainingSettingEntry,
    register_training_setting,
)
from store.database.connection import open_writer, write
from store.database.migrations import migrate
from store.errors import SettingsError
from store.records import StageName
from store.rollouts.attempts import rollout_attempts, rollout_reflections
from store.runs.iterations import add_iteration, get_iteration, stages
from store.runs.policies import get_policy, list_policies
from store.runs.runs import add_run, run_questions
from store.settings import RunSettings, TrainingSection
from store.settings.generation import GENERATORS, GeneratorEntry
from store.settings.tasks import TASK_SECTIONS
from store.settings.toml_file import parse_settings
from store.workspace import Workspace

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTINGS = """
name = "coins"
model = "none"
seed = 5

[[tasks]]
kind = "yes_no"
name = "parity"
path = "parity.jsonl"
train = 30
test = 6

[generation]
generator = "coin"

[reflection]
instructions = "random:3"
samples = 2

[training]
setting = "sft-preferred"
batch_size = 4
"""
NAMES = ("yes_no", "coin", "sft-preferred")

Modules = Mapping[str, ModuleType]


@pytest.fixture
def extensions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    """Write the examples of the page as separate modules, imported from a folder outside the packages."""
    folder = tmp_path / "extensions"
    folder.mkdir()
    blocks = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    for name, code in blocks.items():
        (folder / name).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    with ExitStack() as undo:
        names = [name.removesuffix(".py") for name in blocks]
        for name in names:
            undo.callback(sys.modules.pop, name, None)
        undo.callback(unregister_task_kind, "yes_no")
        undo.callback(unregister_generator, "coin")
        undo.callback(FILTERS.unregister, "asks back")
        undo.callback(TRAINING_SETTINGS.unregister, "sft-preferred")
        undo.callback(ROW_KINDS.unregister, "preferred")
        undo.callback(SCREENS.unregister, "wall")
        yield {name: importlib.import_module(name) for name in names}


class Run:
    """A run of the examples: its stages one after another, in this process."""

    def __init__(self, folder: Path) -> None:
        rows = [
            {"question": f"Is {number} an even number?", "answer": "no" if number % 2 else "True"}
            for number in range(40)
        ]
        rows.append({"question": "Is this a question?", "answer": "perhaps"})
        (folder / "parity.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        self.settings = parse_settings(SETTINGS)
        self.workspace = Workspace(folder)
        self.connection = open_writer(self.workspace.database)
        migrate(self.connection)
        self._stored = self.settings.model_dump(mode="json")
        with write(self.connection):
            self.run = add_run(self.connection, "coins", "none", self._stored, str(folder))
        assert self._do(prepare, Job("prepare", self.run))
        (base,) = list_policies(self.connection, self.run)
        with write(self.connection):
            self.iteration = add_iteration(self.connection, self.run, base.id, self._stored, 0)
        self.policy = base.id

    def _do(self, stage: object, job: Job) -> bool:
        pulse = Pulse(self.workspace.database, job.slot)
        try:
            context = StageContext(self.workspace, job, self.connection, Commands(), pulse)
            return bool(stage(context))  # type: ignore[operator]
        finally:
            pulse.end()

    def stage(self, stage: object, kind: JobKind, *names: StageName) -> None:
        """Run a stage of the iteration to its end."""
        assert self._do(stage, Job(kind, self.run, self.iteration, self.policy, names))


def test_every_example_of_the_page_is_run(extensions: Modules) -> None:
    assert set(extensions) == {"yes_no", "coin", "asks_back", "preferred_ft", "wall"}
    blocks = re.findall(r"^```python$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(blocks) == len(extensions)


def test_a_run_uses_all_of_them(extensions: Modules, tmp_path: Path) -> None:
    """Loaded, generated, verified, filtered, curated and trained on under names that the packages don't define."""
    run = Run(tmp_path)
    questions = run_questions(run.connection, run.run, "train")
    assert len(questions) == 30 and {question.reference for question in questions} == {"yes", "no"}

    run.stage(generate, "generate", "attempt", "reflect", "correct")
    attempts = rollout_attempts(run.connection, run.iteration)
    assert {attempt.verdict for attempt in attempts} == {"correct", "incorrect"}
    references = {question.id: question.reference for question in questions}
    for attempt in attempts:
        assert (attempt.answer == references[attempt.question_id]) == (attempt.verdict == "correct")
    texts = [reflection.text for reflection in rollout_reflections(run.connection, run.iteration)]
    asking = sum(text.endswith("?") for text in texts)
    assert 0 < asking < len(texts)

    run.stage(curate, "curate")
    counts = curation_counts(run.connection, run.iteration)
    assert 0 < counts["d_plus"]["asks back"] <= asking
    pairs = counts["d_pm"]["included"]
    assert pairs > 0

    request = training_request(
        run.connection, run.workspace, get_iteration(run.connection, run.iteration), run.settings
    )
    assert len(request.examples) == pairs
    assert all(type(example) is Example for example in request.examples)
    learnt = {example.completion[0]["content"] for example in request.examples if isinstance(example, Example)}
    assert learnt <= set(texts) and not any(text.endswith("?") for text in learnt)
    assert request.settings.peak_learning_rate == 1e-4

    run.stage(train, "train")
    child = get_policy(run.connection, get_iteration(run.connection, run.iteration).child_id or 0)
    assert child.setting == "sft-preferred" and child.details["examples"] == pairs
    note = {stage.name: stage.note for stage in stages(run.connection, run.iteration)}["train"]
    assert f"sft-preferred on {pairs} example" in note


def test_checks_forms_and_capabilities_know_them(extensions: Modules) -> None:
    """Code that lists names or reads facts queries the registries."""
    settings = RunSettings.model_validate(
        {
            "model": "none",
            "tasks": [{"kind": "yes_no", "name": "parity", "path": "parity.jsonl"}],
            "generation": {"generator": "coin"},
            "training": {"setting": "sft-preferred"},
        }
    )
    (finding,) = check_generator(settings)
    assert (finding.level, finding.what) == ("warning", "answers are tossed: nothing is generated by a model")
    assert check_models(settings)[0][0].level == "ok"
    known = collect()
    assert "coin" in known["generators"] and "yes_no" in known["tasks"]  # type: ignore[operator]
    assert "sft-preferred" in known["settings"]  # type: ignore[operator]
    choices = {field.key: field.choices for field in form_fields()}
    assert "coin" in choices["generation.generator"] and "sft-preferred" in choices["training.setting"]
    schema = RunSettings.model_json_schema()["$defs"]
    assert "YesNoTask" in schema and "sft-preferred" in schema["TrainingSection"]["properties"]["setting"]["enum"]


@pytest.mark.parametrize(
    ("wrong", "right"), [('"yes_no"', '"yes_noo"'), ('"coin"', '"coins"'), ('"sft-preferred"', '"sft-prefered"')]
)
def test_a_misspelt_name_is_answered_with_the_nearest(extensions: Modules, wrong: str, right: str) -> None:
    with pytest.raises(SettingsError, match=rf"line \d+.*did you mean {wrong.strip(chr(34))!r}\?"):
        parse_settings(SETTINGS.replace(f"= {wrong}", f"= {right}"))


def test_settings_of_a_registered_kind_keep_their_messages(extensions: Modules) -> None:
    """A key that the kind doesn't define is an error with its place, as in a built-in kind."""
    with pytest.raises(
        SettingsError, match=r"line 12: unknown setting 'tasks\[0\].answer_fild'; did you mean 'answer_f"
    ):
        parse_settings(SETTINGS.replace("test = 6", 'test = 6\nanswer_fild = "a"'))


def test_nothing_is_left_of_what_was_unregistered() -> None:
    """Without the extensions their names are refused again, with the list of known names."""
    assert not {*NAMES} & {*TASK_TYPES, *TASK_SECTIONS, *GENERATORS, *MAKERS, *TRAINING_SETTINGS}
    with pytest.raises(SettingsError, match="must be one of procedural, choice, math, free_text, code"):
        parse_settings(SETTINGS)
    with pytest.raises(TaskError, match="there is no task kind 'yes_no'"):
        task_type("yes_no")


def test_a_setting_of_known_rows_is_one_entry() -> None:
    """Corrections learnt as first attempts (STaR, arXiv 2203.14465): prompt and completion are in the entry."""
    entry = TrainingSettingEntry(
        "sft-star", "reflections", "d_plus", (StageFacts("attempt", ("correction",), "reasoner"),)
    )
    register_training_setting(entry)
    try:
        assert TrainingSection(setting="sft-star").peak_learning_rate == TrainingSection().peak_learning_rate
        with pytest.raises(ValueError, match="there is a training setting 'sft-star' already"):
            register_training_setting(entry)
    finally:
        TRAINING_SETTINGS.unregister("sft-star")
    with pytest.raises(ValueError, match="a training has one or two"):
        register_training_setting(TrainingSettingEntry("sft-three", "reflections", "d_plus", entry.stages * 3))


def test_the_keys_of_a_generator_reach_its_process_alone(extensions: Modules) -> None:
    """Any program of the same user can read the environment of a process."""
    GENERATORS.register(
        "remote", GeneratorEntry("remote", "remote", needs_weights=False, secrets=frozenset({"MY_KEY"}))
    )
    try:
        task = {"kind": "yes_no", "name": "parity", "path": "parity.jsonl"}
        values = {"model": "none", "tasks": [task], "generation": {"generator": "remote"}}
        settings = RunSettings.model_validate(values)
        assert needed_secrets(settings, "generate") == {"MY_KEY"}
        assert not needed_secrets(settings, "prepare") | needed_secrets(settings, "train")
        assert not needed_secrets(settings, "curate")
        judged = RunSettings.model_validate({**values, "training": {"setting": "dpo-judge"}, "judge": {"by": "self"}})
        assert needed_secrets(judged, "curate") == {"MY_KEY"}
    finally:
        GENERATORS.unregister("remote")


def test_auto_takes_no_generator_that_is_not_automatic(extensions: Modules) -> None:
    assert choose("coin").name == "coin"
    assert GENERATORS["coin"].installed() and not GENERATORS["coin"].automatic
