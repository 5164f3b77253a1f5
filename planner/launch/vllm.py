"""Arguments of `vllm serve`."""

import json

from planner.launch.commands import FIRST_PORT, HEAD, LISTEN, Command, flags
from planner.launch.serving_settings import ServingSettings
from provider_catalog.precision import Precision

MASTER_PORT = 29501
RPC_PORT = 13345
_TRANSFER = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
"""KV transfer configuration; it is the same for prefill and decode servers, because the router assigns the roles."""
DTYPE: dict[Precision, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def commands(settings: ServingSettings) -> tuple[Command, ...]:
    """Return one server for each replica of a node, or one process for each node of a replica."""
    if settings.nodes_per_gang == 1:
        return tuple(
            Command(
                node_rank=0,
                argv=(*_start(settings), *flags(host=LISTEN, port=FIRST_PORT + replica), *_common(settings)),
                environment=settings.environment(replica),
            )
            for replica in range(settings.replicas_per_gang)
        )
    return tuple(_of_node(settings, rank) for rank in range(settings.nodes_per_gang))


def _start(settings: ServingSettings) -> tuple[str, ...]:
    return ("vllm", "serve", settings.checkpoint)


def _common(settings: ServingSettings) -> tuple[str, ...]:
    groups = settings.attention_data
    return flags(
        dtype=DTYPE.get(settings.weights, "auto"),
        quantization="fp8" if settings.weights == "fp8" and not settings.is_prequantized else None,
        kv_cache_dtype="fp8" if settings.kv_cache == "fp8" else "auto",
        max_model_len=settings.context_tokens,
        # vLLM's limit applies to each data-parallel group
        max_num_seqs=-(-settings.sequences // groups),
        max_num_batched_tokens=settings.chunk_tokens,
        enable_chunked_prefill=settings.chunked_prefill,
        no_enable_chunked_prefill=not settings.chunked_prefill,
        gpu_memory_utilization=settings.memory_fraction,
        enforce_eager=settings.enforce_eager,
        enable_prefix_caching=settings.prefix_cache,
        no_enable_prefix_caching=not settings.prefix_cache,
        tensor_parallel_size=settings.tensor // groups,
        pipeline_parallel_size=settings.pipeline,
        data_parallel_size=groups if groups > 1 else None,
        enable_expert_parallel=settings.is_moe and settings.expert > 1,
        speculative_config=_speculation(settings),
        kv_transfer_config=_TRANSFER if settings.prefill_replicas else None,
    )


def _speculation(settings: ServingSettings) -> str | None:
    if not settings.draft_tokens or not settings.drafts_itself:
        return None
    return json.dumps({"method": "mtp", "num_speculative_tokens": settings.draft_tokens}, separators=(",", ":"))


def _of_node(settings: ServingSettings, rank: int) -> Command:
    """Return the command of one node. Rank 0 serves requests; the other nodes run without an API server."""
    head = rank == 0
    groups = settings.attention_data
    if groups > 1:
        local = groups // settings.nodes_per_gang
        across = flags(
            data_parallel_size_local=local,
            data_parallel_start_rank=None if head else rank * local,
            data_parallel_address=HEAD,
            data_parallel_rpc_port=RPC_PORT,
        )
    else:
        across = flags(
            distributed_executor_backend="mp",
            nnodes=settings.nodes_per_gang,
            node_rank=rank,
            master_addr=HEAD,
            master_port=MASTER_PORT,
        )
    serve = flags(host=LISTEN, port=FIRST_PORT) if head else flags(headless=True)
    return Command(
        node_rank=rank,
        argv=(*_start(settings), *serve, *_common(settings), *across),
        environment=settings.environment(0),
    )
