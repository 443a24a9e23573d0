"""Events are stored as core/v1; the group events.k8s.io shows the same ones under other names."""

from __future__ import annotations

from axiom_tui.simulator.statuses import Json


def to_new(event: Json) -> Json:
    """An event of core/v1 as events.k8s.io/v1 writes it (without kind and apiVersion)."""
    renamed: Json = {
        "metadata": event["metadata"],
        "eventTime": event.get("eventTime"),
        "series": event.get("series"),
        "reportingController": event.get("reportingComponent"),
        "reportingInstance": event.get("reportingInstance"),
        "action": event.get("action"),
        "reason": event.get("reason"),
        "regarding": event.get("involvedObject", {}),
        "related": event.get("related"),
        "note": event.get("message"),
        "type": event.get("type"),
        "deprecatedSource": event.get("source", {}),
        "deprecatedFirstTimestamp": event.get("firstTimestamp"),
        "deprecatedLastTimestamp": event.get("lastTimestamp"),
        "deprecatedCount": event.get("count"),
    }
    written_empty = ("eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp")
    return {key: value for key, value in renamed.items() if value or key in written_empty}
