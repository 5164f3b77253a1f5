"""Checks before money is spent: what a plan needs of an account, and whether it has that. All calls only read."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Final, Literal

from provider_catalog.errors import LiveError, NoAnswerError

BY_NAME: Final = "name:"
"""Start of a quota's code that stands for parts of its name, with bars between them; the code itself is not public."""
State = Literal["pass", "warn", "fail"]


@dataclass(frozen=True)
class QuotaNeed:
    """The amount of one quota that a plan takes."""

    service: str
    """Code of the service, as the cloud's interface of quotas names it."""
    code: str
    name: str
    amount: float
    unit: str


@dataclass(frozen=True)
class Wanted:
    """What a plan needs of an account."""

    provider: str
    region: str
    zone: str | None
    instance_type: str
    nodes: int
    vcpus: int
    """Virtual CPUs of one node."""
    spot_nodes: int = 0
    reserved_nodes: int = 0
    quotas: tuple[QuotaNeed, ...] = ()
    block: tuple[date, int, int] | None = None
    """First day, days and instances of a Capacity Block that is to be bought."""
    reservation_id: str | None = None
    """Reservation that exists already and that all nodes run in."""
    reservation_field: str = "capacity.block.reservation_id"
    """Field of the spec that names it."""
    image_parameter: str | None = None
    """Public parameter that names the machine image."""
    state_bucket: tuple[str, str] | None = None
    """Bucket of the Terraform state, and its region."""
    subnet_id: str | None = None
    ephemeral_root_disk: bool = False


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    state: State
    found: str
    fix: str = ""
    """What to do where the check did not pass."""

    def as_json(self) -> dict[str, str]:
        """The check as a JSON object."""
        return {**asdict(self)}


Ask = Callable[[], Check | None]


@dataclass
class Checks:
    """Checks as they are made. A refusal for want of a permission becomes a warning that names the permission."""

    made: list[Check] = field(default_factory=list)

    def add(self, name: str, permission: str, ask: Ask) -> Check | None:
        """Make one check; None where there was nothing to check."""
        try:
            check = ask()
        except NoAnswerError as error:
            check = Check(name, "fail", str(error), "check the network and the proxy")
        except LiveError as error:
            denied = "not permitted" in str(error)
            fix = f"allow {permission}; --policy prints all that preflight needs" if denied else ""
            check = Check(name, "warn" if denied else "fail", str(error), fix)
        if check is not None:
            self.made.append(check)
        return check
