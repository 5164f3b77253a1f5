"""Light provider registration: the same document as the plain import, and safe in any order."""

import subprocess
import sys
from pathlib import Path

import pytest

from cdk.providers import register

ROOT = Path(__file__).parents[1]

STACKS = {
    "aws": """
from cdktf_cdktf_provider_aws.provider import AwsProvider
from cdktf_cdktf_provider_aws.vpc import Vpc
from cdktf_cdktf_provider_aws.security_group import SecurityGroup, SecurityGroupIngress
AwsProvider(stack, "aws", region="us-east-1")
vpc = Vpc(stack, "vpc", cidr_block="10.0.0.0/16", tags={"Name": "light"})
SecurityGroup(stack, "efa", vpc_id=vpc.id, ingress=[SecurityGroupIngress(from_port=0, to_port=0, protocol="-1",
    self_attribute=True)])
""",
    "azurerm": """
from cdktf_cdktf_provider_azurerm.provider import AzurermProvider, AzurermProviderFeatures
from cdktf_cdktf_provider_azurerm.resource_group import ResourceGroup
from cdktf_cdktf_provider_azurerm.virtual_network import VirtualNetwork
AzurermProvider(stack, "azurerm", features=[AzurermProviderFeatures()])
group = ResourceGroup(stack, "group", name="light", location="eastus")
VirtualNetwork(stack, "vnet", name="light", location=group.location, resource_group_name=group.name,
    address_space=["10.0.0.0/16"])
""",
}

PROGRAM = """
import sys
from cdk.providers import register, use_bundled_node
package, light = sys.argv[1], sys.argv[2] == "light"
use_bundled_node()
if light:
    register(package)
else:
    __import__(package)
    executed = sys.modules[package]
    register(package)
    assert sys.modules[package] is executed, "register() replaced an executed package"
import cdktf
app = cdktf.App(outdir=sys.argv[3])
stack = cdktf.TerraformStack(app, "s")
{stack}
app.synth()
resources = [name for name in sys.modules if name.startswith(package + ".")]
print(len(resources))
"""


def synthesize(cloud: str, how: str, outdir: Path) -> tuple[bytes, int]:
    """Run a small stack in a process of its own; return the document and how many provider modules were imported."""
    program = PROGRAM.replace("{stack}", STACKS[cloud])
    package = f"cdktf_cdktf_provider_{cloud}"
    done = subprocess.run(
        [sys.executable, "-c", program, package, how, str(outdir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (outdir / "stacks" / "s" / "cdk.tf.json").read_bytes(), int(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("cloud", sorted(STACKS))
def test_light_registration_leaves_the_document_unchanged(cloud: str, tmp_path: Path) -> None:
    light, light_modules = synthesize(cloud, "light", tmp_path / "out")
    plain, plain_modules = synthesize(cloud, "plain", tmp_path / "out")
    assert light == plain
    assert b'"resource"' in light
    assert light_modules < 20
    assert plain_modules > 1000


def test_an_unknown_package_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="cdktf_cdktf_provider_nowhere"):
        register("cdktf_cdktf_provider_nowhere")
    assert "cdktf_cdktf_provider_nowhere" not in sys.modules
