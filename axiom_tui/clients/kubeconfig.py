"""The kubeconfig: its files merged as kubectl merges them, its contexts, and what one needs to connect.

Read here and not by the official client, which reads KUBECONFIG once at import, costs half a second, and
turns TLS verification off where a kubeconfig says so (facts: services.md 7.1). Rules of merging: the first
file that names a thing wins; paths are relative to the file they stand in.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml

from axiom_tui.clients.http import is_loopback
from axiom_tui.model.fleet import Cluster
from axiom_tui.model.masking import mask
from axiom_tui.model.problem import AxiomError, ProblemKind, fail

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "in-cluster"  # name of the context that a pod has without a kubeconfig
K3S_KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """How to reach a cluster; timeouts in seconds.

    Empty ``kubeconfig`` means KUBECONFIG, else ``~/.kube/config``, else in-cluster; empty ``context`` means
    the current one. ``watch_silence`` is how long a watch may say nothing before it is opened anew.
    """

    kubeconfig: tuple[Path, ...] = ()
    context: str = ""
    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    watch_silence: float = 75.0
    exec_timeout: float = 30.0
    simulation: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """One context of the kubeconfig, for choosing. ``server`` is "" if its cluster is not in the files."""

    name: str
    cluster: str
    server: str
    user: str
    namespace: str
    current: bool


class Entry(msgspec.Struct, rename="kebab", frozen=True):
    """Base of the kubeconfig's parts; unknown keys are kubectl's business and skipped."""


class ClusterEntry(Entry, frozen=True):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class ExecVariable(msgspec.Struct, frozen=True):
    name: str
    value: str = ""


class ExecEntry(msgspec.Struct, rename="camel", frozen=True):
    """``exec`` of a user: a program that prints credentials (client-go credential plugin)."""

    command: str
    api_version: str = ""
    args: tuple[str, ...] = ()
    env: tuple[ExecVariable, ...] = ()
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class AuthProviderEntry(Entry, frozen=True):
    name: str
    config: dict[str, str] = {}


class UserEntry(Entry, frozen=True):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(name="tokenFile", default="")
    username: str = ""
    password: str = ""
    exec: ExecEntry | None = None
    auth_provider: AuthProviderEntry | None = None
    as_user: str = msgspec.field(name="as", default="")


class ContextEntry(Entry, frozen=True):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class NamedCluster(Entry, frozen=True):
    name: str
    cluster: ClusterEntry = ClusterEntry()


class NamedUser(Entry, frozen=True):
    name: str
    user: UserEntry = UserEntry()


class NamedContext(Entry, frozen=True):
    name: str
    context: ContextEntry = ContextEntry()


class KubeconfigFile(Entry, frozen=True):
    current_context: str = ""
    clusters: tuple[NamedCluster, ...] = ()
    users: tuple[NamedUser, ...] = ()
    contexts: tuple[NamedContext, ...] = ()


@dataclass(frozen=True)
class Kubeconfig:
    """All files merged."""

    files: tuple[Path, ...]
    current: str
    clusters: Mapping[str, ClusterEntry]
    users: Mapping[str, UserEntry]
    contexts: Mapping[str, ContextEntry]

    @property
    def where(self) -> str:
        return " and ".join(short(path) for path in self.files)


@dataclass(frozen=True)
class Access:
    """All that is needed to connect to one cluster as one user. Never printed: it may hold secrets."""

    cluster: Cluster
    where: str  # the kubeconfig, for sentences
    user_name: str
    user: UserEntry = field(repr=False)
    entry: ClusterEntry = field(repr=False)
    directory: Path  # where a relative exec command stands

    @property
    def authority(self) -> str | None:
        """PEM of the cluster's CA, or None for the system's own CAs."""
        text = _material(
            self.entry.certificate_authority_data, self.entry.certificate_authority, "CA", self.where
        )
        return text.decode("ascii", "replace") if text is not None else None

    @property
    def client_certificate(self) -> tuple[bytes, bytes] | None:
        """PEM of certificate and key, or None."""
        user = self.user
        certificate = _material(
            user.client_certificate_data, user.client_certificate, "client certificate", self.where
        )
        key = _material(user.client_key_data, user.client_key, "client key", self.where)
        if certificate is None:
            return None
        if key is None:
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"User {self.user_name!r} in {self.where} has a client certificate but no client key.",
                "Copy the kubeconfig again; both belong together.",
            )
        return certificate, key


def contexts(options: KubernetesOptions) -> tuple[ContextInfo, ...]:
    """All contexts in file order. Raises AxiomError if there is no kubeconfig or it cannot be read."""
    config = read(options)
    return tuple(
        ContextInfo(
            name=name,
            cluster=entry.cluster,
            server=config.clusters.get(entry.cluster, ClusterEntry()).server,
            user=entry.user,
            namespace=entry.namespace,
            current=name == (options.context or config.current),
        )
        for name, entry in config.contexts.items()
    )


def cluster_of(options: KubernetesOptions) -> Cluster:
    """Which cluster these options lead to, without asking it anything."""
    return access(options).cluster


def access(options: KubernetesOptions) -> Access:
    """What the chosen context needs to connect. Raises AxiomError (MISCONFIGURED, ABSENT, FORBIDDEN)."""
    files = _files(options)
    if not files and options.context in ("", IN_CLUSTER) and _is_in_cluster():
        return _in_cluster(options)
    config = read(options)
    name = options.context or config.current
    if not name:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"{config.where} names no current context.",
            _choose(config.contexts, "Choose one with --context: "),
        )
    if name not in config.contexts:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"There is no context {name!r} in {config.where}.",
            _nearest(name, config.contexts),
        )
    context = config.contexts[name]
    if context.cluster not in config.clusters:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"Context {name!r} in {config.where} names the cluster {context.cluster!r}, which is not there.",
            _nearest(context.cluster, config.clusters),
        )
    if context.user and context.user not in config.users:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"Context {name!r} in {config.where} names the user {context.user!r}, which is not there.",
            _nearest(context.user, config.users),
        )
    entry = config.clusters[context.cluster]
    user = config.users.get(context.user, UserEntry())
    _check(name, entry, user, config.where)
    return Access(
        cluster=Cluster(
            name=context.cluster,
            context=name,
            server=entry.server.rstrip("/"),
            simulation=options.simulation,
            read_only=options.read_only,
        ),
        where=config.where,
        user_name=context.user,
        user=user,
        entry=entry,
        directory=config.files[0].resolve().parent,
    )


def read(options: KubernetesOptions) -> Kubeconfig:
    """Read and merge the files. Raises AxiomError if there is none or one cannot be read."""
    paths = _files(options)
    if not paths:
        raise fail(
            ProblemKind.ABSENT,
            "There is no kubeconfig: no --kubeconfig, no KUBECONFIG, no ~/.kube/config.",
            f"Copy {K3S_KUBECONFIG} of a server to ~/.kube/config and set its server to the tailnet name.",
        )
    current = ""
    clusters: dict[str, ClusterEntry] = {}
    users: dict[str, UserEntry] = {}
    named: dict[str, ContextEntry] = {}
    for path in paths:
        part = _read_file(path)
        current = current or part.current_context
        base = path.resolve().parent
        for cluster in part.clusters:
            clusters.setdefault(cluster.name, _absolute(cluster.cluster, base, "certificate_authority"))
        for user in part.users:
            users.setdefault(
                user.name, _absolute(user.user, base, "client_certificate", "client_key", "token_file")
            )
        for context in part.contexts:
            named.setdefault(context.name, context.context)
    return Kubeconfig(paths, current, clusters, users, named)


def short(path: Path) -> str:
    """The path as a person would write it."""
    try:
        return f"~/{path.resolve().relative_to(Path.home().resolve())}"
    except (ValueError, RuntimeError):
        return str(path)


def _files(options: KubernetesOptions) -> tuple[Path, ...]:
    if options.kubeconfig:
        return tuple(path.expanduser() for path in options.kubeconfig)
    named = [Path(part).expanduser() for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        # kubectl skips files of KUBECONFIG that are not there, as long as one is.
        return tuple(path for path in named if path.exists()) or (named[0],)
    usual = Path("~/.kube/config").expanduser()
    return (usual,) if usual.exists() else ()


class _Loader(yaml.SafeLoader):
    """All scalars stay text (a token of digits is no number), but null stays null."""


_NULL = "tag:yaml.org,2002:null"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag == _NULL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read_file(path: Path) -> KubeconfigFile:
    where = short(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise fail(
            ProblemKind.ABSENT,
            f"There is no kubeconfig at {where}.",
            "Name another one with --kubeconfig or KUBECONFIG.",
        ) from error
    except PermissionError as error:
        raise fail(
            ProblemKind.FORBIDDEN,
            f"You may not read the kubeconfig {where}.",
            f"{K3S_KUBECONFIG} belongs to root: copy it to ~/.kube/config with sudo, and own it (0600).",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The kubeconfig {where} cannot be read: {reason}.",
            "Name another one with --kubeconfig or KUBECONFIG.",
        ) from error
    try:
        document = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        # The error's own text would quote the line, which may hold a secret.
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The kubeconfig {where}{line} is no valid YAML.",
            "Mend that line, or name another file with --kubeconfig.",
        ) from None
    try:
        return msgspec.convert(_without_nulls(document or {}), KubeconfigFile, strict=False)
    except msgspec.ValidationError as error:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The kubeconfig {where} is not shaped like one: {error}.",
            "Compare it with the output of: kubectl config view",
        ) from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _absolute(entry: Any, base: Path, *fields: str) -> Any:
    changes = {name: str(base / getattr(entry, name)) for name in fields if getattr(entry, name)}
    return msgspec.structs.replace(entry, **changes) if changes else entry


def _check(context: str, entry: ClusterEntry, user: UserEntry, where: str) -> None:
    if entry.insecure_skip_tls_verify:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"Context {context!r} in {where} says insecure-skip-tls-verify, which this program refuses:"
            " whoever answered could read the admin's credentials.",
            "Remove that line and give the cluster's CA as certificate-authority-data"
            f" (it stands in {K3S_KUBECONFIG} of any server).",
        )
    try:
        url = urlsplit(entry.server)
        valid = url.scheme in ("https", "http") and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The server of context {context!r} in {where}, {mask(entry.server)!r}, is no https address.",
            "It should read like https://api.axiom.technat.ch:6443.",
        )
    if url.username is not None:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"The server address of context {context!r} in {where} holds a user name or password.",
            "Move them into the user's entry.",
        )
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"Context {context!r} in {where} would talk to {url.hostname} without TLS, which is refused.",
            "Use https; only a kubectl proxy on this machine may be http.",
        )
    if user.as_user:
        raise fail(
            ProblemKind.MISCONFIGURED,
            f"Context {context!r} in {where} impersonates the user {user.as_user!r}, which is not supported.",
            "Use a context with that user's own credentials.",
        )


def _is_in_cluster() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").is_file()


def _in_cluster(options: KubernetesOptions) -> Access:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(
        cluster=Cluster(
            IN_CLUSTER, IN_CLUSTER, server, simulation=options.simulation, read_only=options.read_only
        ),
        where="the pod's service account",
        user_name="the pod's service account",
        user=UserEntry(token_file=str(SERVICE_ACCOUNT / "token")),
        entry=ClusterEntry(server=server, certificate_authority=str(SERVICE_ACCOUNT / "ca.crt")),
        directory=Path("/"),
    )


def _material(data: str, path: str, what: str, where: str) -> bytes | None:
    """Embedded base64 data, else the file; None if neither is named."""
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise fail(
                ProblemKind.MISCONFIGURED,
                f"The {what} in {where} is no valid base64.",
                "Copy the kubeconfig again; a line may be missing.",
            ) from None
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(what, path, where, error) from error


def _unreadable(what: str, path: str, where: str, error: OSError) -> AxiomError:
    return fail(
        ProblemKind.MISCONFIGURED,
        f"The {what} {path}, named in {where}, cannot be read: {error.strerror}.",
        "Check that the file is there and yours.",
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else _choose(known, "There are: ")


def _choose(known: Iterable[str], introduction: str) -> str:
    names = sorted(known)
    if not names:
        return "It holds no contexts at all: copy one from a server."
    return f"{introduction}{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}."
