"""Arguments of `python3 -m sglang.launch_server`."""

from planner.launch.commands import FIRST_PORT, HEAD, LISTEN, NODE_RANK, ROLE, Command, flags
from planner.launch.serving_settings import ServingSettings
from planner.launch.vllm import DTYPE

INIT_PORT = 20000


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
    return (
        Command(
            node_rank=None,
            argv=(
                *_start(settings),
                *flags(host=LISTEN, port=FIRST_PORT),
                *_common(settings),
                *flags(dist_init_addr=f"{HEAD}:{INIT_PORT}", nnodes=settings.nodes_per_gang, node_rank=NODE_RANK),
            ),
            environment=settings.environment(0),
        ),
    )


def _start(settings: ServingSettings) -> tuple[str, ...]:
    return ("python3", "-m", "sglang.launch_server", "--model-path", settings.checkpoint)


def _common(settings: ServingSettings) -> tuple[str, ...]:
    drafts = settings.draft_tokens if settings.drafts_itself else 0
    return flags(
        dtype=DTYPE.get(settings.weights, "auto"),
        quantization="fp8" if settings.weights == "fp8" and not settings.is_prequantized else None,
        kv_cache_dtype="fp8_e4m3" if settings.kv_cache == "fp8" else "auto",
        context_length=settings.context_tokens,
        max_running_requests=settings.sequences,
        chunked_prefill_size=settings.chunk_tokens if settings.chunked_prefill else -1,
        mem_fraction_static=settings.static_fraction,
        disable_cuda_graph=settings.enforce_eager,
        disable_radix_cache=not settings.prefix_cache,
        tensor_parallel_size=settings.tensor,
        pipeline_parallel_size=settings.pipeline,
        expert_parallel_size=settings.expert if settings.is_moe and settings.expert > 1 else None,
        attention_data_parallel_size=settings.attention_data if settings.attention_data > 1 else None,
        disaggregation_mode=ROLE if settings.prefill_replicas else None,
        disaggregation_transfer_backend="nixl" if settings.prefill_replicas else None,
        speculative_algorithm="NEXTN" if drafts else None,
        speculative_num_steps=drafts or None,
        speculative_eagle_topk=1 if drafts else None,
        speculative_num_draft_tokens=drafts + 1 if drafts else None,
    )
