"""`llmcluster preflight`: what an account lacks is said with the fix, and refusals name the permission."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

import boto3
import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy
from click.testing import CliRunner

from llmcluster.cli import cli
from llmcluster.preflight_needs import wanted_of
from planner.errors import SpecError
from planner.plan.choice import Purchase
from provider_catalog.catalog import Catalog
from provider_catalog.live.aws import preflight as aws_preflight
from provider_catalog.live.azure import preflight as azure_preflight
from provider_catalog.live.azure import skus
from provider_catalog.live.live_source import Limits
from provider_catalog.live.preflight import BY_NAME, Check, QuotaNeed, Wanted
from provider_catalog.live.preflight_clouds import preflight_of
from tests.support import faulty_http
from tests.support.boto_shapes import strict_requests
from tests.support.faulty_http import Answer, Seen, Server
from tests.support.moto_server import MotoServer
from tests.support.plans import example_plan

# These tests start a local AWS.
pytestmark = pytest.mark.slow

CATALOG = Catalog.packaged()
FAST = Limits(connect_timeout_s=2, read_timeout_s=30, attempts=1, backoff_s=0.01)
VCPUS = QuotaNeed("ec2", "L-417A185B", "Running On-Demand P instances", 192, "vCPUs")
FSX = QuotaNeed("fsx", f"{BY_NAME}lustre|persistent_2|storage capacity", "FSx for Lustre", 2400, "GiB")
H100 = "Standard_ND96isr_H100_v5"


def wanted(**fields: Any) -> Wanted:
    given: dict[str, Any] = {
        "provider": "aws",
        "region": "us-east-1",
        "zone": "use1-az6",
        "instance_type": "p4d.24xlarge",
        "nodes": 1,
        "vcpus": 96,
    }
    return Wanted(**{**given, **fields})


def states(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def one(checks: list[Check], name: str) -> Check:
    [check] = [check for check in checks if check.name == name]
    return check


@pytest.fixture
def account(aws: MotoServer, monkeypatch: pytest.MonkeyPatch) -> MotoServer:
    """An account at a local AWS; services that it lacks are served by `others`."""
    strict_requests(monkeypatch)
    for name, value in aws.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return aws


@pytest.fixture
def others(account: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Service Quotas and Systems Manager with answers of our own."""
    with faulty_http.serve() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS", running.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", running.url)
        yield running


def quotas(values: Mapping[str, float]) -> Callable[[Seen], Answer]:
    """Answers of Service Quotas (API reference, GetServiceQuota and ListServiceQuotas)."""

    def respond(seen: Seen) -> Answer:
        asked = json.loads(seen.body)
        if seen.headers["X-Amz-Target"].endswith("ListServiceQuotas"):
            listed = [
                {"QuotaName": "Lustre Persistent_2 SSD storage capacity", "QuotaCode": "L-1", "Value": values["fsx"]},
                {"QuotaName": "Lustre Persistent_2 file systems", "QuotaCode": "L-2", "Value": 100.0},
            ]
            return Answer({"Quotas": listed})
        return Answer({"Quota": {"QuotaCode": asked["QuotaCode"], "Value": values[asked["QuotaCode"]]}})

    return respond


def test_an_account_that_has_everything_passes(others: Server) -> None:
    others.respond = quotas({"L-417A185B": 192, "fsx": 100_800})
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="state-of-mine")
    need = wanted(quotas=(VCPUS, FSX), state_bucket=("state-of-mine", "us-east-1"))
    checks = aws_preflight.run(need, FAST)
    assert set(states(checks).values()) == {"pass"}, checks
    assert "account 123456789012" in one(checks, "identity").found
    assert one(checks, "quota Running On-Demand P instances").found == "192 vCPUs; the plan takes 192 (L-417A185B)"
    assert "L-1" in one(checks, "quota FSx for Lustre").found


def test_a_low_quota_fails_with_its_code_and_its_page(others: Server) -> None:
    others.respond = quotas({"L-417A185B": 96, "fsx": 1200})
    checks = aws_preflight.run(wanted(quotas=(VCPUS, FSX)), FAST)
    low = one(checks, "quota Running On-Demand P instances")
    assert low.state == "fail"
    assert low.fix.startswith("ask for 192 at https://us-east-1.console.aws.amazon.com/servicequotas/")
    assert low.fix.endswith("/services/ec2/quotas/L-417A185B")
    assert one(checks, "quota FSx for Lustre").state == "fail"


def test_a_quota_that_was_never_raised_has_the_default_of_aws(others: Server) -> None:
    def respond(seen: Seen) -> Answer:
        if seen.headers["X-Amz-Target"].endswith("GetServiceQuota"):
            return Answer({"__type": "NoSuchResourceException", "Message": "no quota"}, status=400)
        return Answer({"Quota": {"QuotaCode": "L-417A185B", "Value": 0.0}})

    others.respond = respond
    checks = aws_preflight.run(wanted(quotas=(VCPUS,)), FAST)
    assert one(checks, "quota Running On-Demand P instances").found.startswith("0 vCPUs")


def test_a_quota_without_a_public_code_that_is_not_found_is_a_warning(others: Server) -> None:
    others.respond = lambda seen: Answer({"Quotas": []})
    checks = aws_preflight.run(wanted(quotas=(FSX,)), FAST)
    assert one(checks, "quota FSx for Lustre").state == "warn"


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        ("AccessDeniedException", "warn", "allow servicequotas:GetServiceQuota"),
        ("ExpiredTokenException", "fail", "credentials have expired"),
        ("ThrottlingException", "fail", "throttled"),
    ],
)
def test_a_refusal_names_the_permission_and_other_checks_go_on(
    others: Server, error: str, state: str, message: str
) -> None:
    others.play(Answer({"__type": error, "Message": "no"}, status=400))
    checks = aws_preflight.run(wanted(quotas=(VCPUS,)), FAST)
    refused = one(checks, "quota Running On-Demand P instances")
    assert refused.state == state
    assert message in f"{refused.found} {refused.fix}"
    assert one(checks, "instance type").state == "pass"


def test_a_proxy_that_answers_html_is_said(others: Server) -> None:
    others.play(Answer(raw="<html>sign in</html>"))
    checks = aws_preflight.run(wanted(quotas=(VCPUS,)), FAST)
    assert one(checks, "quota Running On-Demand P instances").state == "fail"


def test_a_wrong_zone_and_a_type_that_is_not_sold_there_name_others(account: MotoServer) -> None:
    checks = aws_preflight.run(wanted(zone="use1-az9"), FAST)
    zone = one(checks, "zone")
    assert (zone.state, "use1-az1" in zone.fix) == ("fail", True)
    offered = one(checks, "instance type")
    assert offered.state == "fail"
    assert "set placement.zone to one of use1-az" in offered.fix
    unknown = one(aws_preflight.run(wanted(instance_type="p9.48xlarge"), FAST), "instance type")
    assert unknown.fix == "choose another region or instance type"


def test_a_state_bucket_that_is_missing_fails(account: MotoServer) -> None:
    checks = aws_preflight.run(wanted(state_bucket=("nobody-made-this", "us-east-1")), FAST)
    assert one(checks, "state bucket").fix == "llmcluster bootstrap-state SPEC"


def test_the_image_is_looked_up(others: Server) -> None:
    others.play(Answer({"Parameter": {"Name": aws_preflight.IMAGE_PARAMETER, "Value": "ami-0123456789abcdef0"}}))
    image = one(aws_preflight.run(wanted(image_parameter=aws_preflight.IMAGE_PARAMETER), FAST), "image")
    assert image.state == "pass"
    assert image.found.startswith("ami-0123456789abcdef0")
    others.play(Answer({"__type": "ParameterNotFound", "Message": ""}, status=400))
    missing = aws_preflight.run(wanted(image_parameter=aws_preflight.IMAGE_PARAMETER), FAST)
    assert one(missing, "image").state == "fail"


def test_the_stacks_run_the_image_that_is_checked() -> None:
    from stacks.aws.checks import IMAGE_PARAMETER

    assert aws_preflight.IMAGE_PARAMETER == IMAGE_PARAMETER


def test_without_credentials_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "no-such-file")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "no-such-file")
    monkeypatch.setenv("LLMCLUSTER_PRICES", "none")
    result = CliRunner().invoke(cli, ["preflight", "clusters/quickstart.yaml", "--json"])
    assert result.exit_code == 4
    [check] = json.loads(result.stdout)["checks"]
    assert (check["name"], check["state"]) == ("identity", "fail")
    assert "no AWS credentials found" in check["found"]


def test_the_policy_lists_the_action_of_every_check_and_only_reads() -> None:
    [statement] = aws_preflight.policy()["Statement"]
    assert set(statement["Action"]) == set(aws_preflight.ACTIONS.values())
    for action in statement["Action"]:
        assert action.partition(":")[2].startswith(("Get", "Describe", "List")), action
    for action in azure_preflight.policy()["Actions"]:
        assert action.endswith("/read"), action
    result = CliRunner().invoke(cli, ["preflight", "clusters/quickstart.yaml", "--policy"])
    assert json.loads(result.stdout) == aws_preflight.policy()


def test_what_a_plan_needs_follows_from_the_plan() -> None:
    plan = example_plan(
        instance_type="p5.48xlarge",
        nodes=2,
        purchase=Purchase(reserved_nodes=1, spot_nodes=1),
        spec={"state": {"backend": "s3", "bucket": "mine-of-state", "region": "eu-west-1"}},
    )
    need = wanted_of(plan, CATALOG, "/image")
    amounts = {quota.code: quota.amount for quota in need.quotas}
    assert amounts["L-417A185B"] == amounts["L-C4BD4855"] == 192  # one node of each market
    assert amounts["L-DF5E4CA3"] == 2 * 32  # network cards
    assert amounts["L-0263D0A3"] == 1
    assert need.state_bucket == ("mine-of-state", "eu-west-1")
    assert need.spot_nodes == 1


def test_a_block_that_is_bought_is_checked_and_one_that_is_not_is_looked_for() -> None:
    block = {"start": "2026-12-10", "days": 7}
    purchase = Purchase(capacity_block_nodes=2, capacity_block_instances=2)
    ahead = example_plan(instance_type="p5.48xlarge", nodes=2, purchase=purchase, spec={"capacity": {"block": block}})
    assert wanted_of(ahead, CATALOG).block == (date(2026, 12, 10), 7, 2)
    bought = {"capacity": {"block": {**block, "reservation_id": "cr-0123456789abcdef0"}}}
    held = example_plan(instance_type="p5.48xlarge", nodes=2, purchase=purchase, spec=bought)
    need = wanted_of(held, CATALOG)
    assert (need.block, need.reservation_id) == (None, "cr-0123456789abcdef0")


def test_a_reservation_and_an_image_of_ones_own_are_the_ones_that_are_checked() -> None:
    spec = {"capacity": {"reservation": {"id": "cr-0123456789abcdef0"}}, "image_id": "ami-0123456789abcdef0"}
    plan = example_plan(instance_type="p5.48xlarge", nodes=2, purchase=Purchase(reserved_nodes=2), spec=spec)
    need = wanted_of(plan, CATALOG, "/image")
    assert (need.reservation_id, need.reservation_field) == ("cr-0123456789abcdef0", "capacity.reservation.id")
    assert need.image_parameter is None


def test_a_cloud_without_checks_is_refused() -> None:
    with pytest.raises(ValueError, match="preflight checks nothing on nowhere"):
        preflight_of("nowhere")


class Token:
    subscription = "00000000-0000-0000-0000-000000000000"

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken("token", 4_000_000_000)


@pytest.fixture
def subscription(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """azure-mgmt-compute itself against a local server; the policy that insists on TLS is left out."""
    real = skus.compute_client
    with faulty_http.serve() as running:

        def compute(credential: object, subscription: str, limits: Limits) -> object:
            policy = SansIOHTTPPolicy()  # type: ignore[var-annotated]
            return real(credential, subscription, limits, base_url=running.url, authentication_policy=policy)

        monkeypatch.setattr(skus, "AzureCliCredential", Token)
        monkeypatch.setattr(skus, "compute_client", compute)
        yield running


def azure_answers(free: int = 960, zones: tuple[str, ...] = ("1",), **fields: Any) -> Callable[[Seen], Answer]:
    """Answers of Resource SKUs and of usages (Azure REST reference, sample responses)."""
    size = {
        "resourceType": "virtualMachines",
        "name": H100,
        "family": "standardNDSH100v5Family",
        "locations": ["eastus"],
        "locationInfo": [{"location": "eastus", "zones": list(zones)}],
        "capabilities": [
            {"name": "CapacityReservationSupported", "value": "False"},
            {"name": "EphemeralOSDiskSupported", "value": "True"},
        ],
        "restrictions": [],
        **fields,
    }
    usages = [
        {"name": {"value": name, "localizedValue": name}, "currentValue": 40, "limit": 40 + free, "unit": "Count"}
        for name in ("standardNDSH100v5Family", "cores", "lowPriorityCores")
    ]
    return lambda seen: Answer({"value": usages if "usages" in seen.path else [size]})


def on_azure(**fields: Any) -> Wanted:
    given = {"provider": "azure", "region": "eastus", "zone": "1", "instance_type": H100, "nodes": 2, "vcpus": 96}
    return wanted(**{**given, **fields})


def test_a_subscription_that_has_everything_passes(subscription: Server) -> None:
    subscription.respond = azure_answers()
    checks = azure_preflight.run(on_azure(ephemeral_root_disk=True), FAST)
    assert states(checks) == {"identity": "pass", "instance type": "pass", "ephemeral disk": "pass", "quota": "pass"}


def test_the_family_quota_is_compared_by_its_exact_name(subscription: Server) -> None:
    subscription.respond = azure_answers(free=191)
    quota = one(azure_preflight.run(on_azure(), FAST), "quota")
    assert quota.state == "fail"
    assert "standardNDSH100v5Family: 191 of 231 vCPUs are free, the plan takes 192" in quota.found
    subscription.respond = azure_answers(family="anotherFamily")
    assert one(azure_preflight.run(on_azure(), FAST), "quota").state == "warn"


def test_restrictions_zones_and_reservations_are_read_from_the_sku(subscription: Server) -> None:
    restricted = [{"type": "Location", "values": ["eastus"], "reasonCode": "NotAvailableForSubscription"}]
    subscription.respond = azure_answers(restrictions=restricted)
    refused = one(azure_preflight.run(on_azure(), FAST), "instance type")
    assert (refused.state, "NotAvailableForSubscription" in refused.found) == ("fail", True)
    subscription.respond = azure_answers(zones=("2", "3"))
    moved = one(azure_preflight.run(on_azure(), FAST), "instance type")
    assert moved.fix == "set placement.zone to one of 2, 3"
    subscription.respond = azure_answers()
    held = one(azure_preflight.run(on_azure(reserved_nodes=2), FAST), "capacity reservation")
    assert (held.state, held.fix) == ("fail", "set capacity.reservation: none")


def test_a_size_that_is_not_listed_and_a_refusal(subscription: Server) -> None:
    subscription.respond = lambda seen: Answer({"value": []})
    checks = azure_preflight.run(on_azure(), FAST)
    assert one(checks, "instance type").fix == "choose another region or instance type"
    subscription.respond = lambda seen: Answer({"error": {"code": "x", "message": "y"}}, status=403)
    refused = one(azure_preflight.run(on_azure(), FAST), "instance type")
    assert refused.state == "warn"
    assert "allow Microsoft.Compute/skus/read" in refused.fix


def test_a_plan_on_premises_needs_no_account() -> None:
    node = {"gpu": "H100", "gpus": 8, "nic_gbit_per_s": 3200}
    plan = example_plan(spec={"pin": {"node": node}})
    own = plan.model_copy(update={"choice": plan.choice.model_copy(update={"provider": "own", "region": "own"})})
    with pytest.raises(SpecError, match="on-premises"):
        wanted_of(own, CATALOG)
