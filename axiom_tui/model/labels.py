"""Labels: what Kubernetes allows as a value, and how kubectl writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_VALUE = 63
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


def label_value_fault(value: str) -> str | None:
    """Why Kubernetes would refuse the value, in words; None if it is fine (IsValidLabelValue)."""
    if len(value) > MAX_VALUE:
        return f"{len(value)} characters are too many for a label's value ({MAX_VALUE} at most)"
    if not _VALUE.fullmatch(value):
        return "only letters, digits, '-', '_' and '.' are allowed, with a letter or digit at both ends"
    return None


def label_arguments(labels: Mapping[str, str | None]) -> str:
    """As the arguments of ``kubectl label``: ``key=value`` sets, ``key-`` removes."""
    return " ".join(f"{key}-" if value is None else f"{key}={value}" for key, value in labels.items())
