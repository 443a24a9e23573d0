"""The settings: frozen values, every default of this fleet, and where the program keeps its files.

Each attribute path is the key in the settings file: ``settings.pools.policy`` is ``pools.policy``.
Secrets are never settings: the file holds paths of files and names of environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from axiom_tui.model.levels import DEFAULT_LEVELS, Level
from axiom_tui.model.naming import NamingScheme, fold
from axiom_tui.model.pools import PoolPolicy
from axiom_tui.model.problem import AxiomError, ProblemKind, fail
from axiom_tui.model.rules import Limits, Rules, Tags

APPLICATION = "axiom-tui"
CONFIG_VARIABLE = "AXIOM_TUI_CONFIG"
STATE_VARIABLE = "AXIOM_TUI_STATE"


class ThemeName(StrEnum):
    DEFAULT = "default"
    HIGH_CONTRAST = "high-contrast"  # Okabe and Ito's colours, told apart by everyone
    ANSI = "ansi"  # the terminal's own 16 colours


class DnsProvider(StrEnum):
    INFOMANIAK = "infomaniak"
    NONE = "none"  # records are set by hand; the exact record is said


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is, never the secret: ``file:/path`` or ``env:NAME``."""

    scheme: str
    place: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.place}"


@dataclass(frozen=True, slots=True)
class Api:
    """The Kubernetes API as the nodes reach it; the workstation goes by its kubeconfig."""

    host: str = "api.axiom.technat.ch"
    port: int = 6443


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """``kubeconfig`` empty: KUBECONFIG, else ``~/.kube/config``. ``context`` empty: the current one."""

    kubeconfig: tuple[Path, ...] = ()
    context: str = ""
    connect_timeout: timedelta = timedelta(seconds=5)
    read_timeout: timedelta = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class OAuth:
    """An OAuth client of Tailscale's control API."""

    client_id: str = ""
    secret_file: Path | None = None


@dataclass(frozen=True, slots=True)
class TailscaleControl:
    """Tailscale's control API, asked only when there is a token or an OAuth client."""

    url: str = "https://api.tailscale.com"
    token_file: Path | None = None
    oauth: OAuth = field(default_factory=OAuth)

    @property
    def configured(self) -> bool:
        return self.token_file is not None or (
            bool(self.oauth.client_id) and self.oauth.secret_file is not None
        )


@dataclass(frozen=True, slots=True)
class Tailscale:
    """``socket`` "" looks in all known places. ``tailnet`` "-" is the one that the credentials belong to."""

    socket: str = ""
    tailnet: str = "-"
    timeout: timedelta = timedelta(seconds=5)
    control: TailscaleControl = field(default_factory=TailscaleControl)


@dataclass(frozen=True, slots=True)
class Ssh:
    """``key_files`` empty: the agent and the usual files. ``login_timeout`` is how long a person has to
    log in when Tailscale SSH asks (check mode). ``sudo_password`` None: a person is asked where sudo does."""

    user: str = "technat"
    port: int = 22
    key_files: tuple[Path, ...] = ()
    known_hosts: Path = field(default_factory=lambda: Path("~/.ssh/known_hosts").expanduser())
    config_file: Path = field(default_factory=lambda: Path("~/.ssh/config").expanduser())
    sudo_password: SecretReference | None = None
    connect_timeout: timedelta = timedelta(seconds=10)
    login_timeout: timedelta = timedelta(minutes=10)
    command_timeout: timedelta = timedelta(minutes=1)
    keepalive: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Dns:
    """The zone of the fleet; ``token_file`` None: records are set by hand. ``ttl`` is in seconds."""

    zone: str = "axiom.technat.ch"
    provider: DnsProvider = DnsProvider.INFOMANIAK
    url: str = "https://api.infomaniak.com"
    token_file: Path | None = None
    ttl: int = 300


@dataclass(frozen=True, slots=True)
class ServiceLb:
    """K3s' load balancer (``--servicelb-namespace``)."""

    namespace: str = "servicelb"


@dataclass(frozen=True, slots=True)
class Backups:
    """The S3 store of etcd snapshots, and how old the newest good backup may be."""

    endpoint: str = "https://s3.swiss-backup03.infomaniak.com"
    region: str = "us-east-1"  # what Swift's s3api expects unless it is set up otherwise
    bucket: str = "default"
    folder: str = "k3s"
    access_key: SecretReference | None = None
    secret_key: SecretReference | None = None
    cluster_max_age: timedelta = timedelta(hours=13)  # K3s takes one every 12 hours
    volume_max_age: timedelta = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Refresh:
    """How often is asked what cannot be watched."""

    tailnet: timedelta = timedelta(seconds=5)
    tailnet_control: timedelta = timedelta(minutes=1)
    ping: timedelta = timedelta(seconds=30)
    pings_at_once: int = 4
    metrics: timedelta = timedelta(seconds=15)
    backups: timedelta = timedelta(minutes=5)
    screen: timedelta = timedelta(milliseconds=250)


@dataclass(frozen=True, slots=True)
class Join:
    """How a node joins. What the wizard computes (addresses, ``--tls-san``, ``--server``, servicelb's
    namespace) is not a setting. ``token`` None: a short-lived bootstrap token is made on a server."""

    install_url: str = "https://get.k3s.io"
    install_sha256: str = ""  # "" = the script is shown and its sum confirmed by the admin
    distribution: str = "ubuntu"
    release: str = "22.04"
    server_flags: tuple[str, ...] = (
        "--disable=traefik",
        "--disable-kube-proxy",
        "--disable-network-policy",
        "--flannel-backend=none",
        "--secrets-encryption",
    )
    agent_flags: tuple[str, ...] = ()
    token: SecretReference | None = None
    token_ttl: timedelta = timedelta(minutes=15)
    install_timeout: timedelta = timedelta(minutes=10)
    ready_timeout: timedelta = timedelta(minutes=5)


@dataclass(frozen=True)
class Settings:
    """All settings in force. ``places`` maps folded node names to places; ``contexts`` holds, for each
    kubeconfig context that the file names, the whole settings for it (use `for_context`)."""

    theme: ThemeName = ThemeName.DEFAULT
    read_only: bool = False
    naming: NamingScheme = field(default_factory=NamingScheme)
    places: Mapping[str, str] = field(default_factory=dict)
    pools: PoolPolicy = field(default_factory=PoolPolicy)
    tags: Tags = field(default_factory=Tags)
    limits: Limits = field(default_factory=Limits)
    levels: tuple[Level, ...] = DEFAULT_LEVELS
    api: Api = field(default_factory=Api)
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    tailscale: Tailscale = field(default_factory=Tailscale)
    ssh: Ssh = field(default_factory=Ssh)
    dns: Dns = field(default_factory=Dns)
    servicelb: ServiceLb = field(default_factory=ServiceLb)
    backups: Backups = field(default_factory=Backups)
    refresh: Refresh = field(default_factory=Refresh)
    join: Join = field(default_factory=Join)
    contexts: Mapping[str, Settings] = field(default_factory=dict)

    @cached_property
    def rules(self) -> Rules:
        """The rules as the pure functions take them."""
        return Rules(self.naming, self.pools, self.tags, self.limits, self.places)

    def for_context(self, name: str) -> Settings:
        """What is in force for one kubeconfig context."""
        own = self.contexts.get(name)
        return self if own is None else replace(own, contexts=self.contexts)


#: What makes no sense for one context alone.
NOT_PER_CONTEXT = frozenset({"contexts", "theme", "kubernetes.kubeconfig", "kubernetes.context"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: ``default``, ``config.yaml:12``, ``option --theme``."""

    text: str = "default"
    line: int = 0  # in the settings file; 0 = not from there

    def __str__(self) -> str:
        return self.text


DEFAULT_ORIGIN = Origin()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the origin of each key that is not a default; ``path`` None: there is no file."""

    settings: Settings = field(default_factory=Settings)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    path: Path | None = None

    def origin(self, key: str) -> Origin:
        return self.origins.get(key, DEFAULT_ORIGIN)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says; it wins over the file."""

    kubeconfig: tuple[Path, ...] = ()
    context: str = ""
    tailscale_socket: str = ""
    theme: ThemeName | None = None
    read_only: bool = False


def default_path() -> Path:
    """Where the settings file is looked for when nobody says."""
    import platformdirs

    return Path(platformdirs.user_config_dir(APPLICATION, appauthor=False)) / "config.yaml"


def state_directory() -> Path:
    """Where journal and log live; AXIOM_TUI_STATE wins. It is not made here."""
    if stated := os.environ.get(STATE_VARIABLE):
        return Path(stated).expanduser()
    import platformdirs

    return Path(platformdirs.user_state_dir(APPLICATION, appauthor=False))


def load(path: Path | None = None) -> Loaded:
    """Read the settings: from ``path``, else AXIOM_TUI_CONFIG, else the default place, else the defaults.

    A file that was named must be there; the default file need not. Raises AxiomError (MISCONFIGURED) with
    one sentence: file, line, key, what was expected, and the nearest known key.
    """
    stated = path or (Path(text) if (text := os.environ.get(CONFIG_VARIABLE)) else None)
    chosen = (stated or default_path()).expanduser()
    if stated is None and not os.path.lexists(chosen):
        return Loaded()
    from axiom_tui.config_reader import read_file

    return read_file(chosen)


def with_overrides(loaded: Loaded, overrides: Overrides) -> Loaded:
    """Lay the command line over the settings, for every context."""
    origins = dict(loaded.origins)

    def lay(settings: Settings) -> Settings:
        kubernetes = settings.kubernetes
        if overrides.kubeconfig:
            kubernetes = replace(kubernetes, kubeconfig=overrides.kubeconfig)
            origins["kubernetes.kubeconfig"] = Origin("option --kubeconfig")
        if overrides.context:
            kubernetes = replace(kubernetes, context=overrides.context)
            origins["kubernetes.context"] = Origin("option --context")
        tailscale = settings.tailscale
        if overrides.tailscale_socket:
            tailscale = replace(tailscale, socket=overrides.tailscale_socket)
            origins["tailscale.socket"] = Origin("option --tailscale-socket")
        if overrides.theme is not None:
            origins["theme"] = Origin("option --theme")
        if overrides.read_only:
            origins["read_only"] = Origin("option --read-only")
        return replace(
            settings,
            kubernetes=kubernetes,
            tailscale=tailscale,
            theme=overrides.theme or settings.theme,
            read_only=overrides.read_only or settings.read_only,
            contexts={name: lay(own) for name, own in settings.contexts.items()},
        )

    return Loaded(lay(loaded.settings), origins, loaded.path)


def contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """What single values cannot show: the key to name, and what is wrong."""
    if fold(settings.naming.server_prefix) == fold(settings.naming.agent_prefix):
        yield "naming.agent_prefix", "servers and agents need different prefixes"
    if settings.pools.internal == settings.pools.external:
        yield "pools.external", "the two pools need different names"
    for index, level in enumerate(settings.levels):
        for other in settings.levels[:index]:
            if level.wave == other.wave:
                yield "levels", f"wave {level.wave} stands there twice"
            elif level.name and level.name == other.name:
                yield "levels", f"the class {level.name} stands there twice"
            elif (level.wave - other.wave) * (level.value - other.value) >= 0:
                yield "levels", f"wave {min(level.wave, other.wave)} must have the higher value"
    control = settings.tailscale.control
    if control.token_file is not None and control.oauth.client_id:
        yield "tailscale.control.oauth.client_id", "a token file and an OAuth client are given, one is enough"
    if bool(control.oauth.client_id) != (control.oauth.secret_file is not None):
        yield "tailscale.control.oauth", "client_id and secret_file belong together"
    if (settings.backups.access_key is None) != (settings.backups.secret_key is None):
        yield "backups.secret_key", "access_key and secret_key belong together"


def misconfigured(sentence: str, remedy: str = "") -> AxiomError:
    return fail(ProblemKind.MISCONFIGURED, sentence, remedy)
