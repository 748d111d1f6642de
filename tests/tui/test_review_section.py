"""Tests the report's section on error kinds and localisation, in all three forms."""

from __future__ import annotations

import json

from store.curation.review_queue import draw_queue
from store.curation.reviews import Sample, add_review
from tests.support.measured import measured_run
from tests.support.rows import Rows
from tests.tui.test_report import Parsed, rows, written

__all__ = ["rows"]

TITLE = "Error kinds and localisation"


def test_a_run_without_such_reviews_says_how_to_get_them(rows: Rows) -> None:
    markdown, _, values = written(rows)
    assert TITLE not in markdown and values["reviewed_errors"] == [], "nothing was reflected on"
    measured_run(rows)
    rows.connection.execute("DELETE FROM reviews")
    markdown, page, values = written(rows)
    assert values["reviewed_errors"] == []
    section = markdown.split(f"## {TITLE}")[1].split("\n## ")[0]
    assert "random sample on the Review screen" in section and "|" not in section
    assert TITLE in page


def test_decisions_without_marks_are_no_shares(rows: Rows) -> None:
    measured_run(rows)
    rows.connection.execute("UPDATE reviews SET error_kind = NULL")
    markdown, _, values = written(rows)
    assert "No review of this run records a kind of error" in markdown
    overall = next(one for one in values["reviewed_errors"] if (one["iteration"], one["task"]) == (1, ""))
    assert overall["reviewed"] == {"read": 2, "error_kinds": {}, "names_error": {}}


def test_the_sample_and_everything_read_are_shown_apart(rows: Rows) -> None:
    """The sample is weighted; a reflection read outside it counts only in the second part."""
    measured_run(rows)
    rows.connection.execute("DELETE FROM reviews")
    sample = Sample(4, 3)
    queue = draw_queue(rows.connection, rows.iteration, sample.size, sample.seed)
    for item in queue.items:
        names = "yes" if item.transition == "i→c" else "no"
        add_review(rows.connection, item.reflection_id, "accept", error_kind=9, names_error=names, sample=sample)
    drawn = {item.reflection_id for item in queue.items}
    (outside, *_) = [
        row[0]
        for row in rows.connection.execute("SELECT id FROM reflections WHERE protocol = ''")
        if row[0] not in drawn
    ]
    add_review(rows.connection, outside, "accept", names_error="partly", reviewer="you@here")
    markdown, page, values = written(rows)
    section = markdown.split(f"## {TITLE}")[1].split("\n## ")[0]
    assert "4 of 4, seed 3" in section and "Names the error" in section and "Other" in section
    assert "33.3 %" in section, "2 of 6 reflections are i→c, though half of the sample is"
    assert "Calculation" not in section, "a kind that no review has is no column"
    text = " ".join("".join(Parsed(page).text).split())
    assert "All reviewed reflections" in text and "4 of 4, seed 3" in text
    overall = next(one for one in values["reviewed_errors"] if (one["iteration"], one["task"]) == (1, ""))
    assert (overall["reviewed"]["read"], overall["sample"]["read"], overall["sample"]["drawn"]) == (5, 4, 4)
    assert overall["reviewed"]["names_error"]["yes"]["value"] == 0.4 and overall["reviewers"] == 2
    assert overall["sample"]["error_kinds"]["other"]["value"] == 1.0
    assert json.loads(json.dumps(values["reviewed_errors"])) == values["reviewed_errors"]


def test_a_policy_of_one_iteration_is_not_shown_twice(rows: Rows) -> None:
    measured_run(rows)
    markdown, _, values = written(rows)
    section = markdown.split(f"## {TITLE}")[1].split("\n## ")[0]
    assert "| all | p00" not in section and "Logical coherence" in section
    assert {one["iteration"] for one in values["reviewed_errors"]} == {1, None}
