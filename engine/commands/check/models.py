"""Checks whether the models are available and have a chat template, without downloading or converting anything."""

from __future__ import annotations

from engine.commands.check.findings import Finding
from engine.errors import ModelNotFound
from engine.models.resolve import Located, locate_model, model_cache
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
    if settings.reflector is not None:
        findings += _check("reflector", settings.reflector)[0]
    return findings, None if located is None else located.weight_bytes


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
