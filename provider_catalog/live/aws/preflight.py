"""Preflight checks on AWS with the caller's own credentials, through boto3."""

from datetime import timedelta
from functools import cache, partial
from typing import Any, Final

from provider_catalog.errors import LiveError
from provider_catalog.live.aws.client import as_live_error, client, pages
from provider_catalog.live.live_source import Limits, documented_shape
from provider_catalog.live.preflight import BY_NAME, Check, Checks, QuotaNeed, Wanted
from provider_catalog.node_images import DEEP_LEARNING_IMAGE

QUOTA_PAGE: Final = "https://{region}.console.aws.amazon.com/servicequotas/home/services/{service}/quotas/{code}"
IMAGE_PARAMETER: Final = DEEP_LEARNING_IMAGE
LOW_SCORE: Final = 3
"""Spot placement score, of 10, up to which a request is unlikely to be filled."""
ACTIONS: Final = {
    "identity": "sts:GetCallerIdentity",
    "region": "ec2:DescribeRegions",
    "zone": "ec2:DescribeAvailabilityZones",
    "instance type": "ec2:DescribeInstanceTypeOfferings",
    "quota": "servicequotas:GetServiceQuota",
    "default quota": "servicequotas:GetAWSDefaultServiceQuota",
    "FSx capacity": "servicequotas:ListServiceQuotas",
    "capacity block": "ec2:DescribeCapacityBlockOfferings",
    "capacity reservation": "ec2:DescribeCapacityReservations",
    "Spot placement score": "ec2:GetSpotPlacementScores",
    "image": "ssm:GetParameter",
    "state bucket": "s3:ListBucket",
    "subnet": "ec2:DescribeSubnets",
}
"""Action that each check needs; together they are the least policy."""


def policy() -> dict[str, Any]:
    """The least IAM policy for every check."""
    actions = sorted(set(ACTIONS.values()))
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}


def run(wanted: Wanted, limits: Limits) -> list[Check]:
    """Make every check that concerns the plan. Without an identity no other check is made."""
    checks = Checks()

    @cache
    def api(service: str, region: str = wanted.region) -> Any:
        return client(service, region, limits)

    identity = checks.add("identity", ACTIONS["identity"], lambda: _identity(api("sts")))
    if identity is None or identity.state == "fail":
        return checks.made
    region = checks.add("region", ACTIONS["region"], lambda: _region(api("ec2", "us-east-1"), wanted.region))
    if region is not None and region.state == "fail":
        return checks.made
    checks.add("zone", ACTIONS["zone"], lambda: _zone(api("ec2"), wanted))
    checks.add("instance type", ACTIONS["instance type"], lambda: _offered(api("ec2"), wanted))
    for need in wanted.quotas:
        name = f"quota {need.name}"
        ask = _named_quota if need.code.startswith(BY_NAME) else _quota
        checks.add(name, ACTIONS["quota"], partial(_with, api, "service-quotas", ask, need, wanted.region))
    checks.add("subnet", ACTIONS["subnet"], lambda: _subnet(api("ec2"), wanted))
    checks.add("capacity block", ACTIONS["capacity block"], lambda: _block(api("ec2"), wanted))
    checks.add("capacity reservation", ACTIONS["capacity reservation"], lambda: _reservation(api("ec2"), wanted))
    checks.add("Spot placement score", ACTIONS["Spot placement score"], lambda: _score(api("ec2"), wanted))
    checks.add("image", ACTIONS["image"], lambda: _image(api("ssm"), wanted))
    if wanted.state_bucket is not None:
        bucket, home = wanted.state_bucket
        checks.add("state bucket", ACTIONS["state bucket"], lambda: _bucket(api("s3", home), bucket))
    return checks.made


def _with(api: Any, service: str, ask: Any, *arguments: Any) -> Check | None:
    found: Check | None = ask(api(service), *arguments)
    return found


def _identity(sts: Any) -> Check:
    with as_live_error("identity", ACTIONS["identity"]):
        caller = sts.get_caller_identity()
        return Check("identity", "pass", f"{caller['Arn']} in account {caller['Account']}")


def _region(ec2: Any, region: str) -> Check:
    with as_live_error("region", ACTIONS["region"]):
        listed = {each["RegionName"]: each for each in ec2.describe_regions(AllRegions=True)["Regions"]}
    state = listed.get(region, {}).get("OptInStatus", "unknown")
    if state in ("opt-in-not-required", "opted-in"):
        return Check("region", "pass", f"{region} is enabled")
    return Check("region", "fail", f"{region} is {state}", f"aws account enable-region --region-name {region}")


def _zone(ec2: Any, wanted: Wanted) -> Check | None:
    if wanted.zone is None:
        return None
    zones = pages(ec2, "describe_availability_zones", "AvailabilityZones", ACTIONS["zone"])
    with documented_shape("zone"):
        states = {zone["ZoneId"]: zone["State"] for zone in zones}
    if states.get(wanted.zone) == "available":
        return Check("zone", "pass", f"{wanted.zone} is available")
    known = ", ".join(sorted(zone for zone in states if zone is not None))
    found = states.get(wanted.zone, "not a zone of this account")
    return Check("zone", "fail", f"{wanted.zone} is {found}", f"set placement.zone to one of {known}")


def _offered(ec2: Any, wanted: Wanted) -> Check:
    offered = pages(
        ec2, "describe_instance_type_offerings", "InstanceTypeOfferings", ACTIONS["instance type"],
        LocationType="availability-zone-id",
        Filters=[{"Name": "instance-type", "Values": [wanted.instance_type]}],
    )  # fmt: skip
    with documented_shape("instance type"):
        zones = sorted({each["Location"] for each in offered if each["InstanceType"] == wanted.instance_type})
    if wanted.zone in zones or (wanted.zone is None and zones):
        return Check("instance type", "pass", f"{wanted.instance_type} is offered in {wanted.zone or wanted.region}")
    fix = f"set placement.zone to one of {', '.join(zones)}" if zones else "choose another region or instance type"
    where = wanted.zone if zones else wanted.region
    return Check("instance type", "fail", f"{wanted.instance_type} is not offered in {where}", fix)


def _quota(quotas: Any, need: QuotaNeed, region: str) -> Check:
    """Compare with the applied quota, else with AWS's default."""
    given = {"ServiceCode": need.service, "QuotaCode": need.code}
    try:
        with as_live_error(f"quota {need.code}", ACTIONS["quota"]):
            value = float(quotas.get_service_quota(**given)["Quota"]["Value"])
    except LiveError as error:
        if "NoSuchResourceException" not in str(error):
            raise
        with as_live_error(f"quota {need.code}", ACTIONS["default quota"]):
            value = float(quotas.get_aws_default_service_quota(**given)["Quota"]["Value"])
    return _judged(need, value, region, need.code)


def _named_quota(quotas: Any, need: QuotaNeed, region: str) -> Check:
    """Find a quota by a part of its name, as its code is not public, and compare with it."""
    parts = need.code.removeprefix(BY_NAME).lower().split("|")
    listed = pages(quotas, "list_service_quotas", "Quotas", ACTIONS["FSx capacity"], ServiceCode=need.service)
    with documented_shape(need.name):
        found = [quota for quota in listed if all(part in quota["QuotaName"].lower() for part in parts)]
        if len(found) != 1:
            what = f"{len(found)} quotas" if found else "no quota"
            page = QUOTA_PAGE.format(region=region, service=need.service, code="").rstrip("/")
            return Check(
                f"quota {need.name}",
                "warn",
                f"{what} of {need.service} with {', '.join(parts)} in its name",
                f"see {page}",
            )
        return _judged(need, float(found[0]["Value"]), region, found[0]["QuotaCode"])


def _judged(need: QuotaNeed, value: float, region: str, code: str) -> Check:
    name = f"quota {need.name}"
    if value >= need.amount:
        return Check(name, "pass", f"{value:,.0f} {need.unit}; the plan takes {need.amount:,.0f} ({code})")
    page = QUOTA_PAGE.format(region=region, service=need.service, code=code)
    ask = f"ask for {need.amount:,.0f} at {page}"
    return Check(name, "fail", f"{value:,.0f} {need.unit}; the plan takes {need.amount:,.0f} ({code})", ask)


def _subnet(ec2: Any, wanted: Wanted) -> Check | None:
    if wanted.subnet_id is None:
        return None
    with as_live_error("subnet", ACTIONS["subnet"]):
        [subnet] = ec2.describe_subnets(SubnetIds=[wanted.subnet_id])["Subnets"]
        zone, free = subnet["AvailabilityZoneId"], subnet["AvailableIpAddressCount"]
    if wanted.zone is not None and zone != wanted.zone:
        return Check("subnet", "fail", f"{wanted.subnet_id} is in {zone}", f"name a subnet of {wanted.zone}")
    found = f"{wanted.subnet_id} has {free:,} free addresses for {wanted.nodes:,} nodes"
    if free < wanted.nodes:
        return Check("subnet", "fail", found, "name a larger subnet")
    return Check("subnet", "pass", found)


def _block(ec2: Any, wanted: Wanted) -> Check | None:
    if wanted.block is None:
        return None
    start, days, instances = wanted.block
    offers = list(
        pages(
            ec2, "describe_capacity_block_offerings", "CapacityBlockOfferings", ACTIONS["capacity block"],
            InstanceType=wanted.instance_type, InstanceCount=instances, CapacityDurationHours=24 * days,
            StartDateRange=start.isoformat(), EndDateRange=(start + timedelta(days=days + 1)).isoformat(),
        )
    )  # fmt: skip
    if not offers:
        found = f"no block of {instances} for {days} days from {start}"
        return Check("capacity block", "fail", found, "change capacity.block.start or days")
    with documented_shape("capacity block"):
        least = min(float(offer["UpfrontFee"]) for offer in offers)
    return Check("capacity block", "pass", f"{len(offers)} offers from {start}, the cheapest at {least:,.0f} USD")


def _reservation(ec2: Any, wanted: Wanted) -> Check | None:
    if wanted.reservation_id is None:
        return None
    with as_live_error("capacity reservation", ACTIONS["capacity reservation"]):
        given = [wanted.reservation_id]
        [found] = ec2.describe_capacity_reservations(CapacityReservationIds=given)["CapacityReservations"]
        state, free = found["State"], found["AvailableInstanceCount"]
    if found["InstanceType"] != wanted.instance_type:
        return Check("capacity reservation", "fail", f"{wanted.reservation_id} is for {found['InstanceType']}")
    if state not in ("active", "scheduled") or free < wanted.nodes:
        what = f"{wanted.reservation_id} is {state} with {free:,} free instances; the plan takes {wanted.nodes:,}"
        return Check("capacity reservation", "fail", what, f"give another {wanted.reservation_field}")
    return Check("capacity reservation", "pass", f"{wanted.reservation_id} is {state}, {free:,} instances are free")


def _score(ec2: Any, wanted: Wanted) -> Check | None:
    if not wanted.spot_nodes:
        return None
    scores = list(
        pages(
            ec2, "get_spot_placement_scores", "SpotPlacementScores", ACTIONS["Spot placement score"],
            InstanceTypes=[wanted.instance_type], TargetCapacity=wanted.spot_nodes, TargetCapacityUnitType="units",
            SingleAvailabilityZone=True, RegionNames=[wanted.region],
        )
    )  # fmt: skip
    with documented_shape("Spot placement score"):
        found = {each["AvailabilityZoneId"]: int(each["Score"]) for each in scores}
    score = found.get(wanted.zone or "", max(found.values(), default=0))
    said = f"{score} of 10 for {wanted.spot_nodes:,} x {wanted.instance_type}; AWS scores a single type low"
    fix = "" if score > LOW_SCORE else "tolerate more types or zones, or buy on demand"
    return Check("Spot placement score", "pass" if score > LOW_SCORE else "warn", said, fix)


def _image(ssm: Any, wanted: Wanted) -> Check | None:
    if wanted.image_parameter is None:
        return None
    with as_live_error("image", ACTIONS["image"]):
        found = ssm.get_parameter(Name=wanted.image_parameter)["Parameter"]["Value"]
    return Check("image", "pass", f"{found} ({wanted.image_parameter.rsplit('/', 3)[1]})")


def _bucket(s3: Any, bucket: str) -> Check:
    with as_live_error(f"state bucket {bucket}", ACTIONS["state bucket"]):
        try:
            s3.head_bucket(Bucket=bucket)
        except s3.exceptions.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == 404:
                return Check("state bucket", "fail", f"{bucket} does not exist", "llmcluster bootstrap-state SPEC")
            if status == 403:
                return Check(
                    "state bucket", "warn", f"{bucket} may not be listed", f"allow {ACTIONS['state bucket']} on it"
                )
            raise
    return Check("state bucket", "pass", f"{bucket} is reachable")
