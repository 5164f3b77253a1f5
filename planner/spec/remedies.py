"""Rules of a spec in words of our own, and the remedy for what is often written instead."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Final

SYNONYMS: Final = {
    "qps": "request_rate_per_s",
    "rps": "request_rate_per_s",
    "requests_per_second": "request_rate_per_s",
    "users": "concurrency",
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
RULES: Final = {
    "string_type": "text is needed",
    "bool_type": "true or false is needed",
    "bool_parsing": "true or false is needed",
    "int_type": "a whole number is needed",
    "int_parsing": "a whole number is needed, such as 4096 or 4k",
    "int_parsing_size": "a smaller number is needed",
    "int_from_float": "a whole number is needed",
    "float_type": "a number is needed",
    "float_parsing": "a number is needed, such as 1.4e12 or 1.4T",
    "finite_number": "a finite number is needed",
    "tuple_type": "a list is needed, such as [first, second]",
    "dict_type": "a mapping of keys to values is needed",
    "model_type": "a mapping of keys to values is needed",
    "model_attributes_type": "a mapping of keys to values is needed",
    "date_type": "a date is needed, such as 2026-12-01",
    "date_parsing": "a date is needed, such as 2026-12-01",
    "date_from_datetime_parsing": "a date is needed, such as 2026-12-01",
    "date_from_datetime_inexact": "a date without a time is needed, such as 2026-12-01",
}
BOUNDS: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}


def rule_of(kind: str, context: Mapping[str, Any], message: str) -> str:
    """Returns what is allowed.

    Args:
        kind: Name of the broken rule in pydantic.
        context: Numbers of the rule.
        message: Sentence of a rule of our own.
    """
    if kind in RULES:
        return RULES[kind]
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return f"{words} {_plain(context[name])} is needed"
    if kind == "literal_error":
        return f"allowed: {str(context['expected']).replace(chr(39), '')}"
    if kind == "string_too_long":
        return f"at most {context['max_length']} characters are allowed"
    if kind in ("string_too_short", "too_short"):
        return f"at least {context['min_length']} {'characters' if kind.startswith('string') else 'entries'} are needed"
    if kind == "too_long":
        return f"at most {context['max_length']} entries are allowed"
    return message if kind == "value_error" else "the value is not of the kind that this field takes"


def _plain(bound: float) -> str:
    """Returns a bound as people write it, with every digit and without an exponent."""
    digits = format(Decimal(str(bound)), "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


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
