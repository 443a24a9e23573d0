"""The files that a join writes on a host: where they lie and what is in them. Nothing in them is secret.

K3s reads ``config.yaml`` and then ``config.yaml.d/*.yaml`` at each start; keys are the long flag names, and a
key that ends in ``+`` appends to a list (facts: k3s-and-backups.md, 1.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from axiom_tui.model.naming import Role
from axiom_tui.model.pools import labels_for
from axiom_tui.plans.join_choice import JoinSpec, TokenFrom

K3S_FOLDER = "/etc/rancher/k3s"
CONFIG_PATH = f"{K3S_FOLDER}/config.yaml.d/10-axiom.yaml"
#: K3s reads it at each start, also long after the token has expired: it must stay (token-file, 1.6).
TOKEN_PATH = f"{K3S_FOLDER}/join-token"
MODULES_PATH = "/etc/modules-load.d/90-axiom-tui.conf"
SYSCTL_PATH = "/etc/sysctl.d/90-axiom-tui.conf"
STATE_FOLDER = "/var/lib/axiom-tui"
INSTALL_SCRIPT = f"{STATE_FOLDER}/install-k3s.sh"
K3S = "/usr/local/bin/k3s"
#: Uninstalling K3s leaves its password here; a host that joins again under its old name would be rejected.
NODE_FOLDER = "/etc/rancher/node"

_HEAD = "# Written by axiom-tui. K3s reads this file at each start.\n"
#: Flags that may be given more than once, which K3s takes as lists.
_LISTS = frozenset(
    {
        "disable",
        "etcd-arg",
        "kube-apiserver-arg",
        "kube-controller-manager-arg",
        "kube-proxy-arg",
        "kube-scheduler-arg",
        "kubelet-arg",
        "node-label",
        "node-taint",
        "tls-san",
    }
)

Value = str | bool | Sequence[str]


def config_text(spec: JoinSpec) -> str:
    """The content of `CONFIG_PATH`."""
    return _HEAD + _yaml(config_of(spec))


def config_of(spec: JoinSpec) -> dict[str, Value]:
    """The settings of K3s for this node, by key. What is computed wins over the flags of the settings."""
    found: dict[str, Value] = dict(flags_as_config(spec.flags))
    if spec.first_server:
        found["cluster-init"] = True
    else:
        found["server"] = spec.api_url
    if spec.token != TokenFrom.NEW:
        found["token-file"] = TOKEN_PATH
    # The host's name may change again (cloud-init does that); the node's must not.
    found["node-name"] = spec.node
    found["node-ip"] = spec.tailnet_ip
    if spec.public_ip:
        found["node-external-ip"] = spec.public_ip
    if spec.role is Role.SERVER:
        # Its default is the external address, which other servers must not use (1.8).
        found["advertise-address"] = spec.tailnet_ip
        sans = found.get("tls-san", ())
        assert not isinstance(sans, (bool, str))
        found["tls-san"] = tuple(dict.fromkeys((spec.api_host, *sans)))
        found["servicelb-namespace"] = spec.servicelb_namespace
    labels = node_labels(spec.pool)
    if labels:
        # So that the labels survive when the node object is deleted and the node registers again.
        found["node-label+"] = labels
    return found


def node_labels(pool: str) -> tuple[str, ...]:
    """``key=value`` of the load-balancer labels."""
    return tuple(f"{key}={value}" for key, value in labels_for(pool).items() if value is not None)


def flags_as_config(flags: Sequence[str]) -> dict[str, Value]:
    """``--disable=traefik`` and ``--secrets-encryption`` as keys of a configuration file."""
    found: dict[str, Value] = {}
    for flag in flags:
        key, mark, text = flag.lstrip("-").partition("=")
        if key in _LISTS:
            before = found.get(key, ())
            assert not isinstance(before, (bool, str))
            found[key] = (*before, text)
        elif not mark or text in ("true", "false"):
            found[key] = text != "false"
        else:
            found[key] = text
    return found


def modules_text(modules: Sequence[str]) -> str:
    return _HEAD.replace("K3s reads this file at each start", "Kernel modules that K3s needs") + "".join(
        f"{name}\n" for name in modules
    )


def sysctl_text(names: Sequence[str]) -> str:
    return _HEAD.replace("K3s reads this file at each start", "Forwarding, which K3s needs") + "".join(
        f"{name} = 1\n" for name in names
    )


def written(path: str, content: str, mode: int = 0o600) -> tuple[str, ...]:
    """How a person would write the file."""
    return (f"sudo install -m {mode:04o} /dev/stdin {path} <<'EOF'\n{content}EOF",)


def _yaml(values: Mapping[str, Value]) -> str:
    """YAML, with all texts quoted."""
    lines = []
    for key, value in values.items():
        if isinstance(value, bool):
            lines.append(f"{key}: {'true' if value else 'false'}")
        elif isinstance(value, str):
            lines.append(f"{key}: {_quoted(value)}")
        else:
            lines += [f"{key}:", *(f"  - {_quoted(item)}" for item in value)]
    return "".join(f"{line}\n" for line in lines)


def _quoted(text: str) -> str:
    """A double-quoted YAML scalar: printable ASCII as it is, all else as an escape."""

    def escaped(char: str) -> str:
        if char in '\\"':
            return f"\\{char}"
        return char if char.isascii() and char.isprintable() else f"\\U{ord(char):08x}"

    return f'"{"".join(map(escaped, text))}"'
