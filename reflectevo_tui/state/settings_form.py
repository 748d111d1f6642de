"""Model of the launch form without its widgets: the settings shown, parsing of their texts, and validation.

Help texts, choices and validation come from the settings model. Pure: text in, values out.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from store.errors import SettingsError
from store.records import IterationKind, Stage
from store.runs.stages import open_settings
from store.settings import RunSettings
from store.settings.base import BLANKS_COUNT
from store.settings.one_of import OneOf
from store.settings.run import FIXED_SETTINGS
from store.settings.toml_file import validate_settings

SHOWN = (
    "name",
    "model",
    "pace",
    "gates",
    "iterations",
    "seed",
    "generation.generator",
    "reflection.instructions",
    "reflection.samples",
    "training.setting",
    "training.learning_rate",
    "training.epochs",
)
"""Settings shown in the form, in its order. All others are only in the file."""


@dataclass(frozen=True, slots=True)
class FormField:
    """A setting in the form.

    `choices` is empty for free text; `several` means a list separated by commas; an `optional` setting can be empty;
    `as_json` means that the text is JSON, for tables and for texts in which blanks count.
    """

    key: str
    help: str
    choices: tuple[str, ...]
    several: bool
    optional: bool = False
    as_json: bool = False


def _section_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a section, optional or not; None for a single setting."""
    alternatives = get_args(annotation) if type(None) in get_args(annotation) else ()
    for one in (annotation, *alternatives):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def _optional_section(name: str) -> type[BaseModel] | None:
    """Return the model of an optional section such as `[reuse]`."""
    annotation = RunSettings.model_fields[name].annotation if name in RunSettings.model_fields else None
    return _section_model(annotation) if type(None) in get_args(annotation) else None


def _model_field(key: str) -> Any:
    model: type[BaseModel] = RunSettings
    *sections, name = key.split(".")
    for section in sections:
        inner = _section_model(model.model_fields[section].annotation)
        assert inner is not None
        model = inner
    return model.model_fields[name]


def leaf_keys(names: Iterable[str]) -> tuple[str, ...]:
    """Expand names of settings and sections, including nested ones, to dotted keys in the order of the model."""
    found: list[str] = []

    def walk(key: str, annotation: Any) -> None:
        model = _section_model(annotation)
        if model is None:
            found.append(key)
        else:
            for name, field in model.model_fields.items():
                walk(f"{key}.{name}", field.annotation)

    for name in names:
        walk(name, RunSettings.model_fields[name].annotation)
    return tuple(found)


def open_keys(stages: Iterable[Stage], kind: IterationKind) -> tuple[str, ...]:
    """Return the dotted keys of all settings that can still be changed in an iteration."""
    return tuple(key for key in leaf_keys(open_settings(stages, kind)) if key not in FIXED_SETTINGS)


def form_fields(keys: Sequence[str] = SHOWN) -> tuple[FormField, ...]:
    """Return the fields of a form, with help and choices from the settings model."""
    found = []
    for key in keys:
        field = _model_field(key)
        annotation = field.annotation
        choices = get_args(annotation) if get_origin(annotation) is Literal else ()
        choices = next((one.choices() for one in field.metadata if isinstance(one, OneOf)), choices)
        several = get_origin(annotation) is list or any(get_origin(one) is list for one in get_args(annotation))
        words = (field.description or "").replace("`", "")
        # An optional section without its required settings is omitted.
        removes = field.is_required() and _optional_section(key.partition(".")[0]) is not None
        optional = removes or type(None) in get_args(annotation)
        as_json = get_origin(annotation) is dict or BLANKS_COUNT in field.metadata
        found.append(FormField(key, words, choices, several, optional, as_json))
    return tuple(found)


def value_at(values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key; None when it is missing."""
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def with_value(values: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return a copy of nested values with one dotted key set."""
    first, _, rest = key.partition(".")
    inner = values.get(first)
    changed = with_value(inner if isinstance(inner, Mapping) else {}, rest, value) if rest else value
    return {**values, first: changed}


def shown_text(value: Any, as_json: bool = False) -> str:
    """Return the text of a value in its field."""
    if as_json:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_text(field: FormField, text: str) -> Any:
    """Parse the text of a field; numbers are parsed by the settings model."""
    stripped = text.strip()
    if field.as_json:
        try:
            return json.loads(stripped)
        except ValueError:
            return stripped
    if field.optional and not stripped:
        return None
    if not field.several:
        return stripped
    pieces = [piece.strip() for piece in stripped.split(",") if piece.strip()]
    # `random:2` and `all` are single values, keys such as 1-3-2 form a list.
    words = {"reflection.instructions": ("",), "training.lora_targets": ("all-linear", "auto")}.get(field.key, ())
    if len(pieces) == 1 and not pieces[0][:1].isdigit() and ("" in words or pieces[0] in words):
        return pieces[0]
    return pieces


@dataclass(frozen=True, slots=True)
class Checked:
    """Valid settings, or error messages: by field where there is one, else in `others`."""

    settings: RunSettings | None
    wrong: Mapping[str, str]
    others: tuple[str, ...]


def check(values: Mapping[str, Any], keys: Sequence[str] = SHOWN) -> Checked:
    """Validate all settings; errors in one of `keys` are assigned to its field."""
    try:
        return Checked(validate_settings(_without_emptied(values)), {}, ())
    except SettingsError as error:
        cause = error.__cause__
        if not isinstance(cause, ValidationError):
            return Checked(None, {}, (str(error),))
    wrong: dict[str, str] = {}
    others: list[str] = []
    for one in cause.errors():
        place = ".".join(str(part) for part in one["loc"])
        key = next((key for key in keys if place == key or place.startswith(key + ".")), None)
        # An error of a complete section is shown at its first field.
        key = key or next((key for key in keys if key.startswith(place + ".")), None)
        message = str(one["msg"]).removeprefix("Value error, ")
        if key is None:
            others.append(f"{place}: {message}")
        else:
            wrong.setdefault(key, message)
    return Checked(None, wrong, tuple(others))


def _without_emptied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with those optional sections unset in which a required setting was emptied."""
    found = dict(values)
    for name, section in values.items():
        model = _optional_section(name)
        if model is not None and isinstance(section, Mapping):
            required = [key for key, field in model.model_fields.items() if field.is_required()]
            if any(key in section and section[key] is None for key in required):
                found[name] = None
    return found


def changed_keys(before: Mapping[str, Any], after: RunSettings) -> dict[str, Any]:
    """Return the settings of the form whose value differs from the file's, with the new value."""
    dumped = after.model_dump(mode="json")
    original = check(before).settings
    old = original.model_dump(mode="json") if original else before
    return {key: value_at(dumped, key) for key in SHOWN if value_at(dumped, key) != value_at(old, key)}


def changed_sections(before: RunSettings, after: RunSettings) -> dict[str, Any]:
    """Return the arguments of a `set_settings` directive: the changed settings of each changed section."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    found: dict[str, Any] = {}
    for section, values in new.items():
        if isinstance(values, dict) and isinstance(old[section], dict):
            changed = {name: value for name, value in values.items() if value != old[section].get(name)}
            if changed:
                found[section] = changed
        elif values != old[section]:
            found[section] = values
    return found


def parse(text: str) -> dict[str, Any]:
    """Parse TOML text.

    Raises:
        SettingsError: when it isn't valid TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"it is not valid TOML: {error}") from error
