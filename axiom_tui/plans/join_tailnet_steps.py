"""The steps of a join at Tailscale's control API: approve the device, tag it, keep its key from expiring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from axiom_tui.model.preflight_tailnet import MACHINES_PAGE
from axiom_tui.model.problem import ProblemKind, fail
from axiom_tui.model.tailnet import TailnetDevice
from axiom_tui.plans.access import DeviceControl
from axiom_tui.plans.join_choice import JoinSpec
from axiom_tui.plans.step import Json, Run, Step, UnavailableStep

_API = "https://api.tailscale.com/api/v2/device"
_NO_API = "Tailscale's control API is not configured"


class DeviceStep(Step):
    """A step on the device of the host."""

    interruptible = True

    def __init__(self, control: DeviceControl, spec: JoinSpec) -> None:
        self._control = control
        self._spec = spec

    def _found(self) -> TailnetDevice | None:
        return next((item for item in self._control.devices() if item.id == self._spec.device_id), None)

    def _device(self) -> TailnetDevice:
        device = self._found()
        if device is None:
            raise fail(
                ProblemKind.MISSING,
                f"The tailnet has no device {self._spec.device_id} ({self._spec.tailnet_ip}) any more.",
                "See what became of it, then make the plan again.",
            )
        return device

    def _request(self, what: str, body: str) -> tuple[str, ...]:
        return (f"POST {_API}/{self._spec.device_id}/{what} {body}",)


class ApproveDevice(DeviceStep):
    """Lets the device into the tailnet."""

    key = "approve"
    reversible = False
    undo_note = f"the device stays approved; take it out at {MACHINES_PAGE} if you want"

    def __init__(self, control: DeviceControl, spec: JoinSpec) -> None:
        super().__init__(control, spec)
        self.title = f"Approve the device {spec.tailnet_ip} in the tailnet"
        self.commands = self._request("authorized", '{"authorized": true}')

    def is_done(self, run: Run) -> bool:
        return self._device().authorized is True

    def run(self, run: Run) -> None:
        run.remember({})
        self._control.authorize(self._spec.device_id)


class TagDevice(DeviceStep):
    """Gives the device the tags of a node; those that it has are kept."""

    key = "tags"

    def __init__(self, control: DeviceControl, spec: JoinSpec) -> None:
        super().__init__(control, spec)
        self.title = f"Tag the device: {', '.join(spec.tags)}"
        self.commands = self._request("tags", _json_tags(spec.tags))
        if not spec.earlier_tags:
            # The API does not give a tagged device back to a user.
            self.reversible = False
            self.undo_note = "the device stays tagged; only a new login gives it back to a user"

    def is_done(self, run: Run) -> bool:
        return set(self._spec.tags) <= set(self._device().tags)

    def run(self, run: Run) -> None:
        device = self._device()
        run.remember({"tags": list(device.tags)})
        added = [
            tag for tag in device.tags if tag not in self._spec.tags and tag not in self._spec.earlier_tags
        ]
        self._control.set_tags(self._spec.device_id, (*self._spec.tags, *added))

    def is_undone(self, run: Run) -> bool:
        tags, device = _tags(run.earlier), self._found()
        return not tags or device is None or set(device.tags) == set(tags)

    def undo(self, run: Run) -> None:
        self._control.set_tags(self._spec.device_id, _tags(run.earlier))

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        return self._request("tags", _json_tags(_tags(earlier))) if _tags(earlier) else ()


class DisableKeyExpiry(DeviceStep):
    """Keeps the device's key from expiring: a node that expires falls off the tailnet."""

    key = "key-expiry"

    def __init__(self, control: DeviceControl, spec: JoinSpec) -> None:
        super().__init__(control, spec)
        self.title = "Disable the expiry of the device's key"
        self.commands = self._request("key", '{"keyExpiryDisabled": true}')

    def is_done(self, run: Run) -> bool:
        return self._device().key_expiry_disabled is True

    def run(self, run: Run) -> None:
        run.remember({"disabled": self._device().key_expiry_disabled is True})
        self._control.set_key_expiry_disabled(self._spec.device_id, True)

    def is_undone(self, run: Run) -> bool:
        device = self._found()
        was_so = run.earlier.get("disabled") is not False
        return was_so or device is None or device.key_expiry_disabled is not True

    def undo(self, run: Run) -> None:
        self._control.set_key_expiry_disabled(self._spec.device_id, False)

    def undo_commands(self, earlier: Mapping[str, Json]) -> tuple[str, ...]:
        return (
            self._request("key", '{"keyExpiryDisabled": false}') if earlier.get("disabled") is False else ()
        )


def by_hand(key: str, spec: JoinSpec) -> Step:
    """The same step, where there is no control API: what to click."""
    page = f"{MACHINES_PAGE}/{spec.tailnet_ip}"
    match key:
        case ApproveDevice.key:
            title, click = f"Approve the device {spec.tailnet_ip} in the tailnet", "Approve"
        case TagDevice.key:
            title, click = f"Tag the device: {', '.join(spec.tags)}", "⋯, Edit ACL tags"
        case _:
            title, click = "Disable the expiry of the device's key", "⋯, Disable key expiry"
    return UnavailableStep(key, title, _NO_API, (f"{page}: {click}",))


def _json_tags(tags: Sequence[str]) -> str:
    quoted = ", ".join(f'"{tag}"' for tag in tags)
    return f'{{"tags": [{quoted}]}}'


def _tags(earlier: Mapping[str, Json]) -> tuple[str, ...]:
    return tuple(cast(Sequence[str], earlier.get("tags") or ()))
