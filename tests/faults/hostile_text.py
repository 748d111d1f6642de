"""Hostile strings, drawn from a seed, as a model, a data set or a file could contain them."""

from __future__ import annotations

import random

ATOMS = (
    *("\x1b[31m", "\x1b[2J", "\x1b[H", "\x1bc", "\x1b[?1049l", "\x1b[?1000h", "\x1b[6n", "\x1b[c", "\x1b[5i"),
    *("\x1b[20t", "\x1b]0;title\x07", "\x1b]52;c;aGVsbG8=\x07", "\x1b]52;c;aGVsbG8=\x1b\\"),
    *("\x1b]8;;http://x\x1b\\y\x1b]8;;\x1b\\", "\x1b]11;?\x07", "\x1b]1337;File=inline=1:AAAA\x07"),
    *("\x1bP0;1|17/ab\x1b\\", "\x1b_Gf=24;AAAA\x1b\\", "\x1b^x\x1b\\", "\x1bPq#0;2;0;0;0~-\x1b\\"),
    *("\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\", "\x1b(0lqk\x1b(B", "\x1bN", "\x0e\x0f", "\x9b31m"),
    *("\x9d52;c;eA==\x9c", "\x90q\x9c", "\x84\x85\x8d\x9a", "\x7f\x08\x08\x08", "\x0b\x0c\r", "\x00", "\x05"),
    *("\x07", "[/b]", "[bold", "[@click=app.bell]x[/]", "[@click=app.detach]q[/]", "[link=http://x]y[/link]"),
    *("[$error on red]", "\\[", "[not bold]", "[/]", "[[", "]]", "[@click='app.exit(1)']", "{markup}", "%s%n"),
    *("$(id)", "`id`", "\u202egnirts\u202c", "\u2066x\u2069", "\u061c", "\u200b", "\u200d", "\ufeff", "\u2028"),
    *("\u2029", "\u00ad", "\ufe0f", "\U000e0041\U000e007f", "\U000e0100", "\ufff9x\ufffay\ufffb", "\uffff"),
    *("\ufffe", "\u3164", "\u180e", "\U0001d173", "\ud800", "\udfff", "\ud83d", "\ude00\ud83d"),
    *("e" + "\u0301" * 40, "Z\u0489\u0488\u20dd", "\u0e33\u0e33", "\u1100\u1161", "漢字かな", "👩‍👩‍👧‍👦", "🇩🇪🏳️‍🌈"),
    *("مرحبا שלום", "ｆｕｌｌ", "\t\t", "   ", "\n", "\r\n", "# heading", "```py", "| a | b |", "![x](http://x)"),
    *("<script>", "&lt;", "\\boxed{4}", "Answer: 3", "'; DROP TABLE attempts; --", "../../etc/passwd", "A" * 90),
)

LONGEST = 200_000


def strings(n: int, seed: int) -> list[str]:
    """Return `n` strings of one to four atoms and some characters from anywhere in Unicode."""
    chance = random.Random(seed)
    return [_string(chance) for _ in range(n)]


def _string(chance: random.Random) -> str:
    pieces = chance.choices(ATOMS, k=chance.randint(1, 4))
    pieces += [chr(chance.choice((chance.randrange(0x20), chance.randrange(0x80, 0x3000), chance.randrange(0x110000))))]
    chance.shuffle(pieces)
    return chance.choice(("", " ", "ab ")).join(pieces)


def long_lines(seed: int) -> list[str]:
    """Return lines of 200,000 characters: of one letter, of words, of wide ones, of marks, of controls, of markup."""
    chance = random.Random(seed)
    kinds = ("x", "word ", "漢", "e\u0301", "\x1b[31m", "[b]", "\u202e", chance.choice(ATOMS))
    return [(kind * (LONGEST // len(kind) + 1))[:LONGEST] for kind in kinds]


def broken_bytes(seed: int) -> bytes:
    """Return bytes that are not UTF-8: truncated sequences, overlong ones, surrogates, and controls among them."""
    chance = random.Random(seed)
    pieces = (
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xff\xfe",
        b"\x9b31m",
        b"\x1b[2J",
        b"ok ",
    )
    return b"".join(chance.choices(pieces, k=12))
