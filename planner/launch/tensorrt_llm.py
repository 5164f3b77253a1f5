"""Arguments of `trtllm-serve`, and the YAML file with the settings that have no flag."""

from typing import Any

import yaml

from planner.launch.commands import FIRST_PORT, LISTEN, MODEL_PATH, Command, flags, flags_as_spelt
from planner.launch.serving_settings import ServingSettings

CONFIG_FILE = "trtllm.yaml"
CONFIG_PATH = "${SCRIPT_FOLDER}/" + CONFIG_FILE
HOSTS = "${GANG_HOSTS}"
"""Hosts of the gang with their GPUs, head first, in the format of mpirun: node0:8,node1:8."""


def commands(settings: ServingSettings) -> tuple[Command, ...]:
    """Return one server for each replica of a node; mpirun starts a multi-node replica from its first node."""
    serve = ("trtllm-serve", MODEL_PATH if _quantizes(settings) else settings.checkpoint)
    if settings.nodes_per_gang == 1:
        return tuple(
            Command(
                node_rank=0,
                argv=(*serve, *flags(host=LISTEN, port=FIRST_PORT + replica), *_common(settings)),
                environment=settings.environment(replica),
            )
            for replica in range(settings.replicas_per_gang)
        )
    mpirun = ("mpirun", "-n", str(settings.gpus_per_replica), "-H", HOSTS, "trtllm-llmapi-launch")
    return (
        Command(
            node_rank=0,
            argv=(*mpirun, *serve, *flags(host=LISTEN, port=FIRST_PORT), *_common(settings)),
            environment=settings.environment(0),
        ),
    )


def config(settings: ServingSettings) -> str:
    """Return the content of the file that `--config` names."""
    document: dict[str, Any] = {
        "kv_cache_config": {
            "dtype": "fp8" if settings.kv_cache == "fp8" else "auto",
            "enable_block_reuse": settings.prefix_cache,
        },
    }
    if not settings.enforce_eager:
        document["cuda_graph_config"] = {"enable_padding": True, "max_batch_size": settings.sequences}
    if settings.attention_data > 1:
        document["enable_attention_dp"] = True
    if settings.draft_tokens and settings.drafts_itself:
        document["speculative_config"] = {
            "decoding_type": "MTP",
            "num_nextn_predict_layers": settings.draft_tokens,
        }
    return yaml.safe_dump(document, sort_keys=True)


def notes(settings: ServingSettings) -> tuple[str, ...]:
    """Return notes on what mpirun needs and on deviations of TensorRT-LLM from the plan."""
    notes = []
    if settings.nodes_per_gang > 1:
        notes.append("GANG_HOSTS: hosts of the gang with their GPUs, head first (node0:8,node1:8); mpirun reaches them")
    if _quantizes(settings):
        notes.append("MODEL_PATH: an fp8 checkpoint made by NVIDIA Model Optimizer; TensorRT-LLM does not quantize")
    if settings.attention_data not in (1, settings.tensor):
        notes.append(
            f"the plan has {settings.attention_data} groups of data-parallel attention, TensorRT-LLM {settings.tensor}"
        )
    return tuple(notes)


def _quantizes(settings: ServingSettings) -> bool:
    return settings.weights == "fp8" and not settings.is_prequantized


def _common(settings: ServingSettings) -> tuple[str, ...]:
    return flags_as_spelt(
        backend="pytorch",
        tp_size=settings.tensor,
        pp_size=settings.pipeline,
        ep_size=settings.expert if settings.is_moe else None,
        gpus_per_node=settings.ranks_per_node,
        max_batch_size=settings.sequences,
        max_num_tokens=settings.chunk_tokens,
        max_seq_len=settings.context_tokens,
        kv_cache_free_gpu_memory_fraction=settings.cache_fraction,
        enable_chunked_prefill=settings.chunked_prefill,
        config=CONFIG_PATH,
    )
