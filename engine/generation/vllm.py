"""vLLM generator: AsyncLLM, so that every request joins the running batch immediately, without a barrier.

On a GPU a policy is served as base + LoRA under a unique id and path, because the prefix cache is keyed by both. On a
CPU the merged weights are served: LoRA was measured to be eight times slower there.
Uses vLLM directly; independent of training.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import EngineError, GenerationFailed
from engine.generation.base import Generated, GenerationRequest, apart_from_thought
from engine.models.remote_code import trusts
from engine.models.weights import PolicyWeights
from engine.prompts.chat_format import ChatFormat
from store.settings import GenerationSection

CPU_BLOCK_TOKENS = 32
"""Tokens per cache block on CPU; with vLLM's default of 128, short prompts share hardly any prefix."""

_PATIENCE_SECONDS = 3600
"""Timeout for the start of vLLM's engine and for a step; its defaults of 600 s and 300 s are exceeded under load."""

_RESERVE_FROM = 8
"""Number of cores from which vLLM reserves one for its front end; with fewer, every core computes."""


def cpu_cores() -> list[int]:
    """Return one logical CPU for each physical core that this process may use."""
    chosen: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        try:
            siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
        except OSError:
            siblings = str(cpu)
        chosen.setdefault(siblings, cpu)
    return list(chosen.values())


def cpu_dtype() -> str:
    """Return `bfloat16` where the processor multiplies it natively, else `float32`.

    Without such instructions bfloat16 is emulated: 34 tokens/s against 180 in float32, measured on an AVX2 machine with
    SmolLM2-135M and 64 concurrent requests.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    return "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def set_cpu_environment(settings: GenerationSection) -> None:
    """Set the environment that vLLM's CPU backend reads when it is imported. Variables set by the user are kept."""
    cores = cpu_cores()
    if len(cores) < _RESERVE_FROM:
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(str(core) for core in cores))
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(max(1, round(settings.memory_gib))))
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    # Long timeouts, because a loaded machine is slow, not broken; the supervisor's watchdog detects hangs.
    os.environ.setdefault("VLLM_ENGINE_READY_TIMEOUT_S", str(_PATIENCE_SECONDS))
    os.environ.setdefault("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", str(_PATIENCE_SECONDS))
    # setproctitle overwrites the environment block, including the tag by which the supervisor finds its children.
    os.environ.setdefault("SPT_NOENV", "1")


class VllmGenerator:
    """Serves one policy with vLLM's asynchronous engine."""

    name = "vllm"

    def __init__(self, weights: PolicyWeights, settings: GenerationSection, seed: int) -> None:
        self._weights = weights
        self._settings = settings
        self._seed = seed
        self._engine: Any = None
        self._format: ChatFormat | None = None
        self._lora: Any = None
        self._seeds_requests = False

    async def start(self) -> None:
        """Import vLLM, start its engine process and load the weights."""
        set_cpu_environment(self._settings)
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise EngineError(
                f"vLLM is installed but can't be imported ({error}); reinstall it, "
                "or set generation.generator to 'transformers'"
            ) from error
        settings, weights = self._settings, self._weights
        on_cpu = current_platform.is_cpu()
        arguments: dict[str, Any] = {
            "model": str(weights.merged),
            "seed": self._seed % 2**31,
            "max_model_len": settings.max_model_len,
            "max_num_seqs": settings.concurrency,
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "dtype": settings.dtype,
            "load_format": "safetensors",
            "trust_remote_code": trusts(weights.merged if weights.adapter is None else weights.base),
            # The settings alone decide how texts are decoded; by default vLLM takes sampling from the model's files.
            "generation_config": "vllm",
        }
        if on_cpu:
            arguments |= {"enforce_eager": True, "block_size": CPU_BLOCK_TOKENS}
            if settings.dtype == "auto":
                arguments["dtype"] = cpu_dtype()
        else:
            self._seeds_requests = True
            arguments["gpu_memory_utilization"] = settings.gpu_memory_share
            if weights.adapter is not None:
                from vllm.lora.request import LoRARequest

                arguments |= {"model": str(weights.base), "enable_lora": True, "max_lora_rank": _rank(weights.adapter)}
                self._lora = LoRARequest(weights.name, weights.adapter_id, str(weights.adapter))
        try:
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except (ValueError, OSError, RuntimeError) as error:
            raise EngineError(f"vLLM can't serve {weights.name} from {arguments['model']}: {error}") from error
        self._format = ChatFormat(self._engine.get_tokenizer(), settings.template, settings.system)

    async def generate(self, request: GenerationRequest, on_text: Callable[[str], None] | None = None) -> Generated:
        """Generate one text; joins the running batch."""
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        started = time.monotonic()
        assert self._format is not None
        prompt = self._format.prompt_text(request.messages)
        token_ids = self._format.tokens(prompt)
        room = self._settings.max_model_len - len(token_ids)
        if room < 1:
            raise GenerationFailed(
                f"the prompt has {len(token_ids)} tokens and generation.max_model_len is {self._settings.max_model_len}"
            )
        parameters = SamplingParams(
            max_tokens=min(request.max_tokens, room),
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            min_p=request.min_p,
            repetition_penalty=request.repetition_penalty,
            stop=list(request.stop),
            # On CPU a seeded request with temperature crashes the engine, so only the engine is seeded there.
            seed=request.seed % 2**31 if self._seeds_requests else None,
            output_kind=RequestOutputKind.FINAL_ONLY if on_text is None else RequestOutputKind.CUMULATIVE,
        )
        last: Any = None
        async for output in self._engine.generate(
            {"prompt_token_ids": token_ids}, parameters, uuid.uuid4().hex, lora_request=self._lora
        ):
            last = output
            if on_text is not None:
                on_text(output.outputs[0].text)
        final = last.outputs[0]
        generated = Generated(
            text=final.text,
            prompt_tokens=len(token_ids),
            cached_tokens=last.num_cached_tokens or 0,
            completion_tokens=len(final.token_ids),
            finish_reason=final.finish_reason or "",
            seconds=time.monotonic() - started,
            seed=request.seed if self._seeds_requests else None,
        )
        return apart_from_thought(generated, opened=self._format.opens_thought(prompt))

    async def pause(self) -> None:
        """Pause the scheduler; requests in flight keep their position and their cache."""
        await self._engine.pause_generation(mode="keep", clear_cache=False)

    async def resume(self) -> None:
        """Resume the scheduler."""
        await self._engine.resume_generation()

    async def close(self) -> None:
        """Shut down vLLM's processes."""
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None


def _rank(adapter: Path) -> int:
    """Return the smallest maximum rank of vLLM that fits the adapter; the default of 16 rejects larger ones."""
    import json

    rank = int(json.loads((adapter / "adapter_config.json").read_text())["r"])
    for size in (8, 16, 32, 64, 128, 256, 320, 512):
        if rank <= size:
            return size
    raise EngineError(f"the adapter in {adapter} has rank {rank}; vLLM serves at most 512")
