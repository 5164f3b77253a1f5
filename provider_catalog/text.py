"""Checks and escapes untrusted text for terminals, Markdown, comments and Terraform.

Specs, model configurations, price files and locks may be written by others. Text that validation accepts is escaped
where it is written; docs/security.md lists these places.
"""

from datetime import date, datetime
from typing import Final

TEMPLATE_OPENINGS: Final = ("${", "%{")
"""Openings of interpolations and directives in strings (Terraform language, "Strings and Templates"). Tokens of cdktf,
`${TfToken[...]}`, begin in the same way."""

LONGEST_WORD: Final = 200
"""Characters of a name that `harmless` keeps."""

_KINDS: Final = (
    (0x1B, "an escape character"),
    (0x0A, "a line feed"),
    (0x0D, "a carriage return"),
    (0x09, "a tab"),
    (0x00, "a NUL character"),
)


def unsafe_part(text: str) -> str | None:
    """Describes the first part of `text` that no field may contain; None if there is none.

    Unsafe are control and format characters (escape sequences, line feeds, right-to-left marks), lone surrogates,
    line separators, unassigned characters, and the openings of Terraform templates.
    """
    for opening in TEMPLATE_OPENINGS:
        if opening in text:
            return f"{opening}, which opens a Terraform template"
    if text.isprintable():
        return None
    found = next(character for character in text if not character.isprintable())
    named = dict(_KINDS).get(ord(found))
    return named or f"the character U+{ord(found):04X}, which is not printable"


def printable(text: str, keep: str = "\n") -> str:
    r"""Returns `text` with unprintable characters, which could control a terminal, as escapes such as `\x1b`.

    Args:
        text: Untrusted text, or a message that quotes it.
        keep: Unprintable characters that are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)


def one_line(text: str) -> str:
    """Returns `text` on one line, for comments and line-based files: line breaks and controls are escaped."""
    return printable(text, keep="")


def harmless(text: str) -> str:
    """Returns an untrusted name on one line, shortened, and without openings of Terraform templates."""
    text = one_line(text[:LONGEST_WORD])
    for opening in TEMPLATE_OPENINGS:
        text = text.replace(opening, f"{opening[0]} {opening[1]}")
    return text


def shortened(value: object, characters: int = 60) -> str:
    """Returns a value as messages quote it: printable, on one line, at most `characters` long."""
    if isinstance(value, str):
        text = repr(value[: characters + 1])
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > _QUOTED_BITS:
        # Python refuses to convert integers of more than 4,300 digits to text.
        text = f"an integer of {value.bit_length()} bits"
    else:
        text = _repr(value)
    text = one_line(text)
    return text if len(text) <= characters else text[: characters - 1] + "…"


def kind_of(value: object) -> str:
    """Returns the kind of a parsed value in words, such as `a list` or `nothing`."""
    return {
        type(None): "nothing",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        tuple: "a list",
        dict: "a mapping",
        bytes: "binary data",
        date: "a date",
        datetime: "a date",
    }.get(type(value), "another kind of value")


def markdown_text(text: str) -> str:
    """Returns `text` escaped for Markdown, so that it makes no link, image, table, heading, HTML or mention."""
    return printable(" ".join(text.split("\n")), keep="").translate(_MARKDOWN).replace("://", ":&#47;&#47;")


def terraform_literal(text: str) -> str:
    """Returns `text` for an argument of a Terraform resource, with template openings doubled so that they stay text.

    Raises:
        ValueError: the text contains a token of cdktf, which cdktf would resolve before Terraform reads it.
    """
    if "TfToken[" in text:
        raise ValueError(f"{shortened(text)} contains a token of cdktf; remove it")
    for opening in TEMPLATE_OPENINGS:
        text = text.replace(opening, opening[0] + opening)
    return text


_QUOTED_BITS: Final = 1024
_MARKDOWN: Final = str.maketrans(
    {**{sign: f"\\{sign}" for sign in "\\|`*[]~#"}, "<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}
)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _repr(value: object) -> str:
    try:
        return repr(value)
    except ValueError:
        return f"a {type(value).__name__} with an integer that is too long to show"
