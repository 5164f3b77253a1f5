"""Comparison with the search of aiconfigurator 0.12: 16 x H200, DeepSeek-R1, 4000 in, 500 out, 1000 ms, 50 ms.

Both searches run here, one after the other. Without the package (`pip install aiconfigurator==0.12.*`) only ours does.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from planner.engine.candidate import Candidate
from planner.plan.performance import InferencePerformance
from planner.serving.engine import InferenceEngine
from planner.serving.silicon import UnsupportedError
from planner.sizing.profile import ModelProfile
from planner.spec import Headroom, InferenceWorkload, Pin, Slo
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import NodeTopology
from provider_catalog.models import load_model

MODEL = "deepseek-ai/DeepSeek-R1"
NODES, GPUS = 2, 8
WORKLOAD = InferenceWorkload(
    kind="inference",
    request_rate_per_s=1e5,
    prompt_tokens=4000,
    output_tokens=500,
    slo=Slo(ttft_ms=1000, tpot_ms=50),
    fleet="auto",
)


def main() -> None:
    """Print search time and best tokens per second and GPU of both."""
    found = theirs()
    if found is not None:
        seconds, best = found
        print(f"aiconfigurator cli default: {seconds:6.2f} s, best {best:.1f} tokens/s/GPU by its own estimate")
    engine, node = inference_engine()
    start = time.perf_counter()
    candidates = [x for x in engine.candidates(node, NODES, multi_node=True) if isinstance(x, Candidate)]
    candidates.sort(key=tokens_per_s_per_gpu, reverse=True)
    seconds = time.perf_counter() - start
    print(f"llmcluster, {len(candidates)} that serve: {seconds:6.2f} s, best {describe(candidates[0])}")
    try:
        judged = [engine.refined(candidate, node, NODES) for candidate in candidates[:5]]
    except UnsupportedError as error:
        print(f"the silicon engine does not judge: {error}")
        return
    served = [x for x in judged if isinstance(x, Candidate)]
    for candidate in sorted(served, key=tokens_per_s_per_gpu, reverse=True):
        print(f"  silicon engine on our shortlist: {describe(candidate)}")


def inference_engine() -> tuple[InferenceEngine, NodeTopology]:
    """Return our serving engine for two nodes, and the node of eight H200."""
    catalog = Catalog.load()
    gpu = catalog.gpu("H200")
    engine = InferenceEngine(
        profile=ModelProfile.of(load_model(MODEL)),
        workload=WORKLOAD,
        headroom=Headroom(),
        pin=Pin(nodes=NODES),
        weights="fp8",
        kv_cache="fp8",
    )
    node = NodeTopology(
        gpu=gpu,
        gpus=GPUS,
        gpu_memory_bytes=int(gpu.memory_gb * 1e9),
        nvlink_gb_per_s=gpu.nvlink_gb_per_s,
        nic_gbit_per_s=3200,
        fabric="infiniband",
    )
    return engine, node


def tokens_per_s_per_gpu(candidate: Candidate) -> float:
    """Return output tokens per second and GPU at the SLO; 0 for a configuration that misses it."""
    found = candidate.performance
    assert isinstance(found, InferencePerformance)  # noqa: S101 - the engine serves
    holds = found.ttft_ms <= WORKLOAD.slo.ttft_ms and found.tpot_ms <= WORKLOAD.slo.tpot_ms
    return found.tokens_per_s / (NODES * GPUS) if holds else 0.0


def describe(candidate: Candidate) -> str:
    """Return a configuration as one line."""
    layout, found = candidate.layout, candidate.performance
    assert isinstance(found, InferencePerformance)  # noqa: S101 - the engine serves
    degrees = layout.degree_names("tensor", "pipeline", "expert", always=("tensor", "pipeline", "expert"))
    kind = "prefill and decode apart" if found.pools else "aggregated"
    return (
        f"{tokens_per_s_per_gpu(candidate):.1f} tokens/s/GPU ({kind}, {degrees}"
        f" attention DP{layout.attention_data}, batch {found.batch}, TTFT {found.ttft_ms:.0f} ms,"
        f" TPOT {found.tpot_ms:.1f} ms)"
    )


def theirs() -> tuple[float, float] | None:
    """Return time and best tokens per second and GPU of `aiconfigurator cli default`; None if not installed."""
    program = shutil.which("aiconfigurator", path=str(Path(sys.executable).parent)) or shutil.which("aiconfigurator")
    if program is None:
        print("aiconfigurator is not installed: only ours runs")
        return None
    slo = WORKLOAD.slo
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "cli", "default", "--model-path", MODEL, "--total-gpus", str(NODES * GPUS)]
        command += ["--system", "h200_sxm", "--isl", str(WORKLOAD.prompt_tokens), "--osl", str(WORKLOAD.output_tokens)]
        command += ["--ttft", f"{slo.ttft_ms:g}", "--tpot", f"{slo.tpot_ms:g}", "--save-dir", folder, "--no-color"]
        start = time.perf_counter()
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds = time.perf_counter() - start
    rows = re.findall(r"^\|\s+\d+\s+\|\s+\w+\s+\|\s+([\d.]+)\s+\|", printed, re.MULTILINE)
    return seconds, max(map(float, rows))


if __name__ == "__main__":
    main()
