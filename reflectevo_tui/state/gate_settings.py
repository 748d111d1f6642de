"""Formats the settings of the stage at a gate, and changes of settings, as TOML. No widgets."""

from __future__ import annotations

from collections.abc import Mapping

from store.curation.training_settings import TRAINING_SETTINGS
from store.records import GateName, JsonObject
from store.runs.stages import STAGE_OF_SECTION


def sections_of_gate(settings: JsonObject, gate: GateName) -> tuple[str, ...]:
    """Return the sections used by a gate's stage, including the judge's when training uses its preference pairs."""
    stage = "evaluate" if gate == "promote" else gate
    sections = [section for section, owner in STAGE_OF_SECTION.items() if owner == stage]
    training = settings.get("training")
    setting = training.get("setting") if isinstance(training, Mapping) else None
    entry = TRAINING_SETTINGS.get(str(setting))
    if not (entry and entry.judged) and "judge" in sections:
        sections.remove("judge")
    return (*sections, "generation") if gate == "attempt" else tuple(sections)


def settings_ahead(settings: JsonObject, gate: GateName) -> str:
    """Return the settings of the waiting stage as TOML."""
    import tomlkit

    sections = sections_of_gate(settings, gate)
    return tomlkit.dumps(
        _without_unset({name: settings[name] for name in sections if isinstance(settings.get(name), Mapping)})
    )


def dump_changes(changes: JsonObject) -> str:
    """Return changed settings as TOML, naming those that were unset."""
    import tomlkit

    unset = [f"# {name} is unset" for name, value in changes.items() if value is None]
    unset += [
        f"# {section}.{name} is unset"
        for section, values in changes.items()
        if isinstance(values, Mapping)
        for name, value in values.items()
        if value is None
    ]
    return "\n".join([tomlkit.dumps(_without_unset(changes)).rstrip(), *unset])


def _without_unset(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values without unset settings, since TOML has no null."""
    return {
        name: _without_unset(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value is not None
    }
