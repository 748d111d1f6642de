"""Tests that README, CONTRIBUTING and docs/ name only files, modules, links, commands and settings that exist."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
import typer

from reflectevo_tui.cli import app
from reflectevo_tui.text.glossary import GLOSSARY
from tests.docs.command_line import command_line_page, options
from tests.docs.pages import DOCS, glossary_page, settings_page

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
PACKAGES = ("engine", "store", "reflectevo_tui")
_CODE = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:py|md|toml|tcss|css)")
_DOTTED = re.compile(r"(?:engine|store|reflectevo_tui|tests)(?:\.\w+)+")
_CALL = re.compile(r"^(?:reflectevo )?([a-z][\w-]*)([^\n#|]*)", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
_SHELL = re.compile(r"(?<![\w/.-])(reflectevo|make|python -m)[ ]+([a-z][\w.-]*)")


@cache
def text_of(page: Path) -> str:
    """Return the page; of the generated appendix only the link targets, because models and operators wrote the rest."""
    text = page.read_text(encoding="utf-8")
    return "" if page.name == "results-appendix.md" else text


def code_of(text: str) -> list[str]:
    """Return everything formatted as code: spans outside blocks, and the blocks."""
    return [*_CODE.findall(_FENCE.sub("", text)), *_FENCE.findall(text)]


@cache
def project_files() -> frozenset[str]:
    """Return the paths of the project's files and their folders, from its root."""
    folders = [*PACKAGES, "tests", "docs"]
    found = [path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    found = [path for path in found if "__pycache__" not in path.parts]
    parents = {str(parent) for path in found for parent in path.parents}
    return frozenset(parents | {str(path) for path in found} | {path.name for path in ROOT.glob("*") if path.is_file()})


def is_a_file(path: str) -> bool:
    """Check whether a path is the end of a project path: `curation/filters.py` is enough for
    `engine/curation/filters.py`.
    """
    wanted = path.rstrip("/")
    return any(one == wanted or one.endswith(f"/{wanted}") for one in project_files())


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub generates them."""
    headings = re.findall(r"^#+ +(.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_a_module_or_name(dotted: str) -> bool:
    """Check whether `package.module` or `package.module.name` exists."""
    parts = dotted.split(".")
    if "/".join(parts) in project_files() or "/".join(parts) + ".py" in project_files():
        return True
    *module, name = parts
    for file in ("/".join(module) + ".py", "/".join([*module, "__init__.py"])):
        if file in project_files() and re.search(rf"\b{name}\b", (ROOT / file).read_text(encoding="utf-8")):
            return True
    return False


def make_targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z][\w%-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def commands() -> set[str]:
    """Return the commands of `reflectevo`."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return set(group.list_commands(typer.Context(group)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_exist(page: Path) -> None:
    wrong = []
    for code in _CODE.findall(_FENCE.sub("", text_of(page))):
        if _PATH.fullmatch(code) and (
            code.endswith((".py", ".tcss")) or code.split("/")[0] in {*PACKAGES, "tests", "docs"}
        ):
            wrong += [code] if not is_a_file(code) else []
        elif _DOTTED.fullmatch(code):
            wrong += [code] if not is_a_module_or_name(code) else []
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    wrong = []
    for code in code_of(text_of(page)):
        for program, name in _SHELL.findall(code):
            if program == "reflectevo":
                good = name in commands()
            elif program == "make":
                good = name in make_targets() or (name.startswith("bench-") and "bench-%" in make_targets())
            else:
                place = ROOT.joinpath(*name.split("."))
                ours = name.split(".")[0] in {*PACKAGES, "tests"}
                good = (
                    (place / "__main__.py").exists() or place.with_suffix(".py").exists()
                    if ours
                    else importlib.util.find_spec(name) is not None
                )
            wrong += [] if good else [f"{program} {name}"]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_files_in_the_docs_are_toml(page: Path) -> None:
    for block in re.findall(r"^```toml\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL):
        tomllib.loads(block)


def test_the_glossary_page_is_up_to_date() -> None:
    assert (DOCS / "glossary.md").read_text(encoding="utf-8") == glossary_page(), "run python -m tests.docs"


def test_the_tables_of_settings_are_up_to_date() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(page), "run python -m tests.docs"


def test_the_commands_are_up_to_date() -> None:
    """docs/cli.md has the commands, arguments, options and defaults that `--help` shows, and no others."""
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert page == command_line_page(page), "run python -m tests.docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_exist(page: Path) -> None:
    """`reflectevo COMMAND --option` in a page names an option of that command."""
    wrong = []
    for code in code_of(text_of(page)):
        for command, rest in _CALL.findall(code.replace("\\\n", " ")):
            if command in options():
                wrong += [f"{command} {one}" for one in _OPTION.findall(rest) if one not in options()[command]]
    assert not wrong


def test_the_glossary_is_one_sentence_a_term() -> None:
    names = [term.name for term in GLOSSARY]
    assert len(set(names)) == len(names)
    assert [term for term in GLOSSARY if not term.meaning.endswith(".") or ". " in term.meaning] == []
    wanted = "attempt reflection correction trajectory transition lift policy lineage iteration gate curation"
    assert {*wanted.split(), "D+", "D±", "Dpref", "protocol", "arm"} <= set(names)


def test_readme_lists_every_page() -> None:
    linked = set(_LINK.findall(text_of(ROOT / "README.md")))
    missing = {f"docs/{page.name}" for page in DOCS.glob("*.md")} - linked - {"docs/results-appendix.md"}
    assert not missing


def test_a_quoted_gain_names_its_floor_and_its_control() -> None:
    """A gain in Acc@t2 under an oracle is quoted only together with the results of guessing and of a retry."""
    floors = {"README.md": "77.8", "CHANGELOG.md": "70.8", "docs/results.md": "70.8", "docs/experiments.md": "70.8"}
    for name, floor in floors.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "Acc@t2" in text and floor in text and "floor" in text, name
        assert "without a reflection" in text.replace("\n", " ").replace("  ", " "), name


def test_the_findings_fit_on_one_page() -> None:
    assert len((DOCS / "results.md").read_text(encoding="utf-8").splitlines()) <= 120
