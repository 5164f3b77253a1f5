"""Synthesis time of one cluster with light provider registration and with the plain import, in pairs of runs.

Each run is a process of its own: planning, Node, synthesis, everything up to the files on disk.
"""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import ROOT, command_s, print_table

SPECS = {"aws": "clusters/quickstart.yaml", "azure": "clusters/llama-65b-training-azure.yaml"}
PACKAGES = {"aws": "cdktf_cdktf_provider_aws", "azure": "cdktf_cdktf_provider_azurerm"}
PAIRS = 3

LIGHT = """
import sys
from pathlib import Path
from stacks.app import synthesize
synthesize([Path(sys.argv[1])], Path(sys.argv[2]))
"""
# An import before the stacks' own leaves them nothing to register.
PLAIN = f"""
import stacks, {{package}}
{LIGHT}
"""


def main() -> None:
    """Time synthesis, compare the documents and print the table."""
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for cloud, spec in SPECS.items():
            programs = {"light": LIGHT, "plain": PLAIN.replace("{package}", PACKAGES[cloud])}
            for pair in range(PAIRS):
                # Light first and plain first take turns, so that neither always meets the warmer disk cache.
                for how in sorted(programs, reverse=pair % 2 == 1):
                    outdir = Path(scratch) / f"{cloud}-{how}-{pair}"
                    command = [sys.executable, "-c", programs[how], str(ROOT / spec), str(outdir)]
                    rows.setdefault(f"{cloud}, {how}", []).append(command_s(command, dict(os.environ)))
            light, plain = (documents(Path(scratch) / f"{cloud}-{how}-0") for how in programs)
            if light != plain:
                raise SystemExit(f"{cloud}: the documents of the light and the plain way differ")
    print_table("Synthesis of one cluster, whole process", rows, target_s=8)


def documents(outdir: Path) -> dict[str, bytes]:
    """Return every synthesized document by its path below the output folder."""
    return {str(path.relative_to(outdir)): path.read_bytes() for path in sorted(outdir.rglob("cdk.tf.json"))}


if __name__ == "__main__":
    main()
