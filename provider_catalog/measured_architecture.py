"""An architecture whose size comes from its checkpoint or its instantiation instead of its configuration."""

from dataclasses import dataclass, fields
from functools import cached_property

from provider_catalog.architecture import ModelArchitecture


@dataclass(frozen=True, kw_only=True)
class MeasuredArchitecture(ModelArchitecture):
    """A decoder with a measured size; the sizes of its components are still counted from the configuration."""

    measured_parameters: int | None = None
    """Measured parameters of the decoder, without multi-token prediction and towers; None if only bytes are known."""
    checkpoint_bytes: int | None = None
    """Bytes of all tensors in the published checkpoint: `total_size` of its model.safetensors.index.json."""

    @cached_property
    def counted_parameters(self) -> int:
        """Parameters of the decoder as counted from its configuration."""
        in_layers = sum(group.count * group.parameters for group in self.layers)
        return in_layers + self.embedding_parameters + self.head_parameters + self.other_parameters

    @cached_property
    def total_parameters(self) -> int:
        """Parameters of the decoder: the measured number if there is one, else the counted number."""
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
        """Copy the architecture with a measured size; `warnings` follow its own warnings."""
        shape = {field.name: getattr(architecture, field.name) for field in fields(ModelArchitecture)}
        shape["warnings"] = (*architecture.warnings, *warnings)
        return cls(**shape, measured_parameters=measured_parameters, checkpoint_bytes=checkpoint_bytes)
