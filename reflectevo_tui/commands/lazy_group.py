"""Lazily built commands.

Typer builds every command of an application at each start: it inspects the signatures of all functions to run one of
them, or none when the terminal application is opened. `--help` lists names and first sentences, and needs no
signatures either. The commands are registered on a Typer instance as usual; the group of this module builds them from
there.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_command_name

if TYPE_CHECKING:
    from typer.models import CommandInfo


class BuiltWhenAsked(Mapping[str, Any]):
    """Mapping of names to the commands registered on a Typer instance, in order of registration, built on access."""

    def __init__(self, registered: typer.Typer) -> None:
        self.infos: dict[str, CommandInfo] = {
            info.name or get_command_name(info.callback.__name__): info
            for info in registered.registered_commands
            if info.callback is not None
        }

    def __getitem__(self, name: str) -> Any:
        alone = typer.Typer(rich_markup_mode=None, add_completion=False)
        alone.registered_commands.append(self.infos[name])
        return get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    def __contains__(self, name: object) -> bool:
        return name in self.infos


def group_on_demand(registered: typer.Typer) -> type[TyperGroup]:
    """Return a group class (`cls` of a Typer instance) with the commands registered on another instance."""

    class GroupOnDemand(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands: Any = BuiltWhenAsked(registered)

        def format_commands(self, ctx: Any, formatter: Any) -> None:
            listed = {
                name: TyperCommand(name=name, help=info.help or inspect.getdoc(info.callback))
                for name, info in self.commands.infos.items()
            }
            TyperGroup(name=self.name, commands={**listed}).format_commands(ctx, formatter)

    return GroupOnDemand
