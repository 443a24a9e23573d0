"""The two views of the tailnet, merged: what this workstation sees, completed by the control API."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from axiom_tui.model.tailnet import TailnetDevice


def merge(local: Iterable[TailnetDevice], control: Iterable[TailnetDevice]) -> tuple[TailnetDevice, ...]:
    """One device per id: those of ``local`` in their order, then those that only ``control`` knows.

    The local view wins for what depends on where one stands (path, online, latency), the control API for
    what the tailnet's admin decides (expiry, approval, tags, client version). Nothing is lost: what one
    view does not know, the other one's value fills. Merging again changes nothing.
    """
    known = {device.id: device for device in control}
    here = [complete(device, known.pop(device.id, None)) for device in local]
    return (*here, *known.values())


def complete(local: TailnetDevice, control: TailnetDevice | None) -> TailnetDevice:
    """One device as both see it; ``control`` is None if the control API does not know it."""
    if control is None:
        return local
    # The expiry and its switch belong together: half of each view would make a third, wrong one.
    expiry = control if control.key_expiry_disabled is not None or control.key_expiry is not None else local
    return replace(
        local,
        key_expiry=expiry.key_expiry,
        key_expiry_disabled=expiry.key_expiry_disabled,
        authorized=local.authorized if control.authorized is None else control.authorized,
        tags=control.tags,
        client_version=control.client_version or local.client_version,
        update_available=(
            local.update_available if control.update_available is None else control.update_available
        ),
        advertises_endpoints=control.advertises_endpoints or local.advertises_endpoints,
        online=control.online if local.online is None else local.online,
        last_seen=local.last_seen or (None if local.online else control.last_seen),
        name=local.name or control.name,
        dns_name=local.dns_name or control.dns_name,
        host_name=local.host_name or control.host_name,
        os=local.os or control.os,
        addresses=local.addresses or control.addresses,
    )
