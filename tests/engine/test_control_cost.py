"""Tests what controls cost: at their default arms at most one and a half times the tokens of the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.commands.render_control_prompt import rerender_control
from engine.commands.render_prompt import rerender
from engine.prompts.rollout import one_stage_beginning
from reflectevo_tui.commands.evaluate import cost_of
from store.settings.toml_file import parse_settings, validate_settings
from tests.engine.test_controls_run import evaluation_of, finished
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]


class PrefixCache:
    """Counts the tokens (here: words) that a generator computes which keeps every prefix that it has computed."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def computed(self, messages: Sequence[Mapping[str, str]], reply: str) -> int:
        """Return the words of a prompt that are in no cached prefix, plus those of the reply."""
        words = [word for one in messages for word in (f"<{one['role']}>", *one["content"].split())]
        prefix, new = 0, 0
        for word in words:
            prefix = hash((prefix, word))
            new += prefix not in self._known
            self._known.add(prefix)
        return new + len(reply.split())


def test_controls_cost_at_most_half_as_much_again_as_the_evaluation(harness: Make, tmp_path: Path) -> None:
    """Counted with the prefix cache over every text, the policy's own judgement included."""
    text = quiz_settings(tmp_path, train=4, test=30)
    one = harness(text)
    one.start()
    one.issue("evaluate", **evaluation_of(text, judgement_samples=8))
    one.wait(lambda: finished(one))
    cache = PrefixCache()

    def spent(rows: Sequence[tuple[int, str]], render: Callable[[int], Mapping[str, Any]]) -> int:
        return sum(cache.computed(render(row_id)["messages"], reply) for row_id, reply in rows)

    evaluation = spent(
        one.rows("SELECT id, reasoning FROM attempts ORDER BY id"),
        lambda row_id: rerender(one.workspace, attempt_id=row_id, reflection_id=None),
    ) + spent(
        one.rows("SELECT id, text FROM reflections ORDER BY id"),
        lambda row_id: rerender(one.workspace, attempt_id=None, reflection_id=row_id),
    )
    controls = spent(
        one.rows("SELECT id, text FROM control_texts WHERE reused_from IS NULL ORDER BY id"),
        lambda row_id: rerender_control(one.workspace, row_id),
    )
    assert 0 < controls <= 1.5 * evaluation, f"{controls / evaluation:.2f}"


def test_the_cost_that_is_printed_first_is_what_is_generated(harness: Make, tmp_path: Path) -> None:
    """Before the evaluation it is estimated; afterwards the wrong answers are counted and the number is exact."""
    text = quiz_settings(tmp_path, train=4, test=20)
    one = harness(text)
    values = parse_settings(text).model_dump(mode="json")
    values["evaluation"]["controls"] |= {"enabled": True, "judgement_samples": 2}
    settings = validate_settings(values)
    before = cost_of(one.workspace, settings, None)
    assert not before.counted and before.questions == 20 and "about" in before.words
    one.start()
    one.issue("evaluate", settings=parse_settings(text).model_dump(mode="json"))
    one.wait(lambda: finished(one))
    after = cost_of(one.workspace, settings, None)
    one.issue("evaluate", **evaluation_of(text))
    one.wait(lambda: finished(one, 2))
    generated = one.rows("SELECT count(*) FROM control_texts WHERE reused_from IS NULL")[0][0]
    assert after.counted and after.texts == generated


def test_a_policy_that_reflects_and_corrects_in_one_reply_has_its_own_correction_already(
    harness: Make, tmp_path: Path
) -> None:
    """`own` is the second try of the evaluation's reply. Without a retry in the evaluation `none` is generated. Each
    time the number printed beforehand is the number of texts that are generated.
    """
    text = quiz_settings(tmp_path, sections='[evaluation]\npromote = "always"', train=8, test=12)
    one = harness(text)
    one.start()
    one.run()
    one.wait(lambda: (one.status()["iteration"] or {}).get("state") == "done")
    wrong: list[int] = []
    for number, changes in enumerate(({}, {"retry_baseline": False}), start=1):
        arguments = evaluation_of(text, evaluation=changes)
        values = arguments["settings"] | {"evaluation": arguments["evaluation"]}
        if changes:
            plain = {**values["evaluation"], "controls": {**values["evaluation"]["controls"], "enabled": False}}
            one.issue("evaluate", policy="p01", settings=arguments["settings"], evaluation=plain)
            one.wait(lambda: finished(one, 2))
            number += 1
        before = one.rows("SELECT count(*) FROM control_texts WHERE reused_from IS NULL")[0][0]
        cost = cost_of(one.workspace, validate_settings(values), "p01")
        one.issue("evaluate", policy="p01", **arguments)
        one.wait(lambda number=number: finished(one, number))  # type: ignore[misc]
        generated = one.rows("SELECT count(*) FROM control_texts WHERE reused_from IS NULL")[0][0] - before
        wrong.append(cost.wrong)
        assert cost.counted and cost.wrong > 0 and cost.unfinished == 0
        assert cost.texts == generated, changes
    reused = one.rows("SELECT arm, sample, count(*) FROM control_texts WHERE reused_from IS NOT NULL GROUP BY 1, 2")
    assert sorted(reused) == [("none", 0, wrong[0]), ("own", 0, sum(wrong))]
    repeats = one.rows(
        "SELECT c.id, a.reasoning, r.text FROM control_texts c JOIN attempts a ON a.id = c.attempt_id"
        " JOIN reflections r ON r.id = c.reflection_id WHERE c.arm = 'own' AND c.sample = 1"
    )
    assert len(repeats) == sum(wrong)
    for control, attempt, reflection in repeats:
        rendered = rerender_control(one.workspace, control)
        messages: Any = rendered["messages"]
        assert rendered["matches"]
        assert [message["content"] for message in messages if message["role"] == "assistant"] == [
            attempt,
            one_stage_beginning(reflection),
        ], "a repeat continues the same reply"
