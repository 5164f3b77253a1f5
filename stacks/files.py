"""Files appear whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """An empty folder on the file system of `folder`. It is gone afterwards, with all that was not published.

    Raises:
        OSError: the parent of `folder` cannot be written.
    """
    created = _missing_parents(folder.parent)
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for parent in created:
            # Only what is still empty: nothing was published into it.
            with suppress(OSError):
                parent.rmdir()


def publish(stage: Path, folder: Path, last: str) -> None:
    """Moves every file of `stage` to its place below `folder`, `last` after all others.

    Files of `folder` that `stage` does not hold stay: Terraform keeps its working data beside the stacks.

    Raises:
        OSError: a file cannot take its place; none has been moved.
    """
    files = sorted(path for path in stage.rglob("*") if path.is_file())
    targets = {path: folder / path.relative_to(stage) for path in sorted(files, key=lambda path: path.name == last)}
    # What can fail comes first: a renamed file needs no space of its own.
    for target in targets.values():
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(f"{target} is a folder; a file is to be written there")
    for path, target in targets.items():
        path.replace(target)


def _missing_parents(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.parents) if not path.exists()]
