"""Finds the Python interpreter for the sandbox and the exact set of files it needs; nothing else is made visible.

It is the base interpreter of the engine's environment, without site-packages. Independent of the tiers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.tasks.sandbox.records import SandboxUnavailable

_FOREIGN = ("site-packages", "dist-packages")
"""Folders inside those of the standard library that do not belong to it."""

_ASK = """
import sys
names = [n for d in sys.path if d.endswith("lib-dynload") for n in __import__("os").listdir(d)]
for name in sorted({n.partition(".")[0] for n in names}):
    if not name.startswith(("_test", "xx", "_xx", "_tkinter", "_curses", "readline", "_dbm", "_gdbm", "nis", "ossaud")):
        try:
            __import__(name)
        except ImportError:
            pass
print(*sys.path, sep="\\n")
print()
print(open("/proc/self/maps").read())
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python interpreter and the files it reads."""

    executable: Path
    """The resolved path."""
    libraries: tuple[Path, ...]
    """Folders of the standard library, and its archive if there is one."""
    foreign: tuple[Path, ...]
    """Folders inside `libraries` that have to be hidden."""
    objects: tuple[Path, ...]
    """Resolved paths of the shared objects and the loader."""
    links: tuple[tuple[str, str], ...]
    """Symbolic links through which `objects` are found, as (path, target)."""


@cache
def interpreter() -> Interpreter:
    """Return the base interpreter of this process. Raises SandboxUnavailable if it can't be inspected."""
    executable = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    command = [str(executable), "-I", "-S", "-B", "-c", _ASK]
    try:
        answer = subprocess.run(command, env={}, capture_output=True, check=True, timeout=60, cwd="/", text=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxUnavailable(f"the Python at {executable} can't be run for the sandbox: {error}") from error
    paths, _, maps = answer.stdout.partition("\n\n")
    found = {Path(path) for path in paths.split("\n") if path and Path(path).exists()}
    libraries = {path for path in found if not any(parent in found for parent in path.parents)}
    foreign = {path / name for path in libraries for name in _FOREIGN if (path / name).is_dir()}
    mapped = {Path(line.split(maxsplit=5)[5]) for line in maps.splitlines() if line.count(" ") > 4 and "/" in line}
    objects = {path for path in mapped if ".so" in path.name and not any(path.is_relative_to(one) for one in libraries)}
    loader = _loader(executable)
    names = {name for path in objects for name in _names_of(path)}
    if loader is not None:
        objects.add(loader.resolve())
        names.add(str(loader))
    names |= {f"{folder}/x" for folder in ("/lib", "/lib32", "/lib64") if Path(folder).is_symlink()}
    links = {link for name in names for link in _links_on(name)}
    return Interpreter(
        executable,
        tuple(sorted(libraries)),
        tuple(sorted(foreign)),
        tuple(sorted(objects)),
        tuple(sorted(links)),
    )


def _names_of(path: Path) -> Iterable[str]:
    """Return the links in a shared object's folder that point to it, e.g. `libz.so.1` for `libz.so.1.2.13`."""
    stem = path.name.partition(".so")[0]
    return [
        str(entry)
        for entry in path.parent.glob(f"{stem}*.so*")
        if entry.is_symlink() and entry.resolve() == path.resolve()
    ]


def _loader(executable: Path) -> Path | None:
    """Return the loader that the executable names, e.g. /lib64/ld-linux-x86-64.so.2; None if linked statically."""
    with executable.open("rb") as file:
        head = file.read(4096)
    start = head.find(b"/lib")
    name = head[start : head.find(b"\0", start)].decode("ascii", "replace") if start >= 0 else ""
    return Path(name) if ".so" in name or "/ld-" in name else None


def _links_on(name: str) -> Iterator[tuple[str, str]]:
    """Yield every symbolic link encountered while resolving a path."""
    for _ in range(16):
        walked = Path("/")
        for part in Path(name).parts[1:]:
            walked /= part
            if walked.is_symlink():
                target = str(walked.readlink())
                yield str(walked), target
                rest = Path(name).relative_to(walked)
                name = os.path.normpath(walked.parent / target / rest)
                break
        else:
            return
