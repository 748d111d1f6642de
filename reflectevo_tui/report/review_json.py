"""Error kinds and localisation as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from store.curation.review_analysis import ErrorShares, ReviewedErrors
from store.curation.reviews import ERROR_KINDS


def reviewed_errors_as_json(found: Sequence[ReviewedErrors]) -> list[dict[str, Any]]:
    """Return the shares as plain JSON values, with error kinds by name."""
    return [
        {
            "iteration": one.iteration,
            "policy": one.policy,
            "task": one.task,
            "reviewers": one.reviewers,
            "not_counted": one.not_counted,
            "reviewed": _shares(one.reviewed),
            "sample": None
            if one.sample is None
            else {
                "size": one.sample.size,
                "seed": one.sample.seed,
                "drawn": one.sample.drawn,
                "covered": one.sample.shares.covered,
                **_shares(one.sample.shares),
            },
        }
        for one in found
    ]


def _shares(shares: ErrorShares) -> dict[str, Any]:
    return {
        "read": shares.read,
        "error_kinds": {ERROR_KINDS[kind - 1]: asdict(share) for kind, share in shares.kinds.items()},
        "names_error": {word: asdict(share) for word, share in shares.names.items()},
    }
