"""Text from outside on its way to a terminal, to Markdown, to a comment and to Terraform: one function for each.

Specs, model configurations, price files and locks are written by others. What a reader model does not refuse is made
harmless here, at the place where it leaves; docs/security.md lists the places.
"""

from datetime import date, datetime
from typing import Final

TEMPLATE_OPENINGS: Final = ("${", "%{")
"""Where Terraform begins an interpolation or a directive inside a string (Terraform language, "Strings and Templates").
cdktf resolves its own tokens, `${TfToken[...]}`, in the same place."""

LONGEST_WORD: Final = 200
"""Characters that are kept of a name."""

_KINDS: Final = (
    (0x1B, "an escape character"),
    (0x0A, "a line feed"),
    (0x0D, "a carriage return"),
    (0x09, "a tab"),
    (0x00, "a NUL character"),
)


def unsafe_part(text: str) -> str | None:
    """Name of the first thing in `text` that no field may hold, or None.

    Refused are control and format characters (escape sequences, line feeds, right-to-left marks), lone surrogates,
    line separators, unassigned characters, and the openings of Terraform's templates.
    """
    for opening in TEMPLATE_OPENINGS:
        if opening in text:
            return f"{opening}, which opens a template of Terraform"
    if text.isprintable():
        return None
    found = next(character for character in text if not character.isprintable())
    named = dict(_KINDS).get(ord(found))
    return named or f"the character U+{ord(found):04X}, which is not printable"


def printable(text: str, keep: str = "\n") -> str:
    r"""`text` with everything that could steer a terminal written as an escape, such as `\x1b`.

    Args:
        text: What somebody else wrote, or a message that quotes it.
        keep: Characters that stay although they are not printable.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)


def one_line(text: str) -> str:
    """`text` as the rest of a comment or as one field of a file of lines: line breaks and controls are escaped."""
    return printable(text, keep="")


def harmless(text: str) -> str:
    """A name or word of somebody else's document as it is kept: one line, bounded, and no template of Terraform."""
    text = one_line(text[:LONGEST_WORD])
    for opening in TEMPLATE_OPENINGS:
        text = text.replace(opening, f"{opening[0]} {opening[1]}")
    return text


def shortened(value: object, characters: int = 60) -> str:
    """A value as a message quotes it: printable, on one line, at most `characters` long."""
    if isinstance(value, str):
        text = repr(value[: characters + 1])
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > _QUOTED_BITS:
        # Python refuses to write integers of more than 4,300 digits.
        text = f"an integer of {value.bit_length()} bits"
    else:
        text = _repr(value)
    text = one_line(text)
    return text if len(text) <= characters else text[: characters - 1] + "…"


def kind_of(value: object) -> str:
    """What a value of a document is, in words with an article: `a list`, `nothing`."""
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
    """`text` as plain words of Markdown: no link, image, table, heading, HTML or mention comes of it."""
    return printable(" ".join(text.split("\n")), keep="").translate(_MARKDOWN).replace("://", ":&#47;&#47;")


def terraform_literal(text: str) -> str:
    """`text` for an argument of a Terraform resource: openings of templates are doubled, so that they stay text.

    Raises:
        ValueError: the text holds a token of cdktf, which would be resolved before Terraform sees it.
    """
    if "TfToken[" in text:
        raise ValueError(f"{shortened(text)} holds a token of cdktf; write it differently")
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
        return f"a {type(value).__name__} with an integer that is too long to be shown"
