"""The folders of synthesized stacks, as `llmcluster demo` prints them below a plan."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmcluster.reports.terminal import terminal

if TYPE_CHECKING:
    from stacks.app import SynthesizedStack


def print_stack_folders(stacks: Sequence["SynthesizedStack"]) -> None:
    """Prints the folders of the stacks of a cluster, and of their HCL for review; paths are not broken."""
    screen = terminal()
    for label, folders in (
        ("Stacks", [stack.folder for stack in stacks]),
        ("Review", [stack.hcl_folder for stack in stacks if stack.hcl_folder]),
    ):
        for index, folder in enumerate(folders):
            screen.print(f"  [bold]{label if index == 0 else '':<8}[/]{folder}", highlight=False, soft_wrap=True)
    screen.print()
