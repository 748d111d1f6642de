"""Describes the controls of a policy for the note of the promote gate."""

from __future__ import annotations

import sqlite3

from store.evaluation.number_format import percent
from store.rollouts.control_results import newest_control_results


def control_note(connection: sqlite3.Connection, policy_id: int | None) -> str:
    """Return a clause on the controls of a policy, its `none` arm included; empty if they were not measured."""
    found = None if policy_id is None else newest_control_results(connection, policy_id)
    if found is None:
        return ""
    analysis = found.results["analysis"]
    shares = [
        f"{arm} {percent(analysis['arms'][arm]['overall']['value'])}"
        for arm in ("own", "none")
        if arm in analysis["arms"]
    ]
    beside = f" ({', '.join(shares)} of the wrong answers come right)" if shares else ""
    return f"; controls of {found.policy}: {analysis['sentence']}{beside}"
