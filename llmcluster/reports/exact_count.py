"""The figures of `llmcluster size --exact`: parameters counted by instantiating the model."""

from pathlib import Path

from provider_catalog.architecture import ModelArchitecture
from provider_catalog.errors import CatalogError
from provider_catalog.instantiation import instantiated_parameters
from provider_catalog.measured_architecture import MeasuredArchitecture
from provider_catalog.models import published_config


def with_exact_count(architecture: ModelArchitecture, reference: str) -> ModelArchitecture:
    """Returns the architecture with the parameters that transformers instantiates on the meta device.

    Raises:
        CatalogError: the optional packages are missing, or transformers cannot build the model.
    """
    try:
        total = instantiated_parameters(published_config(reference, Path()))["total"]
    except CatalogError as error:
        if isinstance(error.__cause__, ImportError):
            raise CatalogError(f"--exact: {error}. The extra holds both: pip install 'llmcluster[exact]'") from error
        raise
    counted = architecture.total_parameters
    warnings: tuple[str, ...] = ()
    if total != counted:
        warnings = (
            f"transformers instantiates {total} parameters, which are used; without --exact the count is {counted} "
            f"({counted / total - 1:+.3%})",
        )
    return MeasuredArchitecture.of(architecture, measured_parameters=total, warnings=warnings)
