"""NodeBootstrap -> cloud-init: scratch, shared file system, fabric check, environment, and the ready target."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Final, Literal

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from cdk.bootstrap.metrics import CONTAINERS, METRICS_DIR, Metrics, mirrored

READY_MARKER: Final = "/run/llmcluster/ready"
"""Exists only while every step of the bootstrap has succeeded since the last boot."""

AWS_INSTANCE_STORE: Final = "nvme-Amazon_EC2_NVMe_Instance_Storage_*"
"""EC2 user guide, "Make instance store volumes available": the model is `Amazon EC2 NVMe Instance Storage`, and EBS
volumes are `Amazon Elastic Block Store`, which share the names /dev/nvme*."""

AZURE_LOCAL_NVME: Final = "nvme-Microsoft_NVMe_Direct_Disk*"
"""Azure/azure-vm-utils, 80-azure-disk.rules: `Microsoft NVMe Direct Disk` and `... v2` are the local disks, remote
ones are `MSFT NVMe Accelerator v1.0`."""

INTERRUPTION_UNIT: Final = "llmcluster-interruption.service"

_BIN: Final = "/usr/local/sbin"
_UNITS: Final = "/etc/systemd/system"
_WORD: Final = re.compile(r"[A-Za-z0-9._/-]+")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TERRAFORM_TOKEN: Final = re.compile(r"\$\{TfToken\[[^\]]*\]\}")
_TERRAFORM_TEMPLATE: Final = re.compile(r"[$%]\{")


@dataclass(frozen=True)
class LustreMount:
    """A Lustre file system that every node mounts."""

    client: Literal["aws", "azure"]
    """Whose client packages: FSx for Lustre or Azure Managed Lustre."""
    source: str
    """`<dns name or address>@tcp:/<file system>`; may hold Terraform tokens."""
    mount_point: str = "/shared"
    efa: bool = False
    """FSx for Lustre over EFA, with TCP for what the fabric does not carry."""


@dataclass(frozen=True)
class BetweenNodes:
    """The all-reduce over all nodes of the phase `validate`, which each of them starts by itself."""

    nodes: int
    bus_gb_per_s: float
    """That passes."""
    image: str
    """PyTorch with NCCL and the plugin of the fabric."""
    login_command: str
    """Shell command that lets Docker pull the image."""
    peers_command: str
    """Shell command that prints the addresses of the nodes that run."""


@dataclass(frozen=True)
class BurnIn:
    """What a node does in the phase `validate` before it is ready."""

    phase_command: str
    """Shell command that prints the phase."""
    bus_gb_per_s: float | None
    """Bus bandwidth of an all-reduce over the node's GPUs that passes; None: it is not measured."""
    between: BetweenNodes | None = None
    """None: nodes work apart, or there is one."""


@dataclass(frozen=True)
class Health:
    """Errors that a node counts and publishes once a minute."""

    publish_command: str
    """Shell command that takes `--metric-data` as the AWS command line does."""


@dataclass(frozen=True)
class BatchBurnIn:
    """What a node does in a burn-in that is a job of Slurm."""

    gpus: int
    rdma_cards: int
    inside_gb_per_s: float | None
    """Bus bandwidth of an all-reduce over the node's GPUs that passes; None: it is not measured."""
    between_gb_per_s: float | None
    """The same over all nodes of the job."""
    image: str
    """PyTorch with NCCL and the plugin of the fabric."""
    login_command: str
    """Shell command that lets Docker pull the image."""
    environment: Mapping[str, str]
    """NCCL and libfabric variables."""


@dataclass(frozen=True)
class NodeServices:
    """What is added to a node that somebody else sets up: EKS or ParallelCluster."""

    cluster: str
    health: Health | None = None
    metrics: Metrics | None = None
    containers: bool = False
    """Whether exporters and agent run as containers of the node itself; Kubernetes brings its own."""
    burn_in: BatchBurnIn | None = None

    @property
    def any(self) -> bool:
        """Whether there is something to add."""
        return bool(self.health or self.metrics or self.burn_in)


@dataclass(frozen=True)
class NodeBootstrap:
    """What one node needs. Every node of a cluster gets the same."""

    cluster: str
    scratch: Literal["raid0", "none"]
    nvme_disks: int
    """Local NVMe disks that must be there; another number fails the node."""
    lustre: LustreMount | None
    fabric: Literal["efa", "infiniband", "ethernet"]
    rdma_cards: int
    """EFA interfaces, or active InfiniBand ports, that must be there."""
    gpus: int
    environment: Mapping[str, str] = field(default_factory=dict)
    """NCCL and libfabric variables, for login shells and for user services."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why each of them is set, written above it."""
    burn_in: BurnIn | None = None
    health: Health | None = None
    metrics: Metrics | None = None
    scratch_dir: str = "/scratch"
    interruptible: bool = False
    """Whether the cloud may take the node away at short notice; programs in /etc/llmcluster/interruption.d then run."""
    nvme_by_id: tuple[str, ...] = (AWS_INSTANCE_STORE, AZURE_LOCAL_NVME)
    """Names below /dev/disk/by-id that are local NVMe and nothing else."""


@dataclass(frozen=True)
class _File:
    path: str
    content: str
    mode: str = "0644"


class _Literal(str):
    """A string that YAML shows as a block, so that a reviewer reads the script and not its escapes."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Literal, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style="|")
)


def cloud_init(config: NodeBootstrap) -> str:
    """The user data of a node: `#cloud-config`, the same bytes for the same configuration.

    Nothing in it but `config.lustre.source` and `config.metrics.remote_write_url` may hold what Terraform would
    interpolate: shell scripts are written without braces after a dollar sign. Write it into a resource argument as it
    is.

    Raises:
        ValueError: the configuration contradicts itself, or a value holds text that Terraform would interpret.
    """
    _check(config)
    return _cloud_config(list(_files(config)))


def services_cloud_init(services: NodeServices) -> str:
    """Cloud-config for a node that somebody else sets up.

    Raises:
        ValueError: a value holds text that Terraform would interpret.
    """
    return _cloud_config(list(_service_files(services)))


def services_script(services: NodeServices) -> str:
    """A script that does once, as root, what `services_cloud_init` has cloud-init do.

    Raises:
        ValueError: a value holds text that Terraform would interpret.
    """
    files = list(_service_files(services))
    units = " ".join(sorted(_unit_names(files)))
    text = _environment().get_template("services.sh.j2").render(node=services, files=files, units=units)
    return _without_templates(text)


def burn_in_job(partition: str, nodes: int, *, between: bool) -> str:
    """The job of Slurm that runs the burn-in on `nodes` nodes of a partition."""
    template = _environment().get_template("burn-in.sbatch.j2")
    return template.render(partition=partition, nodes=nodes, between=between)


def all_reduce() -> str:
    """The Python program that measures the bus bandwidth of an all-reduce over the GPUs of a torchrun job."""
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
            # cloud-init itself is a unit that the target may wait for, so it must not wait for the target.
            ["systemctl", "start", "--no-block", *sorted(_unit_names(files))],
        ],
    }
    return _without_templates("#cloud-config\n" + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000))


def _without_templates(text: str) -> str:
    if found := _TERRAFORM_TEMPLATE.search(_TERRAFORM_TOKEN.sub("", text)):
        around = text[max(0, found.start() - 30) : found.start() + 30]
        raise ValueError(f"user data holds text that Terraform would interpret: ...{around!r}...; write it differently")
    return text


def steps(config: NodeBootstrap) -> tuple[str, ...]:
    """Names of the steps that must succeed before a node is ready, in the order in which they start."""
    lustre = ("lustre-client", "shared") if config.lustre else ()
    burn_in = ("burn-in",) if config.burn_in else ()
    return (*(("scratch",) if config.scratch == "raid0" else ()), *lustre, "check", *burn_in)


def _files(config: NodeBootstrap) -> Iterator[_File]:
    names = steps(config)
    yield _File("/etc/llmcluster/node.env", _render("node.env.j2", config))
    if config.environment:
        yield _File("/etc/profile.d/llmcluster.sh", _render("profile.sh.j2", config))
        yield _File("/etc/environment.d/50-llmcluster.conf", _render("environment.conf.j2", config))
    for name in names:
        template = f"lustre-client-{config.lustre.client}" if config.lustre and name == "lustre-client" else name
        yield _File(f"{_BIN}/llmcluster-{name}", _render(f"{template}.sh.j2", config), "0755")
        yield _File(f"{_UNITS}/llmcluster-{name}.service", _render(f"{name}.service.j2", config))
    if config.interruptible:
        yield _File(f"{_BIN}/llmcluster-interruption", _render("interruption.sh.j2", config), "0755")
        yield _File(f"{_UNITS}/{INTERRUPTION_UNIT}", _render("interruption.service.j2", config))
    if config.burn_in and config.burn_in.between:
        yield _File(f"{_BIN}/llmcluster-burn-in-between", _render("burn-in-between.sh.j2", config), "0755")
        yield _File("/usr/local/lib/llmcluster/all-reduce.py", all_reduce())
    yield from _service_files(NodeServices(config.cluster, config.health, config.metrics, containers=True))
    yield _File(f"{_UNITS}/llmcluster-ready.service", _render("ready.service.j2", config))
    yield _File(f"{_UNITS}/llmcluster-ready.target", _render("ready.target.j2", config))


def _service_files(services: NodeServices) -> Iterator[_File]:
    def render(template: str, **values: object) -> str:
        return _environment().get_template(template).render(node=services, metrics_dir=METRICS_DIR, **values)

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
    # Services are pulled in by what requires them; the boot wants the target, and what nobody waits for.
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
    return _environment().get_template(template).render(node=config, marker=READY_MARKER, units=units)


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
    """A value of an environment file of systemd.exec(5) and environment.d(5): double quotes, backslash escapes."""
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
        raise ValueError(f"scratch raid0 needs at least one NVMe disk, nvme_disks is {config.nvme_disks}; use none")
    if config.fabric != "ethernet" and config.rdma_cards < 1:
        raise ValueError(f"fabric {config.fabric} needs at least one RDMA card, rdma_cards is {config.rdma_cards}")
    for name, value in config.environment.items():
        if not _VARIABLE.fullmatch(name) or any(ord(character) < 32 for character in value) or "$" in value:
            raise ValueError(
                f"environment {name}={value!r}: names are letters, digits and underscores, "
                "values hold no dollar sign and no control character"
            )
    for name, reason in config.reasons.items():
        if any(ord(character) < 32 for character in reason):
            raise ValueError(
                f"reason of {name}, {reason!r}: it is one line of a comment and holds no control character"
            )
