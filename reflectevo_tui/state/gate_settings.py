"""The settings that the stage at a gate would run with, and changes of settings, as TOML. Knows no widgets."""

from __future__ import annotations

from collections.abc import Mapping

from store.curation.training_settings import TRAINING_SETTINGS
from store.records import GateName, JsonObject
from store.runs.stages import STAGE_OF_SECTION


def sections_of_gate(settings: JsonObject, gate: GateName) -> tuple[str, ...]:
    """The sections that a gate's stage works with. The judge is among them where the training takes its pairs."""
    stage = "evaluate" if gate == "promote" else gate
    sections = [section for section, owner in STAGE_OF_SECTION.items() if owner == stage]
    training = settings.get("training")
    setting = training.get("setting") if isinstance(training, Mapping) else None
    entry = TRAINING_SETTINGS.get(str(setting))
    if not (entry and entry.judged) and "judge" in sections:
        sections.remove("judge")
    return (*sections, "generation") if gate == "attempt" else tuple(sections)


def settings_ahead(settings: JsonObject, gate: GateName) -> str:
    """TOML of the settings that the waiting stage would run with."""
    import tomlkit

    sections = sections_of_gate(settings, gate)
    return tomlkit.dumps(
        _without_unset({name: settings[name] for name in sections if isinstance(settings.get(name), Mapping)})
    )


def dump_changes(changes: JsonObject) -> str:
    """TOML of changed settings; what was unset is named."""
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
    """TOML has no null: a setting that is unset is left out."""
    return {
        name: _without_unset(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value is not None
    }
