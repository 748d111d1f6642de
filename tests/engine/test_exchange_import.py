"""Tests of imports: rows that screens can show, nothing lost or duplicated by a kill, nothing changed by a
repetition.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.commands.init import init_workspace
from engine.commands.render_prompt import rerender
from engine.errors import EngineError
from engine.exchange import record_batches
from engine.exchange.import_file import import_file
from store.control.telemetry import events
from store.curation.curated import curation_counts
from store.database.connection import open_reader, open_writer
from store.rollouts import trajectories, trajectory_detail
from store.rollouts.trajectories import TrajectoryFilter
from store.runs.iterations import current_iteration, list_iterations, stages
from store.runs.policies import list_policies
from store.runs.runs import list_runs, run_named
from store.workspace import Workspace
from tests.support.published import SHARED, Maker, write_records


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    made = Workspace(tmp_path / "workspace")
    init_workspace(made, "demo-cpu", None, replace=False)
    return made


def take(workspace: Workspace, path: Path, **options: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Import a file; return its outcome and the reported progress."""
    told: list[dict[str, Any]] = []
    return import_file(workspace, path, told.append, **options), told  # type: ignore[arg-type]


def rows_of(workspace: Workspace) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that an import stores, without times."""
    with closing(open_reader(workspace.database)) as reader:
        found = {}
        for table, left_out in {
            "questions": "",
            "run_questions": "",
            "attempts": "created",
            "reflections": "created",
            "trajectories": "",
            "curated": "",
            "preferences": "created",
            "import_records": "",
            "import_texts": "",
            "policies": "created",
            "stages": "started ended",
            "imports": "path created ended",
        }.items():
            columns = [row["name"] for row in reader.execute(f"PRAGMA table_info({table})")]
            wanted = ", ".join(name for name in columns if name not in left_out.split())
            found[table] = [tuple(row) for row in reader.execute(f"SELECT {wanted} FROM {table} ORDER BY 1, 2")]
        return found


def check_whole(workspace: Workspace) -> None:
    """Check that the database is intact and that the search index agrees with the rows."""
    with closing(open_writer(workspace.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.execute("INSERT INTO trajectory_search (trajectory_search, rank) VALUES ('integrity-check', 1)")
        listed = connection.execute("SELECT count(*) FROM trajectories").fetchone()[0]
        assert connection.execute("SELECT count(*) FROM trajectory_search_docsize").fetchone()[0] == listed


def count(workspace: Workspace, table: str) -> int:
    with closing(open_reader(workspace.database)) as reader:
        return int(reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_an_imported_file_can_be_browsed_filtered_and_searched(workspace: Workspace, tmp_path: Path) -> None:
    """The terminal shows an imported record as it shows a rollout."""
    maker = Maker()
    path = write_records(tmp_path / "logiqa.json", (maker.raw(n, reflections=2) for n in range(20)), indent=4)
    done, told = take(workspace, path, task="quiz")
    assert (done["run"], done["format"], done["records"], done["skipped"]) == ("logiqa", "raw", 20, 0)
    assert told[-1]["event"] == "progress" and told[-1]["records"] == 20
    check_whole(workspace)
    with closing(open_reader(workspace.database)) as reader:
        assert trajectories.count(reader, TrajectoryFilter()) == 40
        helped = TrajectoryFilter(transition="i→c", task="quiz", instruction="unstated", split="train")
        assert trajectories.count(reader, helped) == 20
        (found,) = trajectories.page(reader, TrajectoryFilter(search='"Question 7"', transition="i→c"))
        detail = trajectory_detail.detail(reader, found.id)
        assert detail is not None and detail.reflection is not None and detail.correction is not None
        assert detail.question.text.startswith("Question 7:")
        assert (detail.attempt.verdict, detail.correction.verdict, detail.policy) == (
            "incorrect",
            "correct",
            "imported",
        )
        assert detail.attempt.answer == "B" and len(detail.siblings) == 2
        assert found.iteration == 1
        (run,) = list_runs(reader)
        (iteration,) = list_iterations(reader)
        assert (run.origin, run.state, iteration.state, iteration.number) == ("import", "ready", "done", 1)
        assert {stage.name: (stage.state, stage.done, stage.owed) for stage in stages(reader, iteration.id)} == {
            "attempt": ("done", 20, 0),
            "reflect": ("done", 40, 0),
            "correct": ("done", 40, 0),
            "curate": ("skipped", 0, 0),
            "train": ("skipped", 0, 0),
            "evaluate": ("skipped", 0, 0),
        }
        assert [policy.name for policy in list_policies(reader, run.id)] == ["imported"]
        assert current_iteration(reader) is None


def test_sets_become_curated_rows_and_repeated_texts_are_stored_once(workspace: Workspace, tmp_path: Path) -> None:
    """Published pairs repeat the attempt and the chosen reflection from row to row."""
    maker = Maker()
    pairs = [maker.pair(n, n // 4) for n in range(12)]
    take(workspace, write_records(tmp_path / "pm.jsonl", pairs), task="quiz")
    preferred = [maker.pair(n, n // 4, both_right=True) for n in range(8)]
    take(workspace, write_records(tmp_path / "pref.jsonl", [*preferred, preferred[0]]), task="quiz")
    take(workspace, write_records(tmp_path / "plus.jsonl", (maker.d_plus(n) for n in range(5))))
    check_whole(workspace)
    with closing(open_reader(workspace.database)) as reader:
        by_run = {iteration.run_id: iteration for iteration in list_iterations(reader)}
        counts = {run.name: curation_counts(reader, by_run[run.id].id) for run in list_runs(reader)}
        assert counts == {
            "pm": {"d_pm": {"included": 12}},
            "pref": {"d_pref": {"included": 8}},
            "plus": {"d_plus": {"included": 5}},
        }
        pm = by_run[run_named(reader, "pm").id].id  # type: ignore[union-attr]
        attempts = "SELECT count(*) FROM attempts WHERE iteration_id = ? AND turn = 1"
        assert reader.execute(attempts, (pm,)).fetchone()[0] == 3
        assert reader.execute("SELECT count(*) FROM reflections WHERE iteration_id = ?", (pm,)).fetchone()[0] == 3 + 12
        right = "SELECT count(*) FROM curated c JOIN attempts a ON a.id = c.correction_id WHERE a.verdict = 'correct'"
        assert reader.execute(right).fetchone()[0] == 12 + 8 + 5
        sources = reader.execute("SELECT source, reviewer, count(*) FROM preferences GROUP BY 1, 2").fetchall()
        assert [tuple(row) for row in sources] == [("judge", "imported", 8)]
        assert count(workspace, "import_records") == 12 + 9 + 5
    # The same question of one task in two files is one question.
    assert count(workspace, "questions") == 3 + 5


def test_a_set_split_over_batches_is_stored_as_in_one(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch boundaries must not decide which rows count as repeated."""
    records = [Maker(n).pair(n, n // 5) for n in range(30)]
    path = write_records(tmp_path / "pm.jsonl", records)
    take(workspace, path)
    other = Workspace(tmp_path / "other")
    init_workspace(other, "demo-cpu", None, replace=False)
    monkeypatch.setattr(record_batches, "BATCH_RECORDS", 7)
    take(other, path)
    assert rows_of(other) == rows_of(workspace)


def test_equal_sides_are_no_pair(workspace: Workspace, tmp_path: Path) -> None:
    """A preference of a reflection over itself would invalidate every statistic."""
    record = Maker().pair(1, 1, both_right=True)
    for name in ("second_trial_reasoning", "second_trial_answer", "reflection"):
        record[f"{name}_rejected"] = record[f"{name}_chosen"]
    take(workspace, write_records(tmp_path / "pref.jsonl", [record]), file_format="d-pref")
    assert count(workspace, "preferences") == 0
    with closing(open_reader(workspace.database)) as reader:
        assert curation_counts(reader, 1) == {"d_pref": {"both sides are the same reflection": 1}}


def test_bad_records_are_counted_named_and_left_out(workspace: Workspace, tmp_path: Path) -> None:
    """One clear message for each row that can't be imported; the others are."""
    maker = Maker()
    good = [json.dumps(maker.raw(n)) for n in range(3)]
    empty = json.dumps({**maker.raw(8), "answer": ""})
    path = tmp_path / "raw.json"
    path.write_text("\n".join([good[0], empty, good[1], '{"question": "torn in the mid', good[2], good[0][:300]]))
    done, told = take(workspace, path)
    assert (done["records"], done["skipped"]) == (3, 3)
    skipped = [event for event in told if event["event"] == "skipped"]
    assert [event["record"] for event in skipped] == [2, 4, 6]
    assert skipped[0]["place"] == f"byte {len(good[0]) + 1}"
    assert [event["reason"] for event in skipped][::2] == [
        "its field 'answer' is empty",
        "it is cut off at the end of the file",
    ]
    assert sum(done["reasons"].values()) == 3
    with closing(open_reader(workspace.database)) as reader:
        texts = [event.text for event in events(reader)]
        assert any("raw.json: record 6" in text and "cut off" in text for text in texts)
        assert [row[0] for row in reader.execute("SELECT number FROM import_records ORDER BY 1")] == [1, 3, 5]


def test_the_prompt_of_an_imported_text_is_the_record_s(workspace: Workspace, tmp_path: Path) -> None:
    """An operator sees the published prompt of a reflection, and that nothing proves it."""
    maker = Maker()
    record = maker.d_plus(1)
    take(workspace, write_records(tmp_path / "plus.jsonl", [record]))
    asked = rerender(workspace, attempt_id=None, reflection_id=1)
    assert asked["messages"] == [{"role": "user", "content": record["reflect_prompt"]}]
    assert (asked["version"], asked["hash"], asked["matches"]) == ("imported", "", False)
    for attempt_id, position in ((1, 0), (2, 1)):
        shown = rerender(workspace, attempt_id=attempt_id, reflection_id=None)
        assert shown["messages"] == [{"role": "user", "content": record["reason_prompt"][position]}]
    take(workspace, write_records(tmp_path / "raw.json", [maker.raw(2)]))
    with pytest.raises(EngineError, match="does not hold the prompt"):
        rerender(workspace, attempt_id=3, reflection_id=None)


def test_the_shared_samples_are_imported_and_their_leaks_flagged(workspace: Workspace) -> None:
    """A real example: five of five published D+ rows carry their target in the prompt, and four of five reflections
    on one question state the text of the right option: the street pushes the foot "forward".
    """
    if not SHARED.exists():
        pytest.skip("the published sample rows are not beside this repository")
    done = {
        name: take(workspace, SHARED / f"example_{name}")[0]
        for name in ("reflection_raw.json", "d_plus.jsonl", "d_plus_minus.jsonl", "d_pref.jsonl")
    }
    assert [one["records"] for one in done.values()] == [10, 5, 5, 5]
    assert done["d_plus.jsonl"]["leaks"] == {"prompt": 5}
    check_whole(workspace)
    with closing(open_reader(workspace.database)) as reader:
        assert trajectories.count(reader, TrajectoryFilter(flag="leak")) == 9
        assert trajectories.count(reader, TrajectoryFilter(instruction="general")) > 0
        assert trajectories.page(reader, TrajectoryFilter(search="person鈥檚"))


def test_the_reading_process_never_imports_a_model_library() -> None:
    """It is started for each large import: it must take half a second, not ten."""
    heavy = "torch", "trl", "datasets", "pyarrow"
    code = f"import sys, engine.exchange.import_file; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
