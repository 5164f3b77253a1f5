import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cdktf import App, LocalBackend, TerraformLocal, TerraformOutput, TerraformStack
from hypothesis import given
from hypothesis import strategies as st

from cdk.bootstrap import READY_MARKER, LustreMount, NodeBootstrap, cloud_init
from tests.support.nodes import AWS, AZURE, BARE, calls, files, install, run, stub_tool, unit
from tests.support.terraform import Terraform


def disks(folder: Path, *names: str) -> dict[str, str]:
    """Create a /dev/disk/by-id as udev fills it: links with the same number point to the same disk."""
    by_id = folder / "by-id"
    by_id.mkdir()
    for name in names:
        link, _, number = name.partition(" ")
        disk = folder / f"nvme{number}n1"
        disk.touch()
        (by_id / link).symlink_to(disk)
    return {"BY_ID_DIR": str(by_id), "MD_DEVICE": "/dev/md/scratch", "SCRATCH_DIR": str(folder / "scratch")}


@pytest.mark.parametrize("config", [AWS, AZURE, BARE], ids=["aws", "azure", "bare"])
def test_user_data_is_cloud_config_that_fits_and_whose_scripts_parse(config: NodeBootstrap, tmp_path: Path) -> None:
    text = cloud_init(config)

    assert text.startswith("#cloud-config\n")
    assert len(text.encode()) < 16_384  # EC2 user guide, "Run commands at launch": 16 KB, before base64
    environment = install(config, tmp_path)
    for script in tmp_path.glob("llmcluster-*"):
        subprocess.run(["bash", "-n", str(script)], check=True, env=environment)
        assert "set -euo pipefail" in script.read_text()


@pytest.mark.parametrize("config", [AWS, AZURE, BARE], ids=["aws", "azure", "bare"])
def test_node_is_ready_only_after_every_step(config: NodeBootstrap) -> None:
    units = {Path(path).name: text for path, text in files(config).items() if path.startswith("/etc/systemd/system/")}

    needed = unit(config, "ready.service")["Requires"]
    assert set(needed) == {name for name in units if name.endswith(".service")} - {"llmcluster-ready.service"}
    assert unit(config, "ready.service")["After"] == needed


def test_same_configuration_gives_the_same_bytes_whatever_the_order_of_the_environment() -> None:
    backwards = dict(reversed(list(AWS.environment.items())))

    assert cloud_init(replace(AWS, environment=backwards)) == cloud_init(AWS)


def test_a13_lustre_is_mounted_with_its_options_after_the_network_and_retried(tmp_path: Path) -> None:
    environment = install(AWS, tmp_path) | {"LUSTRE_DIR": str(tmp_path / "shared")}
    Path(environment["STUBS"], "mountpoint.fails").touch()
    Path(environment["STUBS"], "mount.once").touch()

    done = run(tmp_path, "llmcluster-shared", environment)

    assert done.returncode == 0
    mount = f"mount -t lustre -o relatime,flock,_netdev {AWS.lustre.source if AWS.lustre else ''} {tmp_path}/shared"
    assert calls(environment, "mount") == [mount, mount]
    assert calls(environment, "sleep") == ["sleep 15"]
    assert "network-online.target" in unit(AWS, "shared.service")["After"]
    assert "llmcluster-lustre-client.service" in unit(AWS, "shared.service")["Requires"]


def test_a13_node_without_its_mount_is_not_ready() -> None:
    assert "llmcluster-shared.service" in unit(AWS, "ready.service")["Requires"]
    assert unit(AWS, "ready.service")["ExecStart"] == ["/usr/bin/touch", READY_MARKER]
    assert unit(AWS, "ready.target")["Requires"] == ["llmcluster-ready.service"]
    assert "multi-user.target" in unit(AWS, "ready.target")["WantedBy"]


def test_a13_client_is_installed_for_the_running_kernel_only_when_its_module_is_missing(tmp_path: Path) -> None:
    environment = install(AWS, tmp_path)
    script = tmp_path / "llmcluster-lustre-client"
    script.write_text(
        script.read_text().replace("/usr/share/keyrings", str(tmp_path)).replace("/etc/apt", str(tmp_path))
    )
    (tmp_path / "sources.list.d").mkdir()

    assert run(tmp_path, script.name, environment).returncode == 0
    assert calls(environment, "apt-get") == []

    Path(environment["STUBS"], "modprobe.once").touch()
    done = run(tmp_path, script.name, environment)

    assert done.returncode == 0, done.stderr
    assert calls(environment, "apt-get")[-1].endswith(f"install --yes lustre-client-modules-{os.uname().release}")
    assert "signed-by=" in (tmp_path / "sources.list.d" / "fsx-lustre.list").read_text()


def test_azure_client_is_the_newest_metapackage_of_the_running_kernel(tmp_path: Path) -> None:
    environment = install(AZURE, tmp_path)
    stub_tool(tmp_path / "tools", "apt-cache")
    kernel = os.uname().release
    Path(environment["STUBS"], "apt-cache.out").write_text(
        f"amlfs-lustre-client-2.15.7-33-g79ddf99 | {kernel} | https://packages.microsoft.com amd64 Packages\n"
        f"amlfs-lustre-client-2.15.10-1-gaaaaaaa | {kernel} | https://packages.microsoft.com amd64 Packages\n"
        "amlfs-lustre-client-2.16.1-14-gbc76088 | 1.0.0-other | https://packages.microsoft.com amd64 Packages\n"
    )
    script = tmp_path / "llmcluster-lustre-client"
    script.write_text(
        script.read_text().replace("/usr/share/keyrings", str(tmp_path)).replace("/etc/apt", str(tmp_path))
    )
    (tmp_path / "sources.list.d").mkdir()
    Path(environment["STUBS"], "modprobe.once").touch()

    done = run(tmp_path, script.name, environment)

    assert done.returncode == 0, done.stderr
    assert calls(environment, "apt-get")[-1].endswith(f"install --yes amlfs-lustre-client-2.15.10-1-gaaaaaaa={kernel}")


AWS_LINKS = (
    "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS1A 1",
    "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS1A_1 1",
    "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS1A-part1 3",
    "nvme-Amazon_EC2_NVMe_Instance_Storage_AWS2B 2",
    "nvme-Amazon_Elastic_Block_Store_vol0123 0",
    "nvme-uuid.0001 1",
)
AZURE_LINKS = (
    "nvme-Microsoft_NVMe_Direct_Disk_4bdf 1",
    "nvme-Microsoft_NVMe_Direct_Disk_v2_9c01 2",
    "nvme-MSFT_NVMe_Accelerator_v1.0_SN1 0",
)


@pytest.mark.parametrize("links", [AWS_LINKS, AZURE_LINKS], ids=["aws", "azure"])
def test_a14_blank_local_disks_become_one_raid_0_and_network_disks_are_spared(
    links: tuple[str, ...], tmp_path: Path
) -> None:
    environment = install(replace(AWS, nvme_disks=2), tmp_path) | disks(tmp_path, *links)
    for tool in ("mountpoint", "mdadm"):
        Path(environment["STUBS"], f"{tool}.fails").touch()
    stub = Path(environment["STUBS"], "mdadm")
    stub.write_text(stub.read_text().replace("exit 1", "case $1 in --create) exit 0 ;; *) exit 1 ;; esac"))

    done = run(tmp_path, "llmcluster-scratch", environment)

    assert done.returncode == 0, done.stderr
    created = [call for call in calls(environment, "mdadm") if "--create" in call]
    assert len(created) == 1
    assert "--level=0 --raid-devices=2" in created[0]
    assert created[0].split()[-2:] == [str(tmp_path / "nvme1n1"), str(tmp_path / "nvme2n1")]
    assert calls(environment, "mkfs.xfs") == ["mkfs.xfs -f /dev/md/scratch"]
    assert calls(environment, "mount") == [f"mount -t xfs -o noatime /dev/md/scratch {tmp_path}/scratch"]
    assert not any("nvme0n1" in call for tool in ("wipefs", "mdadm") for call in calls(environment, tool))


def test_a14_array_that_survived_a_reboot_keeps_its_files(tmp_path: Path) -> None:
    environment = install(replace(AWS, nvme_disks=2), tmp_path) | disks(tmp_path, *AWS_LINKS)
    Path(environment["STUBS"], "mountpoint.fails").touch()
    Path(environment["STUBS"], "blkid.out").write_text("xfs\n")

    done = run(tmp_path, "llmcluster-scratch", environment)

    assert done.returncode == 0, done.stderr
    assert calls(environment, "mkfs.xfs") == calls(environment, "wipefs") == []
    assert not any("--create" in call for call in calls(environment, "mdadm"))
    assert len(calls(environment, "mount")) == 1


@pytest.mark.parametrize("step", ["scratch", "shared"])
def test_a_second_run_finds_the_mount_and_touches_nothing(step: str, tmp_path: Path) -> None:
    environment = install(replace(AWS, nvme_disks=2), tmp_path) | disks(tmp_path, *AWS_LINKS)
    environment |= {"LUSTRE_DIR": str(tmp_path / "shared")}

    for _ in range(2):
        done = run(tmp_path, f"llmcluster-{step}", environment)
        assert done.returncode == 0, done.stderr

    ran = Path(environment["STUBS"], "calls").read_text().splitlines()
    assert {line.split()[0] for line in ran} == {"mountpoint"}


def test_a14_disks_that_the_image_put_into_a_volume_group_are_taken_back(tmp_path: Path) -> None:
    environment = install(replace(AWS, nvme_disks=2), tmp_path) | disks(tmp_path, *AWS_LINKS)
    for tool in ("mountpoint", "mdadm"):
        Path(environment["STUBS"], f"{tool}.fails").touch()
    stub = Path(environment["STUBS"], "mdadm")
    stub.write_text(stub.read_text().replace("exit 1", "case $1 in --create) exit 0 ;; *) exit 1 ;; esac"))
    Path(environment["STUBS"], "lsblk.out").write_text("\n/opt/dlami/nvme\n")
    Path(environment["STUBS"], "pvs.out").write_text("  vg.01\n")

    done = run(tmp_path, "llmcluster-scratch", environment)

    assert done.returncode == 0, done.stderr
    log = Path(environment["STUBS"], "calls").read_text().splitlines()
    order = [line.split()[0] for line in log if line.split()[0] in ("umount", "vgremove", "wipefs")]
    assert order[:3] == ["umount", "vgremove", "wipefs"]
    assert "systemctl disable --now dlami-nvme.service" in log


def test_a14_missing_disk_fails_the_node_and_touches_nothing(tmp_path: Path) -> None:
    environment = install(AWS, tmp_path) | disks(tmp_path, *AWS_LINKS)
    Path(environment["STUBS"], "mountpoint.fails").touch()

    done = run(tmp_path, "llmcluster-scratch", environment)

    assert done.returncode == 1
    assert "2 local NVMe disks" in done.stderr
    assert "8 expected" in done.stderr
    assert calls(environment, "mdadm") == calls(environment, "mount") == []


def fake_node(folder: Path, gpus: int, ports: list[tuple[str, str]]) -> dict[str, str]:
    for gpu in range(gpus):
        path = folder / "proc/driver/nvidia/gpus" / f"0000:{gpu:02x}:00.0" / "information"
        path.parent.mkdir(parents=True)
        path.touch()
    for number, (state, layer) in enumerate(ports):
        port = folder / "sys/class/infiniband" / f"mlx5_{number}" / "ports/1"
        port.mkdir(parents=True)
        (port / "state").write_text(f"4: {state}\n")
        (port / "link_layer").write_text(f"{layer}\n")
    return {"PROC_DIR": str(folder / "proc"), "SYS_DIR": str(folder / "sys")}


def test_check_passes_with_every_gpu_and_active_infiniband_port(tmp_path: Path) -> None:
    ports = [("ACTIVE", "InfiniBand")] * 8 + [("ACTIVE", "Ethernet")]
    environment = install(AZURE, tmp_path) | fake_node(tmp_path, 8, ports)

    assert run(tmp_path, "llmcluster-check", environment).returncode == 0
    assert calls(environment, "sleep") == []


FI_INFO = "".join(
    f"provider: efa\n    fabric: efa\n    domain: rdmap{card}s27-{kind}\n    version: 122.0\n"
    for card in range(4)
    for kind in ("rdm", "dgrm")
)


@pytest.mark.parametrize(("gpus", "cards"), [(8, 4), (7, 4), (8, 3)], ids=["complete", "a GPU short", "a card short"])
def test_check_waits_until_every_gpu_and_efa_card_is_there(gpus: int, cards: int, tmp_path: Path) -> None:
    environment = install(AWS, tmp_path) | fake_node(tmp_path, gpus, [])
    Path(environment["STUBS"], "fi_info.out").write_text("".join(FI_INFO.splitlines(keepends=True)[: cards * 8]))
    # The loop has no end of its own: the stub of sleep kills it.
    Path(environment["STUBS"], "sleep").write_text('#!/usr/bin/env bash\nkill "$PPID"\n')

    done = run(tmp_path, "llmcluster-check", environment)

    assert (done.returncode == 0) == (gpus == 8 and cards == 4)
    if done.returncode != 0:
        assert f"{gpus} of 8 GPUs, {cards} of 4 efa cards" in done.stderr


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="$"), max_size=40))
def test_environment_reaches_a_shell_unchanged(value: str) -> None:
    text = files(replace(BARE, environment={"NCCL_TEST": value}))["/etc/profile.d/llmcluster.sh"]

    shown = subprocess.run(
        ["bash", "-c", f'{text}\nprintf %s "$NCCL_TEST"'], capture_output=True, text=True, check=True
    ).stdout
    assert shown == value


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"nvme_disks": 0}, "nvme_disks is 0"),
        ({"rdma_cards": 0}, "rdma_cards is 0"),
        ({"environment": {"NCCL-X": "1"}}, "NCCL-X"),
        ({"environment": {"NCCL_X": "${HOME}"}}, "dollar"),
        ({"environment": {"NCCL_X": "a\nb"}}, "control character"),
        ({"cluster": "a${b}"}, "Terraform would interpret"),
        ({"cluster": "a%{if true}"}, "Terraform would interpret"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named.replace("{", r"\{")):
        cloud_init(replace(AWS, **change))


def test_shell_text_passes_terraform_unchanged(terraform: Terraform, tmp_path: Path) -> None:
    text = cloud_init(replace(AWS, environment={"NCCL_TEST": 'a "b" \\ % {c} %% #{d}'}))
    app = App(outdir=str(tmp_path / "out"), stack_traces=False)
    stack = TerraformStack(app, "text")
    LocalBackend(stack, path="terraform.tfstate")
    TerraformOutput(stack, "text", value=TerraformLocal(stack, "user_data", text).as_string)
    app.synth()
    folder = tmp_path / "out" / "stacks" / "text"

    terraform.init(folder)
    terraform.apply(folder)

    assert terraform.run(["output", "-raw", "text"], folder).stdout == text


@pytest.mark.parametrize("text", ["a\nid", "a\x1b[2J", "a\x00", "a\x7f"])
def test_text_of_a_node_is_one_line(text: str) -> None:
    """Text for units, environment files and scripts of a node."""
    changes: tuple[dict[str, Any], ...] = (
        {"cluster": text},
        {"scratch_dir": text},
        {"environment": {"NCCL_PROTO": text}},
        {"lustre": LustreMount(client="aws", source=text)},
        {"lustre": LustreMount(client="aws", source="fs@tcp:/x", mount_point=text)},
        {"nvme_by_id": (text,)},
    )
    for change in changes:
        with pytest.raises(ValueError, match=r"control character|letters, digits"):
            cloud_init(replace(BARE, **change))
