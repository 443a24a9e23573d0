"""Who asks and what they may: identities, their rules, and the self-subject reviews."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from axiom_tui.simulator import managed_fields, statuses
from axiom_tui.simulator.resources import Resource
from axiom_tui.simulator.statuses import Json

_OPEN_PATHS = ("/api", "/apis", "/healthz", "/livez", "/openapi", "/readyz", "/version")


@dataclass(frozen=True)
class Rule:
    """What is allowed, as in a ClusterRole; ``*`` is everything. A subresource is ``nodes/status``."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...] = ()

    def allows(self, verb: str, group: str, resource: str, name: str) -> bool:
        return (
            _matches(verb, self.verbs)
            and _matches(group, self.groups)
            and _matches(resource, self.resources)
            and (not self.names or name in self.names)
        )


@dataclass(frozen=True)
class Identity:
    """A user of the API, known by a client certificate (CN and O) or by a bearer token."""

    name: str
    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    token: str = ""

    @property
    def all_groups(self) -> tuple[str, ...]:
        return (*self.groups, "system:authenticated")

    @property
    def is_master(self) -> bool:
        return "system:masters" in self.groups


EVERYTHING = Rule(("*",), ("*",), ("*",))
READ_ALL = Rule(("get", "list", "watch"), ("*",), ("*",))
# What every authenticated user may (system:basic-user, system:discovery).
REVIEWS = (
    Rule(
        ("create",),
        ("authorization.k8s.io",),
        ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
    ),
    Rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
)

ADMIN = Identity("admin", "system:admin", groups=("system:masters",), token="simulated-admin-token")
VIEWER = Identity(
    "viewer",
    "axiom-viewer",
    groups=("axiom-viewers",),
    rules=(READ_ALL,),
    token="simulated-viewer-token",
)
NOPERM = Identity("noperm", "axiom-noperm", token="simulated-noperm-token")
BAD_TOKEN = "simulated-token-that-nobody-knows"


@dataclass(frozen=True)
class Question:
    """One thing that somebody wants to do, as the authorizer sees it. ``path`` is for non-resource URLs."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass
class Access:
    """The identities of a cluster. `allow` changes the rules of one while the server runs."""

    identities: tuple[Identity, ...] = field(default=(ADMIN, VIEWER, NOPERM))

    def identity(self, name: str) -> Identity:
        return next(one for one in self.identities if one.name == name)

    def allow(self, name: str, *rules: Rule) -> None:
        """Give an identity exactly these rules."""
        self.identities = tuple(
            replace(one, rules=rules) if one.name == name else one for one in self.identities
        )

    def authenticate(self, authorization: str, user: str, groups: Sequence[str]) -> Identity:
        """Who asks, by the Authorization header or else the client certificate; raises 401.

        K3s turns anonymous requests off, so nobody at all is 401 too.
        """
        if authorization:
            scheme, _, token = authorization.partition(" ")
            for one in self.identities:
                known = one.token and hmac.compare_digest(one.token.encode(), token.strip().encode())
                if scheme.lower() == "bearer" and known:
                    return one
            raise statuses.unauthorized()
        if not user:
            raise statuses.unauthorized()
        for one in self.identities:
            if one.user == user:
                return one
        return Identity(user, user, groups=tuple(groups))

    def allows(self, who: Identity, question: Question) -> bool:
        if who.is_master:
            return True
        if question.path:
            inside = any(
                question.path == path or question.path.startswith(path + "/") for path in _OPEN_PATHS
            )
            return question.verb == "get" and inside
        return any(
            rule.allows(question.verb, question.group, question.full_resource, question.name)
            for rule in (*who.rules, *REVIEWS)
        )

    def check(self, who: Identity, question: Question) -> None:
        """Raise the 403 that names the missing right."""
        if not self.allows(who, question):
            raise self.refusal(who, question)

    def refusal(self, who: Identity, question: Question) -> statuses.ApiError:
        """The 403 that names the right."""
        if question.path:
            message = f'forbidden: User "{who.user}" cannot {question.verb} path "{question.path}"'
            return statuses.ApiError(403, "Forbidden", message, {})
        place = f'in the namespace "{question.namespace}"' if question.namespace else "at the cluster scope"
        why = (
            f'User "{who.user}" cannot {question.verb} resource "{question.full_resource}" '
            f'in API group "{question.group}" {place}'
        )
        return statuses.forbidden(question.resource, question.group, question.name, why)


def review(
    access: Access, who: Identity, resource: Resource, body: Json, manager: str, now: datetime
) -> Json:
    """Answer one of the self-subject reviews (they are created, and never stored)."""
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    answer: Json = {"kind": resource.kind, "apiVersion": resource.api_version}
    if resource.plural == "selfsubjectreviews":
        info: Json = {"username": who.user, "uid": who.uid, "groups": list(who.all_groups)}
        about = {key: value for key, value in info.items() if value}
        return {**answer, "metadata": {"creationTimestamp": time}, "status": {"userInfo": about}}
    spec = _without_empty(body.get("spec") or {})
    asked = {**answer, "metadata": {}, "spec": spec}
    owned = managed_fields.created(resource, asked, manager, "Update", time)
    metadata: Json = {"managedFields": owned} if owned else {}
    if resource.plural == "selfsubjectrulesreviews":
        return {**answer, "metadata": metadata, "spec": spec, "status": _rules(who)}
    allowed = access.allows(who, _question(resource, spec))
    return {**answer, "metadata": metadata, "spec": spec, "status": {"allowed": allowed}}


def _question(resource: Resource, spec: Json) -> Question:
    about: Json = spec.get("resourceAttributes") or {}
    url: Json = spec.get("nonResourceAttributes") or {}
    if bool(about) == bool(url):
        wrong = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes = [statuses.cause("FieldValueInvalid", f"Invalid value: {_go(spec)}: {wrong}", "spec")]
        raise statuses.invalid(resource.kind, resource.group, "", causes)
    if url:
        return Question(url.get("verb", ""), path=url.get("path", "/"))
    return Question(
        about.get("verb", ""),
        about.get("group", ""),
        about.get("resource", ""),
        about.get("subresource", ""),
        about.get("namespace", ""),
        about.get("name", ""),
    )


def _go(spec: Json) -> str:
    return "null" if not spec else str(spec)


def _rules(who: Identity) -> Json:
    resource_rules: list[Json] = []
    for rule in (*((EVERYTHING,) if who.is_master else who.rules), *REVIEWS):
        said: Json = {
            "verbs": list(rule.verbs),
            "apiGroups": list(rule.groups),
            "resources": list(rule.resources),
        }
        if rule.names:
            said["resourceNames"] = list(rule.names)
        resource_rules.append(said)
    paths = ["*"] if who.is_master else [part for path in _OPEN_PATHS for part in (path, f"{path}/*")]
    return {
        "resourceRules": resource_rules,
        "nonResourceRules": [{"verbs": ["*"] if who.is_master else ["get"], "nonResourceURLs": paths}],
        "incomplete": False,
    }


def _without_empty(value: Json) -> Json:
    """The typed object drops empty strings (``group: ""``) when the server writes it back."""
    return {
        key: _without_empty(below) if isinstance(below, dict) else below
        for key, below in value.items()
        if below not in ("", None)
    }


def _matches(wanted: str, allowed: tuple[str, ...]) -> bool:
    return "*" in allowed or wanted in allowed
