"""What looks like a secret, and how it is made unreadable: the last net under logs and settings.

Code never hands a secret to a log or a sentence on purpose; this is for what slips through.
"""

from __future__ import annotations

import re

MASK = "••••"

#: Values that are secrets by their own shape.
_SHAPES = re.compile(
    r"tskey-[A-Za-z0-9]+-[A-Za-z0-9-]+"  # Tailscale auth keys, API tokens, OAuth secrets
    r"|K10[0-9a-fA-F]{16,}::[^\s'\"]+"  # K3s server and agent tokens
    r"|\b[a-z0-9]{6}\.[a-z0-9]{16}\b"  # bootstrap tokens
    r"|\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.?[A-Za-z0-9_-]*"  # JSON web tokens
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS access keys
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}"  # GitHub tokens
    r"|\bhv[sb]\.[A-Za-z0-9_-]{20,}"  # Vault tokens
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)",
    re.DOTALL,
)
#: ``scheme://user:password@host``: only the password goes.
_URL_PASSWORD = re.compile(r"(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)")
#: ``Authorization: Bearer xyz`` and the bare ``Bearer xyz``.
_SCHEME = re.compile(
    r"(?P<before>\b(?:bearer|basic|aws4-hmac-sha256)\s+)(?P<quote>['\"]?)[^\s'\"]{6,}", re.IGNORECASE
)
#: ``password=xyz``, ``"token": "xyz"``, ``X-Amz-Signature=xyz``.
_NAMED = re.compile(
    r"(?P<before>(?<![A-Za-z])(?:[A-Za-z]+[-_])*"
    r"(?:password|passwd|passphrase|secret|token|api[-_]?key|auth[-_]?key|access[-_]?key|private[-_]?key|signature|credential)"
    r"['\"]?\s*[=:]\s*['\"]?)(?!None\b|null\b|true\b|false\b)[^\s'\"&,;}]{3,}",
    re.IGNORECASE,
)
#: One long word of letters and digits: what a token looks like, and a path or host name does not.
_LONG_WORD = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_+=-]{24,}")


def mask(text: str) -> str:
    """The text with all that looks like a secret replaced by dots; other text stays as it is."""
    text = _SHAPES.sub(MASK, text)
    text = _URL_PASSWORD.sub(rf"\g<before>{MASK}", text)
    text = _SCHEME.sub(rf"\g<before>{MASK}", text)
    return _NAMED.sub(rf"\g<before>{MASK}", text)


def looks_secret(text: str) -> bool:
    """Whether the text is, or holds, something with the shape of a secret."""
    return bool(_SHAPES.search(text) or _URL_PASSWORD.search(text))


def looks_secret_for_a_path(text: str) -> bool:
    """Whether somebody wrote a token where the path of its file belongs."""
    return looks_secret(text) or bool(_LONG_WORD.fullmatch(text))
