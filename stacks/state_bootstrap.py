"""`llmcluster bootstrap-state`: writes the stack of the storage that holds the Terraform states of all other stacks."""

from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from cdktf import App, TerraformStack

from planner.errors import SpecError
from planner.spec import ClusterSpec
from planner.workspace.specs import load_spec
from provider_catalog.files import publish, staged
from stacks.app import MANIFEST, write_documents
from stacks.clouds import load_cloud

OWNERS: Final = {"s3": "aws", "azurerm": "azure"}
"""Cloud of a backend."""


@runtime_checkable
class StateBuilder(Protocol):
    """A cloud that can build the storage of the states."""

    def build_state(self, app: App, spec: ClusterSpec) -> TerraformStack:
        """Adds the stack of the storage to `app`."""
        ...


def bootstrap_state(spec_path: Path, outdir: Path) -> Path:
    """Writes the stack below `outdir` and returns its folder. Only `state` and `tags` of the spec are used.

    Raises:
        SpecError: the states are local files, or their cloud has no such stack.
        NothingWrittenError: a file cannot be written.
    """
    spec = load_spec(spec_path).spec
    backend = spec.state.backend
    if backend not in OWNERS:
        raise SpecError(
            f"{spec_path}: state.backend is {backend!r}, which needs no bootstrap; set state.backend to s3 or azurerm, "
            "with bucket and region, for states that a team shares"
        )
    cloud = load_cloud(OWNERS[backend])
    if not isinstance(cloud, StateBuilder):
        raise SpecError(f"{spec_path}: state.backend {backend} has no bootstrap stack; create its storage by hand")
    with staged(outdir) as stage:
        app = App(outdir=str(stage), stack_traces=False)
        name = cloud.build_state(app, spec).node.id
        write_documents(app, outdir)
        publish({stage: outdir}, last=MANIFEST)
    return outdir / "stacks" / name
