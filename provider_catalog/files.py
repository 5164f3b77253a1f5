"""Writes files so that each appears whole or not at all.

Every writer of this project goes through this module: one file by `write_atomically`, several by `staged`,
`write_files` and `publish`. A failed write raises `NothingWrittenError`.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from provider_catalog.errors import NothingWrittenError

READABLE_MODE = 0o644
EXECUTABLE_MODE = 0o755


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` by `text` in one step; a reader sees the old content or the new.

    Raises:
        NothingWrittenError: the file cannot be written; the old content is untouched.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise NothingWrittenError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            _write_through(file, text)
        Path(name).chmod(READABLE_MODE)
        Path(name).replace(path)
    except BaseException as error:
        with suppress(OSError):
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            # The caller knows this path, not that of the temporary file, and a full disk names none.
            raise NothingWrittenError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yields an empty folder on the file system of `folder` and removes it afterwards with all that is unpublished.

    Raises:
        NothingWrittenError: the folder cannot be written, or the body of the `with` statement raised an OSError.
    """
    created = _missing_parents(folder.parent)
    stage: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(dir=_stage_parent(folder), prefix=f".{folder.name}."))
        yield stage
    except OSError as error:
        named = _published_name(error, stage, folder)
        raise NothingWrittenError(error.errno, error.strerror or str(error), named) from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        for parent in created:
            # Only folders that are still empty go: nothing was published into them.
            with suppress(OSError):
                parent.rmdir()


def write_files(folder: Path, files: Mapping[str, str], executable: Collection[str] = ()) -> None:
    """Writes texts by path relative to `folder`, which is a stage or lies in one.

    Raises:
        OSError: a file cannot be written; the error names it.
    """
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="\n") as file:
                _write_through(file, text)
            path.chmod(EXECUTABLE_MODE if name in executable else READABLE_MODE)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error


def publish(folders: Mapping[Path, Path], last: str = "") -> None:
    """Moves every file of each stage to its place below its folder, files called `last` after all others.

    Files of a folder that its stage does not hold stay: Terraform keeps its working data beside the stacks. When a
    file cannot take its place, those that have moved are taken back and the old ones return.

    Args:
        folders: The folder to publish to, by stage.
        last: Name of the file that tells readers that the others are complete.

    Raises:
        OSError: a file cannot take its place; every folder holds what it held before.
    """
    moves = {
        path: folder / path.relative_to(stage)
        for stage, folder in folders.items()
        for path in sorted((path for path in stage.rglob("*") if path.is_file()), key=lambda path: path.name == last)
    }
    made: list[Path] = []
    moved: list[tuple[Path, Path | None]] = []
    try:
        # Steps that may fail come first: a renamed file needs no space of its own.
        for target in moves.values():
            made += _missing_parents(target.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder; a file is to be written there", str(target))
        for path, target in moves.items():
            moved.append((target, _kept(target, path)))
            path.replace(target)
    except BaseException:
        _take_back(moved, made)
        raise


def _write_through(file: TextIO, text: str) -> None:
    """Writes to the disk itself, so that a full disk is found out before the file takes its place."""
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _stage_parent(folder: Path) -> Path:
    """Returns where the stage of `folder` lies: beside it, or inside it when it is a file system of its own."""
    parent = folder.parent
    if folder.is_dir() and (folder.stat().st_dev != parent.stat().st_dev or not os.access(parent, os.W_OK)):
        return folder
    return parent


def _published_name(error: OSError, stage: Path | None, folder: Path) -> str:
    """Returns the path that the user knows: where a file of the stage was to be published."""
    named = error.filename
    if not isinstance(named, str):
        return str(folder)
    if stage is not None and Path(named).is_relative_to(stage):
        return str(folder / Path(named).relative_to(stage))
    return named


def _kept(target: Path, path: Path) -> Path | None:
    """Keeps the file that `path` is about to replace, beside `path`; None where there is none."""
    if not os.path.lexists(target):
        return None
    old = path.with_name(f".{path.name}.replaced")
    try:
        old.hardlink_to(target)
    except OSError:  # a file system without hard links
        shutil.copy2(target, old)
    return old


def _take_back(moved: list[tuple[Path, Path | None]], made: list[Path]) -> None:
    for target, old in reversed(moved):
        with suppress(OSError):
            target.unlink() if old is None else old.replace(target)
    for folder in sorted(set(made), key=lambda folder: len(folder.parts), reverse=True):
        with suppress(OSError):
            folder.rmdir()


def _missing_parents(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.parents) if not path.exists()]
