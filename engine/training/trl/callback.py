"""Trainer callback for supervision: reports metrics and progress, applies requests to stop, save and pause.

Deliberately small: no terminal, no files but checkpoint markers, no database. The training loop stays the trainer's.
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
"""Called several times a second while paused, and between forward passes, so that heartbeats continue."""

_POLL_SECONDS = 0.2
_TIMINGS = ("_runtime", "_per_second")


class Control(Protocol):
    """Requests to a running training. Polled between optimizer steps, so its methods must be fast."""

    def should_stop(self) -> bool:
        """Return whether to save a checkpoint and end."""
        ...

    def take_save_request(self) -> bool:
        """Return whether a checkpoint was requested, and clear the request."""
        ...

    def is_paused(self) -> bool:
        """Return whether to wait before the next optimizer step."""
        ...


class Supervision(TrainerCallback):  # type: ignore[misc]
    """Reports metrics and progress; saves, pauses and stops between optimizer steps as `control` requests.

    A pause saves a checkpoint first, so that no step is lost if the machine fails meanwhile. With a held-out set, each
    new lowest loss is saved as well, and training ends after `patience` measurements without a lower one. Raises
    EngineError through the trainer when loss or gradient norm is no longer finite.
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
        """Report the current step, which is not 0 after a resume."""
        self._on_step(state.global_step, state.max_steps)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the heartbeat alive between the forward passes of one optimizer step."""
        self._on_idle()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report progress; request a checkpoint (written after this returns) and the end of training where due."""
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
        """Report the metrics of a step. Raises EngineError when the training has diverged."""
        values = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        values = {name: value for name, value in values.items() if not name.endswith(_TIMINGS)}
        if not {"loss", "eval_loss"} & set(values):
            return
        if "eval_loss" in values:
            # The other values repeat the log of the step itself.
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
        """Keep the heartbeat alive while the held-out loss is measured."""
        self._on_idle()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save at each new lowest held-out loss; save and end training when patience runs out."""
        losses = [float(entry["eval_loss"]) for entry in state.log_history if "eval_loss" in entry]
        waited = evaluations_since_best(losses)
        if waited == 0:
            control.should_save = True
        elif self._patience is not None and waited >= self._patience:
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Mark the checkpoint as complete, then wait for as long as the training is paused."""
        if args.output_dir is not None:
            seal(path_of(Path(args.output_dir), state.global_step))
        while self._control.is_paused() and not self._control.should_stop():
            self._control.take_save_request()  # the checkpoint just written is already the newest possible
            self._on_idle()
            time.sleep(_POLL_SECONDS)
        if self._control.should_stop():
            control.should_training_stop = True
