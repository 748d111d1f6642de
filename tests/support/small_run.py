"""Settings that every run of a few questions needs."""

from __future__ import annotations


def small_run(sections: str) -> str:
    """Return the end of the [training] table and the sections after it, for a run that is too small for the defaults.

    It trains on few examples and has too few held-out questions to tell anything, so that its child is promoted unless
    a loss is shown.
    """
    training = "" if "min_examples" in sections else "min_examples = 1\n"
    if "undecided" in sections:
        return training + sections
    if "[evaluation]" in sections:
        return training + sections.replace("[evaluation]", '[evaluation]\nundecided = "promote"')
    return f'{training}{sections}\n[evaluation]\nundecided = "promote"\n'
