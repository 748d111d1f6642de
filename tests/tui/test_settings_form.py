"""Tests the model of the launch form: editing a settings file, and the help of every field."""

from __future__ import annotations

from reflectevo_tui.engine_client.launch import edited
from reflectevo_tui.state import settings_form


def test_editing_makes_missing_sections() -> None:
    text = edited("# top\nname = 'a'\n", {"training.epochs": 2.0, "name": "b"})
    assert "# top" in text and settings_form.parse(text) == {"name": "b", "training": {"epochs": 2.0}}


def test_every_field_of_the_form_has_help() -> None:
    assert all(one.help for one in settings_form.form_fields())
    assert {one.key: one.choices for one in settings_form.form_fields()}["pace"] == ("flow", "step")
