"""What goes wrong with facts."""


class CatalogError(ValueError):
    """The catalog does not hold what was asked for, or holds it wrongly. The message says what to do."""
