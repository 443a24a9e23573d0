"""What the admin chooses for a join, and all that a join plan was made from, as its journal keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, cast

from axiom_tui.model.naming import Role, fold
from axiom_tui.plans.step import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinChoice:
    """The choices of the wizard, or of ``axiom-tui plan join``.

    ``host`` is where SSH goes: the tailnet address of the chosen device, or any name or address.
    ``device_id`` is the device's stable id, "" to have it found by the host's own tailnet address. ``name``
    is in the admin's spelling. ``public_address`` None takes the one that is found on the host or by its
    provider, "" none. ``pool`` None is as the policy says, "" none. ``user`` "" is as the settings say.
    ``version`` is only for the first server of a new cluster; others take the cluster's. ``install_sha256``
    "" is as the settings say, else the sum that the host sees now. ``wait_for_dns``: wait for a record that
    is set by hand, instead of leaving it to the admin. ``overridden`` names the preflight rules that do not
    count.
    """

    host: str
    name: str
    role: Role = Role.AGENT
    device_id: str = ""
    user: str = ""
    public_address: str | None = None
    pool: str | None = None
    first_server: bool = False
    version: str = ""
    install_sha256: str = ""
    wait_for_dns: bool = False
    overridden: tuple[str, ...] = ()

    @property
    def node(self) -> str:
        """As K3s will call the node."""
        return fold(self.name)


class TokenFrom(StrEnum):
    """Where the join token comes from; any other value is a reference to a secret, ``file:/path``."""

    CREATED = "created"  # a short-lived bootstrap token is made on a server
    SERVER = "server"  # the server token is read on a server
    NEW = "new"  # the first server makes its own


class By(StrEnum):
    """How something beside the host gets done."""

    NOBODY = ""  # it needs not be done
    API = "api"
    WAIT = "wait"  # by hand, and the plan waits for it
    HAND = "hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSpec:
    """All that a join plan is made from: JSON-able, without secrets, decided once. Durations in seconds.

    ``servers`` are the tailnet addresses of servers, the first choice first. ``flags`` are those of the
    settings for this role. ``modules`` and ``sysctls`` are what the kernel lacks. ``earlier_tags`` and
    ``earlier_host_name`` are what was found.
    """

    host: str
    user: str
    device_id: str
    name: str
    role: Role
    first_server: bool
    tailnet_ip: str
    public_ip: str
    pool: str
    version: str
    api_host: str
    api_port: int
    flags: tuple[str, ...]
    servicelb_namespace: str
    install_url: str
    install_sha256: str
    token: str
    token_ttl: float
    servers: tuple[str, ...]
    install_timeout: float
    ready_timeout: float
    login_timeout: float
    command_timeout: float
    earlier_host_name: str = ""
    modules: tuple[str, ...] = ()
    sysctls: tuple[str, ...] = ()
    approve: By = By.NOBODY
    tag: By = By.NOBODY
    tags: tuple[str, ...] = ()
    earlier_tags: tuple[str, ...] = ()
    key_expiry: By = By.NOBODY
    cilium: bool = True
    dns: By = By.NOBODY
    dns_zone: str = ""
    dns_ttl: int = 300
    api_record: bool = False
    effect: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    already: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()

    @property
    def node(self) -> str:
        return fold(self.name)

    @property
    def unit(self) -> str:
        return "k3s" if self.role is Role.SERVER else "k3s-agent"

    @property
    def api_url(self) -> str:
        return f"https://{self.api_host}:{self.api_port}"

    @property
    def dns_name(self) -> str:
        return f"{self.node}.{self.dns_zone}"

    def choices(self) -> dict[str, Json]:
        """As the journal keeps it."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def of(cls, choices: Mapping[str, Json]) -> JoinSpec:
        """Back from the journal; raises KeyError, TypeError or ValueError for what is not one."""
        values: dict[str, Any] = {}
        for item in fields(cls):
            value = choices[item.name]
            values[item.name] = tuple(cast(list[str], value)) if isinstance(value, list) else value
        for key in ("approve", "tag", "key_expiry", "dns"):
            values[key] = By(values[key])
        values["role"] = Role(values["role"])
        return cls(**values)
