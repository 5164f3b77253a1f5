"""The Lustre client of AWS nodes: installation, tuning and EFA, with recorded tools in place of those of a node."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cdk.bootstrap import LustreMount, NodeServices, services_cloud_init, services_script
from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.search.optimizer import plan as make_plan
from planner.spec.reader import read_spec
from provider_catalog.catalog import Catalog
from provider_catalog.models import load_model
from tests.support.aws_stacks import synthesize
from tests.support.nodes import AWS, calls, files, install, run, stub_tool
from tests.support.plans import example_plan

SOURCE: Final = "fs-0123.fsx.us-east-1.amazonaws.com@tcp:/abcdefgh"
CLIENT: Final = "llmcluster-lustre-client"
SETTINGS: Final = "llmcluster-lustre-settings"
PEER: Final = """\
discover:
    - primary nid: 10.0.0.9@tcp
      Multi-Rail: True
      peer ni:
        - nid: 10.0.0.9@tcp
        - nid: 1.251.91.0@efa
"""
# P5: 32 EFA cards, four behind each PCIe switch; the lower half of the buses is on NUMA node 0.
P5_CARDS: Final = [f"rdmap{bus + card}s0" for bus in (79, 96, 113, 130, 147, 164, 181, 198) for card in range(4)]


def node(folder: Path, interfaces: int, cards: list[str]) -> dict[str, str]:
    """Install the scripts of a node with these EFA cards, and the answers of its tools."""
    config = replace(AWS, lustre=LustreMount("aws", SOURCE, efa_interfaces=interfaces))
    environment = install(config, folder)
    for name, driver in [*((card, "efa") for card in cards), ("ibp198s0f0", "mlx5_core")]:
        device = Path(environment["SYS_DIR"]) / "class" / "infiniband" / name / "device"
        device.mkdir(parents=True)
        (folder / driver).mkdir(exist_ok=True)
        (device / "driver").symlink_to(folder / driver)
    stubs = Path(environment["STUBS"])
    (stubs / "ip.out").write_text("default via 10.0.0.1 dev enp71s0 proto dhcp src 10.0.0.7\n")
    (stubs / "getent.out").write_text("10.0.0.9 STREAM fs-0123\n10.0.0.9 DGRAM\n")
    answer(stubs, {"discover": PEER, "net show --net efa": "          status: up\n" * interfaces})
    return environment


def answer(stubs: Path, answers: Mapping[str, str]) -> None:
    """Let lnetctl print a text for a command; it fails where `lnetctl.fails` names the command."""
    cases = "\n".join(f"\"{command}\"*) cat << 'END'\n{text}END\n;;" for command, text in answers.items())
    (stubs / "lnetctl").write_text(
        '#!/usr/bin/env bash\necho "lnetctl $*" >> "$STUBS/calls"\n'
        'if [ -e "$STUBS/lnetctl.fails" ] && [[ "$*" == "$(cat "$STUBS/lnetctl.fails")"* ]]; then exit 1; fi\n'
        f'case "$*" in\n{cases}\nesac\n'
    )


def added(environment: Mapping[str, str]) -> list[str]:
    """Return the cards that became EFA interfaces of LNet."""
    return [call.split()[6] for call in calls(environment, "lnetctl") if call.startswith("lnetctl net add --net efa")]


# EFA interfaces


@pytest.mark.parametrize(
    ("interfaces", "cards", "expected"),
    [
        (8, P5_CARDS, P5_CARDS[::4]),
        (16, [f"rdmap{n}s0" for n in range(16)], [f"rdmap{n}s0" for n in range(16)]),
        (2, [f"rdmap{n}s0" for n in (9, 10, 100, 101)], ["rdmap9s0", "rdmap101s0"]),
        (1, ["efa_0"], ["efa_0"]),
    ],
    ids=["one behind each PCIe switch of P5", "all of P6-B300", "first and last", "the only one"],
)
def test_interfaces_are_spread_over_the_cards(
    interfaces: int, cards: list[str], expected: list[str], tmp_path: Path
) -> None:
    environment = node(tmp_path, interfaces, cards)

    done = run(tmp_path, CLIENT, environment)

    assert done.returncode == 0, done.stderr
    assert added(environment) == expected
    ran = Path(environment["STUBS"], "calls").read_text().splitlines()
    assert ran.index("modprobe kefalnd ipif_name=enp71s0") < ran.index("lnetctl lnet configure")
    assert ran.index("lnetctl udsp add --src efa --priority 0") < ran.index("modprobe lustre")
    assert ran[-1] == "lnetctl ping 1.251.91.0@efa"


@pytest.mark.parametrize(
    "command",
    [
        "lnet configure",
        "net add --net tcp",
        "net add --net efa --if rdmap181s0",
        "set discovery 1",
        "udsp add",
        "ping",
    ],
)
def test_each_failing_lnetctl_fails_the_boot(command: str, tmp_path: Path) -> None:
    environment = node(tmp_path, 8, P5_CARDS)
    Path(environment["STUBS"], "lnetctl.fails").write_text(command)

    assert run(tmp_path, CLIENT, environment).returncode != 0
    if command != "ping":
        assert "modprobe lustre" not in calls(environment, "modprobe")


@pytest.mark.parametrize("module", ["lnet", "kefalnd", "ksocklnd", "lustre"])
def test_each_module_that_does_not_load_fails_the_boot(module: str, tmp_path: Path) -> None:
    environment = node(tmp_path, 8, P5_CARDS)
    Path(environment["STUBS"], "modprobe").write_text(
        f'#!/usr/bin/env bash\necho "modprobe $*" >> "$STUBS/calls"\n[ "$1" != {module} ]\n'
    )
    assert run(tmp_path, CLIENT, environment).returncode != 0
    assert calls(environment, "modprobe")[-1].split()[1] == module


def test_an_interface_that_is_down_fails_the_boot(tmp_path: Path) -> None:
    environment = node(tmp_path, 8, P5_CARDS)
    answer(
        Path(environment["STUBS"]), {"discover": PEER, "net show --net efa": "  status: up\n" * 7 + "  status: down\n"}
    )

    done = run(tmp_path, CLIENT, environment)

    assert done.returncode == 1
    assert "7 of 8 EFA interfaces are up" in done.stderr


def test_missing_cards_fail_the_boot_and_touch_nothing(tmp_path: Path) -> None:
    environment = node(tmp_path, 8, P5_CARDS[:7])

    done = run(tmp_path, CLIENT, environment)

    assert done.returncode == 1
    assert "7 EFA cards, 8 needed" in done.stderr
    assert calls(environment, "lnetctl") == []


def test_a_server_that_answers_over_tcp_alone_is_reported(tmp_path: Path) -> None:
    environment = node(tmp_path, 1, ["efa_0"])
    tcp_only = PEER.replace("        - nid: 1.251.91.0@efa\n", "")
    answer(Path(environment["STUBS"]), {"discover": tcp_only, "net show --net efa": "  status: up\n"})

    done = run(tmp_path, CLIENT, environment)

    assert done.returncode == 1
    assert "fs-0123.fsx.us-east-1.amazonaws.com answers over TCP only, not over EFA" in done.stderr


def test_a_server_that_does_not_answer_yet_is_asked_again(tmp_path: Path) -> None:
    environment = node(tmp_path, 1, ["efa_0"])
    Path(environment["STUBS"], "getent.once").touch()

    assert run(tmp_path, CLIENT, environment).returncode == 0
    assert calls(environment, "sleep") == ["sleep 15"]


@pytest.mark.parametrize(("sent", "passes"), [(("5", "17"), True), (("5", "5"), False)], ids=["EFA", "TCP"])
def test_a_mount_whose_messages_go_over_tcp_is_reported(sent: tuple[str, str], passes: bool, tmp_path: Path) -> None:
    environment = node(tmp_path, 1, ["efa_0"]) | {"LUSTRE_DIR": "/shared"}
    stubs = Path(environment["STUBS"])
    (stubs / "lnetctl").write_text(
        '#!/usr/bin/env bash\necho "lnetctl $*" >> "$STUBS/calls"\n'
        f'if grep --quiet "^lfs df" "$STUBS/calls"; then echo "  send_count: {sent[1]}"; '
        f'else echo "  send_count: {sent[0]}"; fi\n'
    )

    done = run(tmp_path, SETTINGS, environment)

    assert (done.returncode == 0) == passes
    assert ("the servers of /shared are reached over TCP, not over EFA" in done.stderr) != passes


@pytest.mark.parametrize("tool", ["lfs", "lctl", "nproc"])
def test_each_failing_tool_fails_the_settings(tool: str, tmp_path: Path) -> None:
    environment = node(tmp_path, 1, ["efa_0"]) | {"LUSTRE_DIR": "/shared"}
    Path(environment["STUBS"], "nproc.out").write_text("192\n")
    Path(environment["STUBS"], f"{tool}.fails").touch()
    assert run(tmp_path, SETTINGS, environment).returncode != 0


# Installation and tuning


@pytest.mark.parametrize("missing", ["mount.lustre", "lctl", "lnetctl"])
def test_client_is_installed_where_the_kernel_has_the_module_alone(missing: str, tmp_path: Path) -> None:
    environment = install(AWS, tmp_path)
    stubs = Path(environment["STUBS"])
    (stubs / missing).rename(tmp_path / missing)
    (stubs / "dnf").write_text(
        f'#!/usr/bin/env bash\necho "dnf $*" >> "$STUBS/calls"\ncp {tmp_path}/{missing} "$STUBS/{missing}"\n'
    )
    (stubs / "dnf").chmod(0o755)

    done = run(tmp_path, CLIENT, environment)

    assert done.returncode == 0, done.stderr
    assert calls(environment, "dnf") == ["dnf install --assumeyes lustre-client"]
    assert calls(environment, "modprobe")[-1] == "modprobe lustre"


def test_an_installation_that_fails_is_reported_and_tried_again(tmp_path: Path) -> None:
    environment = install(AWS, tmp_path)
    stubs = Path(environment["STUBS"])
    stub_tool(stubs, "dnf")
    (stubs / "modprobe.once").touch()
    (stubs / "dnf.once").touch()

    done = run(tmp_path, CLIENT, environment)

    assert done.returncode == 0
    assert "not complete for kernel" in done.stderr
    assert calls(environment, "sleep") == ["sleep 15"]


@pytest.mark.parametrize(("cores", "tuned"), [(64, False), (65, True)])
def test_modules_of_hosts_with_more_than_64_cores_are_tuned_before_they_load(
    cores: int, tuned: bool, tmp_path: Path
) -> None:
    # FSx for Lustre guide, "Performance tips": more than 64 vCPUs.
    environment = install(AWS, tmp_path)
    Path(environment["STUBS"], "nproc.out").write_text(f"{cores}\n")

    assert run(tmp_path, CLIENT, environment).returncode == 0

    written = Path(environment["MODPROBE_DIR"], "llmcluster-lustre.conf")
    options = written.read_text().splitlines() if written.exists() else []
    expected = ["options ptlrpc ptlrpcd_per_cpt_max=32", "options ksocklnd credits=2560"]
    assert options == (expected if tuned else [])


def test_modules_that_are_loaded_already_are_loaded_again_with_the_options(tmp_path: Path) -> None:
    environment = install(AWS, tmp_path)
    (Path(environment["SYS_DIR"]) / "module" / "lnet").mkdir(parents=True)

    assert run(tmp_path, CLIENT, environment).returncode == 0
    assert len(calls(environment, "lustre_rmmod")) == 1

    Path(environment["STUBS"], "lustre_rmmod.fails").touch()
    assert run(tmp_path, CLIENT, environment).returncode != 0


def test_a_client_in_use_is_left_alone(tmp_path: Path) -> None:
    environment = install(AWS, tmp_path)
    mounts = Path(environment["PROC_DIR"], "mounts")
    mounts.write_text(f"{SOURCE} /shared lustre rw,flock 0 0\n")

    assert run(tmp_path, CLIENT, environment).returncode == 0
    assert calls(environment, "modprobe") == calls(environment, "lustre_rmmod") == []


@pytest.mark.parametrize(
    ("cores", "memory_gib", "expected"),
    [
        (8, 64, []),
        (
            8,
            65,
            ["lctl set_param ldlm.namespaces.*.lru_max_age=600000 ldlm.namespaces.*.lru_size=800"],
        ),
        (
            192,
            2048,
            [
                "lctl set_param ldlm.namespaces.*.lru_max_age=600000 ldlm.namespaces.*.lru_size=19200",
                "lctl set_param osc.*OST*.max_rpcs_in_flight=32 mdc.*.max_rpcs_in_flight=64",
                "lctl set_param mdc.*.max_mod_rpcs_in_flight=50",
            ],
        ),
    ],
)
def test_a_mount_of_a_large_host_is_tuned(cores: int, memory_gib: int, expected: list[str], tmp_path: Path) -> None:
    environment = install(AWS, tmp_path)
    Path(environment["STUBS"], "nproc.out").write_text(f"{cores}\n")
    Path(environment["PROC_DIR"], "meminfo").write_text(f"MemTotal:  {memory_gib * 2**20} kB\nMemFree: 1 kB\n")

    assert run(tmp_path, SETTINGS, environment).returncode == 0
    assert calls(environment, "lctl") == expected
    assert "ExecStartPost=/usr/local/sbin/" + SETTINGS in files(AWS)["/etc/systemd/system/llmcluster-shared.service"]


# Every orchestrator

OVER_EFA: Final = NodeServices("example", lustre=LustreMount("aws", SOURCE, efa_interfaces=8))


def test_kubelet_does_not_start_before_the_client_is_configured() -> None:
    text = services_cloud_init(replace(OVER_EFA, lustre_before="kubelet.service"))
    written = {file["path"]: file["content"] for file in yaml.safe_load(text)["write_files"]}
    needs = written["/etc/systemd/system/kubelet.service.d/llmcluster.conf"]
    assert "Requires=llmcluster-lustre-client.service\nAfter=llmcluster-lustre-client.service\n" in needs
    assert "EFA_INTERFACES=8" in written["/etc/llmcluster/node.env"]
    assert "lnetctl net add --net efa" in written["/usr/local/sbin/llmcluster-lustre-client"]


def test_script_of_parallelcluster_fails_with_the_client(tmp_path: Path) -> None:
    environment = install(AWS, tmp_path)
    stub_tool(Path(environment["STUBS"]), "journalctl")
    script = tmp_path / "on-node-start.sh"
    text = services_script(OVER_EFA)
    for folder in ("/etc/llmcluster", "/etc/systemd/system", "/usr/local/sbin"):
        text = text.replace(f"cat > {folder}", f"cat > {tmp_path}").replace(f"mkdir --parents {folder}", "true")
    script.write_text(text)
    script.chmod(0o755)

    assert run(tmp_path, script.name, environment).returncode == 0
    assert calls(environment, "systemctl")[-1] == "systemctl start llmcluster-lustre-client.service"

    Path(environment["STUBS"], "systemctl").write_text('#!/usr/bin/env bash\n[ "$1" != start ]\n')
    assert run(tmp_path, script.name, environment).returncode == 1
    assert any("llmcluster-lustre-client" in call for call in calls(environment, "journalctl"))


@pytest.mark.slow
@pytest.mark.parametrize("orchestrator", ["none", "slurm", "kubernetes"])
def test_clients_over_efa_are_configured_under_every_orchestrator(orchestrator: str, tmp_path: Path) -> None:
    plan = example_plan(
        instance_type="p5.48xlarge",
        nodes=2,
        spec={"orchestrator": orchestrator, "storage": {"lustre": {"efa": True}}},
    )
    documents: dict[str, Any] = synthesize(plan, tmp_path)
    compute = documents["compute"]
    text = yaml.safe_dump(compute, width=10**6)
    assert "EFA_INTERFACES=8" in text
    assert "lnetctl net add --net efa" in text
    if orchestrator == "slurm":
        assert "OnNodeStart" in text
        return
    client = "${data.terraform_remote_state.storage.outputs.shared_clients_security_group_id}"
    templates = [t for t in compute["resource"]["aws_launch_template"].values() if t["instance_type"] == "p5.48xlarge"]
    assert templates
    for template in templates:
        assert all(client in interface["security_groups"] for interface in template["network_interfaces"])


# Limits (FSx for Lustre guide, "Configuring EFA clients", step 4)


@pytest.mark.parametrize(
    ("instance_type", "cards", "interfaces", "clients"),
    [
        ("p6-b300.48xlarge", 16, 16, 64),
        ("p6-b200.48xlarge", 8, 8, 128),
        ("p5en.48xlarge", 16, 8, 128),
        ("p5.48xlarge", 32, 8, 128),
        ("g6e.48xlarge", 4, 2, 512),
        ("g6.16xlarge", 1, 1, 1024),
    ],
)
def test_interfaces_and_clients_by_type(instance_type: str, cards: int, interfaces: int, clients: int) -> None:
    limits = Catalog.load().provider_defaults("aws").efa_clients
    assert limits is not None
    assert limits.interfaces_of(instance_type, cards) == interfaces
    assert limits.most_clients(instance_type, cards) == clients


def planned(pin: dict[str, Any]) -> Plan:
    spec = read_spec(
        {
            "name": "example",
            "model": {"parameters": "7B"},
            "workload": {"kind": "training", "tokens": 1e11, "deadline_days": 60},
            "placement": {"providers": ["aws"]},
            "storage": {"lustre": {"efa": True}},
            "pin": pin,
        },
        "example.yaml",
    )
    return make_plan(spec, load_model({"parameters": "7B"}, None), Catalog.load())


def test_more_clients_than_a_file_system_accepts_are_refused_with_the_nearest_number() -> None:
    with pytest.raises(
        SpecError, match=r"pin\.nodes: p5\.48xlarge with 8 EFA interfaces makes 1,280 connections on 160 nodes.*1,024"
    ) as refused:
        planned({"instance_type": "p5.48xlarge", "nodes": 160})
    assert "use at most 128 nodes, or leave storage.lustre.efa out" in str(refused.value)
    assert planned({"instance_type": "p5.48xlarge", "nodes": 128}).choice.nodes == 128


def test_a_pinned_type_that_is_no_client_over_efa_is_refused() -> None:
    with pytest.raises(SpecError, match=r"pin\.instance_type: p4d\.24xlarge cannot mount PERSISTENT_2-125"):
        planned({"instance_type": "p4d.24xlarge"})
