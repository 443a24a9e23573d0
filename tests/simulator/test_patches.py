"""Patches and field ownership: laws that hold for every object."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.simulator import managed_fields, server_side_apply
from axiom_tui.simulator.patches import json_patch, merge, strategic_merge
from axiom_tui.simulator.resources import NODES
from axiom_tui.simulator.store import ObjectStore

Json = dict[str, Any]

_KEYS = st.sampled_from("abc")
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_KEYS, below, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(_KEYS, _VALUES, max_size=3)
_LABELS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"), max_size=4)


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(below is None or _has_null(below) for below in value.values())
    return False


@given(_OBJECTS, _OBJECTS)
def test_a_merge_patch_is_idempotent_and_leaves_no_null_of_its_own(target: Json, patch: Json) -> None:
    once = merge(_copy(target), patch)
    assert merge(_copy(once), patch) == once
    assert not _has_null(merge({}, patch))
    for key, value in patch.items():
        if value is None:
            assert key not in once


@given(_OBJECTS, _OBJECTS)
def test_without_lists_with_keys_a_strategic_patch_is_idempotent_too(target: Json, patch: Json) -> None:
    once = strategic_merge(_copy(target), _copy(patch))
    assert strategic_merge(_copy(once), _copy(patch)) == once


@given(_OBJECTS, _KEYS, _VALUES)
def test_json_patches_turn_back(target: Json, key: str, value: Any) -> None:
    added = json_patch(_copy(target), [{"op": "add", "path": f"/{key}", "value": value}])
    assert added == {**target, key: value}
    back = [{"op": "remove", "path": f"/{key}"}]
    if key in target:
        back = [{"op": "replace", "path": f"/{key}", "value": target[key]}]
    assert json_patch(added, back) == target


def _apply(live: Json, manager: str, labels: dict[str, str]) -> Json:
    config = {"metadata": {"name": "n", "labels": labels}}
    return server_side_apply.apply(NODES, _copy(live), config, manager, "now", force=True)


@given(_LABELS, _LABELS, _LABELS)
def test_applies_leave_what_was_applied_last_and_drop_what_nobody_names(
    one: dict[str, str], two: dict[str, str], one_again: dict[str, str]
) -> None:
    live: Json = {"metadata": {"name": "n", "labels": {"own": "label"}}}
    for manager, labels in (("one", one), ("two", two), ("one", one_again)):
        live = _apply(live, manager, labels)
    kept = {key: value for key, value in two.items() if key not in one_again}
    assert live["metadata"]["labels"] == {"own": "label", **kept, **one_again}
    owners = managed_fields.read(live["metadata"]["managedFields"])
    owned, _ = owners["one", "Apply", ""]
    assert {path[-1][2:] for path in owned if len(path) == 3} == set(one_again)


@given(_LABELS, _LABELS)
def test_an_update_takes_the_fields_that_it_changes(applied: dict[str, str], wanted: dict[str, str]) -> None:
    """Afterwards each label has one owner: who set its value last."""
    store = ObjectStore()
    live: Json = {"metadata": {"name": "n", "labels": dict(applied)}, "spec": {}}
    live["metadata"]["managedFields"] = managed_fields.created(NODES, live, "applier", "Apply", "then")
    store.load("nodes", [live])

    def change(node: Json) -> None:
        node["metadata"]["labels"] = dict(wanted)

    updated = store.mutate("nodes", "n", change, manager="updater")
    owners = managed_fields.read(updated["metadata"].get("managedFields", []))
    labels = {
        who[0]: {path[-1][2:] for path in owned if len(path) == 3 and path[1] == "f:labels"}
        for who, (owned, _) in owners.items()
    }
    same = {key for key in applied if wanted.get(key) == applied[key]}
    assert labels.get("applier", set()) == same
    assert labels.get("updater", set()) == set(wanted) - same


@given(st.sets(st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":1}']), min_size=1, max_size=4).map(tuple)))
def test_field_sets_survive_being_written(owned: set[tuple[str, ...]]) -> None:
    entries = managed_fields.write({("m", "Update", ""): (owned, "now")}, NODES)
    assert managed_fields.read(entries) == ({("m", "Update", ""): (owned, "now")} if owned else {})
