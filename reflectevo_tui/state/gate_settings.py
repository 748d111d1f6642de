"""The settings of the stages ahead of a gate: which may still change, and their TOML. Knows no widgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from store.records import JsonObject, Stage

_SECTIONS = {
    "attempt": ("attempt", "generation"),
    "reflect": ("reflection",),
    "correct": ("correction",),
    "curate": ("curation",),
    "train": ("training",),
    "evaluate": ("evaluation",),
    "promote": ("evaluation",),
}
"""The sections of the settings that matter at each gate."""

_SECTION_OF = {
    "attempt": "attempt",
    "reflect": "reflection",
    "correct": "correction",
    "curate": "curation",
    "train": "training",
    "evaluate": "evaluation",
}
"""The section that each stage works with."""


def sections_ahead(stages: Iterable[Stage]) -> tuple[str, ...]:
    """The sections of the settings that no stage has begun to work with, so that they may still change."""
    begun = {stage.name for stage in stages if stage.started is not None and stage.state != "failed"}
    return tuple(section for stage, section in _SECTION_OF.items() if stage not in begun)


def settings_ahead(settings: JsonObject, gate: str) -> str:
    """TOML of the settings that the waiting stage would run with."""
    import tomlkit

    sections = {name: settings[name] for name in _SECTIONS[gate] if isinstance(settings.get(name), Mapping)}
    return tomlkit.dumps(_without_unset(sections))


def dump_changes(changes: JsonObject) -> str:
    """TOML of changed settings; what was unset is named."""
    import tomlkit

    unset = [
        f"# {section}.{name} is unset"
        for section, values in changes.items()
        if isinstance(values, Mapping)
        for name, value in values.items()
        if value is None
    ]
    return "\n".join([tomlkit.dumps(_without_unset(changes)).rstrip(), *unset])


def _without_unset(values: Mapping[str, object]) -> dict[str, object]:
    """TOML has no null: a setting that is unset is left out."""
    return {
        name: _without_unset(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value is not None
    }
