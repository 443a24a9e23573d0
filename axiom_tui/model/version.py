"""Versions of Kubernetes and K3s, and the skew that is allowed between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?([-+].*)?")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """``v1.33.4+k3s1``; ordered by major, minor, patch, then K3s build number."""

    major: int
    minor: int
    patch: int = 0
    build: int = 0

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """Read a version; None for text that is none."""
        return _parse(text)


@lru_cache(maxsize=1024)  # a fleet has thousands of nodes and a handful of versions
def _parse(text: str) -> Version | None:
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        return None
    build = re.search(r"\+k3s(\d+)", match[4] or "")
    return Version(int(match[1]), int(match[2]), int(match[3] or 0), int(build[1]) if build else 0)


def minors_behind(kubelet: Version, server: Version) -> int:
    """How many minors the kubelet is behind the API server; negative when it is newer."""
    return (server.major - kubelet.major) * 1000 + server.minor - kubelet.minor


def is_newer(kubelet: Version, server: Version) -> bool:
    """Kubernetes forbids a kubelet that is newer than the API server (by major and minor)."""
    return (kubelet.major, kubelet.minor) > (server.major, server.minor)
