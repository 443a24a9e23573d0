"""What a setting's type cannot say: for each key, the check of its value and what is expected instead."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from axiom_tui.model.version import Version

#: A check answers what it expects, or "" when the value is fine.
Check = Callable[[Any], str]

_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*"
)
_RFC1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CLASS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def matching(pattern: re.Pattern[str], expected: str, *, empty: bool = False) -> Check:
    return lambda text: "" if (empty and not text) or pattern.fullmatch(text) else expected


def between(least: int, most: int) -> Check:
    return lambda number: "" if least <= number <= most else f"a whole number from {least} to {most}"


def lasting(least: timedelta, most: timedelta, words: str) -> Check:
    return lambda value: "" if least <= value <= most else f"a duration from {words}"


def url(value: str) -> str:
    """https everywhere; plain http only to this machine, where nobody can listen in between."""
    expected = "an https:// address (http:// only for this machine)"
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return expected
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        return expected
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return ""
    return expected


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def version(value: str) -> str:
    return "" if not value or Version.parse(value) else "a version such as v1.33.4+k3s1, or nothing"


def _not_empty(expected: str) -> Check:
    return lambda text: "" if text.strip() else expected


_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
_DEADLINE = lasting(timedelta(milliseconds=100), 10 * _MINUTE, "100ms to 10m")
_LONG_DEADLINE = lasting(_SECOND, 120 * _MINUTE, "1s to 2h")
_RHYTHM = lasting(_SECOND, _DAY, "1s to 1d")
_AGE = lasting(_MINUTE, 3650 * _DAY, "1m to 3650d")
_PREFIX = matching(
    re.compile(r"[A-Za-z]([-A-Za-z0-9]{0,40}[-A-Za-z])?"),
    "a prefix of letters, digits and '-' that begins with a letter and does not end with a digit",
)
_POOL = matching(_LABEL_VALUE, "a label value: letters, digits, '-', '_' and '.', 63 at most")
_POOL_OR_NONE = matching(_LABEL_VALUE, 'a pool name, or "" for no labels', empty=True)
_TAG = matching(re.compile(r"tag:[A-Za-z][A-Za-z0-9-]*"), "a tailnet tag such as tag:acl-axiom")
_HOST_NAME = matching(_HOST, "a host name such as api.axiom.technat.ch")
_NAMESPACE = matching(_RFC1123_LABEL, "a namespace: lower-case letters, digits and '-'")
_SHA256 = matching(
    re.compile(r"[0-9a-f]{64}"), "a SHA-256 sum of 64 hexadecimal digits, or nothing", empty=True
)
_FLAG = matching(re.compile(r"--[a-z0-9][a-z0-9-]*(=\S.*)?"), "a K3s flag such as --disable=traefik")
_BUCKET = matching(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}"), "a bucket's name")

CHECKS: Mapping[str, Check] = {
    "naming.server_prefix": _PREFIX,
    "naming.agent_prefix": _PREFIX,
    "places.*": _not_empty("the name of a place"),
    "pools.internal": _POOL,
    "pools.external": _POOL,
    "pools.overrides.*": _POOL_OR_NONE,
    "tags.node.*": _TAG,
    "tags.server": _TAG,
    "tags.agent": _TAG,
    "tags.places.*": _not_empty("the name of a place"),
    "limits.key_expiry_warning": lasting(timedelta(0), 180 * _DAY, "0s to 180d"),
    "limits.kubelet_minors_behind": between(1, 99),
    "limits.expected_version": version,
    "levels.*.wave": between(-1000, 1000),
    "levels.*.name": matching(_CLASS, 'the name of a PriorityClass, or "" for none', empty=True),
    "levels.*.value": between(-2_147_483_648, 2_000_001_000),
    "api.host": _HOST_NAME,
    "api.port": between(1, 65535),
    "kubernetes.connect_timeout": _DEADLINE,
    "kubernetes.read_timeout": _DEADLINE,
    "tailscale.tailnet": _not_empty('the name of a tailnet, or "-"'),
    "tailscale.timeout": _DEADLINE,
    "tailscale.control.url": url,
    "ssh.user": matching(re.compile(r"[a-z_][a-z0-9_-]{0,31}"), "a user name"),
    "ssh.port": between(1, 65535),
    "ssh.connect_timeout": _DEADLINE,
    "ssh.login_timeout": _LONG_DEADLINE,
    "ssh.command_timeout": _LONG_DEADLINE,
    "ssh.keepalive": lasting(_SECOND, 5 * _SECOND, "1s to 5s"),  # three of them pass before a loss is noticed
    "dns.zone": _HOST_NAME,
    "dns.url": url,
    "dns.ttl": between(60, 604_800),
    "servicelb.namespace": _NAMESPACE,
    "backups.endpoint": url,
    "backups.region": _not_empty("a region such as us-east-1"),
    "backups.bucket": _BUCKET,
    "backups.cluster_max_age": _AGE,
    "backups.volume_max_age": _AGE,
    "refresh.tailnet": _RHYTHM,
    "refresh.tailnet_control": lasting(10 * _SECOND, _DAY, "10s to 1d"),
    "refresh.ping": lasting(5 * _SECOND, _DAY, "5s to 1d"),
    "refresh.pings_at_once": between(1, 64),
    "refresh.metrics": lasting(5 * _SECOND, _DAY, "5s to 1d"),
    "refresh.backups": lasting(10 * _SECOND, _DAY, "10s to 1d"),
    "refresh.screen": lasting(timedelta(milliseconds=100), 10 * _SECOND, "100ms to 10s"),
    "join.install_url": url,
    "join.install_sha256": _SHA256,
    "join.distribution": _not_empty("the ID of a distribution, as in /etc/os-release"),
    "join.release": _not_empty('the release of the distribution, such as "22.04"'),
    "join.server_flags.*": _FLAG,
    "join.agent_flags.*": _FLAG,
    "join.token_ttl": _LONG_DEADLINE,
    "join.install_timeout": _LONG_DEADLINE,
    "join.ready_timeout": _LONG_DEADLINE,
}


def check(key: str, value: Any) -> str:
    """What was expected of ``key`` instead of ``value``; "" when it is fine."""
    own = CHECKS.get(key)
    return own(value) if own else ""
