"""When a plan is dangerous by its effect, and which word must be typed then."""

from __future__ import annotations

from collections.abc import Sequence

from axiom_tui.model.exposure import severity_of
from axiom_tui.model.finding import Severity
from axiom_tui.model.fleet import Cluster


def is_dangerous(effect: Sequence[str]) -> bool:
    """Whether a line of the effect says an error: a Service is lost, or is opened to the internet."""
    return any((severity_of(line) or Severity.INFO) >= Severity.ERROR for line in effect)


def word_for(effect: Sequence[str], cluster: Cluster, names: Sequence[str]) -> str:
    """What must be typed to apply a plan with this effect; "" if it is not dangerous.

    ``names`` are the nodes that it changes, as shown: with one it is the node's name, else the cluster's.
    """
    if not is_dangerous(effect):
        return ""
    return names[0] if len(names) == 1 else cluster.name
