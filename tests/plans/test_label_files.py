"""The labels in K3s' configuration files: found as K3s finds them, put in and taken out without any harm."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from axiom_tui.model.node import NODE_ARGS_ANNOTATION, Node
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.model.problem import AxiomError
from axiom_tui.plans import label_files as files
from axiom_tui.plans.join_files import config_text
from axiom_tui.plans.label_files import CONFIG_FILE, FOLDER, JOIN_PATH, KEYS, OWN_PATH, items_for
from tests.plans.joins import AGENT

INTERNAL, EXTERNAL = items_for("internal"), items_for("external")
POOLS = st.sampled_from(["", "internal", "external", "games-2"])
OTHERS = st.sampled_from(["disk=ssd", "svccontroller.k3s.cattle.io/other=x", "place=home", "a/b"])
LABELS = st.lists(
    st.one_of(OTHERS, st.sampled_from([f"{key}={value}" for key in KEYS for value in ("true", "games", "")])),
    max_size=5,
)
MORE = st.fixed_dictionaries(
    {},
    optional={
        "token": st.just("K10secret::server:0123456789"),
        "node-ip": st.just("100.64.0.7"),
        "tls-san": st.lists(st.sampled_from(["a.example", "b.example"]), max_size=2),
        "node-label": LABELS,
        "node-label+": LABELS.filter(bool),
        "debug": st.booleans(),
    },
)


def written(values: Mapping[str, object], style: str) -> str:
    """A file as somebody may have written it."""
    if style == "plain":
        return yaml.safe_dump(dict(values), sort_keys=False) if values else ""
    lines = ["# by hand", ""]
    for key, value in values.items():
        name = f'"{key}"' if style == "quoted" else key
        if isinstance(value, list) and value:
            lines += [f"{name}:  # a list", *(f"    -  '{item}'   # {item[:3]}" for item in value)]
        else:
            lines.append(f"{name}: {yaml.safe_dump(value).splitlines()[0]}")
    return "\n".join(lines)


STYLES = st.sampled_from(["plain", "quoted", "commented"])


def without_ours(text: str | None) -> dict[str, object]:
    """All of a file but our labels; a list that has none left may be there or not."""
    values = yaml.safe_load(text or "") or {}
    for name in ("node-label", "node-label+"):
        kept = [item for item in values.pop(name, None) or [] if item.partition("=")[0] not in KEYS]
        if kept:
            values[name] = kept
    return dict(values)


@given(MORE, STYLES, POOLS, st.sampled_from([JOIN_PATH, OWN_PATH]))
def test_an_edit_changes_our_labels_and_nothing_else(
    values: dict[str, object], style: str, pool: str, path: str
) -> None:
    text = written(values, style)
    plain = values.get("node-label")
    if isinstance(plain, list) and plain and all(item.partition("=")[0] in KEYS for item in plain):
        # Alone in a list that throws away those of earlier files: it must not vanish, nor be left empty.
        assume(files.items_of(path, text) != items_for(pool))
        with contextlib.suppress(AxiomError):
            assert yaml.safe_load(files.with_items(path, text, items_for(pool)) or "")["node-label"]
        return
    edited = files.with_items(path, text, items_for(pool))
    assert files.items_of(path, edited) == items_for(pool)
    assert without_ours(edited) == without_ours(text)
    if edited is not None:
        ours = [line for line in text.splitlines() if not any(key in line for key in KEYS)]
        assert [line for line in edited.splitlines() if line in ours and "node-label" not in line] == [
            line for line in ours if "node-label" not in line
        ]
        assert files.with_items(path, edited, items_for(pool)) == edited


@given(POOLS, POOLS)
def test_what_was_put_in_comes_out_to_the_byte(first: str, second: str) -> None:
    text = config_text(AGENT)
    changed = text
    for pool in (first, second, AGENT.pool):
        done = files.with_items(JOIN_PATH, changed, items_for(pool))
        assert done is not None
        changed = done
    assert changed == text
    own = files.with_items(OWN_PATH, None, items_for(first))
    assert files.with_items(OWN_PATH, own, ()) is None


def test_our_own_file() -> None:
    text = files.with_items(OWN_PATH, None, EXTERNAL)
    assert text is not None
    assert text.startswith("# Written by axiom-tui")
    assert yaml.safe_load(text) == {"node-label+": list(EXTERNAL)}


def test_a_label_of_others_in_our_file_is_kept() -> None:
    text = "node-label+:\n  - disk=ssd\n"
    edited = files.with_items(OWN_PATH, text, INTERNAL)
    assert yaml.safe_load(edited or "") == {"node-label+": ["disk=ssd", *INTERNAL]}
    assert files.with_items(OWN_PATH, edited, ()) == text


@pytest.mark.parametrize(
    "text",
    [
        f"node-label+: [{EXTERNAL[0]}, {EXTERNAL[1]}]\n",
        f"node-label+: '{','.join(EXTERNAL)}'\n",
        "{node-ip: 100.64.0.7}\n",
        f"note: |\n  - {EXTERNAL[1]}\nnode-label+:\n  - {EXTERNAL[1]}\n",
    ],
)
def test_what_cannot_be_edited_line_by_line_is_left_to_the_admin(text: str) -> None:
    with pytest.raises(AxiomError, match="cannot change without harm") as caught:
        files.with_items(JOIN_PATH, text, INTERNAL)
    assert "lbpool=internal" in caught.value.problem.remedy


@pytest.mark.parametrize("text", ["token: K10secret\n\tx: y\n", "- K10secret\n", "a: [K10secret\n"])
def test_a_file_that_is_no_yaml_is_named_and_not_quoted(text: str) -> None:
    with pytest.raises(AxiomError) as caught:
        files.given({CONFIG_FILE: text}, (), "k3s")
    assert CONFIG_FILE in caught.value.problem.sentence
    assert "K10secret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None


# -- what K3s takes ----------------------------------------------------------------------------------------


def text_of(*items: str, name: str = "node-label+") -> str:
    return yaml.safe_dump({name: list(items), "token": "K10secret"})


def test_later_files_append_and_the_last_label_counts() -> None:
    texts = {OWN_PATH: text_of(*EXTERNAL), CONFIG_FILE: text_of(*INTERNAL, "disk=ssd", name="node-label")}
    taken = files.given(texts, (), "k3s-agent")
    assert taken.is_as("external")
    assert not taken.is_as("internal")
    assert [label.where for label in taken.beside()] == [CONFIG_FILE, CONFIG_FILE]
    assert taken.against("external") == ()


def test_a_later_list_replaces_all_that_came_before() -> None:
    late = f"{FOLDER}/99-late.yaml"
    texts = {OWN_PATH: text_of(*EXTERNAL), late: text_of("disk=ssd", name="node-label")}
    taken = files.given(texts, (), "k3s-agent")
    assert (taken.effective, taken.replaced_by) == ({}, late)
    texts[late] = text_of(INTERNAL[1])
    (against,) = files.given(texts, (), "k3s-agent").against("external")
    assert (against.key, against.value, against.where) == (POOL_LABEL, "internal", late)


@pytest.mark.parametrize(
    "arguments",
    [
        ("agent", "--node-label", INTERNAL[0], "--node-label", INTERNAL[1]),
        ("agent", f"--node-label={INTERNAL[0]}", f"--node-label={INTERNAL[1]}"),
        ("agent", "--node-label", f"{INTERNAL[0]},{INTERNAL[1]}"),
    ],
)
def test_the_command_line_replaces_all_files(arguments: tuple[str, ...]) -> None:
    taken = files.given({OWN_PATH: text_of(*EXTERNAL)}, arguments, "k3s-agent")
    assert taken.is_as("internal")
    assert taken.replaced_by == "the arguments of k3s-agent"
    other = files.given({OWN_PATH: text_of(*EXTERNAL)}, ("agent", "--node-label", "a=b"), "k3s-agent")
    assert (other.effective, other.replaced_by) == ({}, "the arguments of k3s-agent")


def test_a_single_label_is_a_list_too() -> None:
    texts = {CONFIG_FILE: f"node-label: {EXTERNAL[0]},{EXTERNAL[1]}\n"}
    assert files.given(texts, (), "k3s").is_as("external")


def test_what_k3s_told_the_cluster_about_its_labels() -> None:
    arguments = f'["agent", "--node-label", "{EXTERNAL[0]}", "--node-label={EXTERNAL[1]}", "--node-ip", "1"]'
    node = Node(name="wall-a-1", annotations={NODE_ARGS_ANNOTATION: arguments})
    assert files.configured(node) == {ENABLE_LABEL: "true", POOL_LABEL: "external"}
    assert files.configured(Node(name="wall-a-1")) == {}


def test_one_home_for_the_labels() -> None:
    assert files.aimed({JOIN_PATH: EXTERNAL, OWN_PATH: None}, "internal") == {
        JOIN_PATH: INTERNAL,
        OWN_PATH: (),
    }
    assert files.aimed({JOIN_PATH: (), OWN_PATH: None}, "internal") == {JOIN_PATH: (), OWN_PATH: INTERNAL}
    assert files.aimed({JOIN_PATH: EXTERNAL, OWN_PATH: INTERNAL}, "") == {JOIN_PATH: (), OWN_PATH: ()}
