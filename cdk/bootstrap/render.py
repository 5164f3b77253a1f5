"""Renders the bootstrap of a node: cloud-init user data, or a script, with the files and systemd units it needs."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Final

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from cdk.bootstrap.metrics import CONTAINERS, METRICS_DIR, mirrored
from cdk.bootstrap.node import NodeBootstrap, NodeServices

READY_MARKER: Final = "/run/llmcluster/ready"
"""File that exists while all steps of the bootstrap have succeeded since the last boot."""

LUSTRE_UNIT: Final = "llmcluster-lustre-client.service"
INTERRUPTION_UNIT: Final = "llmcluster-interruption.service"

_BIN: Final = "/usr/local/sbin"
_UNITS: Final = "/etc/systemd/system"
_WORD: Final = re.compile(r"[A-Za-z0-9._/-]+")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TERRAFORM_TOKEN: Final = re.compile(r"\$\{TfToken\[[^\]]*\]\}")
_TERRAFORM_TEMPLATE: Final = re.compile(r"[$%]\{")


@dataclass(frozen=True)
class _File:
    path: str
    content: str
    mode: str = "0644"


class _Literal(str):
    """A string that YAML writes as a block, so that a reviewer can read scripts without escapes."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Literal, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style="|")
)


def cloud_init(config: NodeBootstrap) -> str:
    """The user data of a node, a `#cloud-config`; the same configuration gives the same bytes.

    Terraform must find nothing to interpolate in it except in `config.lustre.source` and
    `config.metrics.remote_write_url`: shell scripts have no brace after a dollar sign. The text can therefore be put
    into an argument of a resource without escapes.

    Raises:
        ValueError: the configuration contradicts itself, or a value holds text that Terraform would interpret.
    """
    _check(config)
    return _cloud_config(list(_files(config)))


def services_cloud_init(services: NodeServices) -> str:
    """Cloud-config with the services of a node that EKS sets up.

    Raises:
        ValueError: a value holds text that Terraform would interpret.
    """
    return _cloud_config(list(_service_files(services)))


def services_script(services: NodeServices) -> str:
    """Script that sets up the services of a node, run once as root; it does what `services_cloud_init` does.

    Raises:
        ValueError: a value holds text that Terraform would interpret.
    """
    files = list(_service_files(services))
    units = " ".join(sorted(set(_unit_names(files)) - {LUSTRE_UNIT}))
    text = _environment().get_template("services.sh.j2").render(node=services, files=files, units=units)
    return _without_templates(text)


def burn_in_job(partition: str, nodes: int, *, between: bool) -> str:
    """Slurm batch script that runs the burn-in on `nodes` nodes of a partition.

    Args:
        partition: Name of the partition.
        nodes: Number of nodes.
        between: Whether the bandwidth between nodes is measured too.
    """
    template = _environment().get_template("burn-in.sbatch.j2")
    return template.render(partition=partition, nodes=nodes, between=between)


def all_reduce() -> str:
    """Python program that measures the bus bandwidth of an all-reduce over the GPUs of a torchrun job."""
    return _environment().get_template("all-reduce.py.j2").render()


def _cloud_config(files: list["_File"]) -> str:
    document = {
        "write_files": [
            {"path": file.path, "permissions": file.mode, "owner": "root:root", "content": _Literal(file.content)}
            for file in files
        ],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", *sorted(_unit_names(files))],
            # The target may wait for cloud-init, which is a unit itself: cloud-init must not wait for the target.
            ["systemctl", "start", "--no-block", *sorted(_unit_names(files))],
        ],
    }
    return _without_templates("#cloud-config\n" + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000))


def _without_templates(text: str) -> str:
    if found := _TERRAFORM_TEMPLATE.search(_TERRAFORM_TOKEN.sub("", text)):
        around = text[max(0, found.start() - 30) : found.start() + 30]
        raise ValueError(
            f"user data holds text that Terraform would interpret: ...{around!r}...; "
            "avoid a brace after a dollar or percent sign"
        )
    return text


def steps(config: NodeBootstrap) -> tuple[str, ...]:
    """Names of the steps that must succeed before a node is ready, in their order."""
    lustre = ("lustre-client", "shared") if config.lustre else ()
    burn_in = ("burn-in",) if config.burn_in else ()
    return (*(("scratch",) if config.scratch == "raid0" else ()), *lustre, "check", *burn_in)


def _files(config: NodeBootstrap) -> Iterator[_File]:
    names = steps(config)
    yield _File("/etc/llmcluster/node.env", _render("node.env.j2", config))
    if config.environment:
        yield _File("/etc/profile.d/llmcluster.sh", _render("profile.sh.j2", config))
        yield _File("/etc/environment.d/50-llmcluster.conf", _render("environment.conf.j2", config))
    if config.lustre and config.lustre.client == "aws":
        yield _File(f"{_BIN}/llmcluster-lustre-settings", _render("lustre-settings.sh.j2", config), "0755")
    for name in names:
        template = f"lustre-client-{config.lustre.client}" if config.lustre and name == "lustre-client" else name
        yield _File(f"{_BIN}/llmcluster-{name}", _render(f"{template}.sh.j2", config), "0755")
        yield _File(f"{_UNITS}/llmcluster-{name}.service", _render(f"{name}.service.j2", config))
    if config.interruptible:
        yield _File(f"{_BIN}/llmcluster-interruption", _render("interruption.sh.j2", config), "0755")
        yield _File(f"{_UNITS}/{INTERRUPTION_UNIT}", _render("interruption.service.j2", config))
    if config.repair:
        yield from _repair_files(config)
    if config.burn_in and config.burn_in.between:
        yield _File(f"{_BIN}/llmcluster-burn-in-between", _render("burn-in-between.sh.j2", config), "0755")
        yield _File("/usr/local/lib/llmcluster/all-reduce.py", all_reduce())
    yield from _service_files(NodeServices(config.cluster, config.health, config.metrics, containers=True))
    yield _File(f"{_UNITS}/llmcluster-ready.service", _render("ready.service.j2", config))
    yield _File(f"{_UNITS}/llmcluster-ready.target", _render("ready.target.j2", config))


def _repair_files(config: NodeBootstrap) -> Iterator[_File]:
    for name in ("report", "watchdog"):
        yield _File(f"{_BIN}/llmcluster-{name}", _render(f"{name}.sh.j2", config), "0755")
    for unit in ("report.service", "failed.service", "watchdog.service", "watchdog.timer"):
        yield _File(f"{_UNITS}/llmcluster-{unit}", _render(f"{unit}.j2", config))


def _service_files(services: NodeServices) -> Iterator[_File]:
    def render(template: str, **values: object) -> str:
        return _environment().get_template(template).render(node=services, metrics_dir=METRICS_DIR, **values)

    if services.lustre:
        yield _File("/etc/llmcluster/node.env", render("lustre.env.j2"))
        yield _File(f"{_BIN}/llmcluster-lustre-client", render("lustre-client-aws.sh.j2"), "0755")
        unit = render("lustre-client.service.j2", boot=not services.lustre_before, report_failure=False)
        yield _File(f"{_UNITS}/{LUSTRE_UNIT}", unit)
        if services.lustre_before:
            yield _File(f"{_UNITS}/{services.lustre_before}.d/llmcluster.conf", render("needs-lustre.conf.j2"))
    periodic = (*(("health",) if services.health else ()), *(("fabric-metrics",) if services.metrics else ()))
    for name in periodic:
        yield _File(f"{_BIN}/llmcluster-{name}", render(f"{name}.sh.j2"), "0755")
        yield _File(f"{_UNITS}/llmcluster-{name}.service", render(f"{name}.service.j2"))
        yield _File(f"{_UNITS}/llmcluster-{name}.timer", render(f"{name}.timer.j2"))
    if services.burn_in:
        yield _File(f"{_BIN}/llmcluster-burn-in", render("burn-in-batch.sh.j2"), "0755")
        yield _File("/usr/local/lib/llmcluster/all-reduce.py", all_reduce())
    if services.metrics and services.containers:
        yield _File("/etc/llmcluster/prometheus.yml", render("prometheus.yml.j2"))
        for container in CONTAINERS:
            image = mirrored(container.image, services.metrics.image_registry)
            unit = render("container.service.j2", container=container, image=image)
            yield _File(f"{_UNITS}/llmcluster-{container.name}.service", unit)


def _unit_names(files: list[_File]) -> Iterator[str]:
    # Only units with an [Install] section are enabled; the others are started by units that require them.
    units = (file for file in files if file.path.startswith(_UNITS) and "[Install]" in file.content)
    return (file.path.removeprefix(f"{_UNITS}/") for file in units)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cdk.bootstrap"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - shell and INI files, quoted by the filters below
    )
    environment.filters["shell"] = shlex.quote
    environment.filters["ini"] = _quoted
    return environment


def _render(template: str, config: NodeBootstrap) -> str:
    units = [f"llmcluster-{name}.service" for name in steps(config)]
    template_of = _environment().get_template(template)
    return template_of.render(
        node=config, marker=READY_MARKER, units=units, boot=False, report_failure=config.repair is not None
    )


def _texts(config: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a configuration with the names of its fields."""
    if isinstance(config, str):
        yield path, config
    elif isinstance(config, Mapping):
        for key, value in config.items():
            yield from _texts(key, path)
            yield from _texts(value, f"{path}.{key}")
    elif isinstance(config, tuple):
        for value in config:
            yield from _texts(value, path)
    elif is_dataclass(config):
        for each in fields(config):
            yield from _texts(getattr(config, each.name), f"{path}.{each.name}".lstrip("."))


def _quoted(value: str) -> str:
    """Quotes a value for an environment file, as in systemd.exec(5) and environment.d(5)."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check(config: NodeBootstrap) -> None:
    for name in ("cluster", "scratch_dir"):
        value = getattr(config, name)
        if not _WORD.fullmatch(_without_templates(value)):
            raise ValueError(f"{name} is {value!r}; allowed are letters, digits and . _ / -")
    for name, value in _texts(config):
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise ValueError(f"{name}, {value!r}, holds a control character; it is one line of a script or a unit")
    if config.scratch == "raid0" and config.nvme_disks < 1:
        raise ValueError(
            f"scratch: raid0 needs at least one NVMe disk, nvme_disks is {config.nvme_disks}; set scratch to none"
        )
    if config.fabric != "ethernet" and config.rdma_cards < 1:
        raise ValueError(f"fabric: {config.fabric} needs at least one RDMA card, rdma_cards is {config.rdma_cards}")
    for name, value in config.environment.items():
        if not _VARIABLE.fullmatch(name) or any(ord(character) < 32 for character in value) or "$" in value:
            raise ValueError(
                f"environment: {name}={value!r} is not allowed; names have letters, digits and underscores, "
                "values have no dollar sign and no control character"
            )
    for name, reason in config.reasons.items():
        if any(ord(character) < 32 for character in reason):
            raise ValueError(
                f"reasons: {reason!r} of {name} is not allowed; a reason is one line without control characters"
            )
