"""Trains on a job of `tests.bench.training` as a run does.

python -m tests.bench.training_child sft|worked|dpo JOB
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from engine.training.request import TrainingRequest
from engine.training.train import train
from store.settings import TrainingSection
from tests.bench.training import peak_bytes
from tests.bench.training_rows import rows_of
from tests.engine.training_process import Unhindered


def main() -> None:
    """Train, and print the seconds of the steps and the peak memory of this process."""
    kind: Any = sys.argv[1]
    job = json.loads(Path(sys.argv[2]).read_text())
    settings = TrainingSection.model_validate(
        {name: value for name, value in job.items() if name in TrainingSection.model_fields}
    )
    request = TrainingRequest(
        setting=job["setting"],
        base=Path(job["model"]),
        parent_adapter=None,
        examples=rows_of(kind, job["rows"]),
        settings=settings,
        seed=7,
        work_dir=Path(job["work_dir"]),
        destination=Path(job["work_dir"]).with_name("policy"),
        merge=False,
    )
    times: list[float] = []
    result = train(request, Unhindered(), lambda *_: None, lambda *_: times.append(time.perf_counter()))
    assert result.completed and result.kept == job["rows"]
    print(json.dumps({"seconds": times[-1] - times[0], "peak_bytes": peak_bytes(), "final": result.final}))


if __name__ == "__main__":
    main()
