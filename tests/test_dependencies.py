"""Tests that pyproject.toml, the constraint files and docs/dependencies.md name the same packages, and that the
version bounds are consistent."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_private_names import LISTED

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PACKAGES = ("reflectevo_tui", "store", "engine")
PART_OF = {"pydantic_core": "pydantic"}
"""Modules of a package that another one requires in exactly one version, and whose names the latter documents as its
own.
"""


def _requirements(*lists: list[str]) -> list[Requirement]:
    """Return the requirements of some lists, without those on this project itself."""
    found = [Requirement(line) for one in lists for line in one]
    return [one for one in found if one.name != PROJECT["name"]]


def _pinned(extra: str) -> dict[str, str]:
    """Return the versions of a constraint file by package."""
    lines = (ROOT / f"constraints-{extra}.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("#")[0].strip() for line in lines]
    return {canonicalize_name(name): version for name, _, version in (pin.partition("==") for pin in pins if pin)}


ALL = _requirements(PROJECT["dependencies"], *EXTRAS.values())


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_a_constraint_file_pins_every_package_of_its_set_within_its_bounds(extra: str) -> None:
    pinned = _pinned(extra)
    wrong = [
        str(one)
        for one in _requirements(PROJECT["dependencies"], EXTRAS["engine"], EXTRAS[extra])
        if not one.specifier.contains(pinned.get(canonicalize_name(one.name), "0"))
    ]
    assert not wrong, f"constraints-{extra}.txt lacks these, or pins another version: {wrong}"


def test_the_two_sets_differ_only_where_vllm_makes_them() -> None:
    """Results of the demo and of a GPU machine come from the same parser, questions and language detection."""
    cpu, gpu = _pinned("cpu"), _pinned("gpu")
    assert {name for name in cpu.keys() & gpu.keys() if cpu[name] != gpu[name]} == {"torch", "transformers"}


def test_each_requirement_has_its_reason_beside_it() -> None:
    with_reason = re.compile(r'    "[\w-]+(==|>=)[\w.,<]+", +# \w')
    lines = [line for line in PYPROJECT.splitlines() if re.match(r'    "[\w-]+[=>]=', line)]
    assert len(lines) == len(ALL)
    assert not [line.strip() for line in lines if not with_reason.match(line)]


def test_a_library_whose_private_names_are_used_has_an_upper_bound() -> None:
    names = packages_distributions()
    used = {canonicalize_name(names[name][0]) for name in {one.partition(".")[0] for one in LISTED} if name in names}
    bounded = {canonicalize_name(one.name) for one in ALL if any(each.operator == "<" for each in one.specifier)}
    assert used and used <= bounded


def test_every_requirement_is_argued_for_once() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").partition("## pygal")[0]
    argued = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert sorted(map(canonicalize_name, argued)) == sorted({canonicalize_name(one.name) for one in ALL})
    assert all(len(line.split("|")) >= 6 for line in page.splitlines() if line.startswith("| `"))


def test_every_library_that_is_imported_is_required() -> None:
    """A package installed only as a dependency of another may disappear with the next release."""
    required = {canonicalize_name(one.name) for one in ALL}
    names = packages_distributions()
    missing: dict[str, Path] = {}
    for path in (path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {one.partition(".")[0] for one in found} - {*PACKAGES, *sys.stdlib_module_names}:
                distributions = [PART_OF[top]] if top in PART_OF else names.get(top, [])
                if distributions and not set(map(canonicalize_name, distributions)) & required:
                    missing[top] = path.relative_to(ROOT)
    assert not missing


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
