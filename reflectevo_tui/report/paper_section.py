"""The section of a report that shows a run's results beside the paper's main table."""

from __future__ import annotations

from reflectevo_tui.report import paper_results as paper
from reflectevo_tui.report.document import Block, Cell, Paragraph, Section, Table
from reflectevo_tui.report.formatting import percent
from reflectevo_tui.report.report_contents import RunReport
from reflectevo_tui.report.result_sections import NO_FLOOR
from store.evaluation import number_format
from store.evaluation.floors import FLOOR, floor_value


def besides_the_paper(report: RunReport) -> Section | None:
    """Return the section with the paper's numbers on the same tasks; None when no task matches."""
    tasks = report.run.settings.get("tasks")
    matched = {
        str(task["name"]): column
        for task in (tasks if isinstance(tasks, list) else [])
        if isinstance(task, dict) and "name" in task and (column := paper.paper_task(task)) is not None
    }
    ours = [one for one in report.measured if one.task in matched and one.protocol.startswith("oracle/")]
    if not ours:
        return None
    settings = {policy.name: policy.setting for policy in report.policies}
    blocks: list[Block] = [
        Paragraph(
            "Lines marked “the paper” are published numbers of other models, questions and prompts (ReflectEvo, "
            "Findings of ACL 2025, main table), printed here for orientation. Tasks were matched by their names. The "
            "floor is what guessing reaches once an answer is known to be wrong; of the published rows it is computed "
            "where all questions have the same number of options.",
            "note",
        )
    ]
    for column in paper.TASKS:
        rows: list[tuple[Cell, ...]] = [
            (
                "this run",
                report.run.base_model,
                f"{one.policy} · {settings[one.policy]}",
                percent(one.metrics.get("acc_t1")),
                percent(one.metrics.get("acc_t2")),
                floor_value(one.metrics.get(FLOOR)),
            )
            for one in ours
            if matched[one.task] == column
        ]
        if not rows:
            continue
        rows.extend(
            (
                "the paper",
                row.model,
                row.setting,
                *(number_format.percent(None if one is None else one / 100) for one in (row.acc_t1, row.acc_t2)),
                NO_FLOOR if row.floor is None else number_format.percent(row.floor / 100),
            )
            for row in paper.published(column)
        )
        head = ("Source", "Model", "Setting", "Acc@t1", "Acc@t2", "Floor of Acc@t2")
        blocks.append(Table(head, tuple(rows), labels=3, title=column))
    return Section("Beside the paper's table", tuple(blocks))
