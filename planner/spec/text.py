r"""Text types of the spec: each has a pattern of allowed characters, so that text is never executed as code.

A spec may come from the author of any pull request. Its text is written to Terraform, cloud-init, shell scripts,
Markdown and terminals (docs/security.md). pydantic (Rust), Python and the JSON Schema share the patterns. Patterns are
anchored. They allow ASCII characters only, except for `\w`, which matches letters and digits of every script.
"""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

_WORDS: dict[str, str] = {}
"""Allowed text in words, by pattern."""


def allowed_text(pattern: str) -> str | None:
    """Describes the text that a pattern allows, for messages; None if the pattern is not of this module."""
    return _WORDS.get(pattern)


def _pattern(pattern: str, words: str) -> str:
    _WORDS[pattern] = words
    return pattern


def _without_dot_segments(path: str) -> str:
    if any(segment in (".", "..") for segment in path.split("/")):
        raise ValueError("the path must not contain the segments . and ..; give the resolved path")
    return path


Identifier = Annotated[
    str,
    Field(
        pattern=_pattern(
            r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            "1 to 64 letters, digits, dots, underscores and hyphens, starting with a letter or digit",
        )
    ),
]
"""Name of a cloud, region, zone, instance type or SKU."""

GpuName = Annotated[
    str,
    Field(
        pattern=_pattern(
            r"^[A-Za-z0-9][A-Za-z0-9 ._+/-]{0,63}$", "1 to 64 letters, digits, spaces and . _ + / -, such as A100-80GB"
        )
    ),
]

ModuleName = Annotated[
    str,
    Field(
        pattern=_pattern(
            r"^[A-Za-z_][A-Za-z0-9_.]{0,127}$",
            "names of modules: letters, digits, underscores and dots, such as q_proj",
        )
    ),
]

_PATH: Final = r"[\w ._/~+:@,()=#\[\]-]"
FilePath = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=_pattern(f"^{_PATH}+$", "a path of letters, digits, spaces and . _ / ~ + : @ , ( ) = # [ ] -"),
    ),
]
"""Path of a file, relative to the spec; `provider_catalog.text_files` limits which files are read."""

ModelReference = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=_pattern(
            f"^{_PATH}*$",
            "a preset, a path or a nominal size, of letters, digits, spaces and . _ / ~ + : @ , ( ) = # [ ] -",
        ),
    ),
]
NominalSize = Annotated[
    str, Field(pattern=_pattern(r"^[A-Za-z0-9 .+-]{0,64}$", "a number with M, B or T, such as 65B"))
]
DemandFile = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=_pattern(
            f"^{_PATH}+\\.[cC][sS][vV]$",
            "constant, business-hours, or the path of a .csv file of letters, digits, spaces and . _ / ~ + : @ , ( ) ="
            " # [ ] -",
        ),
    ),
]
"""Path of a demand file; `planner.workspace.specs` replaces it by the hours in that file."""

TimeZone = Annotated[
    str,
    Field(
        max_length=64,
        pattern=_pattern(r"^[A-Za-z][A-Za-z0-9_+/-]*$", "an IANA time zone such as America/New_York or Etc/UTC"),
    ),
]
"""Name of a time zone in the IANA database; `planner.spec.cluster` checks that it exists."""

Cidr = Annotated[
    str,
    Field(
        pattern=_pattern(
            r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$", "an IPv4 range such as 10.42.0.0/16: four numbers and a prefix"
        )
    ),
]
Email = Annotated[
    str,
    Field(
        max_length=254,
        pattern=_pattern(
            r"^[A-Za-z0-9._%+'/=~#&*!?-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
            "a mail address such as ops@example.com, of letters, digits and . _ % + ' / = ~ # & * ! ? - before the @",
        ),
    ),
]
"""E-mail address with the characters of RFC 5322 (atext), except those with a meaning in shells and templates."""

RoleArn = Annotated[
    str,
    Field(
        max_length=600,
        pattern=_pattern(
            r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$",
            "the ARN of an IAM role, such as arn:aws:iam::123456789012:role/ops",
        ),
    ),
]
PolicyArn = Annotated[
    str,
    Field(
        max_length=600,
        pattern=_pattern(
            r"^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9_+=,.@/-]+$",
            "the ARN of an IAM policy, such as arn:aws:iam::123456789012:policy/boundary",
        ),
    ),
]

StateBucket = Annotated[
    str,
    Field(
        max_length=63,
        pattern=_pattern(
            r"^[a-z0-9][a-z0-9.-]*$",
            "3 to 63 lower-case letters, digits, dots and hyphens; for a storage account 3 to 24 lower-case letters"
            " and digits",
        ),
    ),
]
StateContainer = Annotated[
    str,
    Field(
        pattern=_pattern(r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", "3 to 63 lower-case letters, digits and inner hyphens")
    ),
]
ResourceGroup = Annotated[
    str,
    Field(
        max_length=90,
        pattern=_pattern(
            r"^[\w().-]+$",
            "up to 90 letters, digits, underscores, parentheses, hyphens and dots",
        ),
    ),
]
"""Name of a resource group (learn.microsoft.com, "Naming rules and restrictions for Azure resources")."""
KeyPrefix = Annotated[
    str,
    Field(
        max_length=512,
        pattern=_pattern(
            r"^[A-Za-z0-9_=+.-][A-Za-z0-9._=+/-]*$",
            "letters, digits and . _ = + - in folders separated by /, without a leading /",
        ),
    ),
    AfterValidator(_without_dot_segments),
]

BucketUrl = Annotated[
    str,
    Field(
        max_length=900,
        pattern=_pattern(
            r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*()/=+@:, -]*)?$",
            "s3://bucket or s3://bucket/prefix, a prefix of letters, digits, spaces and ! _ . * ( ) / = + @ : , -",
        ),
    ),
    AfterValidator(_without_dot_segments),
]
MountFolder = Annotated[
    str,
    Field(
        max_length=512,
        pattern=_pattern(r"^/[A-Za-z0-9._/-]*$", "a folder of the file system: / and letters, digits and . _ / -"),
    ),
    AfterValidator(_without_dot_segments),
]
Registry = Annotated[
    str,
    Field(
        pattern=_pattern(
            r"^[a-z0-9][a-z0-9.-]{0,252}\.[a-z0-9.-]{1,63}(:[0-9]{1,5})?(/[a-z0-9._/-]{1,255})?$",
            "a registry such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror, of lower-case letters, digits and"
            " . - _ /",
        )
    ),
    AfterValidator(_without_dot_segments),
]

ImportAddress = Annotated[
    str,
    Field(
        pattern=_pattern(
            r"^[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_]{1,128}\.[A-Za-z0-9_-]{1,128}$",
            "<stack>.<resource type>.<name>, such as storage.aws_s3_bucket.checkpoints",
        )
    ),
]
ImportId = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=_pattern(
            r"^[A-Za-z0-9_.:/=+@,|#()*%~ -]+$",
            "the id that terraform import takes, of letters, digits, spaces and _ . : / = + @ , | # ( ) * % ~ -",
        ),
    ),
]

_ONE_LINE: Final = _pattern(r"^[^\x00-\x1f\x7f]*$", "one line of printable characters without ${ and %{")
TagKey = Annotated[str, Field(max_length=512, pattern=_ONE_LINE)]
TagValue = Annotated[str, Field(max_length=512, pattern=_ONE_LINE)]
"""Free text. The clouds allow different characters; the stacks of each cloud check them."""
