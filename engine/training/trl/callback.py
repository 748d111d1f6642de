"""The seam between a running trainer and whoever supervises it: metrics and progress out, stop, save and pause in.

Lean on purpose: no terminal, no files but checkpoint markers, no database. The trainer keeps its own loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from engine.errors import EngineError
from engine.training.checkpoints import path_of, seal
from engine.training.held_out import evaluations_since_best

OnMetrics = Callable[[int, dict[str, float]], None]
"""Called with a step and its metrics: after each optimizer step (`loss`, `grad_norm`, `rewards/margins`, …), and after
each measurement of the held-out loss (`eval_loss`, …)."""
OnStep = Callable[[int, int], None]
"""Called with (optimizer steps done, steps in all), also at the start."""
OnIdle = Callable[[], None]
"""Called several times a second while paused and between forward passes, so that heartbeats go on."""

_POLL_SECONDS = 0.2
_TIMINGS = ("_runtime", "_per_second")


class Control(Protocol):
    """What the supervising side wants of a running training. Asked between optimizer steps; must be quick."""

    def should_stop(self) -> bool:
        """Whether to save a checkpoint and end."""
        ...

    def take_save_request(self) -> bool:
        """Whether a checkpoint was asked for; asking takes the request away."""
        ...

    def is_paused(self) -> bool:
        """Whether to wait before the next optimizer step."""
        ...


class Supervision(TrainerCallback):  # type: ignore[misc]
    """Streams metrics and progress; saves, pauses and stops between optimizer steps as `control` says.

    A pause saves a checkpoint first, so that nothing is lost if the machine goes down meanwhile. With a held-out
    set, each lowest loss is saved too, and after `patience` measurements without a lower one training ends. Raises
    EngineError out of the trainer when loss or gradient stops being a finite number.
    """

    def __init__(
        self, control: Control, on_metrics: OnMetrics, on_step: OnStep, on_idle: OnIdle, patience: int | None = None
    ) -> None:
        self._control = control
        self._patience = patience
        self._on_metrics = on_metrics
        self._on_step = on_step
        self._on_idle = on_idle

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report where the training stands, which after a resume is not step 0."""
        self._on_step(state.global_step, state.max_steps)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A sign of life between the forward passes of one optimizer step."""
        self._on_idle()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report progress; turn requests into a checkpoint (written after this returns) and, if asked, the end."""
        self._on_step(state.global_step, state.max_steps)
        if self._control.should_stop():
            control.should_save = True
            control.should_training_stop = True
        if self._control.take_save_request() or self._control.is_paused():
            control.should_save = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Pass the metrics of a step on. Raises EngineError when the training has diverged."""
        values = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        values = {name: value for name, value in values.items() if not name.endswith(_TIMINGS)}
        if not {"loss", "eval_loss"} & set(values):
            return
        if "eval_loss" in values:
            # Everything else in it repeats what the step itself said.
            values = {name: value for name, value in values.items() if name.startswith("eval_")}
        for name in ("loss", "grad_norm", "eval_loss"):
            if not math.isfinite(values.get(name, 0.0)):
                raise EngineError(
                    f"training diverged: {name} is {values[name]} at step {state.global_step} of {state.max_steps}. "
                    "Lower the learning rate; the checkpoint before this step is kept."
                )
        self._on_metrics(state.global_step, {name: value for name, value in values.items() if math.isfinite(value)})

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A sign of life while the held-out loss is measured."""
        self._on_idle()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save where the held-out loss is lowest; end, with a checkpoint that shows it, when patience runs out."""
        losses = [float(entry["eval_loss"]) for entry in state.log_history if "eval_loss" in entry]
        waited = evaluations_since_best(losses)
        if waited == 0:
            control.should_save = True
        elif self._patience is not None and waited >= self._patience:
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Mark the checkpoint as whole, then wait here for as long as the training is paused."""
        if args.output_dir is not None:
            seal(path_of(Path(args.output_dir), state.global_step))
        while self._control.is_paused() and not self._control.should_stop():
            self._control.take_save_request()  # the checkpoint just written is the newest there can be
            self._on_idle()
            time.sleep(_POLL_SECONDS)
        if self._control.should_stop():
            control.should_training_stop = True
