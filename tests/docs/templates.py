"""Generates the table of TRL's stock chat templates in docs/models.md."""

from __future__ import annotations

from engine.prompts.chat_format import NO_THOUGHT
from tests.support.stock_templates import SWITCH, TURNS, cases, rendered

BEGIN, END = "<!-- templates -->", "<!-- end of templates -->"


def models_page(text: str) -> str:
    """Return docs/models.md with its table regenerated."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{_table()}\n{END}{after}"


def _table() -> str:
    lines = [f"| template | `{SWITCH}` | a prompt ends with | training |", "|---|---|---|---|"]
    for name, keywords in cases():
        one = rendered(name, keywords)
        switch = "false" if keywords else "not set" if (name, {SWITCH: False}) in cases() else "–"
        ends, result = "–", "trained on the prompt of generation"
        if one.refused == NO_THOUGHT:
            result = "trained with the thoughts of the rollouts"
        elif one.refused:
            result = f"refused: {_short(one.refused)}"
        if one.refused in ("", NO_THOUGHT):
            ends = f"`{_visible(one.form.prompt_text(TURNS)[-28:])}`"
        lines.append(f"| {name} | {switch} | {ends} | {result} |")
    return "\n".join(lines) + "\n"


def _short(reason: str) -> str:
    known = {
        "leaves out the text": "it leaves out plain text (made for images)",
        "can't render": "it can't render plain text (made for images)",
    }
    return next(words for part, words in known.items() if part in reason)


def _visible(text: str) -> str:
    return text.replace("\n", "⏎").replace("|", "\\|").replace("`", "'")
