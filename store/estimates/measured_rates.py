"""Measures the figures of an estimate from a workspace: lengths, shares, rates, start-up times, bytes.

Only the newest run of the same model is used; imported and synthetic runs are not measurements.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from store.control.telemetry import capabilities, metrics
from store.curation.trained_rows import count_trained_rows
from store.curation.training_settings import TRAINING_SETTINGS, TrainingSetting
from store.estimates.activity import NEWEST_TEXTS, TABLES, first_id, generated_texts, id_list, length
from store.estimates.inputs import Figure
from store.estimates.model_config import Architecture, read_architecture
from store.records import Iteration, Run
from store.runs.iterations import list_iterations, stages
from store.runs.policies import list_policies
from store.runs.runs import get_run, list_runs
from store.runs.summaries import question_counts

_FEWEST = 20
"""Minimum number of texts for measuring a mean or a share."""

_PAUSE = 10
"""Multiple of the median duration above which a step is taken to include a pause or a restart."""

_MANY_ROWS = 5000
"""Minimum number of trajectories for measuring the database; a smaller one consists mostly of empty pages."""

_ROLLOUTS = """
SELECT 'attempt' AS stage, avg(prompt_tokens), avg(completion_tokens), count(*),
    avg(CASE WHEN sample = 0 THEN verdict = 'incorrect' END) FROM (
    SELECT prompt_tokens, completion_tokens, verdict, sample FROM attempts
    WHERE id >= {attempts} AND +iteration_id IN ({marks}) AND protocol = '' AND turn = 1 AND error IS NULL
    AND reused_from IS NULL ORDER BY id DESC LIMIT {limit})
UNION ALL
SELECT 'reflection', avg(prompt_tokens), avg(completion_tokens), count(*), NULL FROM (
    SELECT prompt_tokens, completion_tokens FROM reflections
    WHERE id >= {reflections} AND +iteration_id IN ({marks}) AND protocol = '' AND error IS NULL
    AND reused_from IS NULL ORDER BY id DESC LIMIT {limit})
UNION ALL
SELECT 'correction', avg(nullif(prompt_tokens, 0)), avg(completion_tokens), count(*),
    avg(CASE WHEN sample = 0 THEN verdict = 'correct' END) FROM (
    SELECT prompt_tokens, completion_tokens, verdict, sample FROM attempts
    WHERE id >= {attempts} AND +iteration_id IN ({marks}) AND protocol = '' AND +reflection_id IS NOT NULL
    AND error IS NULL ORDER BY id DESC LIMIT {limit})
UNION ALL
SELECT 'held out', NULL, NULL, count(*), avg(verdict = 'incorrect') FROM attempts
    WHERE iteration_id IN ({marks}) AND protocol <> '' AND turn = 1 AND sample = 0 AND error IS NULL
"""
"""Reads the newest rows by walking back along the ids, as `store.estimates.activity.generated_texts` does."""

_FIRST_TEXT = """
SELECT min(created - latency) FROM (
    SELECT created, latency FROM attempts WHERE id >= ? AND +iteration_id = ? AND protocol = '' AND latency > 0
    ORDER BY id LIMIT 500)
"""
"""Start of the first request: the earliest among the texts stored first, which may have finished in another order."""


def measured(
    connection: sqlite3.Connection, model: str, setting: TrainingSetting, run_id: int | None = None
) -> dict[str, Figure]:
    """Return the figures measured with a model in this workspace; empty if it never ran that model.

    Args:
        connection: a reader.
        model: as named in the settings.
        setting: the training setting to estimate; example counts and rates of other settings are not used.
        run_id: measure this run instead of the newest one of the model.
    """
    run = _newest_run(connection, model) if run_id is None else get_run(connection, run_id)
    if run is None:
        return {}
    iterations = list_iterations(connection, run.id)
    numbers = [iteration.id for iteration in iterations]
    where = f"run {run.name}"
    figures = {
        **_texts(connection, numbers, where),
        **_generation(connection, numbers, where),
        **_starts(connection, iterations, where),
        **_training(connection, iterations, setting, where),
    }
    size = _trajectory_bytes(connection)
    return figures | ({} if size is None else {"trajectory_bytes": size})


def questions(connection: sqlite3.Connection, run_id: int, split: str) -> dict[str, Figure]:
    """Return the question counts of a prepared run; a small dataset may have fewer than the settings request."""
    stored = question_counts(connection, run_id).values()
    if not stored:
        return {}
    counts = {
        "train_questions": sum(by_split.get("train", 0) for by_split in stored),
        "held_out_questions": sum(by_split.get(split, 0) for by_split in stored),
        "reported_questions": sum(by_split.get("test", 0) for by_split in stored),
    }
    return {name: Figure(n, "measured", "questions of the run") for name, n in counts.items()}


def devices(connection: sqlite3.Connection) -> dict[str, Figure]:
    """Return GPU counts of 0 if the engine found no GPU; empty otherwise, since an engine uses one GPU of several."""
    if capabilities(connection).get("gpus") != []:
        return {}
    none = Figure(0, "measured", "the engine found no GPU on this machine")
    return {"gpus": none, "training_gpus": none}


def architecture_of(connection: sqlite3.Connection, model: str) -> Architecture | None:
    """Return the architecture of a model from the base policy of its newest run; None if it can't be read."""
    run = _newest_run(connection, model)
    for policy in list_policies(connection, run.id) if run else []:
        if policy.parent_id is None and policy.details.get("model") == model:
            return read_architecture(Path(policy.path))
    return None


def _newest_run(connection: sqlite3.Connection, model: str) -> Run | None:
    runs = [run for run in list_runs(connection) if run.origin == "engine" and run.base_model == model]
    return runs[-1] if runs else None


def _texts(connection: sqlite3.Connection, numbers: Sequence[int], where: str) -> dict[str, Figure]:
    figures = {}
    marks = id_list(numbers)
    lowest = {table: first_id(connection, table, marks) for table in TABLES}
    query = _ROLLOUTS.format(marks=marks, limit=NEWEST_TEXTS, **lowest)
    shares = {"attempt": "wrong_share", "correction": "yield_share", "held out": "held_out_wrong_share"}
    for stage, prompt, completion, n, share in connection.execute(query):
        if n < _FEWEST:
            continue
        source = f"{where}: {n:,} texts"
        if prompt:
            figures[f"{stage}_prompt_tokens"] = Figure(round(float(prompt), 1), "measured", source)
        if completion:
            figures[f"{stage}_tokens"] = Figure(round(float(completion), 1), "measured", source)
        # A measured share of zero is left out: it would reduce all later stages of the estimate to nothing.
        if stage in shares and share:
            figures[shares[stage]] = Figure(float(share), "measured", source)
    return figures


def _generation(connection: sqlite3.Connection, numbers: Sequence[int], where: str) -> dict[str, Figure]:
    texts = generated_texts(connection, numbers)
    busy = length((text.start, text.end) for text in texts)
    tokens = sum(text.tokens for text in texts)
    if len(texts) < _FEWEST or not busy or not tokens:
        return {}
    source = f"{where}: {tokens:,} tokens in {busy:,.0f} s of generating"
    return {"generation_tokens_per_s": Figure(tokens / busy, "measured", source)}


def _starts(connection: sqlite3.Connection, iterations: Sequence[Iteration], where: str) -> dict[str, Figure]:
    """Seconds from the start of the first stage to its first request, minimum over the iterations."""
    waits = []
    for iteration in iterations:
        first = connection.execute(
            _FIRST_TEXT, (first_id(connection, "attempts", id_list([iteration.id])), iteration.id)
        ).fetchone()[0]
        known = {stage.name: stage for stage in stages(connection, iteration.id)}
        started = known["attempt"].started if "attempt" in known else None
        if first is not None and started is not None and first > started:
            waits.append(first - started)
    # The minimum, because a restart or a pause can only lengthen the wait.
    return {"load_s": Figure(min(waits), "measured", f"{where}: {len(waits)} starts, the quickest")} if waits else {}


def _training(
    connection: sqlite3.Connection, iterations: Sequence[Iteration], setting: TrainingSetting, where: str
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for iteration in iterations:
        known = {stage.name: stage for stage in stages(connection, iteration.id)}
        curate, train = known.get("curate"), known.get("train")
        if curate and curate.started and curate.ended and curate.ended > curate.started and curate.done:
            rate = curate.done / (curate.ended - curate.started)
            figures["curated_per_s"] = Figure(rate, "measured", f"{where}, {iteration.title}: {curate.done:,} rows")
        training = iteration.settings.get("training")
        if not isinstance(training, dict) or training.get("setting") != setting:
            continue
        figures |= _examples(connection, iteration, setting, where)
        points = metrics(connection, iteration.id, "train", ("num_tokens",), limit=1_000_000)
        steps = _steps([(point.created, point.value) for point in points if point.value is not None])
        tokens, seconds = sum(step.tokens for step in steps), sum(step.seconds for step in steps)
        if not seconds:
            continue
        source = f"{where}, {iteration.title}: {tokens:,.0f} tokens in {seconds:,.0f} s"
        figures["training_tokens_per_s"] = Figure(tokens / seconds, "measured", source)
        if train and train.started and train.ended:
            beside = train.ended - train.started - seconds * (len(steps) + 1) / len(steps)
            figures["training_start_s"] = Figure(max(beside, 0.0), "measured", f"{where}, {iteration.title}")
    return figures


@dataclass(frozen=True, slots=True)
class _Step:
    """Duration and tokens between the ends of two optimizer steps."""

    seconds: float
    tokens: float


def _steps(points: Sequence[tuple[float, float]]) -> list[_Step]:
    """Steps from a curve of cumulative tokens, without those that include a pause, a restart or a new stage."""
    steps = [_Step(two[0] - one[0], two[1] - one[1]) for one, two in pairwise(points)]
    steps = [step for step in steps if step.tokens > 0 and step.seconds > 0]
    if not steps:
        return []
    usual = median(step.seconds for step in steps)
    return [step for step in steps if step.seconds <= _PAUSE * usual]


def _examples(
    connection: sqlite3.Connection, iteration: Iteration, setting: TrainingSetting, where: str
) -> dict[str, Figure]:
    entry = TRAINING_SETTINGS[setting]
    if entry.set_name is None:
        return {}
    made = count_trained_rows(connection, iteration.id, iteration.run_id, entry, 0).kept
    wrong = connection.execute(
        "SELECT count(*) FROM attempts WHERE iteration_id = ? AND protocol = '' AND turn = 1 AND sample = 0"
        " AND verdict = 'incorrect'",
        (iteration.id,),
    ).fetchone()[0]
    if not made or wrong < _FEWEST:
        return {}
    source = f"{where}, {iteration.title}: {made:,} examples of {wrong:,} wrong attempts"
    return {"examples_per_attempt": Figure(made / wrong, "measured", source)}


def _trajectory_bytes(connection: sqlite3.Connection) -> Figure | None:
    """Size of the complete database per trajectory; None for a database that is too small to measure."""
    rows = connection.execute("SELECT count(*) FROM trajectories").fetchone()[0]
    if rows < _MANY_ROWS:
        return None
    size = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
    return Figure(size / rows, "measured", f"this database: {size:,} bytes, {rows:,} trajectories")
