"""The base class of every settings section."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

BLANKS_COUNT = "blanks count"
"""Metadata of a setting whose texts may begin or end with blanks, or contain commas."""


class Section(BaseModel):
    """Base of every settings section: immutable, unknown keys are errors, docstrings describe the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
