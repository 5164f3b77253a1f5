"""Errors of the catalog and of the files that this project writes."""


class CatalogError(ValueError):
    """The catalog does not hold what was asked for, or holds it wrongly. The message says what to do."""


class NothingWrittenError(OSError):
    """A staged write failed: every file that was to be replaced is still there, whole, and no new one appeared."""


class UnreadableError(OSError):
    """A file that was named exists and cannot be read; `filename` is its path."""
