"""Estimates with the figures of a workspace: those it measured, and those its operator keeps in a file.

Connects stored rows to the arithmetic of `store.estimates.estimate`. The command, the Launch screen and the gates all
use it, so that they print the same numbers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from store.curation.trained_rows import count_trained_rows
from store.curation.training_settings import TRAINING_SETTINGS
from store.estimates.estimate import Estimate, estimate
from store.estimates.formulas import Owed
from store.estimates.inputs import FILE_NAME, Figure, Figures, assumed, from_file
from store.estimates.measured_rates import architecture_of, devices, measured, questions
from store.estimates.model_config import read_architecture
from store.records import Iteration, StageName
from store.runs.iterations import stages
from store.runs.policies import evaluations
from store.settings import ROLLOUT_STAGES, RunSettings
from store.workspace import Workspace


def estimate_here(
    settings: RunSettings,
    workspace: Workspace | None,
    connection: sqlite3.Connection | None,
    given: Mapping[str, Figure] | None = None,
) -> Estimate:
    """Estimate a run with these settings.

    Args:
        settings: of the run.
        workspace: whose file of figures is read; None for none.
        connection: a reader of its database; None if there is none yet.
        given: the operator's figures, which take precedence over all others.

    Raises:
        EstimateRefused: when the operator's file is invalid.
    """
    return estimate(settings, _figures(settings, workspace, connection, None, given or {}))


def estimate_ahead(
    connection: sqlite3.Connection, workspace: Workspace | None, iteration: Iteration, owed: Owed | None = None
) -> Estimate:
    """Estimate the outstanding work of an iteration, with its own settings and the figures measured by its run.

    Args:
        connection: a reader.
        workspace: whose file of figures is read too; None for none.
        iteration: one that is running or waits at a gate.
        owed: its outstanding work; None reads it from its stages.

    Raises:
        EstimateRefused: when the operator's file is invalid.
    """
    settings = RunSettings.model_validate(iteration.settings)
    figures = _figures(settings, workspace, connection, iteration.run_id, {})
    return estimate(settings, figures, owed or owed_now(connection, iteration, settings))


def owed_now(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> Owed:
    """Read the outstanding work of an iteration from its stages; stages without a known total are left out."""
    known = {stage.name: stage for stage in stages(connection, iteration.id)}
    answered = known["attempt"].state == "done"
    texts: dict[StageName, int] = {"attempt": known["attempt"].owed} if known["attempt"].total else {}
    if answered:
        texts |= {name: known[name].owed for name in ROLLOUT_STAGES[1:] if known[name].total}
    examples = None
    entry = TRAINING_SETTINGS[settings.training.setting]
    if known["curate"].state == "done" and entry.row_source != "questions":
        most = settings.curation.max_per_question
        examples = count_trained_rows(connection, iteration.id, iteration.run_id, entry, most).kept
    compared = {iteration.parent_id, iteration.child_id} - {None}
    measured_before = {row.policy_id for row in evaluations(connection, iteration.run_id)} & compared
    return Owed(texts, examples, 2 - len(measured_before))


def _figures(
    settings: RunSettings,
    workspace: Workspace | None,
    connection: sqlite3.Connection | None,
    run_id: int | None,
    given: Mapping[str, Figure],
) -> Figures:
    own: dict[str, Figure] = {}
    architecture, where = read_architecture(Path(settings.model).expanduser()), "config.json of the model"
    if connection is not None:
        own = devices(connection) | measured(connection, settings.model, settings.training.setting, run_id)
        own |= questions(connection, run_id, settings.evaluation.split) if run_id is not None else {}
        architecture = architecture or architecture_of(connection, settings.model)
    kept = {} if workspace is None else from_file(workspace.root / FILE_NAME)
    source = where if architecture is not None else ""
    return Figures(assumed(settings, architecture, model_source=source), own, kept, given)
