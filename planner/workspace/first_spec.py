"""A first spec from a few answers: commented YAML that a user goes on from."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from planner.errors import SpecError
from planner.spec import ClusterSpec, NominalModel
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.files import publish, staged, write_files
from provider_catalog.models import load_model
from provider_catalog.yaml_text import parse_yaml

SCHEMA_FILE: Final = "llmcluster.schema.json"
"""JSON Schema beside the spec; the first line of the spec names it for editors with the YAML language server."""
KINDS: Final = {"serve": "inference", "train": "training", "finetune": "finetuning"}
LONGEST_NAME: Final = 24


@dataclass(frozen=True)
class Question:
    """A question that no answer was given to."""

    key: str
    text: str
    default: str
    choices: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """Name of the command line option with the answer."""
        return self.key.replace("_", "-")


def questions(answers: dict[str, Any]) -> Iterator[Question]:
    """Yields what is still to be asked; the caller adds each answer before it takes the next question."""
    for question in (
        Question("model", "Which model (preset, config.json or size such as 65B)?", "meta-llama/Llama-3.1-8B"),
        Question("task", "What for: serve, train or finetune?", "serve", tuple(KINDS)),
    ):
        if question.key not in answers:
            yield question
    if answers["task"] == "serve":
        load = (
            Question("users", "How many users at peak?", "200"),
            Question("requests_per_user_per_hour", "How many requests does one of them send in an hour?", "20"),
        )
    else:
        load = (
            Question("tokens", "How many tokens to train on, such as 20B?", "20B"),
            Question("deadline_days", "In how many days at most?", "30"),
        )
    for question in (*load, Question("cloud", "From which cloud: aws or azure?", "aws", ("aws", "azure"))):
        if question.key not in answers:
            yield question


@dataclass(frozen=True)
class FirstSpec:
    """A spec that has been checked, as text."""

    name: str
    text: str

    @classmethod
    def of(cls, answers: Mapping[str, Any]) -> "FirstSpec":
        """Returns the spec of the answers to `questions`.

        Raises:
            SpecError: an answer is not valid; the message names the field of the spec.
        """
        name = answers.get("name") or _name(answers["model"], answers["task"])
        text = _text(name, answers)
        spec = read_spec(parse_yaml(text), f"{name}.yaml")
        try:
            load_model(spec.model.model_dump() if isinstance(spec.model, NominalModel) else spec.model)
        except CatalogError as error:
            raise SpecError(f"model: {error}") from error
        return cls(name, text)

    def write(self, path: Path) -> None:
        """Writes the spec and its schema, both or none.

        Raises:
            NothingWrittenError: the files cannot be written.
        """
        schema = json.dumps(ClusterSpec.model_json_schema(), indent=2) + "\n"
        with staged(path.parent) as stage:
            write_files(stage, {path.name: self.text, SCHEMA_FILE: schema})
            publish({stage: path.parent}, last=path.name)


def _name(model: str, task: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", str(model).rpartition("/")[2].removesuffix(".json").lower()).strip("-")
    name = f"{words[: LONGEST_NAME - len(task)].strip('-')}-{task}"
    return name if name[:1].isalpha() else f"m{name}"


def _text(name: str, answers: Mapping[str, Any]) -> str:
    cloud = answers["cloud"]
    region = answers.get("region") or Catalog.load().provider_defaults(cloud).default_region
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        "# Every field: llmcluster spec reference. One of them: llmcluster spec explain workload.slo",
        f"name: {_word(name)}",
        f"model: {_word(answers['model'])}",
        "workload:",
        *(f"  {line}" for line in _workload(answers)),
        "placement:",
        f"  providers: [{cloud}]  # or [aws, azure]: the cheaper one",
        f"  regions: [{_word(region)}]  # llmcluster catalog regions",
        f"orchestrator: {answers.get('orchestrator', 'none')}  # none, kubernetes or slurm",
        "# capacity: {interruption: tolerate, commitment: 1-year}  # may be Spot; a term for what runs all the time",
        "# budget: {usd_per_month: 40000}  # dearer plans are refused",
    ]
    return "\n".join(lines) + "\n"


def _workload(answers: Mapping[str, Any]) -> Iterator[str]:
    task = answers["task"]
    yield f"kind: {KINDS[task]}"
    if task == "serve":
        yield f"users: {_word(answers['users'])}  # at peak"
        yield f"requests_per_user_per_hour: {_word(answers['requests_per_user_per_hour'])}"
        yield "prompt_tokens: 1024  # mean length of a prompt"
        yield "output_tokens: 256  # mean length of an answer"
        yield "slo: {ttft_ms: 2000, tpot_ms: 100, percentile: p95}  # first token and each further one, in milliseconds"
        return
    yield f"tokens: {_word(answers['tokens'])}"
    yield f"deadline_days: {_word(answers['deadline_days'])}"
    yield "# sequence_length: 4096  # tokens of one sequence"
    if task == "finetune":
        yield "# method: lora  # or full, qlora"


def _word(value: Any) -> str:
    """A scalar of YAML: as it is where it is plain, in quotes otherwise."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", text) else json.dumps(text)
