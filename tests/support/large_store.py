"""A large synthetic store, written in bulk, for benchmarks of the list and the first frame. It contains no real
data."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

from engine.commands.init import init_workspace
from store.database.connection import checkpoint, open_writer, write
from store.runs.iterations import add_iteration
from store.runs.policies import add_policy
from store.runs.runs import add_run, set_run_state
from store.settings.toml_file import load_settings
from store.workspace import Workspace

TASKS = ("letter_counting", "chain_sum", "gcd", "syllogism")
KEYS = tuple(f"{v}-{place}-{p}" for v in (1, 2) for place in range(1, 9) for p in (1, 2))
_WORDS = "count every letter again before the total because one step was left out and its sign changed".split()


def make_large_store(root: Path, trajectories: int) -> Workspace:
    """Create a workspace with one run, one iteration and so many finished trajectories."""
    workspace = Workspace(root)
    init_workspace(workspace, "demo-cpu", None, replace=False)
    settings = load_settings(workspace.settings_file).model_dump(mode="json")
    draw = random.Random(0)

    def words(n: int) -> str:
        return " ".join(draw.choices(_WORDS, k=n))

    with closing(open_writer(workspace.database)) as connection:
        with write(connection):
            run_id = add_run(connection, "synthetic", "none", settings, "")
            set_run_state(connection, run_id, "ready")
            policy = add_policy(
                connection,
                run_id=run_id,
                parent_id=None,
                iteration_id=None,
                name="p00",
                setting="base",
                path="none",
                base_model="none",
                state="promoted",
                details={"synthetic": True},
            )
            iteration = add_iteration(connection, run_id, policy, settings, 0)
            numbers = range(1, trajectories + 1)
            connection.executemany(
                "INSERT INTO questions (id, task, domain, split, text, reference, content_hash)"
                " VALUES (?, ?, 'reasoning', 'train', ?, '2', ?)",
                ((n, TASKS[n % 4], f"Question {n}: {words(12)}", f"synthetic-{n}") for n in numbers),
            )
            attempt = (
                "INSERT INTO attempts (id, iteration_id, question_id, policy_id, turn, reflection_id, reasoning,"
                " answer, verdict, prompt_version, prompt_hash, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, '1', ?, '1', '', 0)"
            )
            connection.executemany(
                attempt, ((n, iteration, n, policy, 1, None, words(20), "incorrect") for n in numbers)
            )
            connection.executemany(
                "INSERT INTO reflections (id, iteration_id, attempt_id, instruction, policy_id, text, prompt_version,"
                " prompt_hash, created) VALUES (?, ?, ?, ?, ?, ?, '1', '', 0)",
                ((n, iteration, n, KEYS[n % 32], policy, words(30)) for n in numbers),
            )
            connection.executemany(
                attempt,
                (
                    (trajectories + n, iteration, n, policy, 2, n, words(20), "correct" if n % 7 == 0 else "incorrect")
                    for n in numbers
                ),
            )
            connection.executemany(
                "INSERT INTO trajectories (id, iteration_id, policy_id, question_id, attempt_id, reflection_id,"
                " correction_id, split, task, domain, transition, instruction)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'train', ?, 'reasoning', ?, ?)",
                (
                    (
                        n,
                        iteration,
                        policy,
                        n,
                        n,
                        n,
                        trajectories + n,
                        TASKS[n % 4],
                        "i→c" if n % 7 == 0 else "i→i",
                        KEYS[n % 32],
                    )
                    for n in numbers
                ),
            )
            connection.execute("INSERT INTO trajectory_search (trajectory_search) VALUES ('rebuild')")
        checkpoint(connection)
    return workspace
