"""How K3s is told what to do: command line, environment and files (facts: k3s-and-backups.md 1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from axiom_tui.simulator.hosts.files import FileSystem

CONFIG_FILE = "/etc/rancher/k3s/config.yaml"
#: Flags that may be given more than once.
REPEATED = frozenset(
    ("node-label", "node-taint", "tls-san", "disable", "kubelet-arg", "etcd-arg", "kube-apiserver-arg")
) | {
    "kube-controller-manager-arg",
    "kube-scheduler-arg",
    "node-ip",
    "node-external-ip",
    "cluster-cidr",
    "service-cidr",
}
SWITCHES = frozenset(
    ("cluster-init", "disable-kube-proxy", "disable-network-policy", "secrets-encryption", "with-node-id")
) | {
    *(
        "disable-cloud-controller",
        "disable-helm-controller",
        "embedded-registry",
        "debug",
        "rootless",
        "docker",
    ),
    *(
        "etcd-snapshot-compress",
        "etcd-s3",
        "etcd-disable-snapshots",
        "flannel-external-ip",
        "flannel-ipv6-masq",
    ),
    *("disable-apiserver-lb", "selinux", "prefer-bundled-bin", "protect-kernel-defaults", "cluster-reset"),
}
#: What K3s masks where it shows its arguments.
SECRET = frozenset(
    ("token", "agent-token", "datastore-endpoint", "etcd-s3-access-key", "etcd-s3-secret-key", "vpn-auth")
)
_ENVIRONMENT = {
    "K3S_URL": "server",
    "K3S_TOKEN": "token",
    "K3S_TOKEN_FILE": "token-file",
    "K3S_NODE_NAME": "node-name",
    "K3S_AGENT_TOKEN": "agent-token",
    "K3S_AGENT_TOKEN_FILE": "agent-token-file",
}
_SHORT = {"-t": "token", "-s": "server", "-c": "config"}


class ConfigurationProblem(Exception):
    """What K3s is told makes no sense to it."""


@dataclass
class Configuration:
    """Flags and their values; a switch has the value ``true``."""

    role: str
    values: dict[str, list[str]] = field(default_factory=dict)

    def one(self, name: str) -> str:
        return self.values.get(name, [""])[-1]

    def many(self, name: str) -> list[str]:
        return [part for value in self.values.get(name, []) for part in value.split(",") if part]

    def is_on(self, name: str) -> bool:
        return self.one(name) == "true"

    def arguments(self) -> list[str]:
        """As the annotation ``k3s.io/node-args`` shows them: secrets masked."""
        shown = [self.role]
        for name, values in self.values.items():
            for value in values:
                if name in SWITCHES:
                    shown += [f"--{name}"] if value == "true" else [f"--{name}=false"]
                else:
                    shown += [f"--{name}", "********" if name in SECRET else value]
        return shown


def read_configuration(
    role: str, arguments: Sequence[str], environment: dict[str, str], files: FileSystem
) -> Configuration:
    """Everything that K3s is told; the command line wins over the environment, and that over the files."""
    given = _command_line(arguments)
    path = given.pop("config", [environment.get("K3S_CONFIG_FILE", CONFIG_FILE)])[-1]
    configuration = Configuration(role)
    for place in [path, *_drop_ins(path, files)]:
        entry = files.find(place)
        if entry is not None:
            _merge(configuration.values, place, entry.read())
    for variable, name in _ENVIRONMENT.items():
        if environment.get(variable):
            configuration.values[name] = [environment[variable]]
    configuration.values |= given
    return configuration


def _drop_ins(path: str, files: FileSystem) -> list[str]:
    directory = f"{path}.d"
    return [f"{directory}/{name}" for name in files.names(directory) if name.endswith((".yaml", ".yml"))]


def _merge(values: dict[str, list[str]], path: str, content: bytes) -> None:
    import yaml

    try:
        found = yaml.safe_load(content) or {}
    except yaml.YAMLError as error:
        raise ConfigurationProblem(f"yaml: {path}: {str(error).splitlines()[0]}") from error
    if not isinstance(found, dict):
        raise ConfigurationProblem(f"yaml: unmarshal errors: {path}: cannot unmarshal into map")
    for key, value in found.items():
        name = str(key).removesuffix("+").lstrip("-")
        texts = [_text(item) for item in value] if isinstance(value, list) else [_text(value)]
        values[name] = [*values.get(name, []), *texts] if str(key).endswith("+") else texts


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _command_line(arguments: Sequence[str]) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        name = _SHORT.get(name, name.removeprefix("--"))
        if not word.startswith("-"):
            raise ConfigurationProblem(f"unexpected argument: {word}")
        if name in SWITCHES:
            given[name] = [value if equals else "true"]
            continue
        if not equals:
            if not words:
                raise ConfigurationProblem(f"flag needs an argument: -{name}")
            value = words.pop(0)
        if name in REPEATED:
            given.setdefault(name, []).append(value)
        else:
            given[name] = [value]
    return given
