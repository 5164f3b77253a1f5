"""What to write instead of keys and values that are often written in a spec."""

from collections.abc import Collection
from typing import Final

SYNONYMS: Final = {
    "qps": "request_rate_per_s",
    "rps": "request_rate_per_s",
    "requests_per_second": "request_rate_per_s",
    "requests_per_hour": "requests_per_user_per_hour",
    "batch_size": "global_batch_tokens",
    "seq_len": "sequence_length",
    "region": "regions",
    "provider": "providers",
    "instance_type": "instance_types",
}
"""Keys of other tools, and the key of a spec that means the same."""
VALUES: Final = {
    "fp4": "did you mean nvfp4 or mxfp4?",
    "eks": "did you mean kubernetes?",
    "aks": "did you mean kubernetes?",
    "k8s": "did you mean kubernetes?",
    "awq": "did you mean int4?",
    "gptq": "did you mean int4?",
}
"""Values of other tools, and the value of a spec that means the same."""


def remedy_for(field: str, value: object, keys: Collection[str]) -> str:
    """Returns what to write instead, with its separator; empty where nothing is known.

    Args:
        field: Last part of the field's path.
        value: What was given.
        keys: Keys of the field, where it is a mapping.
    """
    if isinstance(value, str) and value.lower() in VALUES:
        return f"; {VALUES[value.lower()]}"
    if field == "budget" and isinstance(value, int | float | str):
        return f"; write budget: {{usd_per_month: {value}}}"
    if field == "version" and isinstance(value, int | float):
        return f'; put it in quotes: "{value}"'
    if keys and not isinstance(value, dict):
        return f"; its keys are {', '.join(sorted(keys))}"
    return ""
