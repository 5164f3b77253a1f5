"""The report of `llmcluster size --gpu`: the memory ledger of an engine, and what its KV cache holds."""

from llmcluster.reports.engine_size import EngineSize
from llmcluster.reports.serving_parts import PART_NAMES
from llmcluster.reports.size_text import GIB, table, wrapped


def engine_text(size: EngineSize) -> str:
    """Returns the ledger of one GPU, tokens of the KV cache, the longest request and requests in flight."""
    gpus = "1" if size.gpus == 1 else str(size.gpus)
    head = (
        f"{size.engine} {size.version} on {gpus} x {size.gpu}, {size.layout}: weights {size.weights_precision}"
        f" ({size.kernel_path}), KV cache {size.kv_cache_precision}"
    )
    rows = [(f"weights: {PART_NAMES.get(name, name)}", held) for name, held in size.weights.items()]
    rows += [(PART_NAMES.get(name, name), held) for name, held in size.overhead.items()]
    rows += [
        ("activations", size.activations_bytes),
        ("KV cache", size.kv_cache_bytes),
        ("left free", size.spare_bytes),
    ]
    rows = [row for row in rows if row[1]]
    total = [("total", size.usable_bytes)]
    ledger = table(("GiB a GPU", ""), [(name, f"{held / GIB:,.2f}") for name, held in (*rows, *total)])
    seen = (
        f"A process sees {size.visible_bytes / GIB:.2f} GiB a GPU, of which the engine uses"
        f" {size.usable_bytes / size.visible_bytes:.1%}. Activations are those of an iteration of"
        f" {size.max_num_batched_tokens:,} tokens and {size.max_num_seqs:,} sequences."
    )
    if size.outside_bytes:
        seen += f" CUDA graphs of about {size.outside_bytes / GIB:.1f} GiB come on top of it."
    return "\n".join([*wrapped(head), "", *ledger, *wrapped(seen), "", *wrapped(_verdict(size))])


def _verdict(size: EngineSize) -> str:
    if not size.starts:
        fits = size.longest_request_tokens
        longest = f"the longest request that fits has {fits:,} tokens" if fits else "no request fits"
        return f"Does not start with a context of {size.context_tokens:,} tokens: {longest}."
    return (
        f"KV cache: {size.kv_tokens:,} tokens. Longest request: {size.longest_request_tokens:,} tokens."
        f" Requests in flight: {size.requests_in_flight:,} of {size.context_tokens:,} tokens."
    )
