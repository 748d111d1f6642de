"""Tests of the grounded share: what names something of its own question or attempt, and what can't pass for it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.curation.grounding import FEWEST_QUESTIONS, OTHERS_AS_CLOSE, Reflected, grounded
from engine.curation.specific_tokens import specific_tokens
from engine.curation.task_shares import TaskShare, overall
from engine.prompts.instructions import compose
from engine.prompts.rollout import Problem, reflection_messages

REQUEST = reflection_messages(Problem("", "Finish with 'Answer:' and a number."), "", compose("1-1-1"))[-1]["content"]
SAMPLES = Path(__file__).parents[3] / "shared" / "data"

NAMES = "Ann Bob Carl Dora Emil Fred Gina Hugo Ines Jack Kim Liam Mona Nils Olga Paul Quin Rosa Sven Tina".split()
THINGS = (
    "pears plums nuts eggs pens cups hats bags keys toys maps pins fans jars mugs nets oars pots rugs sacks".split()
)
ENGLISH = tuple(
    f"{name} buys {6 + 7 * number} {thing} and gives {3 + 5 * number} of them away. How many are left?\n"
    f"Answer: {number}"
    for number, (name, thing) in enumerate(zip(NAMES, THINGS, strict=True))
)
CODE = tuple(
    f"Write a function {verb}_{noun}(values) that returns the result.\ndef {verb}_{noun}(values):\n    return values"
    for verb in ("merge", "count", "sort", "split")
    for noun in ("pairs", "words", "trees", "graphs", "digits")
)
MATHS = tuple(
    rf"Solve ${2 + number}x + {31 + 3 * number} = {101 + 11 * number}$ for $x$." + f"\nAnswer: {40 + number}"
    for number in range(20)
)
CHINESE = tuple(
    f"{city}的人口是多少？\n答案：{number + 3}百万"
    for number, city in enumerate(
        "北京 上海 广州 深圳 成都 重庆 武汉 西安 南京 杭州 苏州 天津 长沙 青岛 大连 厦门 福州 济南 合肥 昆明".split()
    )
)
OTHER = tuple(
    f"{start} {word}?\n{end}"
    for start, end, words in (
        ("Сколько жителей в городе", "Ответ: три", "Казань Самара Омск Уфа Пермь"),
        ("Πόσοι κάτοικοι ζουν στην πόλη", "Απάντηση: τρία", "Πάτρα Βόλος Χανιά Λάρισα Ξάνθη"),
        ("كم عدد سكان مدينة", "الجواب: ثلاثة", "دمشق حلب حمص طرطوس إدلب"),
        ("कितने लोग रहते हैं", "उत्तर: तीन", "दिल्ली मुंबई जयपुर कानपुर पटना"),
    )
    for word in words.split()
)

CASES = [
    # English: names, things, numbers of question or attempt; and what stands in every question
    (ENGLISH, 3, "Dora had more at first.", True),
    (ENGLISH, 3, "I forgot the eggs that were given away.", True),
    (ENGLISH, 3, "DORA's Eggs were counted twice!", True),
    (ENGLISH, 3, "I subtracted 18 in the wrong order.", True),
    (ENGLISH, 3, "I subtracted eighteen in the wrong order.", True),
    (ENGLISH, 3, "It should start from twenty-seven.", True),
    (ENGLISH, 3, "It should start from 27.0, not less.", True),
    (ENGLISH, 3, "It should start from ２７.", True),
    (ENGLISH, 3, "It should start from ٢٧.", True),
    (ENGLISH, 3, "Carl had more at first.", False),
    (ENGLISH, 3, "How many are left?", False),
    (ENGLISH, 3, "The question asks how many are left of them.", False),
    (ENGLISH, 3, "My answer gives away too many.", False),
    (ENGLISH, 3, "", False),
    (ENGLISH, 3, " \n\t ", False),
    (ENGLISH, 3, "eggs", True),
    (ENGLISH, 3, "wrong", False),
    (ENGLISH, 3, "?!… — ***", False),
    (ENGLISH, 3, REQUEST, False),
    (ENGLISH, 3, compose("1-1-1"), False),
    (ENGLISH, 3, REQUEST + " The eggs!", True),
    (ENGLISH, 3, ENGLISH[3], True),
    (ENGLISH, 3, ENGLISH[4], False),
    (ENGLISH, 3, " ".join(ENGLISH), False),
    (ENGLISH, 3, "I should be more careful and check each step. " * 500, False),
    (ENGLISH, 3, "I should be more careful and check each step. " * 500 + "The eggs.", True),
    # Programs: identifiers, whole or in part
    (CODE, 6, "The bug is in `count_words`: it returns its argument.", True),
    (CODE, 7, "countTrees returns its argument", True),
    (CODE, 6, "countWords: the limit of words in the request is no reason", False),
    (CODE, 6, "def count_words(x): return len(x)", True),
    (CODE, 6, "The function returns its argument values.", False),
    (CODE, 6, "def solve(values):\n    return values", False),
    (CODE, 6, "merge_trees is wrong", False),
    # Mathematics, in other notations
    (MATHS, 5, "I divided by 7 before subtracting 46.", True),
    (MATHS, 5, r"$\frac{156-46}{7}$ isn't what I computed.", True),
    (MATHS, 5, "I moved x to the wrong side.", False),
    (MATHS, 5, "I should divide 5000 by 999.", False),
    # Scripts without spaces, and other languages
    (CHINESE, 4, "我把成都的人口算错了。", True),
    (CHINESE, 4, "我把人口算错了。", False),
    (CHINESE, 4, "我应该更仔细。", False),
    (CHINESE, 4, "我把上海的人口算错了。", False),
    (OTHER, 0, "Я перепутал: Казань больше.", True),
    (OTHER, 0, "Я ошибся в расчёте.", False),
    (OTHER, 7, "Τα Χανιά είναι μικρότερα.", True),
    (OTHER, 12, "نسيت حمص في الحساب", True),
    (OTHER, 12, "يجب أن أكون أكثر حذرا", False),
    (OTHER, 16, "मुंबई बड़ा शहर है", True),
    (OTHER, 16, "मुझे ध्यान देना चाहिए", False),
]


def iteration(sources: tuple[str, ...], texts: list[str], task: str = "t") -> dict[int, Reflected]:
    """One reflection on each of the questions."""
    return {
        number: Reflected(task, number, source, REQUEST, text)
        for number, (source, text) in enumerate(zip(sources, texts, strict=True))
    }


@pytest.mark.parametrize(("sources", "position", "text", "expected"), CASES)
def test_a_grounded_reflection_names_something_of_its_own_question(
    sources: tuple[str, ...], position: int, text: str, expected: bool
) -> None:
    """The other reflections of the iteration name nothing."""
    texts = ["I was careless."] * len(sources)
    texts[position] = text
    assert grounded(iteration(sources, texts), 1)["t"] == TaskShare(int(expected), 20, 20)


@pytest.mark.parametrize("sources", [ENGLISH, CODE, MATHS, CHINESE, OTHER])
def test_no_fixed_sentence_is_grounded(sources: tuple[str, ...]) -> None:
    """Repeated for every question, even if it names something of some of them, or quotes all of them."""
    for text in ("Dora counted 18 eggs.", sources[3], " ".join(sources), "count_words 成都 Казань 46"):
        assert overall(grounded(iteration(sources, [text] * 20), 1)) == 0


def test_a_few_fixed_sentences_in_turn_are_hardly_grounded() -> None:
    """By construction one text is grounded for at most about a tenth of the questions."""
    texts = [ENGLISH[3 + number % 3] for number in range(20)]
    share = overall(grounded(iteration(ENGLISH, texts), 1))
    assert share is not None and share <= OTHERS_AS_CLOSE + 1 / 20


@pytest.mark.parametrize("name", ["bigbench", "logiqa", "math", "mbpp"])
def test_reflections_on_another_question_are_hardly_grounded(name: str) -> None:
    """On real questions: a reflection with a few words of its question is grounded, on another question it is not."""
    path = SAMPLES / f"{name}_sample.jsonl"
    if not path.exists():
        pytest.skip("the samples of the data sets are not beside the repository")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    sources = tuple(str(row.get("question") or row.get("text") or row.get("problem") or row) for row in rows)
    draw = random.Random(4)
    texts = []
    for source in sources:
        words = source.split()
        start = draw.randrange(max(len(words) - 8, 1))
        texts.append(f"I was hasty about {' '.join(words[start : start + 8])}, so I should check each step again.")
    own = overall(grounded(iteration(sources, texts), 1))
    foreign = overall(grounded(iteration(sources, [*texts[1:], texts[0]]), 1))
    assert own is not None and foreign is not None
    assert own >= 0.7
    assert foreign <= 0.15
    assert foreign < own / 3


def test_the_wording_of_a_task_counts_for_nothing_even_among_other_tasks() -> None:
    """Questions are compared within their task: a template would be rare among many tasks."""
    both = iteration(ENGLISH, ["How many are left of the things given away?"] * 20)
    both |= {100 + number: one for number, one in iteration(CODE, ["I was careless."] * 20, "code").items()}
    both = {number: replace(one, question_id=number) for number, one in both.items()}
    assert overall(grounded(both, 1)) == 0


def test_too_few_questions_are_not_measured() -> None:
    """With fewer than ten, anything would be specific."""
    few = FEWEST_QUESTIONS - 1
    assert grounded(iteration(ENGLISH[:few], list(ENGLISH[:few])), 1) == {}
    assert grounded({}, 1) == {}
    enough = grounded(iteration(ENGLISH[:10], list(ENGLISH[:10])), 1)
    assert enough["t"] == TaskShare(10, 10, 10)


def test_several_reflections_on_one_question() -> None:
    """They count one by one, but their question counts once."""
    one = iteration(ENGLISH, list(ENGLISH))
    twice = one | {50 + number: replace(found, text="I was careless.") for number, found in one.items()}
    assert grounded(twice, 1)["t"] == TaskShare(20, 40, 20)


WORDS = st.sampled_from(["eggs", "Dora", "18", "left", "二", "count_words", "x", "the", "½", "१२"])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)


@given(st.lists(st.tuples(st.integers(0, 12), TEXTS, TEXTS), max_size=40), st.integers(0, 3), st.integers(1, 30))
def test_shares_do_not_depend_on_order(rows: list[tuple[int, str, str]], seed: int, most: int) -> None:
    """They are bounded, and the same for the same seed."""
    found = {
        number: Reflected("t", question, source, REQUEST, text) for number, (question, source, text) in enumerate(rows)
    }
    shares = grounded(found, seed, most)
    assert shares == grounded(dict(reversed(found.items())), seed, most) == grounded(found, seed, most)
    for one in shares.values():
        assert 0 <= one.hits <= one.measured <= most
        assert 1 <= one.questions <= one.measured


@given(st.text(max_size=60))
def test_any_text_has_tokens_without_an_error(text: str) -> None:
    """Whatever a model writes, case doesn't matter."""
    found = specific_tokens(text)
    assert "" not in found
    assert specific_tokens(text) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000", "1000"),
        ("1{,}000", "1000"),
        ("5.0", "5"),
        ("twelve", "12"),
        ("1/2", "0.5"),
        (r"\frac{1}{4}", "0.25"),
        ("½", "0.5"),
        ("50%", "0.5"),
        (r"50\%", "0.5"),
        ("x²", "x 2"),
        ("Ångström", "ångström"),
        ("maxValue", "max value"),
    ],
)
def test_notations_of_one_thing_share_a_token(one: str, other: str) -> None:
    """Numbers and identifiers are written in several ways."""
    assert specific_tokens(other) <= specific_tokens(one)


def test_leading_zeros_make_a_string() -> None:
    """Binary strings are no numbers."""
    assert specific_tokens("0100") == {"0100"}
    assert not specific_tokens("0100") & specific_tokens("100")


def test_cost_is_linear() -> None:
    """In the number of reflections, and in the length of one text."""

    def seconds(reflections: dict[int, Reflected]) -> float:
        start = process_time()
        grounded(reflections, 1)
        return process_time() - start

    def many(count: int) -> dict[int, Reflected]:
        return {
            number: Reflected("t", number, f"{ENGLISH[number % 20]} {number}", REQUEST, f"word{number} eggs {number}")
            for number in range(count)
        }

    def long(words: int) -> dict[int, Reflected]:
        return iteration(ENGLISH, ["1/2 a_b 5% 12 eggs seven " * words] * 20)

    assert seconds(many(20_000)) < 20 * max(seconds(many(2_000)), 0.02)
    assert seconds(long(20_000)) < 20 * max(seconds(long(2_000)), 0.02)
