"""Disruption budgets: which pods may be evicted now."""

from __future__ import annotations

from collections.abc import Sequence

from axiom_tui.simulator import selectors, statuses
from axiom_tui.simulator.statuses import Json
from axiom_tui.simulator.store import ObjectStore


def ask_budgets(store: ObjectStore, pod: Json, *, dry_run: bool) -> None:
    """Raise the 429 of a disruption budget that forbids to evict this pod; spend it otherwise."""
    namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}
    budgets = [
        one
        for one in store.list("poddisruptionbudgets.policy", namespace)
        if selectors.matches_label_selector(one.get("spec", {}).get("selector"), labels)
    ]
    if len(budgets) > 1:
        why = (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
        raise statuses.internal_error(why)
    for budget in budgets:
        healthy, wanted, allowed = _budget(store, budget, namespace)
        if allowed <= 0:
            name = budget["metadata"]["name"]
            said = f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
            raise statuses.too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                [{"reason": "DisruptionBudget", "message": said}],
            )
        if not dry_run and budget.get("status", {}).get("observedGeneration"):
            store.mutate(
                "poddisruptionbudgets.policy",
                budget["metadata"]["name"],
                _spend,
                namespace,
                manager="kube-apiserver",
                subresource="status",
            )


def _budget(store: ObjectStore, budget: Json, namespace: str) -> tuple[int, int, int]:
    """Healthy pods, wanted pods, disruptions allowed: as its controller wrote them, or else counted."""
    status = budget.get("status") or {}
    if status.get("observedGeneration"):
        numbers = (status.get(name, 0) for name in ("currentHealthy", "desiredHealthy"))
        healthy, wanted = numbers
        return healthy, wanted, status.get("disruptionsAllowed", 0)
    spec = budget.get("spec") or {}
    pods = [
        pod
        for pod in store.list("pods", namespace)
        if selectors.matches_label_selector(spec.get("selector"), pod["metadata"].get("labels") or {})
    ]
    healthy = sum(1 for pod in pods if _is_ready(pod))
    if "maxUnavailable" in spec:
        wanted = len(pods) - _share(spec["maxUnavailable"], len(pods))
    else:
        wanted = _share(spec.get("minAvailable", 1), len(pods))
    return healthy, wanted, healthy - wanted


def _spend(budget: Json) -> None:
    budget["status"]["disruptionsAllowed"] -= 1
    budget["status"]["currentHealthy"] -= 1


def _is_ready(pod: Json) -> bool:
    conditions: Sequence[Json] = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _share(value: int | str, total: int) -> int:
    """A number, or a percentage of ``total`` rounded up."""
    if isinstance(value, str) and value.endswith("%"):
        return -(-total * int(value[:-1]) // 100)
    return int(value)
