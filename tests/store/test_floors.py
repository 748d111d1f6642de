"""The floor of Acc@t2 under an oracle, on small sets counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.evaluation.floors import (
    FirstAnswer,
    Question,
    constant_pairs,
    floor_of,
    floor_value,
    floor_words,
    guess_probabilities,
    guess_probability,
    options_floor,
    position,
    position_words,
    rule_words,
)
from store.evaluation.intervals import wilson

RIGHT, WRONG = FirstAnswer(True), FirstAnswer(False)


def choice(number: int, options: int, task: str = "logic") -> Question:
    return Question(number, task, options, frozenset({"A"}))


def open_question(number: int, *accepted: str, task: str = "count") -> Question:
    return Question(number, task, None, frozenset(accepted))


def test_naming_another_option_reaches_one_of_the_remaining_ones() -> None:
    """LogiQA in the paper: 30.2 % at turn 1 and four options give a floor of 53.5 %."""
    assert options_floor(0.302, 4) == pytest.approx(0.302 + 0.698 / 3)
    questions = [choice(number, 4) for number in range(1000)]
    first = {number: RIGHT if number < 302 else WRONG for number in range(1000)}
    floor = floor_of(questions, first, {})
    assert floor.value == pytest.approx(0.302 + 0.698 / 3)
    assert (floor.n, floor.by_options) == (1000, 1.0)


@pytest.mark.parametrize(("options", "expected"), [(1, 1.0), (2, 1.0), (3, 0.75), (5, 0.625)])
def test_the_fewer_options_the_higher_the_floor(options: int, expected: float) -> None:
    floor = floor_of([choice(1, options), choice(2, options)], {1: RIGHT, 2: WRONG}, {})
    assert floor.value == pytest.approx(expected)


def test_questions_with_different_numbers_of_options_count_each_by_their_own() -> None:
    floor = floor_of([choice(1, 2), choice(2, 4), choice(3, 11)], dict.fromkeys((1, 2, 3), WRONG), {})
    assert floor.value == pytest.approx((1 + 1 / 3 + 1 / 10) / 3)


def test_the_constant_pair_is_taken_from_training_questions_only() -> None:
    training = [open_question(number, "1") for number in range(5)] + [open_question(9, "2"), open_question(10, "3")]
    pairs = constant_pairs([*training, open_question(11, "3")])
    assert pairs == {"count": ("1", "3")}
    held_out = [open_question(20, "1"), open_question(21, "2"), open_question(22, "2"), open_question(23, "3")]
    floor = floor_of(held_out, {question.id: WRONG for question in held_out}, pairs)
    assert (floor.value, floor.n, floor.by_options) == (0.5, 4, 0.0)


@given(st.permutations([open_question(number, str(number % 4)) for number in range(12)]))
def test_equally_common_answers_are_chosen_alike_in_any_order(training: list[Question]) -> None:
    assert constant_pairs(training) == {"count": ("0", "1")}


def test_the_second_constant_is_the_commonest_where_the_first_is_wrong() -> None:
    """Two spellings of one answer must not take both places."""
    training = [open_question(number, "usa", "us") for number in range(3)] + [open_question(9, "france")]
    assert constant_pairs(training) == {"count": ("us", "france")}


def test_a_task_with_one_answer_has_a_floor_without_a_second_guess() -> None:
    pairs = constant_pairs([open_question(1, "yes"), open_question(2, "yes")])
    assert pairs == {"count": ("yes",)}
    assert floor_of([open_question(3, "yes"), open_question(4, "no")], {3: RIGHT, 4: WRONG}, pairs).value == 0.5


def test_a_task_with_two_answers_has_a_floor_of_all_questions() -> None:
    pairs = constant_pairs([open_question(1, "yes"), open_question(2, "no")])
    assert floor_of([open_question(3, "yes"), open_question(4, "no")], {3: WRONG, 4: WRONG}, pairs).value == 1.0


@pytest.mark.parametrize(("first", "expected"), [(RIGHT, 1.0), (WRONG, 1 / 3)])
def test_all_right_and_all_wrong(first: FirstAnswer, expected: float) -> None:
    floor = floor_of([choice(number, 4) for number in range(3)], dict.fromkeys(range(3), first), {})
    assert floor.value == pytest.approx(expected)


def test_without_training_questions_the_floor_is_not_known() -> None:
    floor = floor_of([open_question(1, "yes"), choice(2, 4)], {1: WRONG, 2: WRONG}, {})
    assert (floor.value, floor.n) == (None, 2)
    assert floor_value(floor.as_metric()) == "not known (no training questions)"
    assert rule_words(floor.as_metric()) == ""


def test_without_questions_there_is_no_floor() -> None:
    floor = floor_of([choice(1, 4)], {}, {})
    assert (floor.value, floor.n, floor.by_options) == (None, 0, None)
    assert floor_value(floor.as_metric()) == "no questions"
    assert constant_pairs([]) == {}


def test_tasks_with_and_without_options_are_averaged_over_questions() -> None:
    pairs = constant_pairs([open_question(1, "7")])
    floor = floor_of([open_question(2, "7"), choice(3, 3)], {2: WRONG, 3: WRONG}, pairs)
    assert (floor.value, floor.by_options) == (0.75, 0.5)


def test_a_guess_never_repeats_the_wrong_answer() -> None:
    pairs = {"count": ("1", "2")}
    assert guess_probability(open_question(1, "2"), "1", pairs) == 1.0
    assert guess_probability(open_question(1, "2"), "5", pairs) == 0.0
    assert guess_probability(open_question(1, "1"), "5", pairs) == 1.0
    assert guess_probability(open_question(1, "1"), None, pairs) == 1.0
    assert guess_probability(open_question(1, "2"), "1", {"count": ("1",)}) == 0.0
    assert guess_probability(open_question(1, "2"), "1", {}) is None
    assert guess_probability(choice(1, 5), "B", {}) == 0.25
    assert guess_probability(choice(1, 1), None, {}) == 1.0


def test_guess_probabilities_cover_the_wrong_answers_only() -> None:
    questions = [choice(1, 4), choice(2, 4), open_question(3, "1"), open_question(4, "1", task="unknown")]
    first = {1: RIGHT, 2: FirstAnswer(False, "B"), 3: FirstAnswer(False, "2"), 4: WRONG}
    assert guess_probabilities(questions, first, {"count": ("1", "2")}) == {2: pytest.approx(1 / 3), 3: 1.0}


@given(
    st.lists(st.tuples(st.booleans(), st.integers(2, 10)), min_size=1, max_size=40),
)
def test_an_options_floor_is_acc_t1_plus_what_guessing_adds(rows: list[tuple[bool, int]]) -> None:
    questions = [choice(number, options) for number, (_, options) in enumerate(rows)]
    first = {number: FirstAnswer(right) for number, (right, _) in enumerate(rows)}
    acc_t1 = sum(right for right, _ in rows) / len(rows)
    guessed = sum(guess_probabilities(questions, first, {}).values()) / len(rows)
    assert floor_of(questions, first, {}).value == pytest.approx(acc_t1 + guessed)


def metric(right: int, n: int) -> dict[str, float | None]:
    interval = wilson(right, n)
    return {"value": right / n, "low": interval.low, "high": interval.high, "n": n}


def test_only_an_interval_above_the_floor_counts_as_above() -> None:
    floor: dict[str, float | None] = {"value": 0.7, "by_options": 0.0}
    assert position(metric(90, 100), floor) == "above"
    assert position(metric(72, 100), floor) == "unclear"
    assert position(metric(70, 100), floor) == "not above", "equal to the floor is not above it"
    assert position(metric(60, 100), floor) == "not above"
    assert position(metric(60, 100), None) == position(None, floor) == "unknown"
    assert position({"value": None}, floor) == position(metric(90, 100), {"value": None}) == "unknown"
    assert position({"value": 0.8}, floor) == "unclear", "without an interval nothing is above"
    assert position_words(metric(72, 100), floor) == "not clearly above"
    assert position_words(None, floor) == ""


def test_an_evaluation_without_a_floor_says_so() -> None:
    assert floor_value(None) == "not computed"
    assert floor_value({"value": 0.778, "n": 90, "by_options": 0.0}) == "77.8 %"
    assert rule_words({"value": 0.5, "n": 4, "by_options": 1.0}) == "another option at random"
    assert "second commonest" in rule_words({"value": 0.5, "n": 4, "by_options": 0.0})


def test_a_floor_is_described_under_an_oracle_only() -> None:
    metrics = {"acc_t2": metric(65, 90), "floor_t2": {"value": 0.778, "n": 90, "by_options": 0.0}}
    assert floor_words("oracle/0123456789", metrics) == "floor 77.8 % (not above)"
    assert floor_words("oracle/0123456789", {"acc_t2": metric(65, 90)}) == "floor not computed"
    assert floor_words("oracle-free/0123456789", metrics) == ""


@pytest.mark.parametrize(("acc", "options"), [(0.5, 1), (0.5, 0), (1.2, 4), (-0.1, 4)])
def test_a_published_accuracy_needs_options_to_choose_from(acc: float, options: int) -> None:
    with pytest.raises(ValueError, match="has no floor"):
        options_floor(acc, options)
