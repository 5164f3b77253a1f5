"""Rules of a field in words of our own, in place of those of pydantic, which talk of Python types."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from provider_catalog.text import one_line

RULES: Final = {
    "missing": "this field is required",
    "extra_forbidden": "there is no such field",
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
    "none_required": "no value is allowed",
    "dataclass_type": "a mapping of keys to values is needed",
    "unexpected_keyword_argument": "there is no such field",
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
    """Returns what a field allows, from an error of pydantic.

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
        return f"at most {_counted(context['max_length'], kind)} allowed"
    if kind in ("string_too_short", "too_short"):
        return f"at least {_counted(context['min_length'], kind)} needed"
    if kind == "too_long":
        return f"at most {_counted(context['max_length'], kind)} allowed"
    if kind == "string_pattern_mismatch":
        return f"text of the pattern {context['pattern']} is needed"
    if kind == "union_tag_invalid":
        return f"allowed: {str(context['expected_tags']).replace(chr(39), '')}"
    return message if kind == "value_error" else "the value is not of the kind that this field takes"


def rule_of_error(detail: Mapping[str, Any]) -> str:
    """Returns what a field allows, from the details of an error of pydantic, without the value that was given."""
    return rule_of(detail["type"], detail.get("ctx", {}), one_line(detail["msg"].removeprefix("Value error, ")))


def _counted(number: int, kind: str) -> str:
    one, several = ("character", "characters") if kind.startswith("string") else ("entry", "entries")
    return f"1 {one} is" if number == 1 else f"{number:,} {several} are"


def _plain(bound: float) -> str:
    """Returns a bound as people write it, with every digit and without an exponent."""
    digits = format(Decimal(str(bound)), "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
