"""Our own output as README.md and docs/ show it; `make docs` renews it.

- README.md: what `make demo` prints for its example.
- docs/planning.md: what `llmcluster plan --detail` prints for the same cluster.
- docs/aws-compute-stack.md: blocks of HCL. A comment that begins with `…` stands for what is left out there; a block
  with such a comment is not rewritten but compared.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from llmcluster.commands.options import HCL_OUTDIR, OUTDIR
from llmcluster.reports.plan_screen import print_plan_screen
from llmcluster.reports.plan_text import print_plan
from llmcluster.reports.stack_folders import print_stack_folders
from planner.relax.cheaper import cheaper_plans
from planner.workspace.planning import plan_specs
from provider_catalog.catalog import Catalog
from stacks.app import HCL_DOCUMENT, write_stacks

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = ROOT / "README.md"
PLANNING: Final = ROOT / "docs" / "planning.md"
COMPUTE_STACK: Final = ROOT / "docs" / "aws-compute-stack.md"

SHOWN_IN_README: Final = "deepseek-r1-serving"
SHOWN_STACK: Final = "llama-65b-training"

_BLOCK: Final = re.compile(r'^(\w+(?: "[\w-]+"){1,2}) \{\n.*?^\}$', re.MULTILINE | re.DOTALL)
_FENCE: Final = re.compile(r"(?<=^```hcl\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
_OUTPUT: Final = re.compile(r"(?<=^```text\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
_LEFT_OUT: Final = re.compile(r"\n*^ *# …[^\n]*\n*", re.MULTILINE)


class ShownError(Exception):
    """A block with an omission differs from today's output and must be edited by hand."""


def readme(text: str) -> str:
    """Return README.md with today's output."""
    return _OUTPUT.sub(lambda _: printed(SHOWN_IN_README), text, count=1)


def planning(text: str) -> str:
    """Return docs/planning.md with today's output of `plan --detail`."""
    return _OUTPUT.sub(lambda _: detailed(SHOWN_IN_README), text, count=1)


def printed(cluster: str) -> str:
    """Return what `llmcluster demo` prints for one cluster without a terminal; lines have no trailing blanks."""
    shown = io.StringIO()
    with contextlib.chdir(ROOT), tempfile.TemporaryDirectory() as folder:
        (entry,) = plan_specs([Path("clusters", f"{cluster}.yaml")], Catalog.load())
        stacks = write_stacks([entry], Path(folder, OUTDIR), Path(folder, HCL_OUTDIR))
        with contextlib.redirect_stdout(shown):
            proposals = cheaper_plans(entry.plan, entry.architecture, entry.catalog)
            print_plan_screen(entry.plan, entry.catalog, entry.path, proposals)
            print_stack_folders(stacks)
    return _stripped(shown.getvalue().replace(f"{folder}/", ""))


def detailed(cluster: str) -> str:
    """Return what `llmcluster plan --detail` prints for one cluster without a terminal."""
    shown = io.StringIO()
    with contextlib.chdir(ROOT):
        (entry,) = plan_specs([Path("clusters", f"{cluster}.yaml")], Catalog.load())
        with contextlib.redirect_stdout(shown):
            print_plan(entry.plan)
    return _stripped(shown.getvalue())


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n") + "\n"


def compute_stack(text: str) -> str:
    """docs/aws-compute-stack.md with today's blocks.

    Raises:
        ShownError: a block that leaves something out differs, or a block is gone.
    """
    written = {found[1]: found[0] for found in _BLOCK.finditer(synthesized(SHOWN_STACK))}
    return _FENCE.sub(lambda fence: _BLOCK.sub(lambda block: _today(block, written), fence[0]), text)


def synthesized(cluster: str) -> str:
    """Return the HCL of a cluster's compute stack."""
    with contextlib.chdir(ROOT), tempfile.TemporaryDirectory() as name:
        planned = plan_specs([Path("clusters", f"{cluster}.yaml")], Catalog.load())
        stacks = write_stacks(planned, Path(name, OUTDIR), Path(name, HCL_OUTDIR))
        (folder,) = (stack.hcl_folder for stack in stacks if stack.role == "compute")
        return (folder or Path(name)).joinpath(HCL_DOCUMENT).read_text()


def _today(block: re.Match[str], written: Mapping[str, str]) -> str:
    shown, name = block[0], block[1]
    if name not in written:
        raise ShownError(f"{name} is shown and no longer written")
    pieces = [piece.strip("\n") for piece in _LEFT_OUT.split(shown)]
    if len(pieces) == 1:
        return written[name]
    if not re.fullmatch(r"\n(?:.*\n)+?".join(re.escape(piece) for piece in pieces), written[name]):
        raise ShownError(f"{name}: shown\n{shown}\nand written\n{written[name]}")
    return shown


def main() -> int:
    """Write the files anew. Return 1 if a block must be edited by hand, else 0."""
    README.write_text(readme(README.read_text()))
    PLANNING.write_text(planning(PLANNING.read_text()))
    try:
        COMPUTE_STACK.write_text(compute_stack(COMPUTE_STACK.read_text()))
    except ShownError as error:
        sys.stderr.write(f"{COMPUTE_STACK.relative_to(ROOT)}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    # As in the tests: prices that a developer has refreshed are not those of the repository.
    os.environ["LLMCLUSTER_PRICES"] = "none"
    sys.exit(main())
