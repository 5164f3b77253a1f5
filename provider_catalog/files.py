"""Writes files atomically: a file is written completely or not at all.

All code that writes files uses this module: `write_atomically` for one file; `staged`, `write_files` and `publish` for
several. A failed write raises `NothingWrittenError`.
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
    """Replaces the content of `path` by `text` in one step; readers see either the old or the new content.

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
            # The error names `path`, because the caller does not know the temporary file and a full disk names none.
            raise NothingWrittenError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yields an empty folder on the file system of `folder` and removes it afterwards with its unpublished files.

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
            # Removes only folders that are still empty because nothing was published into them.
            with suppress(OSError):
                parent.rmdir()


def write_files(folder: Path, files: Mapping[str, str], executable: Collection[str] = ()) -> None:
    """Writes texts to files in `folder`, a stage or a folder in one; keys are relative paths.

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
    """Moves every file of each stage to the same relative path in its folder, files named `last` after all others.

    Other files in a folder stay, because Terraform keeps its working data beside the stacks. Symbolic links below a
    folder are not followed: a folder that is one is an error, and a file that is one is replaced. If a file cannot be
    moved, the files that have been moved are removed and the old ones are restored.

    Args:
        folders: The folder to publish to, by stage.
        last: Name of the file that tells readers that the others are complete.

    Raises:
        OSError: a file cannot be moved; every folder has its previous content.
    """
    moves = {
        path: folder / path.relative_to(stage)
        for stage, folder in folders.items()
        for path in sorted((path for path in stage.rglob("*") if path.is_file()), key=lambda path: path.name == last)
    }
    made: list[Path] = []
    moved: list[tuple[Path, Path | None]] = []
    try:
        # Steps that may fail come first; renaming a file afterwards needs no space.
        for target in moves.values():
            _refuse_links(target, folders.values())
            made += _missing_parents(target.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder, but a file must be written there", str(target))
        for path, target in moves.items():
            moved.append((target, _kept(target, path)))
            path.replace(target)
    except BaseException:
        _take_back(moved, made)
        raise


def _write_through(file: TextIO, text: str) -> None:
    """Writes text through to the disk, so that a full disk is detected before the file is moved to its path."""
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _stage_parent(folder: Path) -> Path:
    """Returns where the stage is made: beside `folder`, or in it if it is a mount point or its parent is read-only."""
    parent = folder.parent
    if folder.is_dir() and (folder.stat().st_dev != parent.stat().st_dev or not os.access(parent, os.W_OK)):
        return folder
    return parent


def _published_name(error: OSError, stage: Path | None, folder: Path) -> str:
    """Returns the path that the user knows: the one to which the file of the stage would be published."""
    named = error.filename
    if not isinstance(named, str):
        return str(folder)
    if stage is not None and Path(named).is_relative_to(stage):
        return str(folder / Path(named).relative_to(stage))
    return named


def _kept(target: Path, path: Path) -> Path | None:
    """Keeps a copy of the file that `path` will replace, beside `path`; returns None if there is no such file."""
    if not os.path.lexists(target):
        return None
    old = path.with_name(f".{path.name}.replaced")
    try:
        os.link(target, old, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(target, old, follow_symlinks=False)
    return old


def _refuse_links(target: Path, folders: Collection[Path]) -> None:
    """Refuses a target that a symbolic link below its folder would lead elsewhere.

    The folder itself may be a link, because the user named it. A link in place of the file is replaced, not followed.
    """
    for parent in target.parents:
        if parent in folders:
            return
        if parent.is_symlink():
            raise OSError(errno.ELOOP, "is a symbolic link, which is not followed; remove it", str(parent))


def _take_back(moved: list[tuple[Path, Path | None]], made: list[Path]) -> None:
    for target, old in reversed(moved):
        with suppress(OSError):
            target.unlink() if old is None else old.replace(target)
    for folder in sorted(set(made), key=lambda folder: len(folder.parts), reverse=True):
        with suppress(OSError):
            folder.rmdir()


def _missing_parents(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.parents) if not path.exists()]
