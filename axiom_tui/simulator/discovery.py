"""Discovery: the versions, groups and resources that clients ask for first."""

from __future__ import annotations

from collections.abc import Iterable

from axiom_tui.simulator.resources import REVIEWS, Resource
from axiom_tui.simulator.statuses import Json

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

# The order in which a real server lists its groups; groups of custom resources and of aggregated servers
# follow.
_GROUP_ORDER = (
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "policy",
    "scheduling.k8s.io",
    "coordination.k8s.io",
)


def version_info(version: str) -> Json:
    """The body of ``/version`` for a version such as ``v1.33.4+k3s1``."""
    major, minor = version.lstrip("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": version,
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "2025-08-27T00:00:00Z",
        "goVersion": "go1.24.5",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def all_resources(registered: Iterable[Resource]) -> list[Resource]:
    return [*registered, *REVIEWS]


def api_versions(address: str) -> Json:
    """The body of ``/api``; ``address`` is host:port of this server."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(registered: Iterable[Resource]) -> Json:
    """The body of ``/apis``."""
    groups = [_group(name, versions) for name, versions in _groups(registered).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registered: Iterable[Resource], name: str) -> Json | None:
    """The body of ``/apis/<group>``, or None when it is not there."""
    versions = _groups(registered).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def resource_list(registered: Iterable[Resource], name: str, version: str) -> Json | None:
    """The body of ``/api/v1`` or ``/apis/<group>/<version>``, or None when it is not there."""
    found = [one for one in all_resources(registered) if (one.group, one.version) == (name, version)]
    if not found:
        return None
    entries = [entry for one in found for entry in _entries(one)]
    entries.sort(key=lambda entry: str(entry["name"]))
    # The core group alone is written without apiVersion, and so it stays for old clients.
    head: Json = {"kind": "APIResourceList"} if not name else {"kind": "APIResourceList", "apiVersion": "v1"}
    return {**head, "groupVersion": f"{name}/{version}" if name else version, "resources": entries}


def aggregated(registered: Iterable[Resource], *, core: bool) -> Json:
    """The body of ``/api`` (core) or ``/apis`` for clients that ask for all groups at once."""
    resources = all_resources(registered)
    items: list[Json] = []
    for name, versions in _groups(resources).items():
        if (name == "") != core:
            continue
        about: Json = {"metadata": {"name": name} if name else {}, "versions": []}
        for version in versions:
            of_version = [one for one in resources if (one.group, one.version) == (name, version)]
            about["versions"].append(
                {
                    "version": version,
                    "resources": [_aggregated_entry(one) for one in sorted(of_version, key=_by_plural)],
                    "freshness": "Current",
                }
            )
        items.append(about)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _groups(registered: Iterable[Resource]) -> dict[str, list[str]]:
    """Group names in the server's order, each with its versions."""
    groups: dict[str, list[str]] = {}
    for one in all_resources(registered):
        versions = groups.setdefault(one.group, [])
        if one.version not in versions:
            versions.append(one.version)
    known = {name: place for place, name in enumerate(("", *_GROUP_ORDER))}
    return dict(sorted(groups.items(), key=lambda entry: (known.get(entry[0], len(known)), entry[0])))


def _group(name: str, versions: list[str]) -> Json:
    said = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": said, "preferredVersion": said[0]}


def _by_plural(resource: Resource) -> str:
    return resource.plural


def _entries(resource: Resource) -> Iterable[Json]:
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular_name,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.storage_hash:
        entry["storageVersionHash"] = resource.storage_hash
    yield entry
    for part in resource.subresources:
        below: Json = {
            "name": f"{resource.plural}/{part.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
        }
        if part.kind:
            below |= {"group": part.group, "version": part.version}
        yield {**below, "kind": part.kind or resource.kind, "verbs": list(part.verbs)}


def _aggregated_entry(resource: Resource) -> Json:
    def kind_of(group: str, version: str, kind: str) -> Json:
        return {"group": group, "version": version, "kind": kind}

    entry: Json = {
        "resource": resource.plural,
        "responseKind": kind_of(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular_name,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": part.name,
                "responseKind": kind_of(
                    part.group or resource.group,
                    part.version or resource.version,
                    part.kind or resource.kind,
                ),
                "verbs": list(part.verbs),
            }
            for part in resource.subresources
        ]
    return entry
