"""Generates the command reference in docs/cli.md from the output of `--help`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup

from reflectevo_tui.cli import app

BEGIN, END = "<!-- commands -->", "<!-- end of commands -->"
IN_EVERY_COMMAND = {"--workspace", "--json", "--help"}
"""Options that the page describes once, above the tables."""


def command_line_page(text: str) -> str:
    """Return docs/cli.md with the reference between its markers regenerated.

    Raises:
        ValueError: if the page has no markers for the reference.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/cli.md has no place for the reference: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{_reference()}\n{END}{after}"


@cache
def options() -> dict[str, set[str]]:
    """Return the options of each command by its name, `--help` among them."""
    group, root = _application()
    found: dict[str, set[str]] = {}
    for name in group.list_commands(root):
        command: Any = group.get_command(root, name)
        parameters = command.get_params(typer.Context(command, info_name=name, parent=root))
        found[name] = {option for one in parameters for option in (*one.opts, *one.secondary_opts)}
    return found


def _application() -> tuple[TyperGroup, typer.Context]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group, typer.Context(group, info_name="reflectevo")


def _reference() -> str:
    group, root = _application()
    sections = (_section(group.get_command(root, name), name, root) for name in group.list_commands(root))
    return "\n".join(sections)


def _section(command: Any, name: str, root: typer.Context) -> str:
    context = typer.Context(command, info_name=name, parent=root)
    pieces = [piece.strip("{}") for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    usage = " ".join(["reflectevo", name, *pieces])
    paragraphs = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    rows = list(_rows(command, context))
    table = ["", "| argument or option | default | meaning |", "|---|---|---|", *rows] if rows else []
    return "\n".join([f"### `{usage}`", "", "\n\n".join(paragraphs), *table, ""])


def _rows(command: Any, context: typer.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        if parameter.hidden or IN_EVERY_COMMAND.intersection(parameter.opts):
            continue
        names, _ = parameter.get_help_record(context)
        names = names.replace(" range>", ">")
        meaning = " ".join((parameter.help or "").split())
        if getattr(parameter, "min", None) is not None:
            meaning += f" At least {parameter.min}."
        yield "| " + " | ".join(_cell(text) for text in (f"`{names}`", _default(parameter), meaning)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None or isinstance(parameter.default, bool) or parameter.default in ((), []):
        return "on" if parameter.default is True else ""
    return f"`{getattr(parameter.default, 'value', parameter.default)}`"
