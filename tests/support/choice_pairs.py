"""Replies to multiple-choice questions with the right letter and the verdict of a careful teacher.

Written by hand, independently of the verifier's output. The options of every entry are `OPTIONS`; an entry is
(reply, right letter, correct?).
"""

from __future__ import annotations

OPTIONS = {
    "A": "the cat",
    "B": "a dog in the yard",
    "C": "12 apples",
    "D": "None of the above",
}

Pair = tuple[str, str, bool]

LETTERS: list[Pair] = [
    ("Answer: B", "B", True),
    ("Answer: b", "B", True),
    ("Answer: (B)", "B", True),
    ("Answer: (b)", "B", True),
    ("Answer: B.", "B", True),
    ("Answer: B)", "B", True),
    ("Answer: [B]", "B", True),
    ("Answer: **B**", "B", True),
    ("**Answer: B**", "B", True),
    ("**Answer:** B", "B", True),
    ("Answer: `B`", "B", True),
    ("Answer: $B$", "B", True),
    ('Answer: "B"', "B", True),
    ("Answer: <B>", "B", True),
    ("answer: B", "B", True),
    ("ANSWER: B", "B", True),
    ("Answer：B", "B", True),
    ("Answer:\nB", "B", True),
    ("## Answer\nB", "B", True),
    ("Final answer: B", "B", True),
    (r"\boxed{B}", "B", True),
    (r"\boxed{\text{B}}", "B", True),
    (r"\boxed{\text{(B)}}", "B", True),
    (r"The choice is $\boxed{\mathrm{B}}$.", "B", True),
    ("```\nB\n```", "B", True),
    ("Answer: Option B", "B", True),
    ("Answer: option (B)", "B", True),
    ("Answer: Choice B.", "B", True),
    ("Answer: The answer is B.", "B", True),
    ("Answer: A", "B", False),
    ("Answer: C", "B", False),
    ("Answer: E", "B", False),
    ("Answer: 2", "B", False),
    ("Answer: BB", "B", False),
]

TEXTS: list[Pair] = [
    ("Answer: B. a dog in the yard", "B", True),
    ("Answer: B) a dog in the yard", "B", True),
    ("Answer: (B) a dog in the yard.", "B", True),
    ("Answer: B: a dog in the yard", "B", True),
    ("Answer: B - a dog in the yard", "B", True),
    ("Answer: B, a dog in the yard", "B", True),
    ("Answer: **B. a dog in the yard**", "B", True),
    ("Answer: a dog in the yard", "B", True),
    ("Answer: A dog in the yard.", "B", True),
    ("Answer: the cat", "A", True),
    ("Answer: 12 apples", "C", True),
    ("Answer: none of the above", "D", True),
    ("Answer: D (None of the above)", "D", True),
    ("Answer: B because the cat is asleep", "B", True),
    ("Answer: the cat", "B", False),
    ("Answer: A cat", "A", False),
    ("Answer: A dog", "A", False),
    ("Answer: a bird", "A", False),
    ("Answer: B. the cat", "B", False),
    ("Answer: A. a dog in the yard", "B", False),
]

SENTENCES: list[Pair] = [
    ("The answer is B.", "B", True),
    ("So the answer is (B).", "B", True),
    ("The correct answer is B", "B", True),
    ("The correct option is B.", "B", True),
    ("The best choice is (B).", "B", True),
    ("The correct answer is option B.", "B", True),
    ("The correct answer is: B) a dog in the yard", "B", True),
    ("Therefore, option B is correct.", "B", True),
    ("Hence (B) is the correct answer.", "B", True),
    ("B is the right answer.", "B", True),
    ("I choose B.", "B", True),
    ("The answer must be B, because the others fail.", "B", True),
    ("The answer is A.", "B", False),
    ("The answer is not B.", "B", False),
    ("Option B is not correct.", "B", False),
    ("Option B is incorrect.", "B", False),
    ("A is the right answer.", "B", False),
    ("It is B, I think", "B", False),
    ("A dog is in the yard.", "A", False),
    ("B", "B", True),
    ("", "B", False),
    ("Answer:", "B", False),
    ("I don't know.", "B", False),
]

HEDGES: list[Pair] = [
    ("Answer: A or B", "B", False),
    ("Answer: B or A", "B", False),
    ("Answer: both A and B", "B", False),
    ("Answer: A, B", "B", False),
    ("Answer: A/B", "B", False),
    ("Answer: A & B", "B", False),
    ("Answer: A B C D", "B", False),
    ("Answer: B and (C)", "B", False),
    ("Answer: B, maybe D", "B", False),
    ("Answer: not B", "B", False),
    ("Answer: neither", "B", False),
    ("Answer: all of them", "B", False),
    ("The answer is B or C.", "B", False),
    ("Answer: A\nWait, that is wrong.\nAnswer: B", "B", True),
    ("Answer: B\nWait, that is wrong.\nAnswer: A", "B", False),
    ("The answer is A. No, sorry, the answer is B.", "B", True),
    (r"\boxed{A}. On reflection, Answer: B", "B", True),
    (r"Answer: A. On reflection, \boxed{B}", "B", True),
    ("A. the cat is no dog. B. fits.\nAnswer: B", "B", True),
]

CHOICE_PAIRS: list[Pair] = [*LETTERS, *TEXTS, *SENTENCES, *HEDGES]
"""All pairs."""
