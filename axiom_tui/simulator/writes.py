"""POST, PUT, PATCH, DELETE: create, replace, patch, apply, delete, evict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from axiom_tui.simulator import (
    evictions,
    managed_fields,
    patches,
    protobuf,
    selectors,
    server_side_apply,
    statuses,
)
from axiom_tui.simulator.admission import admit_new, admit_update
from axiom_tui.simulator.requests import Query, Target
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json
from axiom_tui.simulator.store import ObjectStore, timestamp
from axiom_tui.simulator.stored import with_generation
from axiom_tui.simulator.validation import TypeMismatch, check_types, validate_new, validate_update

_PATCHES = (patches.JSON_PATCH, patches.MERGE_PATCH, patches.STRATEGIC_PATCH, patches.APPLY_PATCH)


@dataclass(frozen=True)
class Writer:
    """Answers writes with a code and an object; everything refused is an ApiError."""

    store: ObjectStore

    def create(
        self, resource: Resource, target: Target, query: Query, body: Json, manager: str
    ) -> tuple[int, Json]:
        dry_run = _dry_run(query, "CreateOptions")
        _check_identity(resource, target, body)
        _check_namespace(resource, target, body)
        if body.get("metadata", {}).get("resourceVersion"):
            raise statuses.bad_request("resourceVersion should not be set on objects to be created")
        return 201, self._create(resource, target.namespace, body, manager, dry_run=dry_run)

    def replace(
        self, resource: Resource, target: Target, query: Query, body: Json, manager: str
    ) -> tuple[int, Json]:
        dry_run = _dry_run(query, "UpdateOptions")
        _check_identity(resource, target, body)
        _check_types_of_object(resource, body)
        _check_name(target, body)
        _check_namespace(resource, target, body)
        missing = self.store.get(resource.key, target.name, target.namespace) is None
        if missing and resource.creates_on_update and not target.subresource:
            return 201, self._create(resource, target.namespace, body, manager, dry_run=dry_run)
        if resource.needs_version and not missing and not body["metadata"].get("resourceVersion"):
            why = "Invalid value: 0x0: must be specified for an update"
            causes = [statuses.cause("FieldValueInvalid", why, "metadata.resourceVersion")]
            raise statuses.invalid(resource.plural, resource.group, target.name, causes)

        def change(live: Json) -> Json:
            edited: Json = msgspec.json.decode(msgspec.json.encode(body))
            about = edited["metadata"]
            for name in ("uid", "resourceVersion"):
                about.setdefault(name, live["metadata"].get(name))
            return self._changed(resource, target, live, edited, manager)

        return 200, self._edit(resource, target, change, dry_run=dry_run)

    def patch(
        self,
        resource: Resource,
        target: Target,
        query: Query,
        body: bytes,
        content_type: str,
        manager: str,
    ) -> tuple[int, Json]:
        dry_run = _dry_run(query, "PatchOptions")
        if content_type not in _PATCHES:
            raise statuses.unsupported_media_type()
        if content_type == patches.APPLY_PATCH:
            return self._apply(resource, target, query, body, dry_run=dry_run)
        if query.values.get("force"):
            raise _bad_option("PatchOptions", "force", "may not be specified for non-apply patch")

        def change(live: Json) -> Json:
            edited = patches.apply_patch(resource, _copy(live), content_type, body)
            try:
                return self._changed(resource, target, live, edited, manager)
            except TypeMismatch as error:
                why = f"Invalid value: {msgspec.json.encode(body.decode()).decode()}: {error}"
                causes = [statuses.cause("FieldValueInvalid", why, "patch")]
                raise statuses.invalid("", "", "", causes) from error

        return 200, self._edit(resource, target, change, dry_run=dry_run)

    def delete(self, resource: Resource, target: Target, query: Query, body: Json) -> tuple[int, Json]:
        dry_run = _dry_run(query, "DeleteOptions") or body.get("dryRun") == ["All"]
        live = self.store.get(resource.key, target.name, target.namespace)
        if live is None:
            raise statuses.not_found(resource.plural, resource.group, target.name)
        _check_preconditions(resource, live, body.get("preconditions") or {})
        if resource.key == "namespaces" and target.name in ("default", "kube-system", "kube-public"):
            raise statuses.forbidden("namespaces", "", target.name, "this namespace may not be deleted")
        last = live if dry_run else self._delete(resource, live, body)
        if resource.returns_deleted:
            return 200, last
        about = statuses.details(target.name, resource.group, resource.plural)
        about["uid"] = live["metadata"]["uid"]
        success: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return 200, {**success, "details": about}

    def delete_collection(self, resource: Resource, target: Target, query: Query) -> tuple[int, Json]:
        dry_run = _dry_run(query, "DeleteOptions")
        labels = selectors.parse_labels(query.text("labelSelector"))
        fields = selectors.parse_fields(query.text("fieldSelector"), resource)
        found, version = self.store.snapshot(resource.key)
        gone: list[Json] = []
        for stored in found:
            here = not resource.namespaced or stored.namespace == target.namespace
            if here and labels(stored.labels) and fields(stored.fields):
                live = self.store.get(resource.key, stored.name, stored.namespace)
                if live is not None:
                    gone.append(live if dry_run else self._delete(resource, live, {}))
        items = [{key: one[key] for key in one if key not in ("kind", "apiVersion")} for one in gone]
        return 200, {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": str(version)},
            "items": items,
        }

    def evict(self, target: Target, query: Query, body: Json) -> tuple[int, Json]:
        """The eviction subresource of pods: deletes the pod unless a disruption budget forbids it."""
        options = body.get("deleteOptions") or {}
        dry_run = _dry_run(query, "CreateOptions") or options.get("dryRun") == ["All"]
        pod = self.store.get("pods", target.name, target.namespace)
        if pod is None:
            raise statuses.not_found("pods", "", target.name)
        named = body.get("metadata", {}).get("name", "")
        if named != target.name:
            raise statuses.bad_request(f"name in URL does not match name in Eviction object: {named}")
        phase = pod.get("status", {}).get("phase")
        if phase not in ("Succeeded", "Failed", "Pending") and not pod["metadata"].get("deletionTimestamp"):
            evictions.ask_budgets(self.store, pod, dry_run=dry_run)
        if not dry_run:
            self._delete(self.store.resource("pods"), pod, options)
        return 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    # Inside

    def _create(self, resource: Resource, namespace: str, body: Json, manager: str, *, dry_run: bool) -> Json:
        obj = _copy(body)
        metadata = obj.setdefault("metadata", {})
        _check_types_of_object(resource, obj)
        for name in ("uid", "creationTimestamp", "managedFields", "generation", "deletionTimestamp"):
            metadata.pop(name, None)
        if resource.namespaced:
            metadata["namespace"] = namespace
        if resource.has_status and resource.key not in ("namespaces", "nodes"):
            obj.pop("status", None)
        admit_new(self.store, resource, obj)
        if not metadata.get("generateName"):
            validate_new(resource, obj)
        prepared = self.store.prepare(resource.key, obj, namespace, manager=manager)
        validate_new(resource, prepared)
        if dry_run:
            return prepared
        return self.store.create(resource.key, prepared, namespace, manager=manager)

    def _changed(self, resource: Resource, target: Target, live: Json, edited: Json, manager: str) -> Json:
        """Check a changed object and give it its managed fields; ``edited`` is ours to change."""
        check_types(resource, edited)
        _check_name(target, edited)
        _guard(resource, live, edited)
        _keep_other_part(resource, target, live, edited)
        admit_update(self.store, resource, edited)
        validate_update(resource, live, edited)
        return self.store.owned(resource.key, live, edited, manager=manager, subresource=target.subresource)

    def _edit(
        self,
        resource: Resource,
        target: Target,
        change: Callable[[Json], Json],
        *,
        dry_run: bool,
    ) -> Json:
        namespace = target.namespace if resource.namespaced else ""
        return self.store.edit(resource.key, target.name, namespace, change, dry_run=dry_run)

    def _apply(
        self, resource: Resource, target: Target, query: Query, body: bytes, *, dry_run: bool
    ) -> tuple[int, Json]:
        manager = query.text("fieldManager")
        if not manager:
            why = "Required value: is required for apply patch"
            causes = [statuses.cause("FieldValueRequired", why, "fieldManager")]
            raise statuses.invalid("PatchOptions", "meta.k8s.io", "", causes)
        config = _decode_yaml(body)
        _check_identity(resource, target, config)
        _check_types_of_object(resource, config)
        about = config.setdefault("metadata", {})
        if about.get("managedFields") is not None:
            raise statuses.bad_request("metadata.managedFields must be nil")
        about.setdefault("name", target.name)
        _check_name(target, config)
        if self.store.get(resource.key, target.name, target.namespace) is None:
            return self._apply_new(resource, target, config, manager, dry_run=dry_run)

        def change(live: Json) -> Json:
            time = timestamp(self.store.clock())
            merged = server_side_apply.apply(
                resource,
                _copy(live),
                {key: value for key, value in config.items() if key not in ("kind", "apiVersion")},
                manager,
                time,
                force=query.flag("force"),
                subresource=target.subresource,
            )
            owned = merged["metadata"].get("managedFields")
            _guard(resource, live, merged)
            _keep_other_part(resource, target, live, merged)
            if owned is not None:
                merged["metadata"]["managedFields"] = owned
            admit_update(self.store, resource, merged)
            validate_update(resource, live, merged)
            return with_generation(resource, live, merged, subresource=target.subresource)

        return 200, self._edit(resource, target, change, dry_run=dry_run)

    def _apply_new(
        self, resource: Resource, target: Target, config: Json, manager: str, *, dry_run: bool
    ) -> tuple[int, Json]:
        if target.subresource:
            raise statuses.not_found(resource.plural, resource.group, target.name)
        time = timestamp(self.store.clock())
        owned = managed_fields.created(resource, config, manager, "Apply", time)
        obj = _copy(config)
        if resource.namespaced:
            obj["metadata"]["namespace"] = target.namespace
        admit_new(self.store, resource, obj)
        obj["metadata"]["managedFields"] = owned
        prepared = self.store.prepare(resource.key, obj, target.namespace, manager=manager)
        validate_new(resource, prepared)
        if dry_run:
            return 201, prepared
        return 201, self.store.create(resource.key, prepared, target.namespace, manager=manager)

    def _delete(self, resource: Resource, live: Json, options: Json) -> Json:
        """Remove an object, or mark it when finalizers hold it; a namespace takes its contents along."""
        name, namespace = live["metadata"]["name"], live["metadata"].get("namespace", "")
        grace = options.get("gracePeriodSeconds")
        if grace is None:
            grace = live.get("spec", {}).get("terminationGracePeriodSeconds", 0)

        def mark(obj: Json) -> Json:
            obj["metadata"].setdefault("deletionTimestamp", timestamp(self.store.clock()))
            if resource.key == "pods":
                obj["metadata"].setdefault("deletionGracePeriodSeconds", grace)
            if resource.key == "namespaces":
                obj.setdefault("status", {})["phase"] = "Terminating"
            return obj

        if resource.key == "namespaces":
            for other in self.store.resources:
                if other.namespaced and not other.converted_from:
                    for one in self.store.list(other.key, name):
                        self.store.delete(other.key, one["metadata"]["name"], name)
        if not live["metadata"].get("finalizers") and resource.key not in ("pods", "namespaces"):
            return self.store.delete(resource.key, name, namespace)
        return self.store.edit(resource.key, name, namespace, mark)


def decode_body(body: bytes, content_type: str) -> Json:
    """The object in a request's body (none: empty); raises the 400 or 415 that says what is wrong."""
    if not body:
        return {}
    if content_type == protobuf.CONTENT_TYPE:
        return protobuf.decode(body)
    if content_type == "application/yaml":
        return _decode_yaml(body)
    if content_type not in ("", "application/json"):
        raise statuses.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: "
            f"application/json, application/yaml, {protobuf.CONTENT_TYPE}"
        )
    return patches.decode_object(body, "couldn't get version/kind; json parse error: ")


def _decode_yaml(body: bytes) -> Json:
    try:
        config: Any = yaml.safe_load(body)
    except yaml.YAMLError as error:
        raise statuses.bad_request(f"error decoding YAML: {error}") from error
    if not isinstance(config, dict):
        raise statuses.bad_request("error decoding YAML: the configuration is no object")
    return config


def _dry_run(query: Query, options: str) -> bool:
    value = query.values.get("dryRun")
    if value in (None, "", "All"):
        return value == "All"
    why = f'Unsupported value: ["{value}"]: supported values: "All"'
    causes = [statuses.cause("FieldValueNotSupported", why, "dryRun")]
    raise statuses.invalid(options, "meta.k8s.io", "", causes)


def _bad_option(options: str, field: str, why: str) -> statuses.ApiError:
    causes = [statuses.cause("FieldValueForbidden", f"Forbidden: {why}", field)]
    return statuses.invalid(options, "meta.k8s.io", "", causes)


def _check_identity(resource: Resource, target: Target, body: Json) -> None:
    """The body's kind and apiVersion must be those of the path."""
    kind, version = body.get("kind", ""), body.get("apiVersion", "")
    if not kind:
        raise statuses.bad_request("Object 'Kind' is missing in '" + msgspec.json.encode(body).decode() + "'")
    if version != resource.api_version:
        raise statuses.bad_request(
            f"the API version in the data ({version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if kind != resource.kind:
        raise statuses.bad_request(
            f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f'no kind "{resource.kind}" in the body of {target.path}'
        )


def _check_name(target: Target, body: Json) -> None:
    name = body.setdefault("metadata", {}).get("name", "")
    if name != target.name:
        raise statuses.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        )


def _check_namespace(resource: Resource, target: Target, body: Json) -> None:
    namespace = (body.get("metadata") or {}).get("namespace", "")
    if resource.namespaced and namespace and namespace != target.namespace:
        raise statuses.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _check_types_of_object(resource: Resource, obj: Json) -> None:
    try:
        check_types(resource, obj)
    except TypeMismatch as error:
        raise statuses.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {error}'
        ) from error


def _guard(resource: Resource, live: Json, edited: Json) -> None:
    """Optimistic locking, and what no update may touch; raises 409."""
    was, now = live["metadata"], edited["metadata"]
    name = was["name"]
    if now.get("resourceVersion") not in (None, "", was["resourceVersion"]):
        raise statuses.modified(resource.plural, resource.group, name)
    if now.get("uid") not in (None, "", was["uid"]):
        why = f"Precondition failed: UID in precondition: {now['uid']}, UID in object meta: {was['uid']}"
        raise statuses.precondition_failed(resource.plural, resource.group, name, why)
    for part in (
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "generation",
        "generateName",
        "namespace",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
    ):
        now.pop(part, None)
        if part in was:
            now[part] = was[part]


def _keep_other_part(resource: Resource, target: Target, live: Json, edited: Json) -> None:
    """A write of the object leaves its status alone, and a write of the status all but that."""
    if not resource.has_status:
        return
    kept = ["status"]
    if target.subresource == "status":
        kept = [key for key in {*live, *edited} if key not in ("status", "metadata", "kind", "apiVersion")]
    for key in kept:
        edited.pop(key, None)
        if key in live:
            edited[key] = _copy(live)[key]


def _check_preconditions(resource: Resource, live: Json, wanted: Json) -> None:
    metadata = live["metadata"]
    for key, said in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(key) and wanted[key] != metadata.get(key):
            why = (
                f"Precondition failed: {said} in precondition: {wanted[key]}, "
                f"{said} in object meta: {metadata.get(key)}"
            )
            name = metadata["name"]
            raise statuses.precondition_failed(resource.plural, resource.group, name, why)


def _copy(obj: Json) -> Json:
    copied: Json = msgspec.json.decode(msgspec.json.encode(obj))
    return copied
