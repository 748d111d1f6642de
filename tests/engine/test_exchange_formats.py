"""Tests of the published formats: their quirks are read, and a record is restored from its rows unchanged."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.formats import FORMATS, Format, Unfit, detect, normal
from engine.exchange.instruction_labels import UNSTATED
from engine.exchange.leak_flags import IN_PROMPT, IN_REFLECTION, step_leak
from engine.exchange.record_mapping import imported, published
from engine.exchange.typed_columns import PUBLISHED_COLUMNS, from_columns, to_columns
from engine.exchange.unmapped_fields import condensed, expanded, remainder, restored, same
from engine.prompts.instructions import BUILT_IN, GENERAL
from store.exchange.imported_records import ImportedRecord
from tests.support.published import SHARED, Maker

texts = st.text(max_size=30) | st.sampled_from(["\ud800", "a\x00b", "鈥檚", "\ue0000\ue001", " \n", "x" * 40])
told = st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2), max_leaves=5
)
verdicts = st.sampled_from([True, False, None, "true", "CORRECT", "no idea", 1, 0.5])


def with_fields(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Records with the required fields, some of the optional ones, and some unknown ones."""
    known = {**required, **optional}
    extra = st.dictionaries(st.text(max_size=8).filter(lambda key: key not in known), json_values, max_size=2)
    return st.tuples(st.fixed_dictionaries(required, optional=optional), extra).map(lambda two: {**two[1], **two[0]})


first_trial = with_fields(
    {},
    {
        "trial": st.sampled_from([1, "1"]),
        "reasoning": json_values,
        "generated_answer": json_values,
        "is_correct": verdicts,
        "reflections": st.just([]) | st.just(""),
    },
)
later_trial = with_fields(
    {},
    {
        "trial": st.integers(2, 4) | st.just("2"),
        "reasoning": texts,
        "generated_answer": json_values,
        "is_correct": verdicts,
        "reflections": st.lists(texts, max_size=3) | texts,
        "test_list": st.just("") | st.lists(texts, max_size=2),
        "instruction": st.sampled_from(["1-2-1", 5]),
        "reflects_on": st.integers(-1, 5),
    },
)
raw = with_fields(
    {
        "question": told,
        "answer": told | st.integers(),
        "output": st.tuples(first_trial, st.lists(later_trial, max_size=4)).map(lambda two: [two[0], *two[1]]),
    },
    {"id": json_values, "task": json_values},
)
prompts = st.none() | texts | st.lists(texts, max_size=3) | st.integers()
d_plus = with_fields(
    {
        "question": told,
        "answer": told,
        "first_trial_reasoning": json_values,
        "second_trial_reasoning": texts,
        "reflections": told | st.lists(told, min_size=1, max_size=2),
    },
    {
        "id": scalars,
        "first_trial_answer": json_values,
        "second_trial_answer": json_values,
        "second_trial_is_correct": verdicts,
        "reason_prompt": prompts,
        "reflect_prompt": prompts,
    },
)
pair = with_fields(
    {
        "question": told,
        "answer": told,
        "first_trial_reasoning": texts,
        "reflection_chosen": told,
        "reflection_rejected": told,
        "second_trial_reasoning_chosen": texts,
        "second_trial_reasoning_rejected": json_values,
    },
    {
        "id": scalars,
        "second_trial_answer_chosen": json_values,
        "second_trial_answer_rejected": texts,
        "reason_prompt": prompts,
        "reflection_prompt": prompts,
    },
)
any_record = st.one_of(
    st.tuples(st.just("raw"), raw),
    st.tuples(st.just("d-plus"), d_plus),
    st.tuples(st.sampled_from(["d-pm", "d-pref"]), pair),
)


def stored(rows: ImportedRecord) -> ImportedRecord:
    """The rows as the database returns them: of a raw record, only the reference to its position."""
    plain = [one for one in rows.branches if one.reflection is not None and one.on is None and one.turn == 2]
    return rows if rows.set_name else replace(rows, branches=tuple(plain))


@given(any_record)
def test_a_record_comes_out_of_its_rows_as_it_went_in(given_record: tuple[Format, dict[str, Any]]) -> None:
    """Unknown fields, odd types, lone surrogates, retries, third trials: nothing is lost."""
    file_format, record = given_record
    form = normal(json.loads(json.dumps(record)), file_format)
    rows = imported(form, file_format, 1, "task").record
    again = published(stored(rows), file_format, dict(rows.texts))
    assert same(again, form)
    assert same(normal(again, file_format), form)
    for text in (rows.question.text, rows.attempt.reasoning, *(text for _, text in rows.texts)):
        text.encode()  # rows must be storable


@given(any_record)
def test_a_record_comes_out_of_columns_as_it_went_in(given_record: tuple[Format, dict[str, Any]]) -> None:
    """Parquet has one type per column; values that don't fit are kept in a separate field."""
    file_format, record = given_record
    assert same(from_columns(to_columns(record, PUBLISHED_COLUMNS[file_format])), record)


@given(st.dictionaries(texts, json_values), st.dictionaries(texts, json_values))
def test_what_rows_do_not_hold_is_exactly_the_difference(record: dict[str, Any], rebuilt: dict[str, Any]) -> None:
    """The remainder of two equal records is empty, and with it any record can be rebuilt from any other."""
    left = json.loads(json.dumps(remainder(record, rebuilt)))
    assert same(restored(rebuilt, left), record)
    assert remainder(record, dict(record)) == {}


@given(texts, st.lists(st.text(max_size=40), max_size=4))
def test_a_condensed_prompt_expands_to_itself(around: str, parts: list[str]) -> None:
    """A prompt whose split into wording and parts can't be undone is not split."""
    prompt = around + around.join(parts)
    wording = condensed(prompt, parts)
    assert wording is None or expanded(wording, parts) == prompt


def test_prompts_of_different_questions_share_their_wording() -> None:
    """Few-shot examples and instructions are stored once, which makes 460,000 records of 17 KB fit."""
    maker = Maker()
    shared = {imported(maker.d_plus(n), "d-plus", n, "t").record.texts for n in range(20)}
    assert len(shared) == 1
    (wordings,) = shared
    assert len(wordings) == 3
    assert max(len(imported(maker.d_plus(n), "d-plus", n, "t").record.remainder) for n in range(20)) < 300


def test_formats_are_told_from_the_content() -> None:
    """File names are arbitrary."""
    maker = Maker()
    assert detect([maker.raw(1)]) == "raw"
    assert detect([maker.d_plus(1)]) == "d-plus"
    assert detect([maker.pair(1, 1)]) == "d-pm"
    assert detect([maker.pair(1, 1, both_right=True)]) == "d-pref"
    assert detect([{"question": "q"}, 5, None]) is None
    unclear = {key: value for key, value in maker.pair(1, 1).items() if "rejected" not in key}
    unclear |= {"second_trial_reasoning_rejected": "no word on it", "reflection_rejected": "r"}
    assert detect([unclear]) is None


def test_quirks_of_published_files_are_understood() -> None:
    """`trail`, `scratchpad`, a string where others have a list: other releases of the same data."""
    trials = [
        {"trail": 1, "scratchpad": "first", "generated_answer": "B", "reflections": "", "is_correct": "False"},
        {"trail": "2", "scratchpad": "second", "generated_answer": "A", "reflections": "think", "is_correct": True},
    ]
    form = normal({"question": "q", "answer": "a", "output": trials}, "raw")
    assert [set(trial) for trial in form["output"]] == [
        {"trial", "reasoning", "generated_answer", "reflections", "is_correct"}
    ] * 2
    rows = imported(form, "raw", 1, "quiz").record
    assert (rows.attempt.reasoning, rows.attempt.verdict) == ("first", "incorrect")
    (branch,) = rows.branches
    assert (branch.reflection, branch.correction.reasoning, branch.correction.verdict) == ("think", "second", "correct")
    assert (branch.turn, branch.instruction, rows.question.task) == (2, UNSTATED, "quiz")


def test_a_record_with_both_spellings_keeps_both() -> None:
    """The usual spelling counts; the other field belongs to the record and is not overwritten."""
    form = normal({"question": "q", "answer": "a", "output": [{"trial": 1, "trail": 7, "reasoning": "r"}]}, "raw")
    assert form["output"][0] == {"trial": 1, "trail": 7, "reasoning": "r"}


def test_verdicts_are_the_record_s_own_and_never_guessed() -> None:
    """D+ has no field for it, but its trials end with the environment's observation; without either the verdict is
    unknown.
    """
    record = Maker().d_plus(1)
    rows = imported(record, "d-plus", 1, "t").record
    assert (rows.attempt.verdict, rows.branches[0].correction.verdict) == ("incorrect", "correct")
    silent = {**record, "second_trial_reasoning": "the answer is a"}
    assert imported(silent, "d-plus", 1, "t").record.branches[0].correction.verdict == "unverified"
    stated = {**silent, "second_trial_is_correct": True, "first_trial_is_correct": None}
    rows = imported(stated, "d-plus", 1, "t").record
    assert rows.branches[0].correction.verdict == "correct"
    quoted = {**record, "first_trial_reasoning": "Observation: Answer is CORRECT\n" + "x" * 200}
    assert imported(quoted, "d-plus", 1, "t").record.attempt.verdict == "unverified"


def test_a_third_trial_reflects_on_the_second() -> None:
    """Rounds: a reflection refers to the newest trial of the preceding number."""
    trials = [{"trial": n, "reasoning": f"r{n}", "reflections": [f"on {n - 1}"] if n > 1 else []} for n in (1, 2, 3)]
    rows = imported(normal({"question": "q", "answer": "a", "output": trials}, "raw"), "raw", 1, "t").record
    assert [(one.turn, one.on) for one in rows.branches] == [(2, None), (3, 0)]


def test_a_trial_that_says_what_it_reflects_on_is_believed() -> None:
    """Rounds of several chains: our own records store the position; invalid values in that field are ignored."""
    trials = [
        {"trial": 1, "reasoning": "r"},
        {"trial": 2, "reflections": ["x"]},
        {"trial": 2, "reflections": ["y"]},
        {"trial": 3, "reflections": ["on x"], "reflects_on": 1},
        {"trial": 3, "reflections": ["?"], "reflects_on": 99},
    ]
    rows = imported(normal({"question": "q", "answer": "a", "output": trials}, "raw"), "raw", 1, "t").record
    assert [one.on for one in rows.branches] == [None, None, 0, 1]


@pytest.mark.parametrize(
    ("record", "file_format", "reason"),
    [
        ("text", "raw", "no JSON object"),
        ({"answer": "a", "output": [{}]}, "raw", "no field 'question'"),
        ({"question": "q", "answer": " ", "output": [{}]}, "raw", "'answer' is empty"),
        ({"question": "q", "answer": None, "output": [{}]}, "raw", "'answer' is empty"),
        ({"question": "q", "answer": "a", "output": []}, "raw", "no trials"),
        ({"question": "q", "answer": "a", "output": ["x"]}, "raw", "trial 1 of 'output' is no JSON object"),
        ({"question": "q", "answer": "a", "output": [{"trial": 2}]}, "raw", "first trial is missing"),
        ({"question": "q", "answer": "a", "reflections": ""}, "d-plus", "'reflections' is empty"),
        ({"question": "q", "answer": "a", "reflections": "r"}, "d-plus", "no field 'first_trial_reasoning'"),
        ({"question": "q", "answer": "a", "reflection_chosen": "r"}, "d-pm", "no field 'reflection_rejected'"),
    ],
)
def test_a_record_that_can_not_be_imported_says_why(record: object, file_format: Format, reason: str) -> None:
    """Each skip is counted under a reason that an operator understands."""
    with pytest.raises(Unfit, match=reason):
        normal(record, file_format)


def test_instructions_are_keys_where_that_is_known_and_stable_labels_elsewhere() -> None:
    """An invented key would corrupt the yield of every instruction."""
    record = Maker().d_plus(1)

    def label(**changes: object) -> str:
        return imported({**record, **changes}, "d-plus", 1, "t").record.branches[0].instruction

    assert label(instruction="1-3-2") == "1-3-2"
    assert label(reflect_prompt=None) == UNSTATED
    wording = label()
    assert wording.startswith("published-") and wording not in BUILT_IN.keys
    other = Maker(5).d_plus(2)
    assert imported(other, "d-plus", 1, "t").record.branches[0].instruction == wording
    general = record["reflect_prompt"].replace(
        "You failed.", "Diagnose a possible reason for failure and devise a new, concise, high-level plan."
    )
    assert label(reflect_prompt=general) == GENERAL


def test_a_prompt_that_holds_its_target_is_a_leak() -> None:
    """Published D+ rows were rendered after the step; a reflection inside the second prompt is legitimate."""
    maker = Maker()
    clean, leaking = maker.d_plus(1), maker.d_plus(2, leaking=True)
    assert imported(clean, "d-plus", 1, "t").leaks == frozenset()
    mapped = imported(leaking, "d-plus", 1, "t")
    assert mapped.leaks == {IN_PROMPT}
    assert mapped.record.branches[0].flags == "leak"
    asked = {**clean, "reflect_prompt": clean["reflect_prompt"] + clean["reflections"]}
    assert imported(asked, "d-plus", 1, "t").leaks == {IN_PROMPT}
    stating = {**clean, "reflections": "I was wrong: the answer is A."}
    assert imported(stating, "d-plus", 1, "t").leaks == {IN_REFLECTION}
    assert not step_leak(["Answer: 4"], ["Answer: 4"], reflection="4", correction="Answer: 4")


def test_the_shared_samples_map_without_loss_and_their_leaks_are_found() -> None:
    """Real rows: five of five D+ rows carry their target in the prompt, and all keep their text unchanged."""
    if not SHARED.exists():
        pytest.skip("the published sample rows are not beside this repository")
    from engine.exchange.json_records import Found, read_records

    names = dict(
        zip(FORMATS, ["reflection_raw.json", "d_plus.jsonl", "d_plus_minus.jsonl", "d_pref.jsonl"], strict=True)
    )
    for file_format, name in names.items():
        records = [one.value for one in read_records(SHARED / f"example_{name}") if isinstance(one, Found)]
        assert len(records) == (10 if file_format == "raw" else 5)
        assert detect(records) == file_format
        mapped = [imported(normal(one, file_format), file_format, n, "t") for n, one in enumerate(records)]
        for before, one in zip(records, mapped, strict=True):
            after = published(one.record, file_format, dict(one.record.texts))
            assert same(after, before)
            assert list(after) == list(before)  # type: ignore[call-overload]
        assert sum(IN_PROMPT in one.leaks for one in mapped) == (5 if file_format == "d-plus" else 0)
