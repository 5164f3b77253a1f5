"""Files appear whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` by `text` in one step; a reader sees the old content or the new.

    Raises:
        OSError: the file cannot be written; what stood there before still does.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            # The caller knows this name, not that of the temporary file, and a full disk names none.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
