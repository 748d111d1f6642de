"""Tests the report: its numbers equal those of the store, it is deterministic and self-contained, and no model text
in it is interpreted as markup."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from reflectevo_tui.cli import app
from reflectevo_tui.report.escaping import as_fence, as_html, as_markdown
from reflectevo_tui.report.formatting import MISSING, duration, metric, p_value, percent, points
from reflectevo_tui.report.html_page import to_html
from reflectevo_tui.report.markdown import to_markdown
from reflectevo_tui.report.report_contents import as_json, gather
from reflectevo_tui.report.sections import lay_out
from store.database.connection import write
from store.runs.policies import add_evaluation_metrics, evaluations, put_evaluation
from store.runs.runs import get_run
from tests.support.measured import measured_run
from tests.support.rows import Rows, run_settings

WITHOUT = "prompt only, second try without reflection"

HOSTILE = (
    "</pre><script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) \x1b]52;c;aGk=\x07 | a |\n"
    "```\n# heading\n````\n<!-- --> &amp; \u202egnp.exe\u2069 ![i](http://example.invalid/t.png)"
)

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Parsed(HTMLParser):
    """Elements, attributes and text of a page, and whether every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes what was not open"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Return a workspace's database, to be filled."""
    made = Rows(tmp_path / "reflectevo.db")
    yield made
    made.connection.close()


def written(rows: Rows) -> tuple[str, str, dict[str, Any]]:
    """Return Markdown, HTML and JSON of the run."""
    report = gather(rows.connection, get_run(rows.connection, rows.run))
    document = lay_out(report)
    return to_markdown(document), to_html(document), as_json(report)


def test_the_numbers_of_the_store_are_in_all_three_forms(rows: Rows) -> None:
    """Values, intervals, n, the paired comparison, the curve, the funnel, the reviews."""
    measured_run(rows)
    markdown, page, values = written(rows)
    text = " ".join("".join(Parsed(page).text).split())
    for words in ("12.5 %", "(2.2–47.1, n 8)", "87.5 %", "+75.0", "0.070", "all tasks", "p01 − p00"):
        assert words in markdown, words
        assert words in text, words
    assert "iteration 1: 2 → 0.4 at step 4" in markdown
    assert "correction incorrect" in markdown and "66.7 %" in markdown
    assert "1 accepted, 1 rejected, 0 flagged" in markdown and "logical coherence 1" in markdown
    assert "12.5 s" not in markdown and "12 s" in markdown
    overall = [one for one in values["comparisons"] if (one["task"], one["turn"]) == ("", "t2")]
    assert [(one["value"], one["n"], len(one["gained"]), len(one["lost"])) for one in overall] == [(0.75, 8, 7, 1)]
    assert json.loads(json.dumps(values)) == json.loads(json.dumps(values, sort_keys=True))


def test_what_was_not_measured_is_said_and_never_zero(rows: Rows) -> None:
    """An oracle protocol can't show c→i; a run without an evaluation has no accuracy."""
    markdown, page, values = written(rows)
    assert "Held-out questions: not measured" in markdown and "0.0 %" not in markdown
    assert values["evaluations"] == [] and values["reviews"] is None
    measured_run(rows)
    markdown, page, _ = written(rows)
    line = next(line for line in markdown.splitlines() if line.startswith("| all tasks | p00 |"))
    assert line.endswith("| not measured |")
    assert 'class="number missing">not measured' in page
    for number in (
        percent(None),
        percent({"value": None, "low": None, "high": None, "n": 0}),
        points({}),
        metric("x", {}),
    ):
        assert number == MISSING
    assert p_value(None) == duration(None) == "not measured"


def test_the_same_store_gives_the_same_report(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock, no random id, no time zone of the reader."""
    measured_run(rows)
    first = written(rows)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert written(rows) == first
    assert "1970-01-12 13:46 UTC" in first[0]


def test_the_page_stands_alone(rows: Rows) -> None:
    """Readable without network access; it contains no scripts."""
    measured_run(rows)
    _, page, _ = written(rows)
    parsed = Parsed(page)
    assert parsed.open == []
    tags = {tag for tag, _ in parsed.elements}
    assert "svg" in tags and not tags & {"script", "link", "iframe", "object", "embed", "img", "foreignobject"}
    for tag, attributes in parsed.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "xlink:href"):
                assert str(value).startswith("#"), (tag, name, value)
    assert "url(" not in page and "@import" not in page
    policies = [one["content"] for tag, one in parsed.elements if tag == "meta" and "http-equiv" in one]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    ids = [one["id"] for _, one in parsed.elements if "id" in one]
    assert len(ids) == len(set(ids))


def test_no_text_of_a_model_is_read_as_markup(rows: Rows) -> None:
    """Everything that a model, a data set or an operator wrote is shown, and none of it is active."""
    measured_run(rows, text=HOSTILE)
    with write(rows.connection):
        rows.connection.execute("UPDATE policies SET reason = ?", (HOSTILE,))
        rows.connection.execute("UPDATE curated SET reason = ?", (HOSTILE,))
        rows.connection.execute("UPDATE trajectories SET instruction = '<b>1-1-1</b>', task = task || '<i>'")
    markdown, page, _ = written(rows)
    parsed = Parsed(page)
    assert parsed.open == []
    tags = {tag for tag, _ in parsed.elements}
    assert not tags & {"script", "img", "b", "i"}
    assert "alert(1)" in "".join(parsed.text)
    for text in (markdown, page):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
        text.encode("utf-8")
    outside = unfenced(markdown)
    assert "<" not in outside
    assert not re.search(r"(?<!\\)!?\[x\]\(|(?<!\\)\]\(javascript", outside)
    assert "# heading" not in [line.strip() for line in outside.splitlines()]
    heads = [line for line in outside.splitlines() if line.startswith("#")]
    assert all(line.startswith(("# ReflectEvo run", "## ")) for line in heads)


def unfenced(markdown: str) -> str:
    """Return the Markdown outside of fenced blocks, as CommonMark delimits them."""
    kept: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        marks = re.match(r" {0,3}(`{3,})", line)
        if fence:
            if marks and len(marks.group(1)) >= len(fence) and not line.strip().strip("`"):
                fence = ""
        elif marks:
            fence = marks.group(1)
        else:
            kept.append(line)
    assert not fence, "a fence was left open"
    return "\n".join(kept)


@given(st.text(max_size=200))
def test_any_text_stays_inside_its_fence(text: str) -> None:
    """Whatever it contains, the block ends at our closing fence."""
    block = as_fence(text)
    assert unfenced(f"before\n{block}\nafter") == "before\nafter"


@given(st.text(alphabet=st.characters(exclude_categories=()) | st.sampled_from("|<>&`*_[]\\\n\r\x1b"), max_size=80))
def test_any_text_is_one_cell_and_one_text_node(text: str) -> None:
    """A cell of a Markdown table has one line and no unescaped bar; HTML has no element."""
    cell = as_markdown(text)
    assert "\n" not in cell and "\r" not in cell
    assert re.fullmatch(r"(?:[^|<>`\[\]*_\\]|\\.)*", cell)
    assert "<" not in as_html(text) and '"' not in as_html(text)


def test_a_synthetic_run_says_so_first(rows: Rows) -> None:
    """Generated numbers must not be mistaken for results."""
    measured_run(rows)
    rows.connection.execute("UPDATE runs SET origin = 'synthetic'")
    markdown, page, values = written(rows)
    assert markdown.splitlines()[2].startswith("> **Note:** Synthetic data")
    assert 'class="warning">Synthetic data' in page and values["run"]["origin"] == "synthetic"


def test_two_protocols_of_one_feedback_are_told_apart(rows: Rows) -> None:
    """Numbers measured under different settings are not comparable."""
    measured_run(rows)
    one = {"acc_t1": {"value": 0.5, "low": 0.2, "high": 0.8, "n": 4}}
    put_evaluation(
        rows.connection, policy_id=rows.policy, iteration_id=None, protocol="oracle/ff", task="", n=4, metrics=one
    )
    markdown, _, _ = written(rows)
    assert "Protocol oracle 0123456789, on 8 test questions." in markdown
    assert "Protocol oracle ff, on 4 test questions." in markdown


def test_the_papers_table_stands_beside_a_task_of_the_paper_only(tmp_path: Path) -> None:
    """Matched tasks show the published numbers, marked as such; others show none."""
    task = {"kind": "choice", "name": "logiqa", "path": "x.jsonl"}
    rows = Rows(tmp_path / "reflectevo.db", run_settings(tasks=[task]))
    assert "| the paper |" not in written(rows)[0]
    metrics = {"acc_t1": {"value": 0.4, "low": 0.3, "high": 0.5, "n": 10}}
    put_evaluation(
        rows.connection,
        policy_id=rows.policy,
        iteration_id=None,
        protocol="oracle/ab",
        task="logiqa",
        n=10,
        metrics=metrics,
    )
    markdown = written(rows)[0]
    table = markdown.split("## Beside the paper's table")[1].split("\n## ")[0]
    assert "| the paper | Llama-3-8B | sft-two-stage on D+ | 30.2 % | 49.4 % | 53.5 % |" in table
    assert "| the paper | Llama-3-70B | prompt only, with reflection | 42.4 % | 56.8 % | 61.6 % |" in table
    assert "| the paper | Llama-3-8B | sft-qa on question-answer pairs, turn 1 only | 46.6 % | – | – |" in table
    assert "| 40.0 % (30.0–50.0, n 10) | not measured | not computed |" in table
    assert "MBPP" not in table
    rows.connection.close()


def test_the_floor_stands_beside_every_acc_t2_and_the_headline_claims_no_more(rows: Rows) -> None:
    """Held-out tables, comparison, chart and JSON; measured_run's policies have floors of all questions."""
    measured_run(rows)
    markdown, _, values = written(rows)
    assert "Floor of Acc@t2" in markdown and "| not computed |" in markdown
    assert "its floor is not computed" in markdown.split("## ")[0], "the headline claims no gain"
    for one in evaluations(rows.connection, rows.run):
        floor = {"value": 0.9, "low": None, "high": None, "n": one.n, "by_options": 0.0}
        add_evaluation_metrics(rows.connection, one.id, {"floor_t2": floor})
    markdown, html, values = written(rows)
    lead = markdown.split("## ")[0]
    assert "Acc@t2 rose from 12.5 % to 87.5 %, but guessing reaches 90.0 % without a model" in lead
    assert "this is no gain by reflection" in lead
    held_out = markdown.split("## Held-out results")[1].split("\n## ")[0]
    assert "| Task | Policy | Acc@t1 | Acc@t2 | Floor of Acc@t2 |" in held_out and held_out.count("90.0 %") == 6
    compared = markdown.split("## Child against parent")[1].split("\n## ")[0]
    assert compared.count("90.0 %") == 3, "at turn 2 only"
    assert "Floor of Acc@t2" in html
    assert {one["verdict"] for one in values["gains"]} == {"none"}
    assert all(one["metrics"]["floor_t2"]["value"] == 0.9 for one in values["evaluations"])


def test_numbers_read_well() -> None:
    """A real minus, no minus zero, few digits."""
    assert [duration(seconds) for seconds in (0.4, 48.2, 357, 11_100)] == ["1 s", "48 s", "5 min 57 s", "3 h 05 min"]
    assert [p_value(p) for p in (0.5, 0.0123, 0.0001)] == ["0.50", "0.012", "< 0.001"]
    assert str(points({"value": -0.033, "low": -0.1, "high": 0.04, "n": 12})) == "−3.3 (−10.0 to +4.0, n 12)"


def test_the_command_writes_whole_private_files_and_prints_their_places(rows: Rows, tmp_path: Path) -> None:
    """Twice over the same files; --json prints instead, unless an output path is given too."""
    measured_run(rows)
    runner = CliRunner()
    for _ in range(2):
        done = runner.invoke(app, ["report", "-w", str(tmp_path)])
        assert done.exit_code == 0, done.output
    places = [Path(line) for line in done.output.split()]
    assert [place.name for place in places] == ["run.md", "run.html"]
    assert all(place.stat().st_mode & 0o777 == 0o600 for place in places)
    assert sorted(place.name for place in (tmp_path / "reports").iterdir()) == ["run.html", "run.md"]
    printed = runner.invoke(app, ["report", "-w", str(tmp_path), "--json", "--run", "run"])
    assert json.loads(printed.output)["policies"][1]["name"] == "p01"
    only = runner.invoke(app, ["report", "-w", str(tmp_path), "--format", "md", "--to", str(tmp_path / "a" / "b")])
    assert only.exit_code == 0 and [place.name for place in (tmp_path / "a" / "b").iterdir()] == ["run.md"]


def test_what_cannot_be_reported_is_refused_in_words(rows: Rows, tmp_path: Path) -> None:
    """No workspace, no such run, no such directory: one message each."""
    runner = CliRunner()
    for arguments, words in (
        (["-w", str(tmp_path / "none")], "reflectevo init"),
        (["-w", str(tmp_path), "--run", "other"], "there are: run"),
        (["-w", str(tmp_path), "--to", str(tmp_path / "reflectevo.db" / "x")], "choose another place"),
    ):
        refused = runner.invoke(app, ["report", *arguments])
        assert refused.exit_code == 1 and words in refused.output, refused.output


def test_a_report_needs_no_model_library() -> None:
    """A laptop may have only the base installation."""
    code = (
        "import sys\n"
        "from reflectevo_tui.report import html_page, markdown, report_contents, report_files, sections\n"
        "print([m for m in ('torch', 'transformers', 'numpy', 'pandas', 'scipy', 'engine') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
