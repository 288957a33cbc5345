"""How vLLM is started on this machine: its environment, its arguments, its share of the memory.

Invariant: vLLM is imported by `create_arguments` only, after its environment was set.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING

from app.backend.errors import BadInput
from app.machine import memory_gib
from app.settings import EngineSettings

if TYPE_CHECKING:
    from vllm import AsyncEngineArgs

_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # For the engine's processes: what torch deprecates and how it binds memory needs nobody's attention, nor does the
    # shared memory of a core that was told to end. Errors still show.
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore:resource_tracker:UserWarning",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
_GIB = 2**30
_CPU_BLOCK = 32
"""Tokens of a cache block on a CPU. vLLM's own 128 makes shared prefixes shorter than that never hit."""


def create_arguments(settings: EngineSettings, model: str, retriever_gib: float) -> AsyncEngineArgs:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"vllm\.")
    logging.getLogger("vllm").setLevel(logging.ERROR)  # what it says before it has read its own settings
    from vllm import AsyncEngineArgs
    from vllm.platforms import current_platform

    atexit.register(_fall_silent)

    arguments = AsyncEngineArgs(
        model=model,
        dtype=settings.dtype,
        quantization=settings.quantization,
        kv_cache_dtype=settings.kv_cache_dtype,
        max_model_len=settings.max_model_len,
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        block_size=settings.block_size,
        tensor_parallel_size=settings.tensor_parallel_size,
        enforce_eager=settings.enforce_eager,
        trust_remote_code=False,
        use_tqdm_on_load=False,
    )
    if current_platform.is_cpu():
        arguments.block_size = settings.block_size or _CPU_BLOCK
        arguments.kv_cache_memory_bytes = int((settings.kv_cache_gib or _modest_gib()) * _GIB)
    else:
        total_gib = current_platform.get_device_total_memory() / _GIB
        arguments.gpu_memory_utilization = reserve(total_gib, retriever_gib, settings.gpu_memory_utilization)
    return arguments


def reserve(total_gib: float, retriever_gib: float, utilization: float) -> float:
    """The fraction of a GPU that vLLM may take when `utilization` of it is shared with the retriever."""
    left = utilization - retriever_gib / total_gib
    if left < 0.1:
        raise BadInput(
            f"The retriever's {retriever_gib:g} GiB leave too little of the GPU's {total_gib:.0f} GiB to the engine;"
            " lower retrieval.gpu_memory_gib."
        )
    return left


def _modest_gib() -> float:
    """Room for the cache on a CPU when none is set: vLLM itself would claim nearly all memory."""
    return min(4.0, memory_gib() / 8)


def _fall_silent() -> None:
    """Nothing more on stderr, now that the process ends: triton's bindings would report forty lines of leaks there."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
