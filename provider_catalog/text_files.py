"""Reads untrusted files: only regular files of limited size, and no symbolic links that lead out of a folder."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from provider_catalog.errors import CatalogError

KERNEL_FOLDERS: Final = ("/proc", "/sys")
"""Folders that are never read: they expose the environment and memory of processes and settings of the kernel."""


class UnreadableFileError(CatalogError):
    """A file cannot or must not be read. The message states the reason and never quotes the file."""

    def __init__(self, reason: str, errno: int | None = None) -> None:
        super().__init__(reason)
        self.errno = errno
        """Error number of the operating system; None if this module refused the file."""


class MissingFileError(UnreadableFileError):
    """The file does not exist."""


def read_text_file(path: Path, *, largest_bytes: int, folder: Path | None = None, encoding: str = "utf-8") -> str:
    """Returns the text of a regular file of limited size.

    Args:
        path: Path of a spec, a lock, a price file or a file that a spec names.
        largest_bytes: Largest size that is read, also of a file that grows meanwhile.
        folder: Symbolic links below this folder must not lead out of it, so that a link in a pull request cannot expose
            other files. None if the user of the command named the file.
        encoding: `utf-8`, or `utf-8-sig` to drop a byte order mark.

    Raises:
        MissingFileError: the file does not exist.
        UnreadableFileError: the file is not regular, is too large, is not UTF-8, is reached through a link that leads
            out of `folder`, or cannot be opened.
    """
    content = read_file(path, largest_bytes=largest_bytes, folder=folder)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"not UTF-8 text (byte {error.start})") from None


def read_file(path: Path, *, largest_bytes: int, folder: Path | None = None) -> bytes:
    """Returns the bytes of a regular file of limited size; see `read_text_file`."""
    try:
        _refuse_escape(path, folder)
        # Without O_NONBLOCK, opening a FIFO without a writer would never return.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(error) from None
    except UnreadableFileError:
        raise
    except ValueError:
        raise UnreadableFileError("its name contains characters that no file name can have") from None
    try:
        _refuse_special(os.fstat(handle), largest_bytes)
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(largest_bytes + 1)
    except OSError as error:
        raise _unreadable(error) from None
    finally:
        os.close(handle)
    if len(content) > largest_bytes:
        raise UnreadableFileError(f"larger than the {largest_bytes:,} bytes that may be read")
    return content


def _refuse_special(status: os.stat_result, largest_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableFileError("is a folder; name a file in it", errno.EISDIR)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFileError("is a pipe, a socket or a device; name a regular file")
    if status.st_size > largest_bytes:
        raise UnreadableFileError(f"{status.st_size:,} bytes; at most {largest_bytes:,} bytes are read")


def _refuse_escape(path: Path, folder: Path | None) -> None:
    real = os.path.realpath(path)
    for kernel in KERNEL_FOLDERS:
        if real == kernel or real.startswith(f"{kernel}/"):
            raise UnreadableFileError("is in a file system of the kernel; name a regular file")
    if folder is None:
        return
    # Links inside the folder are not resolved here. The folder itself may be a link, because the user chose it.
    base = os.path.realpath(folder)
    named = os.path.normpath(f"{base}/{os.path.relpath(path, folder)}")
    inside = f"{base.rstrip('/')}/"
    if real != named and not real.startswith(inside) and (named.startswith(inside) or not path.is_absolute()):
        raise UnreadableFileError("is reached through a symbolic link that leads out of the folder; copy the file")


def _unreadable(error: OSError) -> UnreadableFileError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return MissingFileError("no such file")
    if error.errno == errno.ENAMETOOLONG:
        return MissingFileError("no such file: the name is longer than file systems allow")
    return UnreadableFileError(f"cannot be read: {error.strerror}", error.errno)
