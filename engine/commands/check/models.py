"""Checks whether the models are available and have a chat template, without downloading or converting anything."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from engine.commands.check.findings import Finding
from engine.errors import ModelNotFound
from engine.models.loading import load_tokenizer
from engine.models.lora_targets import EMBEDDINGS_TIED, empty_model, linear_layers, missing_targets, tied_embeddings
from engine.models.resolve import Located, has_chat_template, locate_model, model_cache
from engine.prompts.chat_format import NO_THOUGHT, TemplateFailed, chat_format, check_chat_format
from store.curation.training_settings import TRAINING_SETTINGS
from store.settings import RunSettings
from store.settings.generation import needs_weights


def check_models(settings: RunSettings) -> tuple[list[Finding], int | None]:
    """Check the policy's model and the reflector's.

    Returns:
        The findings, and the size of the policy's weights in bytes (None if unknown).
    """
    name = settings.generation.generator
    if not needs_weights(name):
        return [Finding("ok", "model", f"a {name} run needs no model")], None
    findings, located = _check("model", settings.model)
    path = None if located is None else located.path
    findings += check_lora_targets(settings, path)
    findings += check_template(settings, path)
    for reflects in settings.reflecting_models:
        findings += _check("reflector" if reflects == settings.reflector else "reflection.by", reflects)[0]
    return findings, None if located is None else located.weight_bytes


def check_lora_targets(settings: RunSettings, path: Path | None) -> list[Finding]:
    """Check whether an adapter can be trained on `training.lora_targets` of the model in `path`.

    The model is built without weights. Empty where it is not on this machine yet, or can't be built.
    """
    targets = settings.training.lora_targets
    needed = settings.training.method != "full" and not isinstance(targets, str)
    if path is None or not needed or any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
        return []
    model = empty_model(path)
    if model is None:
        return []
    where, layers = "training.lora_targets", ", ".join(linear_layers(model))
    if tied := tied_embeddings(model, targets):
        return [Finding("error", where, f"{', '.join(tied)} names {EMBEDDINGS_TIED}", "remove it")]
    missing = missing_targets(model, targets)
    if not missing:
        return []
    what = f"the model has no {', '.join(missing)}; its linear layers are: {layers}"
    return [Finding("error", where, what, 'name these, or use "auto" or "all-linear"')]


def check_template(settings: RunSettings, path: Path | None) -> list[Finding]:
    """Check whether the chat template of the model in `path` renders prompts and training targets.

    Empty where the model is not on this machine yet, or transformers is not installed.
    """
    if path is None or not has_chat_template(path) or importlib.util.find_spec("transformers") is None:
        return []
    generation = settings.generation
    try:
        form = chat_format(path, load_tokenizer(path), generation.template, generation.system)
        check_chat_format(form)
        thinks = form.asks_for_thought
    except TemplateFailed as error:
        return [Finding("error", "generation.template", str(error), "see docs/models.md")]
    except (OSError, ValueError, ImportError) as error:
        what = f"the tokenizer can't be loaded: {error}"
        return [Finding("error", "model", what, "check the files of the model")]
    if thinks and TRAINING_SETTINGS[settings.training.setting].row_source == "questions":
        what = f"{NO_THOUGHT}: {settings.training.setting} trains on reference answers"
        return [Finding("error", "generation.template", what, "turn thoughts off, see docs/models.md")]
    return []


def _check(where: str, name: str) -> tuple[list[Finding], Located | None]:
    try:
        located = locate_model(name, model_cache())
    except ModelNotFound as error:
        return [Finding("error", where, str(error), f"correct {where!r} in the settings")], None
    size = "" if located.weight_bytes is None else f", {located.weight_bytes / 2**30:.1f} GiB of weights"
    place = {
        "path": f"is in {located.path}",
        "package": "comes with an installed package" + ("" if located.path else ", converted at the first start"),
        "hub": f"is in the hub's cache ({located.path})"
        if located.path
        else "is on the hub, downloaded at the first start",
    }[located.source]
    found = [Finding("ok", where, f"{name} {place}{size}")]
    if located.chat_template is False:
        fix = "use an instruction-tuned model, or put its template into chat_template.jinja beside the tokenizer"
        found.append(Finding("error", where, f"the tokenizer of {name} has no chat template", fix))
    elif located.chat_template is None and located.source == "hub":
        what = f"whether the tokenizer of {name} has a chat template shows only once it is downloaded"
        found.append(Finding("warning", where, what, "base models often have none; instruction-tuned ones do"))
    return found, located
