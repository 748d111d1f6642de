"""Replies in free text with the accepted references, and the verdict of a careful teacher.

Written by hand, independently of the verifier's output. `EXACT` entries are (reply, references, exact match?);
`F1` entries are (reply, references, token F1), computed by hand from the counts in the comment: shared tokens,
tokens of the answer, tokens of the reference.
"""

from __future__ import annotations

EXACT: list[tuple[str, tuple[str, ...], bool]] = [
    ("Answer: fisheye", ("fisheye",), True),
    ("Answer: Fisheye", ("fisheye",), True),
    ("Answer: FISHEYE.", ("fisheye",), True),
    ("Answer: a fisheye", ("fisheye",), True),
    ("Answer: The fisheye!", ("a fisheye",), True),
    ("Answer: the girl", ("The Girl",), True),
    ("Answer: court", ("The court",), True),
    ("Answer:   The   court  ", ("The court",), True),
    ("Answer: no", ("No.",), True),
    ("Answer: No, never", ("No.",), True),
    ("Answer: yes", ("no",), False),
    ("Answer: 1995", ("1995",), True),
    ("Answer: 1996", ("1995",), False),
    ("Answer: In 1995", ("1995",), False),
    ("Answer: In 1995", ("1995", "in 1995"), True),
    ("Answer: onoff switch", ("on/off switch",), True),
    ("Answer: carbon-14", ("Carbon 14",), False),
    ("Answer: carbon14", ("carbon-14",), True),
    ("Answer: white-noise machines", ("whitenoise machines",), True),
    ("Answer: $500", ("about $500",), False),
    ("Answer: 500", ("$500",), True),
    ("Answer: 1,000", ("1000",), True),
    ("Answer: Yves Théard", ("Yves Théard",), True),
    ("Answer: Yves Theard", ("Yves Théard",), False),
    ("Answer: 'Bernie Sanders'", ("Bernie Sanders",), True),
    ("Answer: “Bernie Sanders”", ("Bernie Sanders",), True),
    ("Answer: **Bernie Sanders**", ("Bernie Sanders",), True),
    ("**Answer:** Bernie Sanders", ("Bernie Sanders",), True),
    ("## Answer\nBernie Sanders", ("Bernie Sanders",), True),
    ("Answer:\n\nBernie Sanders\n", ("Bernie Sanders",), True),
    ("Answer: Sanders", ("Bernie Sanders",), False),
    ("Answer: Sanders", ("Bernie Sanders", "Sanders"), True),
    ("Answer: Sanders Bernie", ("Bernie Sanders",), False),
    ("Answer: Bernie Sanders of Vermont", ("Bernie Sanders",), False),
    (r"\boxed{Paris}", ("Paris",), True),
    (r"\boxed{\text{Paris}}", ("Paris",), True),
    ("The answer is Paris.", ("Paris",), True),
    ("So the final answer is: the city of Paris.", ("city of Paris",), True),
    ("Answer: The answer is Paris.", ("Paris",), True),
    ("```\nParis\n```", ("Paris",), True),
    ("Answer: Rome\nNo.\nAnswer: Paris", ("Paris",), True),
    ("Answer: Paris\nNo.\nAnswer: Rome", ("Paris",), False),
    ("Answer: Paris or Rome", ("Paris",), False),
    ("Answer: not Paris", ("Paris",), False),
    ("Paris", ("Paris",), True),
    ("The Court.", ("court",), True),
    ("  paris  \n", ("Paris",), True),
    ("I know that it is Paris", ("Paris",), False),
    ("Let me think.\nParis", ("Paris",), False),
    ("", ("Paris",), False),
    ("Answer:", ("Paris",), False),
    ("Answer: ...", ("Paris",), False),
    ("Answer: the", ("a",), False),
    ("Answer: A", ("A",), True),
    ("Answer: +", ("+",), True),
    ("Answer: -", ("+",), False),
    ("Answer: U.S.", ("US",), True),
    ("Answer: Anthem", ("them",), False),
    ("Answer: theatre", ("atre",), False),
    ("Answer: twenty nine percent", ("29 percent",), True),
    ("Answer: KMBC-TV and KQTV", ("KMBC-TV and KQTV",), True),
    ("Answer: KQTV and KMBC-TV", ("KMBC-TV and KQTV",), False),
]

F1: list[tuple[str, tuple[str, ...], float]] = [
    ("Answer: Bernie Sanders", ("Bernie Sanders",), 1.0),
    ("Answer: Rome", ("Paris",), 0.0),
    ("", ("Paris",), 0.0),
    ("Answer: Sanders", ("Bernie Sanders",), 2 / 3),  # 1, 1, 2
    ("Answer: senator Bernie Sanders", ("Bernie Sanders",), 4 / 5),  # 2, 3, 2
    ("Answer: Sanders Bernie", ("Bernie Sanders",), 1.0),  # 2, 2, 2
    ("Answer: a senator from the north", ("the senator",), 1 / 2),  # 1, 3, 1
    ("Answer: In 1995", ("1995",), 2 / 3),  # 1, 2, 1
    ("Answer: In 1995", ("1995", "in 1995"), 1.0),
    ("Answer: red red red", ("red",), 1 / 2),  # 1, 3, 1
    ("Answer: red blue", ("red red blue green",), 2 / 3),  # 2, 2, 4
    ("Answer: very cheap", ("very expensive",), 1 / 2),  # 1, 2, 2
    ("Answer: the first syllable", ("the first and third syllables",), 1 / 3),  # 1, 2, 4
    ("Answer: Venice and Florence", ("Venice and Florence in the thirteenth century",), 2 / 3),  # 3, 3, 6
    ("Answer: focal plane of the lens", ("lens",), 2 / 5),  # 1, 4, 1
    ("Answer: KQTV and KMBC-TV", ("KMBC-TV and KQTV",), 1.0),  # 3, 3, 3
    ("Answer: disease, poverty", ("international disease",), 1 / 2),  # 1, 2, 2
    ("Answer: Rome", ("Paris", "City of Rome"), 1 / 2),  # 1, 1, 3
]
