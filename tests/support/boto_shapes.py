"""Checks of requests against botocore's service models that botocore itself leaves out: enumerations and lengths."""

from typing import Any

import pytest
from botocore.validate import ParamValidator


def strict_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every request fail that a service would refuse by its own model."""
    lenient = ParamValidator.validate

    def validate(self: Any, params: Any, shape: Any) -> Any:
        wrong = list(_wrong(params, shape, shape.name))
        assert not wrong, wrong
        return lenient(self, params, shape)

    monkeypatch.setattr(ParamValidator, "validate", validate)


def _wrong(value: Any, shape: Any, where: str) -> Any:
    most = shape.metadata.get("max")
    if shape.type_name == "structure":
        for name, given in value.items():
            if name not in shape.members:
                yield f"{where}.{name}: no such member"
            else:
                yield from _wrong(given, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        if most is not None and len(value) > most:
            yield f"{where}: {len(value)} entries, at most {most}"
        for given in value:
            yield from _wrong(given, shape.member, where)
    elif shape.type_name == "string":
        if shape.enum and value not in shape.enum and shape.name != "InstanceType":
            yield f"{where}: {value!r} is none of {shape.enum}"
        if most is not None and len(value) > most:
            yield f"{where}: longer than {most}"
    elif shape.type_name == "integer" and most is not None and value > most:
        yield f"{where}: {value} is more than {most}"
