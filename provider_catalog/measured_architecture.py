"""An architecture whose size a better source than its configuration states."""

from dataclasses import dataclass, fields
from functools import cached_property

from provider_catalog.architecture import ModelArchitecture


@dataclass(frozen=True, kw_only=True)
class MeasuredArchitecture(ModelArchitecture):
    """The shape of a decoder with the size that its checkpoint or its instantiation gives; components stay counted."""

    measured_parameters: int | None = None
    """Of the decoder, without multi-token-prediction layers and towers; None where only bytes are known."""
    checkpoint_bytes: int | None = None
    """All tensors of the published checkpoint: `total_size` of its model.safetensors.index.json."""

    @cached_property
    def counted_parameters(self) -> int:
        """Parameters of the decoder by its configuration."""
        in_layers = sum(group.count * group.parameters for group in self.layers)
        return in_layers + self.embedding_parameters + self.head_parameters + self.other_parameters

    @cached_property
    def total_parameters(self) -> int:
        """Parameters of the decoder by the better source."""
        return self.counted_parameters if self.measured_parameters is None else self.measured_parameters

    @classmethod
    def of(
        cls,
        architecture: ModelArchitecture,
        *,
        measured_parameters: int | None = None,
        checkpoint_bytes: int | None = None,
        warnings: tuple[str, ...] = (),
    ) -> "MeasuredArchitecture":
        """The architecture with a measured size, and what there is to say about it after its own warnings."""
        shape = {field.name: getattr(architecture, field.name) for field in fields(ModelArchitecture)}
        shape["warnings"] = (*architecture.warnings, *warnings)
        return cls(**shape, measured_parameters=measured_parameters, checkpoint_bytes=checkpoint_bytes)
