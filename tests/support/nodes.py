"""Node configurations of the tests, and their boot scripts run with stubs in place of the system tools."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import yaml

from cdk.bootstrap import BetweenNodes, BurnIn, Health, LustreMount, Metrics, NodeBootstrap, Repair, cloud_init

AWS: Final = NodeBootstrap(
    cluster="example",
    scratch="raid0",
    nvme_disks=8,
    lustre=LustreMount("aws", "fs-0123.fsx.us-east-1.amazonaws.com@tcp:/abcdefgh"),
    fabric="efa",
    rdma_cards=4,
    gpus=8,
    environment={"FI_PROVIDER": "efa", "NCCL_DEBUG": "WARN"},
)
AZURE: Final = replace(
    AWS, lustre=LustreMount("azure", "10.42.16.4@tcp:/lustrefs"), fabric="infiniband", rdma_cards=8, environment={}
)
BARE: Final = replace(AWS, scratch="none", nvme_disks=0, lustre=None, fabric="ethernet", rdma_cards=0)
EVERYTHING: Final = replace(
    AWS,
    burn_in=BurnIn(
        "aws ssm get-parameter --name /llmcluster/example/phase",
        204.0,
        BetweenNodes(2, 34.0, "registry.example/torch:1", "aws ecr get-login | docker login", "aws ec2 describe"),
    ),
    lustre=LustreMount("aws", "fs-0123@tcp:/abcdefgh", efa_interfaces=4),
    metrics=Metrics("https://aps.example/workspaces/ws-1/api/v1/remote_write", "us-east-1"),
    health=Health("aws cloudwatch put-metric-data --namespace llmcluster/example"),
    repair=Repair("us-east-1", "ready"),
    interruptible=True,
)
NODES: Final = {"aws": AWS, "azure": AZURE, "bare": BARE, "everything": EVERYTHING}


def files(config: NodeBootstrap) -> dict[str, str]:
    """Return the files that the user data of a node writes, by path."""
    document = yaml.safe_load(cloud_init(config))
    return {file["path"]: file["content"] for file in document["write_files"]}


def unit(config: NodeBootstrap, name: str) -> dict[str, list[str]]:
    """Return the settings of the systemd unit llmcluster-`name`; each holds all words that the unit gives it."""
    settings: dict[str, list[str]] = {}
    for line in files(config)[f"/etc/systemd/system/llmcluster-{name}"].splitlines():
        key, separator, value = line.partition("=")
        if separator:
            settings.setdefault(key, []).extend(value.split())
    return settings


def install(config: NodeBootstrap, folder: Path) -> dict[str, str]:
    """Write the scripts and a stub for each system tool, and return the environment that systemd would hand over.

    A stub appends its call to the file `calls`. It prints the file `<tool>.out` if there is one. It fails while
    `<tool>.fails` exists, and fails once for `<tool>.once`.
    """
    tools = folder / "tools"
    tools.mkdir()
    for tool in ("mdadm", "mkfs.xfs", "mount", "blkid", "wipefs", "lsblk", "pvs", "vgremove", "umount", "udevadm"):
        stub_tool(tools, tool)
    for tool in ("modprobe", "mountpoint", "systemctl", "sleep", "curl", "apt-get", "fi_info", "chmod"):
        stub_tool(tools, tool)
    for tool in ("mount.lustre", "lctl", "lnetctl", "lustre_rmmod", "lfs", "getent", "ip", "nproc"):
        stub_tool(tools, tool)
    (tools / "nproc.out").write_text("8\n")
    for path, content in files(config).items():
        if path.startswith("/usr/local/sbin/"):
            script = folder / Path(path).name
            script.write_text(content)
            script.chmod(0o755)
    kernel = folder / "kernel"
    for name in ("proc", "modprobe.d"):
        (kernel / name).mkdir(parents=True)
    (kernel / "proc" / "mounts").write_text("proc /proc proc rw 0 0\n")
    (kernel / "proc" / "meminfo").write_text("MemTotal:       16000000 kB\n")
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "STUBS": str(tools)}
    environment |= {"PROC_DIR": str(kernel / "proc"), "SYS_DIR": str(kernel / "sys")}
    environment |= {"MODPROBE_DIR": str(kernel / "modprobe.d")}
    for line in files(config)["/etc/llmcluster/node.env"].splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            environment[name] = value.strip('"')
    return environment


def stub_tool(folder: Path, tool: str) -> None:
    """Write the stub of one tool; see `install`."""
    stub = folder / tool
    stub.write_text(
        f'#!/usr/bin/env bash\necho "{tool} $*" >> "$STUBS/calls"\n'
        f'if [ -e "$STUBS/{tool}.out" ]; then cat "$STUBS/{tool}.out"; fi\n'
        f'if [ -e "$STUBS/{tool}.once" ]; then rm "$STUBS/{tool}.once"; exit 1; fi\n'
        f'if [ -e "$STUBS/{tool}.fails" ]; then exit 1; fi\n'
    )
    stub.chmod(0o755)


def run(folder: Path, script: str, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an installed script to its end, whatever its exit code."""
    command = [str(folder / script), *arguments]
    return subprocess.run(
        command, env=dict(environment), cwd="/", capture_output=True, text=True, timeout=30, check=False
    )


def calls(environment: Mapping[str, str], tool: str) -> list[str]:
    """Return the recorded command lines of one tool."""
    log = Path(environment["STUBS"], "calls")
    return [line for line in log.read_text().splitlines() if line.split()[0] == tool] if log.exists() else []
