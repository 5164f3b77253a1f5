"""The launch script, which every node of a gang runs."""

import re
import shlex
from typing import Final

from planner.launch.commands import Command, Launch
from provider_catalog.text import one_line

VARIABLES = {
    "MODEL_PATH": "the checkpoint on this node",
    "HEAD_ADDRESS": "address of the node with rank 0 of the gang",
    "ROLE": "prefill or decode",
    "GANG_HOSTS": "hosts of the gang with their GPUs, head first: node0:8,node1:8",
    "DATA_PATH": "prefix of the tokenized training data",
    "TOKENIZER_PATH": "folder or model file of the tokenizer",
    "CHECKPOINT_FOLDER": "where checkpoints go, on the shared file system",
    "MEGATRON_FOLDER": "a checkout of Megatron-LM",
}
"""Variables that the operator has to set, with their meaning. The texts must not contain quotation marks, because they
stand inside a shell string."""
_REFERENCE: Final = re.compile(
    r"\$\{(" + "|".join((*VARIABLES, "NODE_RANK", "SCRIPT_FOLDER", r"LISTEN_ADDRESS:-[0-9.]+")) + r")\}"
)
"""References that the shell expands; any other dollar sign is text."""


def script(launch: Launch) -> str:
    """Return the Bash script, which is the same on all nodes; NODE_RANK identifies the node in its gang."""
    meanings = VARIABLES | launch.meanings
    used = [name for name in VARIABLES if any(_uses(command, name) for command in launch.commands)]
    lines = [
        "#!/usr/bin/env bash",
        f"# {one_line(launch.engine)} {one_line(launch.version)}; flags from {one_line(launch.flags_from)}.",
        *(f"# {one_line(note)}" for note in launch.notes),
        "set -euo pipefail",
        *(f': "${{{name}:?{meanings[name]}}}"' for name in used),
    ]
    for entry in launch.environment:
        if entry.value is not None:
            lines.append(f"# {entry.variable}: {one_line(entry.reason)} ({one_line(entry.source)})")
            lines.append(f'export {entry.variable}="${{{entry.variable}:-{_in_expansion(entry.value)}}}"')
    if any(_uses(command, "SCRIPT_FOLDER") for command in launch.commands):
        lines.append('SCRIPT_FOLDER="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"')
    if launch.nodes_per_gang > 1:
        lines.append(f': "${{NODE_RANK:?rank of this node in its gang, 0 to {launch.nodes_per_gang - 1}}}"')
    return "\n".join([*lines, _body(launch)]) + "\n"


def _body(launch: Launch) -> str:
    by_rank = [command for command in launch.commands if command.node_rank is not None]
    if launch.nodes_per_gang == 1 or not by_rank:
        return _side_by_side(launch.commands)
    cases = [f"{command.node_rank})\n  exec {_line(command)}\n  ;;" for command in by_rank]
    rest = '*)\n  echo "node ${NODE_RANK} of the gang has nothing to start" >&2\n  ;;'
    return "\n".join(['case "${NODE_RANK}" in', *cases, rest, "esac"])


def _side_by_side(commands: tuple[Command, ...]) -> str:
    if len(commands) == 1:
        return f"exec {_line(commands[0])}"
    started = "\n".join(f"{_line(command)} &" for command in commands)
    # The script ends with the first server that ends, so that its supervisor sees the failure
    return f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{started}\nwait -n"


def _line(command: Command) -> str:
    environment = [f"{name}={shlex.quote(value)}" for name, value in command.environment.items()]
    prefix = ["env", *environment] if environment else []
    words = [*prefix, *(_word(word) for word in command.argv)]
    lines, current = [], ""
    for word in words:
        starts_flag = word.startswith("--")
        if current and starts_flag:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
    # The script passes its own arguments on, for flags that the plan does not decide
    return " \\\n    ".join([*lines, current, '"$@"'])


def _word(word: str) -> str:
    """Quoted for the shell; what holds a variable is left for the shell to fill in."""
    if not _REFERENCE.search(word):
        return shlex.quote(word)
    parts, at = [], 0
    for found in _REFERENCE.finditer(word):
        parts += [_in_double_quotes(word[at : found.start()]), found.group()]
        at = found.end()
    return '"' + "".join([*parts, _in_double_quotes(word[at:])]) + '"'


def _in_double_quotes(text: str) -> str:
    """Text between double quotes of the shell."""
    return re.sub(r'([\\"$`])', r"\\\1", text)


def _in_expansion(text: str) -> str:
    """The same behind `:-` of an expansion, which a closing brace would end."""
    return _in_double_quotes(text).replace("}", "\\}")


def _uses(command: Command, name: str) -> bool:
    return any(f"${{{name}}}" in word for word in command.argv)
