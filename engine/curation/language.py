"""Identifies the language of a reflection.

Uses statistics of byte n-grams (py3langid), so the result is deterministic. Code, formulas and numbers are ignored. For
a text that is too short or too mixed the language is undecided, and the text passes the filter.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_FEWEST_BYTES = 40
"""Minimum length in UTF-8 bytes: a few words in Latin script, or fewer characters in a denser script."""

_CERTAIN = 0.9
_NO_LANGUAGE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\\\w+|https?://\S+|[\d_^{}\\=<>+*/|#~]", re.DOTALL
)


def language_of(text: str) -> str | None:
    """Return the ISO 639-1 code of the language of a text, or None if it is undecided."""
    words = " ".join(_NO_LANGUAGE.sub(" ", text).split())
    if len(words.encode("utf-8", "surrogatepass")) < _FEWEST_BYTES:
        return None
    code, confidence = _identifier().classify(words)
    return str(code) if confidence is not None and float(confidence) >= _CERTAIN else None


def check_language(code: str | None) -> None:
    """Check that a language can be recognised.

    Raises:
        EngineError: if the code stands for no language that can be recognised.
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
