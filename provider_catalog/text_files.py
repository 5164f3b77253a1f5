"""Reads files of others: bounded in size, regular, and never through links that lead out of their folder."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from provider_catalog.errors import CatalogError

KERNEL_FOLDERS: Final = ("/proc", "/sys")
"""What lies here is no file of a user: environment and memory of processes, settings of the kernel."""


class UnreadableFileError(CatalogError):
    """A file cannot be read or must not be; the message is the reason alone and never holds any of its content."""

    def __init__(self, reason: str, errno: int | None = None) -> None:
        super().__init__(reason)
        self.errno = errno
        """Number of the operating system's error, where it refused."""


class MissingFileError(UnreadableFileError):
    """No file is there."""


def read_text_file(path: Path, *, largest_bytes: int, folder: Path | None = None, encoding: str = "utf-8") -> str:
    """The text of a regular file of bounded size.

    Args:
        path: What somebody named: a spec, a file that a spec names, a lock, a price file.
        largest_bytes: Size above which the file is refused. What grows while it is read is refused as well.
        folder: Symbolic links below it may not lead out of it, so that a link in a pull request shows nobody else's
            files; None where whoever runs the command named the file.
        encoding: `utf-8`, or `utf-8-sig` to drop a byte order mark.

    Raises:
        MissingFileError: there is no such file.
        UnreadableFileError: it is no regular file, too large, not UTF-8, behind a link that leads out of `folder`, or
            cannot be opened.
    """
    content = read_file(path, largest_bytes=largest_bytes, folder=folder)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"not UTF-8 text (byte {error.start})") from None


def read_file(path: Path, *, largest_bytes: int, folder: Path | None = None) -> bytes:
    """The bytes of a file; see `read_text_file`."""
    try:
        _refuse_escape(path, folder)
        # A FIFO without a writer would block for good.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(error) from None
    except UnreadableFileError:
        raise
    except ValueError:
        raise UnreadableFileError("its name holds characters that no file name has") from None
    try:
        _refuse_special(os.fstat(handle), largest_bytes)
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(largest_bytes + 1)
    except OSError as error:
        raise _unreadable(error) from None
    finally:
        os.close(handle)
    if len(content) > largest_bytes:
        raise UnreadableFileError(f"larger than the {largest_bytes:,} bytes that are read")
    return content


def _refuse_special(status: os.stat_result, largest_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableFileError("is a folder; name a file in it", errno.EISDIR)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFileError("is a pipe, a socket or a device; name a regular file")
    if status.st_size > largest_bytes:
        raise UnreadableFileError(f"{status.st_size:,} bytes; the largest that is read is {largest_bytes:,} bytes")


def _refuse_escape(path: Path, folder: Path | None) -> None:
    real = os.path.realpath(path)
    for kernel in KERNEL_FOLDERS:
        if real == kernel or real.startswith(f"{kernel}/"):
            raise UnreadableFileError("lies in a file system of the kernel; name a regular file")
    if folder is None:
        return
    # Both without following links inside the folder; that the folder itself is reached through one is its owner's will.
    base = os.path.realpath(folder)
    named = os.path.normpath(f"{base}/{os.path.relpath(path, folder)}")
    inside = f"{base.rstrip('/')}/"
    if real != named and not real.startswith(inside) and (named.startswith(inside) or not path.is_absolute()):
        raise UnreadableFileError("is reached through a symbolic link that leads out of the folder; copy the file")


def _unreadable(error: OSError) -> UnreadableFileError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return MissingFileError("no such file")
    if error.errno == errno.ENAMETOOLONG:
        return MissingFileError("no such file: the name is longer than file systems take")
    return UnreadableFileError(f"cannot be read: {error.strerror}", error.errno)
