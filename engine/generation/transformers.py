"""transformers generator: the fallback where vLLM cannot be installed. Requests are collected into batches.

A batch contains requests with the same sampling parameters and prompts of similar length, because it pads to its
longest prompt and runs to its longest answer. Independent of vLLM, questions and stages.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError, GenerationFailed
from engine.generation.base import Generated, GenerationRequest, apart_from_thought
from engine.models.remote_code import trusts
from engine.models.weights import PolicyWeights
from engine.prompts.chat_format import ChatFormat
from store.settings import GenerationSection

_GATHER_SECONDS = 0.02
"""Time that the first request of a batch waits for further ones."""

_LARGEST_BATCH = 32


@dataclass(slots=True)
class _Waiting:
    request: GenerationRequest
    token_ids: list[int]
    future: asyncio.Future[Generated]
    on_text: Callable[[str], None] | None
    since: float


class TransformersGenerator:
    """Serves one policy with `model.generate`, in batches, on a separate thread."""

    name = "transformers"

    def __init__(self, weights: PolicyWeights, settings: GenerationSection, seed: int) -> None:
        self._weights = weights
        self._settings = settings
        self._seed = seed
        self._model: Any = None
        self._tokenizer: Any = None
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._running = threading.Event()
        self._running.set()
        self._loop_task: asyncio.Task[None] | None = None
        self._batch_size = min(settings.concurrency, _LARGEST_BATCH)

    async def start(self) -> None:
        """Load the merged weights."""
        await asyncio.to_thread(self._load)
        self._loop_task = asyncio.create_task(self._serve())

    def _load(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        weights = self._weights
        # A policy trained for vLLM on a GPU has no merged weights; its adapter is merged here, in memory.
        whole = weights.merged.exists() or weights.adapter is None
        path = str(weights.merged if whole else weights.base)
        dtype: Any = self._settings.dtype
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if dtype == "auto" and device == "cpu":
            dtype = "float32"
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left", trust_remote_code=trusts(path))
            model = AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, use_safetensors=True, trust_remote_code=trusts(path)
            )
            if not whole:
                from peft import PeftModel

                model = PeftModel.from_pretrained(model, str(weights.adapter)).merge_and_unload()
        except (OSError, ValueError) as error:
            raise EngineError(f"transformers can't load {weights.name} from {path}: {error}") from error
        # The settings alone decide how texts are decoded; of the model's own values only the special tokens stay.
        own = model.generation_config
        special = {name: getattr(own, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        model.generation_config = GenerationConfig(**special)
        self._model = model.to(device).eval()
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        torch.manual_seed(self._seed % 2**31)

    async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
        """Queue one request for the next batch and wait for its text."""
        form = ChatFormat(self._tokenizer, self._settings.template, self._settings.system)
        prompt = form.prompt_text(request.messages)
        token_ids = form.tokens(prompt)
        if len(token_ids) >= self._settings.max_model_len:
            raise GenerationFailed(
                f"the prompt has {len(token_ids)} tokens and generation.max_model_len is {self._settings.max_model_len}"
            )
        future: asyncio.Future[Generated] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(request, token_ids, future, on_text, time.monotonic()))
        self._arrived.set()
        return apart_from_thought(await future, opened=form.opens_thought(prompt))

    async def _serve(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            batch = self._take()
            if not batch:
                self._arrived.clear()
                continue
            try:
                results = await asyncio.to_thread(self._generate, batch)
            except Exception as error:  # noqa: BLE001
                if _out_of_memory(error) and self._batch_size > 1:
                    self._batch_size = max(1, self._batch_size // 2)
                    self._waiting = batch + self._waiting
                    continue
                # The error is raised in every caller, because they would wait forever otherwise.
                for item in batch:
                    if not item.future.done():
                        item.future.set_exception(error)
                continue
            for item, result in zip(batch, results, strict=True):
                if not item.future.done():
                    item.future.set_result(result)

    def _take(self) -> list[_Waiting]:
        """Return the next batch: the sampling parameters of the oldest request, prompts of similar length."""
        self._waiting = [item for item in self._waiting if not item.future.done()]
        if not self._waiting:
            return []
        first = self._waiting[0]
        alike = [item for item in self._waiting if item.request.sampling == first.request.sampling]
        alike.sort(key=lambda item: abs(len(item.token_ids) - len(first.token_ids)))
        batch = alike[: self._batch_size]
        chosen = {id(item) for item in batch}
        self._waiting = [item for item in self._waiting if id(item) not in chosen]
        return batch

    def _generate(self, batch: list[_Waiting]) -> list[Generated]:
        import torch

        request = batch[0].request
        inputs = self._tokenizer.pad(
            {"input_ids": [item.token_ids for item in batch]}, padding=True, return_tensors="pt"
        ).to(self._model.device)
        width = int(inputs["input_ids"].shape[1])
        sampling: dict[str, Any] = {
            "do_sample": request.temperature > 0,
            "repetition_penalty": request.repetition_penalty,
        }
        if request.temperature > 0:
            sampling |= {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
            sampling |= {"min_p": request.min_p or None}
        else:
            sampling |= {"temperature": None, "top_p": None, "top_k": None, "min_p": None}
        if request.stop:
            sampling |= {"stop_strings": list(request.stop), "tokenizer": self._tokenizer}
        with torch.inference_mode():
            output = self._model.generate(
                **inputs,
                max_new_tokens=min(request.max_tokens, max(1, self._settings.max_model_len - width)),
                pad_token_id=self._tokenizer.pad_token_id,
                stopping_criteria=[self._hold_or_show(batch[0], width)],
                **sampling,
            )
        ends = self._end_tokens()
        return [self._result(item, row[width:].tolist(), ends) for item, row in zip(batch, output, strict=True)]

    def _result(self, item: _Waiting, new: list[int], ends: set[int]) -> Generated:
        finish_reason = "length"
        for position, token in enumerate(new):
            if token in ends:
                new, finish_reason = new[: position + 1], "stop"
                break
        text = self._tokenizer.decode(new, skip_special_tokens=True)
        if places := [place for stop in item.request.stop if (place := text.find(stop)) >= 0]:
            text, finish_reason = text[: min(places)], "stop"
        return Generated(
            text=text,
            prompt_tokens=len(item.token_ids),
            cached_tokens=0,
            completion_tokens=len(new),
            finish_reason=finish_reason,
            seconds=time.monotonic() - item.since,
            seed=None,
        )

    def _end_tokens(self) -> set[int]:
        configured = self._model.generation_config.eos_token_id
        if configured is None:
            configured = self._tokenizer.eos_token_id
        return set(configured) if isinstance(configured, list) else {configured}

    def _hold_or_show(self, watched: _Waiting, width: int) -> Callable[..., Any]:
        """Return a stopping criterion that never stops: it blocks while paused, and reports one partial text."""
        import torch

        def criterion(input_ids: Any, scores: Any, **_: Any) -> Any:
            self._running.wait()
            if watched.on_text is not None:
                watched.on_text(self._tokenizer.decode(input_ids[0, width:], skip_special_tokens=True))
            return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)

        return criterion

    async def pause(self) -> None:
        """Hold the running batch between two tokens."""
        self._running.clear()

    async def resume(self) -> None:
        """Continue the running batch."""
        self._running.set()

    async def close(self) -> None:
        """End the serving task and drop the model."""
        self._running.set()
        if self._loop_task is not None:
            self._loop_task.cancel()
        self._model = None


def _out_of_memory(error: Exception) -> bool:
    import torch
    from accelerate.utils.memory import should_reduce_batch_size  # type: ignore[import-untyped]

    # `should_reduce_batch_size` recognises the messages of allocators on the CPU and on other devices.
    return isinstance(error, torch.OutOfMemoryError) or bool(should_reduce_batch_size(error))
