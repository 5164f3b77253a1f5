"""`llmcluster size`: how many parameters and bytes a model has."""

import click

from llmcluster.commands.options import json_option
from llmcluster.errors import exit_codes


@click.command(short_help="Print the parameters and bytes of a model.")
@click.argument("model")
@click.option("--weights", default=None, help="Format of the weights. Default: the published format.")
@click.option("--experts", default=None, help="Format of the routed experts. Default: the format of the weights.")
@click.option("--keep", multiple=True, help="Keep these in 16 bits: attention, mlp, experts, or layers such as 0-2.")
@click.option("--kv-cache", default="bf16", show_default=True, help="Format of the KV cache.")
@click.option("--context", type=int, default=None, help="Tokens per sequence. Default: 8192, or the model's limit.")
@click.option("--concurrency", type=int, default=16, show_default=True, help="Sequences in the KV cache at once.")
@click.option("--guide", is_flag=True, help="Also print the hardware guide's rules of thumb next to our figures.")
@click.option("--exact", is_flag=True, help="Count by instantiating the model (pip install 'llmcluster[exact]').")
@click.option(
    "--fleet/--no-fleet", default=None, help="Print how many GPUs serve or train it. Default: in text, not in JSON."
)
@click.option("--gpu", default=None, help="Also print what an engine holds on GPUs of this kind, such as H100.")
@click.option("--tp", type=int, default=None, help="Tensor-parallel degree on --gpu. Default: 1.")
@click.option("--pp", type=int, default=None, help="Pipeline stages on --gpu. Default: 1.")
@click.option("--ep", type=int, default=None, help="Expert-parallel degree on --gpu. Default: whole experts.")
@click.option("--engine", default=None, help="Serving engine on --gpu: vllm (default), sglang or tensorrt-llm.")
@click.option("--engine-version", default=None, help="Version of the engine, such as 0.19. Default: the newest known.")
@click.option("--gpu-memory-utilization", type=float, default=None, help="Memory setting of the engine.")
@click.option("--max-num-batched-tokens", type=int, default=None, help="Token budget of an iteration of the engine.")
@click.option("--max-num-seqs", type=int, default=None, help="Most sequences in an iteration of the engine.")
@click.option("--enforce-eager", is_flag=True, help="Start the engine without CUDA graphs.")
@json_option
def size(
    model: str,
    weights: str | None,
    experts: str | None,
    keep: tuple[str, ...],
    kv_cache: str,
    context: int | None,
    concurrency: int,
    guide: bool,
    exact: bool,
    fleet: bool | None,
    gpu: str | None,
    tp: int | None,
    pp: int | None,
    ep: int | None,
    engine: str | None,
    engine_version: str | None,
    gpu_memory_utilization: float | None,
    max_num_batched_tokens: int | None,
    max_num_seqs: int | None,
    enforce_eager: bool,
    as_json: bool,
) -> None:
    """Print the parameters and bytes of MODEL: a preset, a config.json or its folder, or a nominal size such as 65B."""
    with exit_codes():
        from llmcluster.reports.size_output import size_output

        click.echo(
            size_output(
                model,
                weights=weights,
                experts=experts,
                keep=keep,
                kv_cache=kv_cache,
                context_tokens=context,
                concurrency=concurrency,
                guide=guide,
                exact=exact,
                fleet=fleet,
                started={
                    "gpu": gpu,
                    "tp": tp,
                    "pp": pp,
                    "ep": ep,
                    "engine": engine,
                    "engine_version": engine_version,
                    "gpu_memory_utilization": gpu_memory_utilization,
                    "max_num_batched_tokens": max_num_batched_tokens,
                    "max_num_seqs": max_num_seqs,
                    "enforce_eager": enforce_eager or None,
                },
                as_json=as_json,
            )
        )
