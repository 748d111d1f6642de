"""An estimate with what this workspace knows: its measured figures, and those its operator keeps in a file.

The bridge between rows and the arithmetic of `store.estimates.estimate`; the command, the Launch screen and the gates
go through it, so that they print the same numbers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from store.curation.curated import curation_counts
from store.curation.training_settings import TRAINING_SETTINGS
from store.estimates.estimate import Estimate, estimate
from store.estimates.figures import FILE_NAME, Figure, Figures, assumed, from_file
from store.estimates.formulas import Owed
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
    """What a run with these settings takes.

    Args:
        settings: of the run.
        workspace: whose figures count; None: none do.
        connection: a reader of it; None while it has no database.
        given: an operator's figures, which count most.

    Raises:
        EstimateRefused: when the operator's file holds something wrong.
    """
    return estimate(settings, _figures(settings, workspace, connection, None, given or {}))


def estimate_ahead(
    connection: sqlite3.Connection, workspace: Workspace | None, iteration: Iteration, owed: Owed | None = None
) -> Estimate:
    """What an iteration still has to do, with its own settings and what its run measured.

    Args:
        connection: a reader.
        workspace: whose file of figures counts too; None: none does.
        iteration: one that runs or waits at a gate.
        owed: what is known of it; None: read from its stages.

    Raises:
        EstimateRefused: when the operator's file holds something wrong.
    """
    settings = RunSettings.model_validate(iteration.settings)
    figures = _figures(settings, workspace, connection, iteration.run_id, {})
    return estimate(settings, figures, owed or owed_now(connection, iteration, settings))


def owed_now(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> Owed:
    """What the stages say that is still owed; of stages that nothing is known of yet, nothing."""
    known = {stage.name: stage for stage in stages(connection, iteration.id)}
    answered = known["attempt"].state == "done"
    texts: dict[StageName, int] = {"attempt": known["attempt"].owed} if known["attempt"].total else {}
    if answered:
        texts |= {name: known[name].owed for name in ROLLOUT_STAGES[1:] if known[name].total}
    examples = None
    set_name = TRAINING_SETTINGS[settings.training.setting].set_name
    if known["curate"].state == "done" and set_name is not None:
        counts = curation_counts(connection, iteration.id).get(set_name, {})
        examples = counts.get("included", 0)
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
