"""Checks what the promotion of a child can rest on: its questions, what their number shows, and the training set."""

from __future__ import annotations

from engine.commands.check.findings import Finding
from store.curation.training_settings import TRAINING_SETTINGS
from store.evaluation.number_format import counted
from store.evaluation.power import power_words
from store.settings import RunSettings


def check_promotion(settings: RunSettings) -> list[Finding]:
    """Check the questions that promotion is decided on, by the numbers that the settings request."""
    split = settings.evaluation.split
    trained = [task for task in settings.tasks if task.name not in settings.transfer_tasks]
    n = sum(getattr(task, split) for task in trained)
    found = [
        Finding("ok", "evaluation", f"promotion is decided on {counted(n, f'{split} question')}; {power_words(n)}")
    ]
    if settings.decides_on_reported_questions:
        what = "promotion is decided on the test questions, so their results favour promoted policies"
        found.append(Finding("warning", "evaluation.split", what, "reserve dev questions, e.g. dev = 50 in each task"))
    else:
        found += [
            Finding(
                "warning",
                f"tasks.{task.name}",
                "the task reserves no dev questions, so promotion is decided without it",
                f"set dev = 50 for the task {task.name!r}",
            )
            for task in trained
            if not task.dev
        ]
    return found


def check_training_set(settings: RunSettings) -> list[Finding]:
    """Check whether the settings can give as many training examples as training requires."""
    most = _most_examples(settings)
    minimum = settings.training.min_examples
    if most is None or most >= minimum:
        return []
    what = f"at most {counted(most, 'example')} can be kept for training, fewer than min_examples = {minimum}"
    fix = "raise tasks.train or curation.max_per_question, or lower training.min_examples"
    return [Finding("warning", "training.min_examples", f"{what}: nothing would be trained", fix)]


def _most_examples(settings: RunSettings) -> int | None:
    """Return an upper bound of the training examples of an iteration; None for sets without one."""
    questions = sum(task.train for task in settings.tasks)
    set_name = TRAINING_SETTINGS[settings.training.setting].set_name
    if set_name in ("d_plus", "d_pm"):
        return questions * settings.curation.max_per_question
    if set_name == "d_pref":
        return questions * settings.judge.pairs_per_question
    return None
