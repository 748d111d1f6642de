"""Tests of the curation filters: which reflections they exclude, and that no text makes one of them raise or guess."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.curation.filters import FILTERS, wrong_language
from engine.curation.language import check_language, language_of
from engine.curation.word_grams import repeated_share
from engine.errors import EngineError
from engine.prompts.leakage import states_target
from engine.tasks.answers.stated_program import asked_names, states_program
from store.settings import CurationSection
from tests.support.candidates import candidate

CHOICE = "Which is true?\nA.All cats are grey animals\nB.No\nC.Some dogs bark\nD.Nothing"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def leaks_answer(text: str, *, reference: str, question_text: str, attempt_text: str, kind: str = "") -> bool:
    """Return whether the first filter excludes a reflection."""
    one = candidate(
        1, text=text, reference=reference, question_text=question_text, attempt_text=attempt_text, kind=kind
    )
    return FILTERS["leak"](one, CurationSection())


@pytest.mark.parametrize(
    ("text", "reference", "leaks"),
    [
        ("Count again, there are 3 of them.", "3", True),
        ("In step 3 you skipped a word.", "3", False),
        ("1. Read.\n2. Count.\n3. Add.", "3", False),
        ("The 3rd word was skipped; 13 and 3.5 are not it.", "3", False),
        ("It should be 1,000.", "1000", True),
        ("Then x is -5.", "-5", True),
        ("I took 12-5 wrongly.", "-5", False),
        ("I wrote 4 too early.", "4", False),
        ("The answer is 4.", "4", True),
        ("\\boxed{4}", "4", True),
        ("He is her Uncle.", "uncle", True),
        ("Uncles and carbuncles.", "uncle", False),
        ("No step was checked.", "No", False),
        ("The answer is no.", "No", True),
        ("I forgot to reduce to 1/4.", "\\frac{1}{4}", True),
    ],
)
def test_leaks_of_numbers_and_words(text: str, reference: str, leaks: bool) -> None:
    """A reflection that reveals the answer trains the model to guess; one that merely shares a digit with it does
    not.
    """
    found = leaks_answer(text, reference=reference, question_text="How many?", attempt_text="I saw 4. Answer: 4")
    assert found is leaks


@pytest.mark.parametrize(
    ("text", "reference", "leaks"),
    [
        ("A step is wrong.", "A", False),
        ("The answer is a guess.", "A", False),
        ("The answer is A.", "A", True),
        ("option a fits better", "A", True),
        ("Look at (D) again.", "D", True),
        ("I chose B too fast.", "D", False),
        ("I never compared B, C and D.", "D", False),
        ("B is wrong, D fits.", "D", True),
        ("It says that all cats  are grey animals.", "A", True),
        ("No, I misread it.", "B", False),
        ("The answer should be no.", "B", True),
    ],
)
def test_leaks_of_options(text: str, reference: str, leaks: bool) -> None:
    """An option leaks by its letter or its text; the article `A` and a mere list of options don't."""
    found = leaks_answer(text, reference=reference, question_text=CHOICE, attempt_text="Answer: B")
    assert found is leaks


@given(st.text(max_size=80), st.text(max_size=10))
def test_any_text_can_be_checked_for_leaks(text: str, reference: str) -> None:
    """No reflection or reference makes a filter raise."""
    leaks_answer(text, reference=reference, question_text=text, attempt_text="")
    assert 0 <= repeated_share(text) <= 1


@given(st.integers(-9999, 9999))
def test_a_plainly_stated_number_always_leaks(value: int) -> None:
    """With sign, thousands separator or decimals."""
    for form in (str(value), f"{value:,}", f"{value}.0", f"${value}$"):
        assert leaks_answer(f"The answer is {form}.", reference=str(value), question_text="", attempt_text="")


REFERENCE = """
import re
def first_word(text):
    \"\"\"The first word.\"\"\"
    return re.split(r"\\s+", text.strip())[0]  # never empty
"""
ASSIGNMENT = "Write a function that returns the first word.\nassert first_word('a b') == 'a'"
ATTEMPT = "```python\ndef first_word(text):\n    return text[0]\n```"
ANOTHER = "def first_word(text):\n    return text.split()[0]"


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        (f"I took a letter instead of a word:\n```python\n{REFERENCE}```", True),
        ("```\nimport re\ndef first_word( text ):\n  return re.split(r'\\s+', text.strip())[0]\n```", True),
        (f"Better:\n```py\n{ANOTHER}\n```\nThat works.", True),
        (f"Better:\n{ANOTHER}\nThat works.", True),
        (f"Never closed:\n```python\n{ANOTHER}", True),
        ("Use `def first_word(t): return t.split()[0]` instead.", True),
        ("Use `first_word = lambda t: t.split()[0]` instead.", True),
        (f"I wrote\n{ATTEMPT}\nwhich takes a letter.", False),
        ("In `def first_word(text):` I forgot that words are separated by spaces.", False),
        ("```python\ndef first_word(text):\n    ...\n```", False),
        ("```python\ndef helper(text):\n    return text.split()\n```", False),
        ("`text[0]` is a letter; split the text at its spaces first.", False),
        ("The class of inputs with leading spaces was not looked at.", False),
    ],
)
def test_leaks_of_programs(text: str, leaks: bool) -> None:
    """A program that meets the assignment leaks, whatever its formatting; locating the error doesn't."""
    found = leaks_answer(text, reference=REFERENCE, question_text=ASSIGNMENT, attempt_text=ATTEMPT, kind="code")
    assert found is leaks


def test_a_program_that_can_be_run_leaks_only_when_it_passes() -> None:
    """Where a sandbox is available, a wrong program in a reflection is an error and no leak."""
    seen: list[str] = []

    def passes(program: str) -> bool:
        seen.append(program)
        return "split()" in program

    for text, leaks in ((f"```\n{ANOTHER}\n```", True), ("```\ndef first_word(t):\n    return t[1]\n```", False)):
        found = states_program(text, REFERENCE, question_text=ASSIGNMENT, attempt_text=ATTEMPT, solves=passes)
        assert found is leaks
    assert len(seen) == 2
    # The reference passes; it needs no execution.
    assert states_program(REFERENCE, REFERENCE, question_text="", attempt_text="", solves=lambda _: False)


def test_what_is_asked_for_is_what_the_question_names() -> None:
    """A reference may define helper functions; revealing one of those is no solution."""
    reference = "def helper(n):\n    return n\ndef area(r):\n    return helper(r)"
    assert asked_names(reference, "assert area(1) == 1") == {"area"}
    assert asked_names(reference, "Compute it.") == {"helper", "area"}


@given(st.text(max_size=200), st.text(max_size=60))
def test_any_text_can_be_searched_for_programs(text: str, reference: str) -> None:
    """Null bytes, lone surrogates and incomplete programs are valid input."""
    for fenced in (text, f"```\n{text}", f"def f({text}"):
        assert leaks_answer(fenced, reference=reference, question_text=text, attempt_text="", kind="code") in (
            True,
            False,
        )


def test_a_program_too_deep_for_the_parser_is_compared_as_text() -> None:
    """Nesting that a parser refuses must not end the stage."""
    deep = "def f(x):\n    return " + "(" * 3000 + "x" + ")" * 3000
    assert leaks_answer(f"```\n{deep}\n```", reference=deep, question_text="", attempt_text="", kind="code")


@pytest.mark.parametrize(
    ("prompt", "target", "stated"),
    [
        ("Q\nI skipped the  SECOND word here.\nReflect.", "I skipped the second word here.", True),
        ("Q\nI skipped the second word.", "I skipped the second word here.", False),
        ("Q\nAnswer: 4", "Answer: 4", False),
        ("Q\nNow the sum is 12.", "now the sum is 1", False),
        ("Q\nNow the sum is 1.", "Count again. Second try:\nnow the sum is 1", True),
        ("Q", "", False),
    ],
)
def test_prompts_that_hold_their_completion(prompt: str, target: str, stated: bool) -> None:
    """The complete target counts, without regard to case and spacing; a few words may coincide by chance."""
    assert states_target(prompt, target) is stated


def test_trap_2_in_published_rows_is_found() -> None:
    """Trap 2: all five published D+ rows carry the corrected attempt in their prompt; the pairs don't."""
    if not DATA.is_dir():
        pytest.skip(f"the sample data is not at {DATA}")
    for line in (DATA / "example_d_plus.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert states_target("\n".join(row["reason_prompt"]), row["second_trial_reasoning"])
        assert not states_target(row["reason_prompt"][0], row["second_trial_reasoning"])
    for name in ("example_d_plus_minus.jsonl", "example_d_pref.jsonl"):
        for line in (DATA / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            for target in ("reflection_chosen", "reflection_rejected", "second_trial_reasoning_chosen"):
                assert not states_target(f"{row['reason_prompt']}\n{row['reflection_prompt']}", row[target])


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I counted the second word twice, so I will write every word down first.", "en"),
        ("Ich habe die zweite Ziffer doppelt gezählt, deshalb schreibe ich jede Ziffer auf.", "de"),
        ("J'ai compté deux fois le deuxième chiffre, donc je vais les écrire d'abord.", "fr"),
        ("我把第二个数字加了两次，所以我会先写下每个数字，然后再把它们相加，得到正确的结果。我应该检查每一步。", "zh"),
        ("I missed it.", None),
        ("$x^2 + 3x = \\frac{1}{2}$ 12 13 14 15 16 17 18 19 20", None),
        ("```python\nfor number in range(10):\n    print(number, number * 2, number ** 2)\n```", None),
        ("", None),
        ("\ud800" * 60, None),
    ],
)
def test_languages(text: str, language: str | None) -> None:
    """An undetectable language is undecided; formulas and code are no language."""
    assert language_of(text) == language


def test_only_a_text_that_is_certainly_in_another_language_is_left_out() -> None:
    """Undecided passes, and without the setting everything does."""
    german = "Ich habe die zweite Ziffer doppelt gezählt, deshalb schreibe ich jede Ziffer auf."
    english = CurationSection(language="en")
    assert wrong_language(candidate(1, text=german), english)
    assert not wrong_language(candidate(1, text=german), CurationSection(language="de"))
    assert not wrong_language(candidate(1, text=german), CurationSection())
    assert not wrong_language(candidate(1, text="Nein."), english)


def test_a_language_that_nobody_can_tell_is_refused() -> None:
    """`gb` is a country; every reflection would be left out under it."""
    check_language(None)
    check_language("en")
    with pytest.raises(EngineError, match="'gb', which is no language"):
        check_language("gb")


@given(st.text(max_size=300))
def test_the_language_of_any_text_can_be_asked(text: str) -> None:
    """The result for a text is deterministic, whatever it contains."""
    assert language_of(text) == language_of(text)
