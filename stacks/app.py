"""The CDKTF app, which writes a folder for every stack of the specs. `cdktf.json` and `llmcluster synth` start it.

All specs are planned, and all stacks are written to a temporary folder, before the first file of the output changes.
"""

import errno
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cdktf import App

from planner.errors import EXPECTED, SpecError, failure
from planner.workspace.planning import PlannedSpec, plan_specs
from provider_catalog.catalog import Catalog
from provider_catalog.files import publish, staged, write_files
from provider_catalog.text import kind_of, printable
from stacks.clouds import BuiltStack, StackRole, load_cloud, stack_id
from stacks.hcl import readable_hcl
from stacks.imports import add_import_blocks
from stacks.launching import launch_sidecars
from stacks.sidecar import sidecars

MANIFEST: Final = "manifest.json"
JSON_DOCUMENT: Final = "cdk.tf.json"
HCL_DOCUMENT: Final = "cdk.tf"


@dataclass(frozen=True)
class SynthesizedStack:
    """A stack that was written."""

    cluster: str
    role: StackRole
    name: str
    folder: Path
    """Folder of the Terraform document, plan.json, cost.json and cost.md."""
    hcl_folder: Path | None
    """Folder of the same files with the document as HCL; None if no HCL was asked for."""
    locked: bool
    """Whether the plan comes from a lock."""


def synthesize(
    spec_paths: Sequence[Path],
    outdir: Path,
    hcl_outdir: Path | None = None,
    overlay: Path | None = None,
    *,
    review: Callable[[Sequence[PlannedSpec]], None] | None = None,
) -> list[SynthesizedStack]:
    """Plans the specs and writes their stacks below `outdir`, and as HCL below `hcl_outdir` if that is given.

    `review` is called with the plans before the first file changes.

    The bytes depend on specs, locks, catalog, negotiated prices (`overlay`) and versions, but not on the folders.

    Raises:
        SpecError, CatalogError, InfeasibleError: see `plan_specs`; nothing was written.
        NothingWrittenError: a file cannot be written; both folders are as they were.
        OSError: a file cannot be read.
    """
    if hcl_outdir is not None and hcl_outdir.resolve() == outdir.resolve():
        raise SpecError(f"HCL and JSON cannot share the folder {outdir}: Terraform would read both; give HCL its own")
    planned = plan_specs(spec_paths, Catalog.load(), overlay)
    if review is not None:
        review(planned)
    return write_stacks(planned, outdir, hcl_outdir)


def write_stacks(
    planned: Sequence[PlannedSpec], outdir: Path, hcl_outdir: Path | None = None
) -> list[SynthesizedStack]:
    """Writes the stacks of specs that are planned already; see `synthesize`."""
    written: list[SynthesizedStack] = []
    with staged(outdir) as stage, staged(hcl_outdir or outdir) as hcl_stage:
        app = App(outdir=str(stage), stack_traces=False)
        clusters = [
            (entry, load_cloud(entry.plan.choice.provider).build(app, entry.plan, entry.catalog)) for entry in planned
        ]
        for entry, stacks in clusters:
            add_import_blocks(entry.plan, stacks)
        write_documents(app, outdir)
        if hcl_outdir is not None:
            _write_hcl_manifest(stage, hcl_stage)
        for entry, stacks in clusters:
            for built in stacks:
                relative = Path("stacks", stack_id(entry.plan, built.role))
                if _hcl_requested():
                    _write_hcl(stage / relative, built)
                _write_sidecars(stage / relative, entry, built)
                if hcl_outdir is not None:
                    _write_hcl(hcl_stage / relative, built)
                    _write_sidecars(hcl_stage / relative, entry, built)
                written.append(
                    SynthesizedStack(
                        cluster=entry.plan.name,
                        role=built.role,
                        name=relative.name,
                        folder=outdir / relative,
                        hcl_folder=hcl_outdir / relative if hcl_outdir else None,
                        locked=entry.locked,
                    )
                )
        publish({stage: outdir} | ({hcl_stage: hcl_outdir} if hcl_outdir is not None else {}), last=MANIFEST)
    for stack in written:
        _drop_other_document(stack.folder, hcl=_hcl_requested())
        if stack.hcl_folder is not None:
            _drop_other_document(stack.hcl_folder, hcl=True)
    return written


def write_documents(app: App, outdir: Path) -> None:
    """Writes the documents of an app. File errors of Node reach Python as text and become an OSError again.

    Raises:
        OSError: the disk is full, or a folder cannot be written.
    """
    try:
        app.synth()
    except RuntimeError as error:
        found = re.search(r"\b(E[A-Z]+): ", str(error))
        number = getattr(errno, found.group(1), None) if found else None
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(outdir)) from error


def _write_sidecars(folder: Path, entry: PlannedSpec, built: BuiltStack) -> None:
    launch = launch_sidecars(entry, built)
    write_files(folder, {**sidecars(entry.plan, built), **launch, **built.files})


def _write_hcl(folder: Path, built: BuiltStack) -> None:
    # An App writes either JSON or HCL, as an environment variable of its Node process says; a stack renders both.
    rendered = built.stack.to_hcl_terraform()
    hcl = readable_hcl(rendered["hcl"], built.stack.to_terraform())
    metadata = json.dumps(rendered["metadata"], indent=2, sort_keys=True) + "\n"
    write_files(folder, {HCL_DOCUMENT: hcl, "metadata.json": metadata})


def _write_hcl_manifest(stage: Path, hcl_stage: Path) -> None:
    manifest = json.loads((stage / MANIFEST).read_text(encoding="utf-8"))
    for stack in manifest["stacks"].values():
        stack["synthesizedStackPath"] = f"{stack['workingDirectory']}/{HCL_DOCUMENT}"
    write_files(hcl_stage, {MANIFEST: json.dumps(manifest, indent=2, sort_keys=True) + "\n"})


def _drop_other_document(folder: Path, *, hcl: bool) -> None:
    """Deletes the document of the other format, which an earlier synthesis left: Terraform would read both."""
    (folder / (JSON_DOCUMENT if hcl else HCL_DOCUMENT)).unlink(missing_ok=True)


def _hcl_requested() -> bool:
    # `cdktf synth --hcl` sets this variable, and cdktf reads it in Node as well.
    return os.environ.get("SYNTH_HCL_OUTPUT") in ("true", "1")


def specs_of_context(context: dict[str, Any], folder: Path) -> list[Path]:
    """Sorted paths of the files that the `specs` globs of `cdktf.json` match, relative to `folder`.

    Raises:
        SpecError: `specs` is missing, has the wrong type, or matches nothing.
    """
    given = context.get("specs")
    patterns = [given] if isinstance(given, str) else given
    if not isinstance(patterns, list) or not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise SpecError(
            f"cdktf.json: context.specs is {given!r}; give a glob such as 'clusters/*.yaml', or a list of globs"
        )
    found = sorted({path for pattern in patterns for path in _matches(pattern, folder)})
    if not found:
        raise SpecError(f"cdktf.json: context.specs {patterns} matches no file in {folder}; name a spec that exists")
    return found


def _matches(pattern: str, folder: Path) -> Iterator[Path]:
    anchor = Path(pattern).anchor
    return Path(anchor).glob(pattern.removeprefix(anchor)) if anchor else folder.glob(pattern)


def _context() -> dict[str, Any]:
    """The context of cdktf.json: from the CDKTF command line if that started us, otherwise from the file."""
    handed_over = os.environ.get("CDKTF_CONTEXT_JSON")
    path = Path("cdktf.json")
    try:
        document = json.loads(handed_over) if handed_over else json.loads(path.read_text(encoding="utf-8"))["context"]
    except FileNotFoundError as error:
        raise SpecError("cdktf.json is not in the working directory; run from the folder that holds it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SpecError(f"cdktf.json: no context can be read from it ({error}); give context.specs") from error
    if not isinstance(document, dict):
        raise SpecError(f"cdktf.json: context is {kind_of(document)}; give a mapping with specs")
    return document


def main() -> int:
    """Synthesizes the specs of the context into CDKTF_OUTDIR, or cdktf.out; `cdktf.json` starts it.

    Returns:
        0 done, 2 the input is wrong, 3 no feasible plan, 4 a file or a tool failed; the reason is on stderr.
    """
    try:
        synthesize(specs_of_context(_context(), Path()), Path(os.environ.get("CDKTF_OUTDIR") or "cdktf.out"))
    except EXPECTED as error:
        code, message = failure(error)
        sys.stderr.write(printable(message) + "\n")
        return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
