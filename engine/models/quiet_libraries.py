"""Disables the progress bars and the telemetry of the model libraries.

Call `quiet_libraries` before code that imports transformers, TRL, datasets or huggingface_hub.
"""

from __future__ import annotations

import os
import sys
import warnings

_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
}


def quiet_libraries() -> None:
    """Disable progress bars and telemetry, for libraries already imported and for those imported later.

    Imports only huggingface_hub, which reads its environment once, at import. Safe to call more than once.
    """
    os.environ.update(_ENVIRONMENT)
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    constants.HF_HUB_DISABLE_TELEMETRY = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disable_progress_bars()
    if "transformers" in sys.modules:
        from transformers.utils import logging

        logging.disable_progress_bar()
    if "datasets" in sys.modules:
        import datasets

        datasets.disable_progress_bars()
