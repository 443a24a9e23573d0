"""The Status objects with which the Kubernetes API says no, as exceptions."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """An answer other than success. ``body`` is the whole Status object; ``headers`` go out with it."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Json | None = None,
        *,
        metadata: Json | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.headers = headers or {}
        self.body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata or {},
            "status": "Failure",
            "message": message,
            "reason": reason,
        }
        if details is not None:
            self.body["details"] = details
        self.body["code"] = code


class PlainTextError(Exception):
    """An answer without a Status: what the API server's mux or a proxy before it says."""

    def __init__(self, code: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.headers = headers or {}


def details(name: str, group: str, kind: str, causes: list[Json] | None = None) -> Json:
    """The ``details`` of a Status; empty parts are left out, as the server does."""
    full: Json = {"name": name, "group": group, "kind": kind, "causes": causes or []}
    return {key: value for key, value in full.items() if value}


def qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(plural: str, group: str, name: str, why: str) -> ApiError:
    subject = qualified(plural, group) + (f' "{name}"' if name else "")
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details(name, group, plural))


def not_found(plural: str, group: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, details(name, group, plural))


def no_such_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def not_acceptable() -> ApiError:
    message = "only the following media types are accepted: application/json"
    return ApiError(406, "NotAcceptable", message)


def already_exists(plural: str, group: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details(name, group, plural))


def modified(plural: str, group: str, name: str) -> ApiError:
    message = (
        f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": '
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    return ApiError(409, "Conflict", message, details(name, group, plural))


def precondition_failed(plural: str, group: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details(name, group, plural))


def expired(message: str, metadata: Json | None = None) -> ApiError:
    return ApiError(410, "Expired", message, metadata=metadata)


def unsupported_media_type(message: str = "415: Unsupported Media Type") -> ApiError:
    return ApiError(415, "UnsupportedMediaType", message, {})


def rejected() -> ApiError:
    """What a JSON patch that cannot be applied answers: the reason stays in the server's log."""
    message = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", message, {})


def invalid(kind: str, group: str, name: str, causes: list[Json]) -> ApiError:
    """422 for a list of causes (``reason``, ``message``, ``field``); equal sentences are said once."""
    sentences = list(dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in causes))
    said = sentences[0] if len(sentences) == 1 else "[" + ", ".join(sentences) + "]"
    message = f'{qualified(kind, group)} "{name}" is invalid: {said}'
    return ApiError(422, "Invalid", message, details(name, group, kind, causes))


def cause(reason: str, message: str, field: str) -> Json:
    return {"reason": reason, "message": message, "field": field}


def too_many_requests(message: str, causes: list[Json] | None = None, retry_after: int = 0) -> ApiError:
    about: Json = {}
    if causes:
        about["causes"] = causes
    if retry_after:
        about["retryAfterSeconds"] = retry_after
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    return ApiError(429, "TooManyRequests", message, about, headers=headers)


def internal_error(why: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {why}", {"causes": [{"message": why}]})


def too_large_version(wanted: int, current: int) -> ApiError:
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})
