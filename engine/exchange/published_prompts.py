"""Prompts of imported texts, as stated in their records. They have no stored hash, so they cannot be verified."""

from __future__ import annotations

import sqlite3

from engine.errors import EngineError
from engine.exchange.export_records import imported_records
from engine.exchange.formats import FORMATS, text_of
from engine.prompts.rollout import Message
from store.exchange.export_pages import record_of_attempt, reflections_by_id
from store.exchange.imports import IMPORTED_VERSION
from store.records import StoredAttempt, StoredReflection


def published_prompt(connection: sqlite3.Connection, row: StoredAttempt | StoredReflection) -> dict[str, object]:
    """Return the prompt that a published record states for one of its texts, in the form of a rendered prompt.

    Raises EngineError when the record has none.
    """
    if isinstance(row, StoredReflection):
        attempt_id, wanted = row.attempt_id, "reflection"
    elif row.reflection_id is not None:
        on = reflections_by_id(connection, [row.reflection_id])[row.reflection_id]
        attempt_id, wanted = on.attempt_id, "correction"
    else:
        attempt_id, wanted = row.id, "attempt"
    found = record_of_attempt(connection, attempt_id)
    prompt = None
    if found is not None:
        stored, name = found
        file_format = next(one for one in FORMATS if one == name)
        record = imported_records(connection, [stored], file_format)[0]
        solved = record.get("reason_prompt")
        if wanted == "reflection":
            prompt = record.get("reflect_prompt") or record.get("reflection_prompt")
        elif isinstance(solved, list):
            position = 0 if wanted == "attempt" else 1
            prompt = solved[position] if len(solved) > position else None
        elif wanted == "attempt":
            prompt = solved
    if not prompt:
        raise EngineError(f"this {wanted} was imported, and its record does not hold the prompt it was asked with")
    messages: list[Message] = [{"role": "user", "content": text_of(prompt)}]
    return {"messages": messages, "version": IMPORTED_VERSION, "hash": "", "matches": False}
