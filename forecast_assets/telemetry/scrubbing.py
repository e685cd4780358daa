"""Secrets and personal data, taken out of what is logged and traced.

What belongs here: what they look like, and what stands in their place. What does not: lines of a log, or spans.

It is the second wall: the first is that nothing logs a key, a body or an address in the first place.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

GONE: Final = "[gone]"
# Deeper than any record of ours; what is below is not looked into, and not kept.
_DEEPEST: Final = 8
# Names whose values are never kept, wherever they stand: in a dictionary, a header, a query or an assignment.
_CONFIDENTIAL: Final = (
    r"[\w.-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|"
    r"cookie|session[_-]?id|signature|dsn)"
)
_PERSONAL: Final = (
    r"caller(?:_?name)?|planner|approved_by|decided_by|by|author|user(?:_?name)?|e?mail(?:_?address)?|phone"
)
_IS_NAME: Final = re.compile(rf"{_CONFIDENTIAL}|(?:proxy-)?authorization|{_PERSONAL}", re.IGNORECASE)
# Between quotation marks, or up to what parts values.
_VALUE: Final = r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s'\",;&)}\]]+)"
_KEPT: Final = rf"\g<kept>{GONE}"
_RULES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), put)
    for pattern, put in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", GONE),
        # scheme://user:password@host, with whatever is in the password up to the last `@` of the address
        (r"(?P<kept>\b[a-z][a-z0-9+.-]*://)[^\s?#'\"<>]*@(?=[\w.\[-])", rf"{_KEPT}@"),
        (r"(?P<kept>\bauthorization['\"]?\s*[:=,]\s*b?['\"]?)(?:[a-z][\w-]*\s+)?[^\s'\",;)]+", _KEPT),
        (r"(?P<kept>\bbearer\s+)[\w.~+/=-]{6,}", _KEPT),
        (r"(?P<kept>\b(?:basic|digest)\s+)(?=\S*[0-9=])[\w.~+/=-]{6,}", _KEPT),
        (
            rf"(?P<kept>(?<![\w.-]){_CONFIDENTIAL}['\"]?\s*[:=]\s*b?){_VALUE}",
            _KEPT,
        ),
        # Keys of this service, of the usual clouds and services, and JSON web tokens.
        (
            r"\bfak_\w{4,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_\w{20,}|\bsk-[\w-]{16,}|\bxox[abprs]-[\w-]{10,}",
            GONE,
        ),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", GONE),
        (r"[a-z0-9._%+'-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b", GONE),
    )
)
# A text without any of these has nothing that a rule is about; most lines have none.
_MAY_HAVE: Final = re.compile(
    r"@|auth|bearer|basic|digest|private key|eyJ|fak_|AKIA|ASIA|gh[pousr]_|sk-|xox|"
    r"(?:pass|pwd|secret|token|key|credential|cookie|session|signature|dsn)[\w-]*['\"]?\s*[:=]",
    re.IGNORECASE,
)


def scrubbed_text(text: str) -> str:
    """Return a text without secrets and addresses of people.

    Example:
        >>> scrubbed_text("postgresql://ana:s3cret@db:5432/x fails for ana@shop.example")
        'postgresql://[gone]@db:5432/x fails for [gone]'
    """
    if not _MAY_HAVE.search(text):
        return text
    for pattern, put in _RULES:
        text = pattern.sub(put, text)
    return text


def scrubbed(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON has it, without secrets and personal data, however deep they are.

    Example:
        >>> scrubbed({"run": 7, "login": {"password": "hunter2"}})
        {'run': 7, 'login': {'password': '[gone]'}}
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth > _DEEPEST:
        return GONE
    if isinstance(value, Mapping):
        return {
            scrubbed_text(str(name)): GONE if _IS_NAME.fullmatch(str(name)) else scrubbed(each, depth + 1)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [scrubbed(each, depth + 1) for each in value]
    if isinstance(value, bytes):
        return scrubbed_text(value.decode(errors="replace"))
    return scrubbed_text(value if isinstance(value, str) else str(value))
