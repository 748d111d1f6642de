"""Checks of the machine: generator, training libraries, judge, sandbox, memory and disk."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import psutil

from engine.commands.check.findings import Finding
from engine.generation import installed
from engine.supervisor.hardware import gpus
from engine.tasks import task_type
from engine.training.sampled_attempts import missing_samples
from engine.training.validation import check_training
from store.curation.training_settings import TRAINING_SETTINGS
from store.settings import RunSettings
from store.settings.generation import AUTO, GENERATORS, needs_weights
from store.workspace import Workspace

_GIB = 2**30
_SLOW_WITHOUT_GPU = 4 * _GIB
_INSTALL = "pip install 'reflectevo[gpu]' on a GPU box, or 'reflectevo[cpu]'"
_CHECKPOINTS = 2
_OPTIMIZER_COPIES = 3
"""A checkpoint holds the trained weights and two optimizer moments."""


def check_generator(settings: RunSettings) -> list[Finding]:
    """Check whether the configured generator is installed, without importing it."""
    wanted = settings.generation.generator
    if wanted != AUTO:
        entry = GENERATORS[wanted]
        if not installed(wanted):
            fix = f'{_INSTALL}; or set generation.generator = "{AUTO}"'
            return [Finding("error", "generation.generator", f"{wanted} is not installed", fix)]
        if entry.remark:
            return [Finding("warning", "generation.generator", entry.remark)]
        return [Finding("ok", "generation.generator", f"{wanted} is installed")]
    automatic = [entry for entry in GENERATORS.values() if entry.automatic]
    usable = [entry for entry in automatic if installed(entry.name)]
    if not usable:
        names = " nor ".join(entry.label for entry in automatic)
        return [Finding("error", "generation.generator", f"neither {names} is installed", _INSTALL)]
    best, taken = automatic[0], usable[0]
    if taken is not best:
        what = f"{best.label} is not installed: {taken.label} generates instead, which is slower"
        return [Finding("warning", "generation.generator", what, "pip install 'reflectevo[gpu]', or 'reflectevo[cpu]'")]
    return [Finding("ok", "generation.generator", f"{taken.name} is installed")]


def check_training_possible(settings: RunSettings) -> list[Finding]:
    """Check whether this machine can train as configured."""
    if not needs_weights(settings.generation.generator):
        return []
    missing = [name for name in ("trl", "peft", "torch") if importlib.util.find_spec(name) is None]
    if missing:
        what = f"{', '.join(missing)} not installed: nothing can be trained"
        return [Finding("error", "training", what, "pip install 'reflectevo[gpu]' on a GPU box, or 'reflectevo[cpu]'")]
    problems = [problem.partition("; ") for problem in check_training(settings.training, settings.generation)]
    if problems:
        return [Finding("error", "training", what, fix or "correct [training]") for what, _, fix in problems]
    return [
        Finding("ok", "training", f"{settings.training.setting} with {settings.training.method} is possible"),
        *(
            Finding("warning", "training.learning_rate", warning, "leave it out to use the default")
            for warning in settings.training.unusual_learning_rates()
        ),
    ]


def check_samples(settings: RunSettings) -> list[Finding]:
    """Check whether an iteration samples the first attempts that its training setting trains on."""
    missing = missing_samples(TRAINING_SETTINGS[settings.training.setting], settings.attempt.samples)
    if missing is None:
        return []
    what, _, fix = missing.partition("; ")
    return [Finding("error", "attempt.samples", what, fix)]


def check_judge(settings: RunSettings) -> list[Finding]:
    """Check whether the pairs of Dpref can be ranked; sends a request to an endpoint."""
    if not TRAINING_SETTINGS[settings.training.setting].judged:
        return []
    judge = settings.judge
    if judge.by == "operator":
        return [Finding("ok", "judge.by", "operators rank the pairs on the Review screen; training waits for them")]
    if judge.by != "endpoint":
        return [Finding("ok", "judge.by", f"the pairs are ranked by: {judge.by}")]
    from engine.curation.judge.endpoint import check_endpoint

    problem = check_endpoint(judge)
    if problem is not None:
        what, _, fix = problem.partition("; ")
        return [
            Finding("error", "judge", what, fix or "correct [judge], or let an operator or the policy itself judge")
        ]
    return [Finding("ok", "judge", f"{judge.url} answers and has {judge.model}")]


def check_sandbox(settings: RunSettings) -> list[Finding]:
    """Check whether programs can be verified, by running a test program in each sandbox tier."""
    if not any(task_type(task.kind).sandboxed for task in settings.tasks):
        return []
    from engine.tasks.sandbox import probe

    reports = probe()
    for report in reports:
        if report.works:
            return [Finding("ok", "sandbox", f"programs run in {report.name}")]
    wrong = "; ".join(f"{report.name}: {report.reason}" for report in reports)
    fixes = " or ".join(dict.fromkeys(report.fix for report in reports if report.fix))
    what = f"no sandbox works here, so programs would not be run and their verdicts would be unverified ({wrong})"
    return [Finding("error", "sandbox", what, fixes or "remove the code tasks")]


def check_memory(weights: int | None) -> list[Finding]:
    """Check whether the weights fit into memory: they are loaded for generation first, and for training after that."""
    if weights is None:
        return []
    cards = gpus()
    if cards:
        have = sum(int(str(card["memory_total"])) for card in cards)
        place = f"{len(cards)} GPUs" if len(cards) > 1 else "the GPU"
        fix = "use a smaller model, or a machine with more GPU memory"
    else:
        have, place = psutil.virtual_memory().total, "this machine, which has no GPU,"
        fix = "use a smaller model, or run on a GPU box"
    what = f"the weights take {weights / _GIB:.1f} GiB, and {place} has {have / _GIB:.1f} GiB of memory"
    if weights > have:
        return [Finding("error", "memory", what, fix)]
    if not cards and weights > _SLOW_WITHOUT_GPU:
        return [Finding("warning", "memory", f"{what}: without a GPU this will take very long", fix)]
    return [Finding("ok", "memory", what)]


def check_disk(settings: RunSettings, weights: int | None, workspace: Workspace | None) -> list[Finding]:
    """Check whether there is enough disk space for the policies that the run would write.

    A LoRA policy takes at most the size of the merged weights (served on a CPU); full fine-tuning also writes the
    optimizer's state to checkpoints.
    """
    if weights is None:
        return []
    place = Path.cwd() if workspace is None else workspace.root
    while not place.exists():
        place = place.parent
    needed = weights * settings.iterations
    if settings.training.method == "full":
        needed += weights * _OPTIMIZER_COPIES * _CHECKPOINTS
    free = shutil.disk_usage(place).free
    what = f"{free / _GIB:.0f} GiB free in {place}; the run's policies need up to {needed / _GIB:.1f} GiB"
    if free < needed:
        return [Finding("error", "disk", what, "free some space, or choose a workspace on another disk with -w")]
    return [Finding("ok", "disk", what)]
