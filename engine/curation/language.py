"""Which language a reflection is written in, as far as that can be told.

Statistics over byte n-grams (py3langid): the same text always gives the same answer. Code, formulas and numbers are no
language and left aside; a text too short or too mixed to tell is undecided, and undecided passes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_FEWEST_BYTES = 40
"""In UTF-8: a few words of a Latin script, fewer signs of one that says more with each."""

_CERTAIN = 0.9
_NO_LANGUAGE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\\\w+|https?://\S+|[\d_^{}\\=<>+*/|#~]", re.DOTALL
)


def language_of(text: str) -> str | None:
    """ISO 639-1 code of the language of a text, or None where it can't be told."""
    words = " ".join(_NO_LANGUAGE.sub(" ", text).split())
    if len(words.encode("utf-8", "surrogatepass")) < _FEWEST_BYTES:
        return None
    code, confidence = _identifier().classify(words)
    return str(code) if confidence is not None and float(confidence) >= _CERTAIN else None


def check_language(code: str | None) -> None:
    """Check that a language can be told from others at all.

    Raises:
        EngineError: for a code that stands for no language which can be recognised.
    """
    if code is not None and code not in _identifier().labels:
        raise EngineError(
            f"curation.language is {code!r}, which is no language that can be recognised; use an ISO 639-1 code such "
            "as 'en', 'de' or 'zh', or leave the setting out to take reflections in any language"
        )


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
