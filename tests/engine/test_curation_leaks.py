"""Tests of the leak rules by kind: number words, equal values, the other of two answers, texts of options, exclusions.

Each kind has statements of the answer and mentions in passing of the same words.
"""

from __future__ import annotations

import time

import pytest

from engine.tasks.answers.stated_answer import states_reference
from engine.tasks.answers.stated_quantities import quantities

EGGS = "How many eggs are there?"
TWO_OPTIONS = "Does the conclusion follow?\nA. Yes, it follows\nB. No, it does not"
TRUE_FALSE = "Cats bark.\nA. True\nB. False"
CAPITALS = "What is the capital of France?\nA. London\nB. Paris\nC. Rome\nD. Madrid"
STATEMENTS = "Which is true?\nA. All cats are grey animals\nB. No\nC. Some dogs bark\nD. Nothing"
COUNTS = "How many apples?\nA. 40\nB. 42\nC. 44\nD. 46"
VALID = "Is this argument valid?\nOptions:\n- valid\n- invalid"
COIN = "Does the coin land heads? Answer yes or no."

Case = tuple[str, str, str, str, bool]
"""Reflection, reference, question, attempt, and whether the reflection states the reference."""

NUMBERS: list[Case] = [
    ("There are forty-two of them.", "42", EGGS, "Answer: 41", True),
    ("I should get Forty two in the end.", "42", EGGS, "Answer: 41", True),
    ("It comes to one hundred and five.", "105", EGGS, "Answer: 41", True),
    ("It comes to a hundred and five eggs.", "105", EGGS, "Answer: 41", True),
    ("The answer is three.", "3", EGGS, "Answer: 4", True),
    ("There are three of them.", "3", EGGS, "Answer: 4", True),
    ("It should be twelve.", "12", EGGS, "Answer: 4", True),
    ("The total is two thousand five hundred.", "2,500", EGGS, "Answer: 4", True),
    ("The result is minus five.", "-5", EGGS, "Answer: 4", True),
    ("Two dozen eggs remain.", "24", EGGS, "Answer: 4", True),
    ("I made two mistakes in my addition.", "2", EGGS, "Answer: 4", False),
    ("There are three errors in my attempt.", "3", EGGS, "Answer: 4", False),
    ("One of the numbers was skipped.", "1", EGGS, "Answer: 4", False),
    ("I should go through them one by one.", "1", EGGS, "Answer: 4", False),
    ("The wrong one was taken, so I will compare the two.", "2", EGGS, "Answer: 4", False),
    ("In step two I forgot to carry.", "2", EGGS, "Answer: 4", False),
    ("I will check both halves first.", "1/2", EGGS, "Answer: 4", False),
    ("I skipped the second half of the question.", "1/2", EGGS, "Answer: 4", False),
    ("The third step is wrong.", "1/3", EGGS, "Answer: 4", False),
    ("The twenty-first word was skipped.", "21", EGGS, "Answer: 4", False),
    ("I wrote forty instead of adding it.", "42", EGGS, "Answer: 40", False),
    ("Add the forty and the two separately.", "42", "She has forty apples and two pears.", "Answer: 4", False),
    ("First add the 40 and then the 2.", "42", "She has 40 apples and 2 pears.", "Answer: 4", False),
    ("No one checks a 2-digit carry.", "2", EGGS, "Answer: 4", False),
    ("The one that I chose should be one of the even numbers.", "1", EGGS, "Answer: 4", False),
    ("Seventeen eggs are left over.", "17", EGGS, "Answer: 4", True),
    ("She has seventeen eggs, and I forgot it.", "17", "She has 17 eggs. How many boxes?", "Answer: 4", False),
    ("The probability is 0.5.", "1/2", "How likely?", "Answer: 1/3", True),
    ("It is 50 % likely.", "1/2", "How likely?", "Answer: 1/3", True),
    ("It is 50% likely.", "0.5", "How likely?", "Answer: 1/3", True),
    ("That makes 50 percent.", "\\frac{1}{2}", "How likely?", "Answer: 1/3", True),
    ("So the chance is ½.", "0.5", "How likely?", "Answer: 1/3", True),
    ("So the chance is one half.", "0.5", "How likely?", "Answer: 1/3", True),
    ("So the chance is a half.", "0.5", "How likely?", "Answer: 1/3", True),
    ("It is three quarters of them.", "0.75", "How likely?", "Answer: 1/3", True),
    ("\\dfrac{3}{4} is what is left.", "75%", "How likely?", "Answer: 1/3", True),
    ("It should be 2/4.", "1/2", "How likely?", "Answer: 1/3", True),
    ("1 1/2 litres are left.", "1.5", "How much?", "Answer: 1", True),
    ("1.50 litres are left.", "3/2", "How much?", "Answer: 1", True),
    ("I mixed up 1/2 and something else.", "1/2", "What is 1/2 of 1?", "Answer: 1", False),
    ("I divided by 2 instead of 4.", "1/2", "Share 2 between 4.", "Answer: 4", False),
    ("I used 0.05 instead of the rate.", "0.5", "Rate?", "Answer: 4", False),
    ("I took 3/4 of it.", "3", "Take 3/4 of 4.", "Answer: 2", False),
    ("I took 3/5 of it.", "3", "Take some of it.", "Answer: 2", False),
    ("I got 41, but ninety-nine is what the sum gives.", "99", EGGS, "Answer: 41", True),
    ("The correct count is four.", "4", EGGS, "Answer: 5", True),
    ("You get four when you count again.", "4", EGGS, "Answer: 5", True),
    ("Counting again leaves four.", "4", EGGS, "Answer: 5", True),
    ("I should have got seven.", "7", EGGS, "Answer: 5", True),
    ("there were seven birds.", "7", "How many birds?", "Answer: 5", True),
    ("seven birds remain", "7", "How many birds?", "Answer: 5", True),
    ("Seven birds remain.", "7", "How many birds?", "Answer: 5", True),
    ("Instead of six, seven is right.", "7", "How many birds?", "Answer: 6", True),
    ("the result would be eleven", "11", EGGS, "Answer: 6", True),
    ("the answer is forty two", "42", EGGS, "Answer: 6", True),
    ("Answer: forty-two", "42", EGGS, "Answer: 6", True),
    ("3.5 is 7/2", "3.5", EGGS, "Answer: 6", True),
    ("seven halves", "3.5", EGGS, "Answer: 6", True),
    ("two and a half", "2.5", EGGS, "Answer: 6", True),
    ("three and a half litres are needed", "3.5", EGGS, "Answer: 6", True),
    ("It is one third.", "1/3", EGGS, "Answer: 6", True),
    ("It is 33 1/3 %.", "1/3", EGGS, "Answer: 6", True),
    ("The value is 4.2e1", "42", EGGS, "Answer: 6", True),
    ("The value is 4.2 × 10^1", "42", EGGS, "Answer: 6", True),
    ("The value is 1 000", "1000", EGGS, "Answer: 6", True),
    ("a thousand", "1000", EGGS, "Answer: 6", True),
    ("the answer is 6 * 7", "42", EGGS, "Answer: 40", True),
    ("the answer is 40 + 2", "42", EGGS, "Answer: 40", True),
    ("zero point five", "0.5", EGGS, "Answer: 40", True),
    ("twenty five percent", "1/4", EGGS, "Answer: 40", True),
    ("fifty-fifty", "1/2", EGGS, "Answer: 40", False),
    ("I rounded half way.", "1/2", EGGS, "Answer: 40", False),
    ("I took half of the number.", "1/2", EGGS, "Answer: 40", False),
    ("I should have two checks: one for units, one for signs.", "2", EGGS, "Answer: 4", False),
    ("It has two parts.", "2", EGGS, "Answer: 4", False),
    ("The attempt contains two wrong steps.", "2", EGGS, "Answer: 4", False),
    ("This is one of the problems.", "1", EGGS, "Answer: 4", False),
    ("Both numbers are wrong.", "2", EGGS, "Answer: 4", False),
    ("I only added one of the numbers.", "1", EGGS, "Answer: 4", False),
    ("the first three words were skipped", "3", EGGS, "Answer: 4", False),
    ("Read the question two times.", "2", EGGS, "Answer: 4", False),
    ("I need to check it three times.", "3", EGGS, "Answer: 4", False),
    ("I'd solve it in three stages.", "3", EGGS, "Answer: 4", False),
    ("I counted two words as one.", "1", EGGS, "Answer: 4", False),
    ("I counted two words as one.", "2", EGGS, "Answer: 4", False),
    ("there is one mistake", "1", EGGS, "Answer: 4", False),
    ("there are two ways to read it", "2", EGGS, "Answer: 4", False),
    ("there are two things I missed", "2", EGGS, "Answer: 4", False),
    ("One should check every digit; zero checks were made.", "0", EGGS, "Answer: 4", False),
    ("The two numbers are to be multiplied.", "2", EGGS, "Answer: 4", False),
    ("It is a one-step problem.", "1", EGGS, "Answer: 4", False),
]

TWO_ANSWERS: list[Case] = [
    ("It is not A.", "B", TWO_OPTIONS, "Answer: A", True),
    ("It isn't A.", "B", TWO_OPTIONS, "Answer: A", True),
    ("The answer cannot be A.", "B", TWO_OPTIONS, "Answer: A", True),
    ("A is wrong because the premise fails.", "B", TWO_OPTIONS, "Answer: A", True),
    ("Option A is not correct.", "B", TWO_OPTIONS, "Answer: A", True),
    ("I should have chosen the other option.", "B", TWO_OPTIONS, "Answer: A", True),
    ("The other option is right.", "B", TWO_OPTIONS, "Answer: A", True),
    ("The answer is the other one.", "B", TWO_OPTIONS, "Answer: A", True),
    ("I should switch to the other answer.", "B", TWO_OPTIONS, "Answer: A", True),
    ("The answer should be the opposite.", "B", TRUE_FALSE, "Answer: A", True),
    ("The answer is not True.", "B", TRUE_FALSE, "Answer: A", True),
    ("True is wrong.", "B", TRUE_FALSE, "Answer: True", True),
    ("The second option is correct.", "B", TWO_OPTIONS, "Answer: A", True),
    ("I chose A too fast.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I never compared A with the other option.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I did not look at the other option closely.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I chose A without reading the premise.", "B", TWO_OPTIONS, "Answer: A", False),
    ("My answer was wrong because I skipped the premise.", "B", TWO_OPTIONS, "Answer: A", False),
    ("It is not true that I read every word.", "B", TRUE_FALSE, "Answer: A", False),
    ("On the other hand, the premise says more.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I should check the other premise as well.", "B", TWO_OPTIONS, "Answer: A", False),
    ("Both A and B need to be compared with the text.", "B", TWO_OPTIONS, "Answer: A", False),
    ("The answer is not valid.", "invalid", VALID, "Answer: valid", True),
    ("The argument is not valid.", "invalid", VALID, "Answer: valid", True),
    ("The argument is invalid.", "invalid", VALID, "Answer: valid", True),
    ("I should choose the other option.", "invalid", VALID, "Answer: valid", True),
    ("The answer is not yes.", "no", COIN, "Answer: yes", True),
    ("The opposite is correct.", "no", COIN, "Answer: yes", True),
    ("No, I did not track the flips.", "no", COIN, "Answer: yes", False),
    ("I did not check whether the argument is valid.", "invalid", VALID, "Answer: valid", False),
    ("I said yes too early.", "no", COIN, "Answer: yes", False),
    ("The alternative is correct.", "B", TWO_OPTIONS, "Answer: A", True),
    ("It must be the other one.", "B", TWO_OPTIONS, "Answer: A", True),
    ("Not A.", "B", TWO_OPTIONS, "Answer: A", True),
    ("It's not A.", "B", TWO_OPTIONS, "Answer: A", True),
    ("It wasn't (A).", "B", TWO_OPTIONS, "Answer: A", True),
    ("Therefore A is false.", "B", TWO_OPTIONS, "Answer: A", True),
    ("A can be ruled out.", "B", TWO_OPTIONS, "Answer: A", True),
    ("A must be wrong, because the premise fails.", "B", TWO_OPTIONS, "Answer: A", True),
    ("The correct option is not A.", "B", TWO_OPTIONS, "Answer: A", True),
    ("That leaves the other option.", "B", TWO_OPTIONS, "Answer: A", True),
    ("I need to change my answer to the other option.", "B", TWO_OPTIONS, "Answer: A", True),
    ("I picked the wrong one of the two options.", "B", TWO_OPTIONS, "Answer: A", False),
    ("The first option is wrong.", "B", TWO_OPTIONS, "Answer: A", True),
    ("The first option is not correct.", "B", TWO_OPTIONS, "Answer: A", True),
    ("Yes is wrong.", "no", "Answer yes or no", "Answer: yes", True),
    ("The answer can't be 'Yes, it follows'.", "B", TWO_OPTIONS, "Answer: A", True),
    ("I assumed that A was right.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I did not prove that A is right.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I misread option A.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I overlooked a word in A.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I was too quick in saying A.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I chose A, but I did not consider the other possibility.", "B", TWO_OPTIONS, "Answer: A", False),
    ("I should read both options again.", "B", TWO_OPTIONS, "Answer: A", False),
    ("The statement is not true.", "False", "The moon is made of cheese. True or false?", "Answer: True", True),
    ("The statement is false.", "False", "The moon is made of cheese. Is it so?", "Answer: True", True),
    ("It is true that I skipped a step.", "True", "Is it so?", "Answer: False", False),
    ("A false assumption led me astray.", "False", "Is it so?", "Answer: True", False),
    ("My answer is not correct.", "incorrect", "Is the sentence correct?", "Answer: correct", False),
    ("That is not correct, I skipped a step.", "incorrect", "Is the sentence correct?", "Answer: correct", False),
]

ELIMINATIONS: list[Case] = [
    ("I did not compare Paris, London and Rome.", "B", CAPITALS, "Answer: A", False),
    ("Neither A nor C nor D is right.", "B", STATEMENTS, "Answer: A", True),
    ("Neither A, C, nor D fits.", "B", STATEMENTS, "Answer: A", True),
    ("It is not A, C or D.", "B", STATEMENTS, "Answer: A", True),
    ("A, C and D are wrong.", "B", STATEMENTS, "Answer: A", True),
    ("A is wrong. C does not follow. D can't be true.", "B", STATEMENTS, "Answer: A", True),
    ("London, Rome and Madrid are all wrong.", "B", CAPITALS, "Answer: A", True),
    ("We can rule out A, C and D.", "B", STATEMENTS, "Answer: A", True),
    ("None of A, C and D is correct.", "B", STATEMENTS, "Answer: A", True),
    ("Options A, C and D can be eliminated.", "B", STATEMENTS, "Answer: A", True),
    ("It is neither the first option, the third option nor the last option.", "B", STATEMENTS, "Answer: A", True),
    ("Neither A nor C is right.", "B", STATEMENTS, "Answer: A", False),
    ("I ruled out A, C and D too early.", "B", STATEMENTS, "Answer: A", False),
    ("I did not compare A, C and D.", "B", STATEMENTS, "Answer: A", False),
    ("A, C and D were not read.", "B", STATEMENTS, "Answer: A", False),
    ("I never compared B, C and D.", "D", STATEMENTS, "Answer: B", False),
    ("Neither A nor D was checked against the text.", "D", STATEMENTS, "Answer: A", False),
    ("The answer is neither London nor Rome nor Madrid.", "B", CAPITALS, "Answer: A", True),
    ("Only one option is left when London, Rome and Madrid are excluded.", "B", CAPITALS, "Answer: A", True),
    ("Excluding A, C and D leaves one option.", "B", CAPITALS, "Answer: A", True),
    ("Eliminate A. Eliminate C. Eliminate D.", "B", CAPITALS, "Answer: A", True),
    ("not A, not C, not D", "B", CAPITALS, "Answer: A", True),
    ("It can't be A, it can't be C, and it can't be D.", "B", CAPITALS, "Answer: A", True),
    ("I did not explain why A, C and D are wrong.", "B", CAPITALS, "Answer: A", True),
    ("I should check whether A, C and D are wrong.", "B", CAPITALS, "Answer: A", False),
    ("I assumed that A, C and D are wrong.", "B", CAPITALS, "Answer: A", False),
    ("I claimed that A, C and D are not correct without evidence.", "B", CAPITALS, "Answer: A", False),
]

OPTION_TEXTS: list[Case] = [
    ("Paris is the capital of France.", "B", CAPITALS, "Answer: A", True),
    ("I should have chosen Paris.", "B", CAPITALS, "Answer: A", True),
    ("It should be Paris.", "B", CAPITALS, "Answer: A", True),
    ("The correct city is Paris, not London.", "B", CAPITALS, "Answer: A", True),
    ("I confused the capitals of two countries.", "B", CAPITALS, "Answer: A", False),
    ("London is the capital of another country.", "B", CAPITALS, "Answer: A", False),
    ("I will choose the one about some dogs: some dogs bark.", "C", STATEMENTS, "Answer: B", True),
    ("There are forty-two of them.", "B", COUNTS, "Answer: A", True),
    ("It comes to 42.", "B", COUNTS, "Answer: A", True),
    ("I confused 40 with another number.", "B", COUNTS, "Answer: A", False),
    ("I never weighed 40, 42 and 44 against each other.", "B", COUNTS, "Answer: A", False),
    ("The last option is the best.", "D", CAPITALS, "Answer: A", True),
    ("The answer is B.", "Paris", CAPITALS, "Answer: A", True),
    ("I mixed up whether it was Paris or London.", "B", CAPITALS, "Answer: A", False),
    ("It is not A.", "B", STATEMENTS, "Answer: A", False),
    ("A is not the right answer, so compare the others.", "B", STATEMENTS, "Answer: A", False),
    ("Why not check the other options first?", "B", CAPITALS, "Answer: A", False),
    ("I should have considered the other options.", "B", CAPITALS, "Answer: A", False),
    ("One of the other options is right.", "B", CAPITALS, "Answer: A", False),
    ("The answer is not London.", "B", CAPITALS, "Answer: A", False),
    ("Everything but B is wrong.", "B", CAPITALS, "Answer: A", True),
    ("All options except B contradict the text.", "B", CAPITALS, "Answer: A", True),
    (
        "I did not check if C is wrong.",
        "B",
        "Does the conclusion follow?\nA. Yes, it follows\nC. No, it does not",
        "Answer: A",
        False,
    ),
    ("The city on the Seine is Paris.", "B", CAPITALS, "Answer: A", True),
    ("paris", "B", CAPITALS, "Answer: A", True),
    ("The right city is paris", "B", CAPITALS, "Answer: A", True),
    ("I should have answered with the second city in the list.", "B", CAPITALS, "Answer: A", True),
    ("He should pick option 2.", "B", CAPITALS, "Answer: A", True),
    (
        "Water boils at 100 degrees",
        "C",
        "At which temperature?\nA. 50\nB. 80\nC. 100 degrees\nD. 120",
        "Answer: A",
        True,
    ),
    (
        "Plants take in carbon dioxide.",
        "A",
        "What do plants take in?\nA. Carbon dioxide\nB. Oxygen\nC. Gold\nD. Iron",
        "Answer: B",
        True,
    ),
    (
        "Plants do not take in oxygen.",
        "A",
        "What do plants take in?\nA. Carbon dioxide\nB. Oxygen\nC. Gold\nD. Iron",
        "Answer: B",
        False,
    ),
    ("The pressure increases.", "A", "What happens?\nA. increases\nB. decreases\nC. stays the same", "Answer: B", True),
    (
        "I did not check whether the pressure increases or decreases.",
        "A",
        "What happens?\nA. increases\nB. decreases\nC. stays the same",
        "Answer: B",
        False,
    ),
    ("It should increase.", "A", "What happens?\nA. increase\nB. decrease\nC. stay", "Answer: B", True),
    (
        "The answer is oxygen",
        "B",
        "What do plants take in?\nA. Carbon dioxide\nB. Oxygen\nC. Gold\nD. Iron",
        "Answer: A",
        True,
    ),
    (
        "Oxygen is the right one.",
        "B",
        "What do plants take in?\nA. Carbon dioxide\nB. Oxygen\nC. Gold\nD. Iron",
        "Answer: A",
        True,
    ),
    (
        "I should pick oxygen.",
        "B",
        "What do plants take in?\nA. Carbon dioxide\nB. Oxygen\nC. Gold\nD. Iron",
        "Answer: A",
        True,
    ),
    (
        "Iron is heavy, and I forgot gold.",
        "B",
        "What do plants take in?\nA. Carbon dioxide\nB. Oxygen\nC. Gold\nD. Iron",
        "Answer: A",
        False,
    ),
]


@pytest.mark.parametrize(("text", "reference", "question", "attempt", "leaks"), NUMBERS)
def test_numbers(text: str, reference: str, question: str, attempt: str, leaks: bool) -> None:
    """A number leaks in any notation; words that count steps or mistakes state nothing."""
    assert states_reference(text, reference=reference, question_text=question, attempt_text=attempt) is leaks


@pytest.mark.parametrize(("text", "reference", "question", "attempt", "leaks"), TWO_ANSWERS)
def test_two_answers(text: str, reference: str, question: str, attempt: str, leaks: bool) -> None:
    """Of two answers, excluding one or naming the other states it; looking at both does not."""
    assert states_reference(text, reference=reference, question_text=question, attempt_text=attempt) is leaks


@pytest.mark.parametrize(("text", "reference", "question", "attempt", "leaks"), ELIMINATIONS)
def test_eliminations(text: str, reference: str, question: str, attempt: str, leaks: bool) -> None:
    """Excluding all other options states the last; reporting what the attempt excluded does not."""
    assert states_reference(text, reference=reference, question_text=question, attempt_text=attempt) is leaks


@pytest.mark.parametrize(("text", "reference", "question", "attempt", "leaks"), OPTION_TEXTS)
def test_option_texts(text: str, reference: str, question: str, attempt: str, leaks: bool) -> None:
    """The text or position of an option states it like its letter; weighing several options does not."""
    assert states_reference(text, reference=reference, question_text=question, attempt_text=attempt) is leaks


def test_a_third_answer_is_left_by_excluding_all_but_the_attempt_s_own() -> None:
    """The prompt says that the attempt is wrong, so that excluding the other options of three names the last one."""
    question = "Which?\nA. red things\nB. green things\nC. blue things"
    for attempt, leaks in (("Answer: A", True), ("Answer: B", False), ("I can't tell.", False)):
        found = states_reference("It is not B.", reference="C", question_text=question, attempt_text=attempt)
        assert found is leaks


def test_values_of_quantities() -> None:
    """A percentage has two values; a number that is too long for an answer has none."""
    assert [sorted(map(str, one.values)) for one in quantities("50 % and forty-two")] == [["1/2", "50"], ["42"]]
    assert not list(quantities("1" * 5000))
    assert not list(quantities("1/0"))


@pytest.mark.parametrize(
    "unit",
    ["\n", " ", "\t", "\u00a0", "1,111", "1,", "one ", "A, ", "not A, ", "answer is ", "(", "twenty-", "Paris ", "I "],
)
def test_the_rules_take_linear_time(unit: str) -> None:
    """A looping model writes 100,000 newlines: ten times the text may not take a hundred times as long."""

    def seconds(length: int) -> float:
        text = "The answer " + unit * (length // len(unit))
        started = time.perf_counter()
        for reference, question in (("42", EGGS), ("B", CAPITALS), ("no", COIN)):
            states_reference(text, reference=reference, question_text=question, attempt_text=text)
        return time.perf_counter() - started

    seconds(1_000)
    short = max(min(seconds(10_000) for _ in range(2)), 1e-3)
    assert seconds(100_000) / short < 45
