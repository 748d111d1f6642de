"""`reflectevo report`: writes a run's numbers and texts to files, from the store alone."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reflectevo_tui.commands.control import RunOption, chosen_run
from reflectevo_tui.commands.options import JsonOption, WorkspaceOption, chosen_workspace, guarded, up_to_date

if TYPE_CHECKING:
    from store.settings import RunSettings
    from store.workspace import Workspace


class Format(StrEnum):
    """Formats of the files to write."""

    md = "md"
    html = "html"
    both = "both"


def report(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    run: RunOption = None,
    kind: Annotated[Format, typer.Option("--format", help="Which files to write.")] = Format.both,
    to: Annotated[Path | None, typer.Option("--to", help="Directory [default: `reports` in the workspace].")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the files [default: the run's].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a report of a run as Markdown and HTML.

    With --json the same numbers are printed, and files are written only with --to.
    """
    chosen = chosen_workspace(context, workspace)

    def work() -> None:
        from reflectevo_tui.report.markdown import to_markdown
        from reflectevo_tui.report.report_contents import as_json as to_json
        from reflectevo_tui.report.report_contents import gather
        from reflectevo_tui.report.report_files import write_report
        from reflectevo_tui.report.sections import lay_out
        from store.database.connection import read, reading

        with reading(up_to_date(chosen).database) as connection, read(connection):
            asked = chosen_run(connection, run)
            found = gather(connection, asked, _told(chosen, asked.name))
        written: list[Path] = []
        if to is not None or not as_json:
            document = lay_out(found)
            texts = {}
            if kind is not Format.html:
                texts["md"] = to_markdown(document)
            if kind is not Format.md:
                from reflectevo_tui.report.html_page import to_html

                texts["html"] = to_html(document)
            directory = chosen.root / "reports" if to is None else to.expanduser()
            written = write_report(directory, name or found.run.name, texts)
        if as_json:
            typer.echo(json.dumps(to_json(found), indent=2, sort_keys=True))
        else:
            for path in written:
                typer.echo(path)

    guarded(work)


def _told(workspace: Workspace, run: str) -> RunSettings | None:
    """Return the current settings file if it is that of the run: its remarks can be newer than the run."""
    from store.errors import SettingsError
    from store.settings.toml_file import load_settings

    try:
        settings = load_settings(workspace.settings_file)
    except SettingsError:  # A copy of a workspace can lack the file, and the run has stored settings.
        return None
    return settings if settings.name == run else None
