"""Tests run settings: shipped recipes load, and a mistake is reported by key, file, line and nearest key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from store.errors import SettingsError
from store.settings import RunSettings, TrainingSection
from store.settings.toml_file import dump_settings, line_of, load_settings, parse_settings, validate_settings

RECIPES = sorted((Path(__file__).resolve().parents[2] / "store" / "settings" / "recipes").glob("*.toml"))

BASE = """\
name = "demo"
model = "m"

[[tasks]]
kind = "procedural"
name = "letters"
dataset = "letter_counting"
"""


def refusal(extra: str, base: str = BASE) -> list[str]:
    """Return the lines of the refusal of settings with text appended."""
    with pytest.raises(SettingsError) as caught:
        parse_settings(base + extra, "run.toml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_and_survives_being_written(path: Path) -> None:
    """Detects a recipe broken by a change of the settings."""
    settings = load_settings(path)
    assert parse_settings(dump_settings(settings)) == settings


def test_there_is_a_recipe_for_a_machine_without_a_gpu() -> None:
    """The test above would pass on an empty folder."""
    assert "demo-cpu" in [path.stem for path in RECIPES]


def test_a_misspelt_key_is_named_with_file_line_and_the_nearest_key() -> None:
    """The most frequent mistake must not become a silent default."""
    assert refusal("[training]\nbatch_size = 4\nlearing_rate = 1e-4\n") == [
        "run.toml, line 10: unknown setting 'training.learing_rate'; did you mean 'learning_rate'?"
    ]
    assert refusal("[trainig]\nepochs = 1\n") == [
        "run.toml, line 8: unknown setting 'trainig'; did you mean 'training'?"
    ]


def test_a_misspelt_key_of_the_second_task_points_at_the_second_task() -> None:
    """Arrays of tables repeat their keys; the reported line must be the one with the mistake."""
    second = '[[tasks]]\nkind = "math"\nname = "sums"\npath = "a.jsonl"\ndataset = "x"\n'
    (line,) = refusal(second)
    assert line.startswith("run.toml, line 12: unknown setting 'tasks[1].dataset'")
    # `dataset` is a key of another kind of task, so it must not be suggested here.
    assert "did you mean 'dataset'" not in line


def test_a_key_like_nothing_known_lists_what_is_known() -> None:
    """Without a near key the message lists the known keys."""
    (line,) = refusal("[correction]\nzzz = 1\n")
    assert line.endswith(
        "known here: max_tokens, min_p, repetition_penalty, samples, show_previous_attempt, stop, temperature, top_k, "
        "top_p"
    )


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ('[training]\nlearning_rate = "fast"\n', ["line 9", "'training.learning_rate'", "valid number", "'fast'"]),
        ("[attempt]\nmax_tokens = 0\n", ["line 9", "'attempt.max_tokens'", "greater than or equal to 1", "(it is 0)"]),
        ("[reflection]\nsamples = 2\ntemperature = 0\n", ["line 8", "'reflection'", "would repeat one text"]),
        ("[correction]\nsamples = 2\n", ["line 8", "'correction'", "repeat one text", "correction.temperature"]),
        ("[correction]\nsamples = 0\n", ["line 9", "'correction.samples'", "greater than or equal to 1"]),
        ("[attempt]\nsamples = -1\n", ["line 9", "'attempt.samples'", "greater than or equal to 0"]),
        ("[attempt]\nsample_temperature = 0\n", ["line 9", "'attempt.sample_temperature'", "greater than 0"]),
        ('[reflection]\non = "right"\n', ["line 9", "'reflection.on'", "'wrong' or 'all'"]),
        ('[reflection]\non = "all"\nfeedback = "detail"\n', ["'reflection'", "no prompt may reveal the verdict"]),
        ('[reflection]\ninstructions = ["general", "1-x"]\n', ["'1-x' is not an instruction key"]),
        ('[reflection]\ninstructions = "general+random:2"\n', ["'random:n'", "'+general'"]),
        ('[[tasks]]\nkind = "math"\nname = "b"\n', ["line 8", "'tasks[1]'", "path is missing"]),
        (
            '[[tasks]]\nkind = "mathematics"\nname = "b"\n',
            ["line 9", "tasks[1].kind", "procedural, choice, math", "'mathematics'"],
        ),
        ('[[tasks]]\nname = "b"\n', ["line 8", "'tasks[1].kind' is missing", "procedural, choice, math"]),
        (
            '[[tasks]]\nkind = "math"\nname = "letters"\npath = "a"\n',
            ["line 4", "two tasks are named 'letters'"],
        ),
        ("[evaluation]\nprotocol = 'none'\n", ["line 9", "'evaluation.protocol'", "'oracle', 'oracle-free' or 'both'"]),
    ],
)
def test_a_wrong_value_is_one_line_with_place_key_and_value(extra: str, words: list[str]) -> None:
    """Each mistake gives one line with its place and the expected value."""
    (line,) = refusal(extra)
    assert line.startswith("run.toml, ")
    for word in words:
        assert word in line


def test_several_mistakes_are_all_named() -> None:
    """An operator over SSH should not have to start a run five times to find five mistakes."""
    lines = refusal("[attempt]\nmax_tokens = 0\nfoo = 1\n[generation]\nretries = 11\n")
    assert {line.split(":")[0] for line in lines} == {"run.toml, line 9", "run.toml, line 10", "run.toml, line 12"}
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        ("[reflection]\ninstructions = 5\n", "reflection.instructions"),
        ("[training]\nlora_targets = 3\n", "training.lora_targets"),
        ("[tasks.options]\nmin_words = { a = 1 }\n", "tasks[0].options.min_words"),
    ],
)
def test_a_value_that_fits_none_of_several_types_is_one_mistake(extra: str, key: str) -> None:
    """For a setting of several types, pydantic reports one error per type, under keys that are not in the file."""
    (line,) = refusal(extra)
    assert line.startswith(f"run.toml, line 9: {key!r}: Input should be ")
    assert " or " in line


def test_missing_top_level_keys_are_named() -> None:
    """The message names a missing model or missing tasks."""
    assert refusal("", base='name = "demo"\n') == ["run.toml: 'model' is missing", "run.toml: 'tasks' is missing"]


@pytest.mark.parametrize("values", [[], "text", 5])
def test_values_that_are_no_table_are_refused(values: Any) -> None:
    """Directives carry settings as JSON from outside: any value is refused with a message."""
    with pytest.raises(SettingsError, match="valid dictionary"):
        validate_settings(values)


def test_files_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    """Missing, not UTF-8, not TOML, a directory: each has its own message and the path."""
    path = tmp_path / "run.toml"
    with pytest.raises(SettingsError, match="there is no settings file"):
        load_settings(path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(SettingsError, match=r"not UTF-8 text \(byte 8\)"):
        load_settings(path)
    path.write_text("name = \n")
    with pytest.raises(SettingsError, match=r"not valid TOML.*line 1"):
        load_settings(path)
    with pytest.raises(SettingsError, match="can't read"):
        load_settings(tmp_path)


@pytest.mark.parametrize("draw", ["all", "random:1", "balanced:32", "adaptive:4", ["1-1-1"], ["2-8-2", "1-3-2"]])
def test_draws_of_instructions_that_are_meant_are_taken(draw: str | list[str]) -> None:
    """Every documented way to choose instructions is a valid setting."""
    assert validate_settings(_values(reflection={"instructions": draw})).reflection.instructions == draw


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        ("random", "random:n"),
        ("random:0", "random:n"),
        ("random:two", "random:n"),
        ("some", "use 'all'"),
        ([], "empty list"),
        (["1-1"], "'1-1' is not an instruction key"),
        (["1-0-1"], "'1-0-1' is not an instruction key"),
        (["1-1-1", "1-1-1"], "listed twice"),
    ],
)
def test_draws_of_instructions_that_draw_nothing_are_refused(draw: str | list[str], words: str) -> None:
    """A draw that is impossible is refused with the settings, not after the attempts of a night."""
    with pytest.raises(SettingsError, match=words):
        validate_settings(_values(reflection={"instructions": draw}))


def _values(**changes: object) -> dict[str, object]:
    task = {"kind": "procedural", "name": "letters", "dataset": "letter_counting"}
    return {"model": "m", "tasks": [task], **changes}


TOML = """\
model = "m"
[[tasks]]
name = "a"
[tasks.options]
min_words = 3
[[tasks]]
name = "b"
  [tasks.options]
  "max_words" = 5
[training]
reference = "base"
generation.dtype = "auto"
["odd section"]
x = 1
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("model",), 1),
        (("tasks", 0, "name"), 3),
        (("tasks", 1, "name"), 7),
        (("tasks", 0, "options", "min_words"), 5),
        (("tasks", 1, "options", "max_words"), 9),
        (("tasks", 1, "options", "gone"), 8),
        (("tasks", 0, "gone"), 2),
        (("tasks", 1), 6),
        (("tasks",), 2),
        (("training", "reference"), 11),
        (("training", "generation", "dtype"), 12),
        (("odd section", "x"), 14),
        (("nowhere",), None),
    ],
)
def test_the_line_of_a_key_or_of_the_table_around_it(location: tuple[str | int, ...], line: int | None) -> None:
    """Lines point to the mistake through nested tables and arrays of tables; for a missing key, to its table."""
    assert line_of(TOML, location) == line


_SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**40),
        "pace": st.sampled_from(["flow", "step"]),
        "gates": st.lists(st.sampled_from(["reflect", "train", "promote"]), unique=True),
        "attempt": st.fixed_dictionaries({"max_tokens": st.integers(1, 9999)}),
        "reflection": st.fixed_dictionaries(
            {"samples": st.integers(1, 64), "instructions": st.sampled_from(["all", ["1-2-1"], "adaptive:3"])}
        ),
        "training": st.fixed_dictionaries(
            {
                "learning_rate": st.floats(1e-9, 1.0),
                "lora_targets": st.sampled_from(["all-linear", ["q_proj", "o_proj"]]),
            }
        ),
    },
)


@given(_SECTIONS, st.text("abc\"'\\\n\té→ ", max_size=20))
@hypothesis_settings(max_examples=60, deadline=None)
def test_settings_that_were_written_read_back_the_same(sections: dict[str, object], model: str) -> None:
    """The workspace's file is written and read by the program: no value may change in the round trip."""
    settings = validate_settings(_values(model=model, **sections))
    assert parse_settings(dump_settings(settings)) == settings
    # The same through JSON, which is how a run and its iterations are stored.
    assert RunSettings.model_validate_json(settings.model_dump_json()) == settings


def test_every_setting_is_explained() -> None:
    """Forms and help show the docstring under a setting; without one that line would be empty."""
    schema = RunSettings.model_json_schema()
    sections = {"RunSettings": schema, **schema["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, field in section.get("properties", {}).items()
        if not field.get("description")
    ]
    assert silent == []


def test_settings_can_not_be_changed_in_place() -> None:
    """The settings of an iteration are a record: a section is immutable once it was read."""
    with pytest.raises(ValueError, match="frozen"):
        TrainingSection().epochs = 3  # type: ignore[misc]


def test_measuring_on_dev_needs_dev_questions() -> None:
    """Otherwise the result would be an evaluation of no questions."""
    with pytest.raises(SettingsError, match="no task reserves dev questions"):
        validate_settings(_values(evaluation={"split": "dev"}))
    task = {**_values()["tasks"][0], "dev": 3}  # type: ignore[index]
    assert validate_settings(_values(evaluation={"split": "dev"}, tasks=[task])).evaluation.split == "dev"


def test_every_setting_stands_on_the_settings_page() -> None:
    """Operators rely on that page; a setting that it omits, or describes as it used to be, misleads them."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    schema = RunSettings.model_json_schema()
    sections = {"RunSettings": schema, **schema["$defs"]}
    missing = [
        f"{section}.{key}"
        for section, described in sections.items()
        for key, field in described.get("properties", {}).items()
        if "$ref" not in str(field) and key != "kind"
        if not re.search(rf"^\| `{key}` \| .* \| {re.escape(_meaning(field))} \|$", page, re.MULTILINE)
    ]
    assert missing == []


def _meaning(field: dict[str, Any]) -> str:
    return " ".join(field["description"].split()).replace("\\\\", "\\")
