"""Requests that are broken in every way that a caller's code may break them, seeded.

Broken JSON, types, encodings, deep nesting, huge numbers, NaN, odd text, junk in headers and in paths. What comes
out may by chance be a good request; nobody is promised otherwise.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

GOOD: dict[str, Any] = {
    "/v1/predict": {
        "use": "what_if", "model_version": "stat-1",
        "series": [{"store_id": "S", "sku_id": "A", "on_hand_units": 3, "price_ratios": {"2025-01-04": 0.8}}],
    },
    "/v1/compare": {
        "first": {"prediction_id": "daily/2025-01-02/stat-1/7/r0/A/S/2"},
        "second": {"prediction_id": "daily/2025-01-03/stat-1/7/r0/A/S/1"},
    },
    "/v1/feedback": [{"prediction_id": "daily/2025-01-03/stat-1/7/r0/A/S/1", "kind": "label", "label": "useful"}],
}  # fmt: skip
READS = (
    "/v1/forecasts", "/v1/risks", "/v1/explanations", "/v1/history", "/v1/events", "/v1/versions", "/v1/explain/x",
    "/health/ready", "/openapi.json",
)  # fmt: skip
NAMES = (
    "model_version", "channel", "cadence", "prediction_date", "horizon", "revision", "store_id", "sku_id", "first_step",
    "last_step", "columns", "limit", "page", "format", "target_date", "since", "until", "key_id", "surprise", "",
)  # fmt: skip
TEXTS = (
    "", " ", "\x00", "\x7f\x01", "é", "\ud7ff\uffff", "🛒" * 50, "\u202eevil", "a" * 5_000, "../../etc/passwd", "%",
    "%zz",
    "'; DROP TABLE prediction_events; --", "{{7*7}}", "<script>", "NaN", "Infinity", "-0", "1e999", "9" * 400, "null",
    "0x10", "١٢٣", "2025-13-45", "0000-00-00", "9999-12-31", "2025-01-02T25:00:00Z", "\\u0000", "WyJ4Il0", "W10",
    "true",
    "daily/2025-01-03/stat-1/7/r0/A/S/999999999999999999999", "daily/0000-00-00/x/1/r0/a/b/1", "/" * 200,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1 << 31, 1 << 63, 10**400, -(10**400), 0.1, 1e308, -1e308, 5e-324, float("nan"),
    float("inf"), float("-inf"), [], {}, [[]], {"": {}}, [None] * 600, *TEXTS,
)  # fmt: skip
# None of them, or none that a double holds, is a number in JSON.
NUMBERS = ("1e99999", "-", "0" * 30 + "1", "9" * 9_000, "NaN", "1_0", "+1", ".5", "0x1", "\u0661")
HEADERS = (
    ("X-Request-Id", "a" * 10_000), ("X-Request-Id", "a b"), ("X-Request-Id", "é"), ("traceparent", "00-" + "f" * 90),
    ("Authorization", "Bearer"), ("Authorization", "Bearer  "), ("Authorization", "Basic !!!"), ("Authorization", "é"),
    ("Authorization", "Digest username=x"), ("Content-Type", "application/json; charset=utf-7"),
    ("Content-Type", "text/plain"), ("Content-Type", "multipart/form-data"), ("Content-Type", "é"),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("Content-Type", "application/x-ndjson"), ("Content-Encoding", "gzip"), ("Content-Length", "-5"),
    ("Content-Length", "99999999999999"), ("Content-Length", "zwölf"), ("Transfer-Encoding", "nothing"),
    ("Accept", "image/png"), ("Expect", "200-maybe"), ("X-Forwarded-For", "'; --"), ("Cookie", "a" * 4_000),
    ("Range", "x"),
    ("Host", "evil.example"), ("X-HTTP-Method-Override", "DELETE"), ("If-None-Match", "*"),
)  # fmt: skip


@dataclass(frozen=True)
class BrokenRequest:
    """A request.

    Attributes:
        method: Of HTTP.
        target: Path and query, as bytes go over the wire.
        body: As it is sent.
        headers: Besides the caller's key, or instead of it.
    """

    method: str
    target: str
    body: bytes = b""
    headers: tuple[tuple[str, bytes], ...] = field(default=())


def broken_requests(count: int, seed: int) -> Iterator[BrokenRequest]:
    """Yield so many requests."""
    chance = random.Random(seed)
    for _ in range(count):
        request = chance.choice((_posted, _posted, _posted, _read, _read, _path))(chance)
        junk: list[tuple[str, bytes]] = []
        if chance.random() < 0.25:
            junk = [(name, value.encode()) for name, value in chance.sample(HEADERS, chance.randint(1, 3))]
        yield BrokenRequest(request.method, request.target, request.body, (*request.headers, *junk))


def _posted(chance: random.Random) -> BrokenRequest:
    path = chance.choice(list(GOOD))
    breaking: Callable[[Any, random.Random], bytes] = chance.choice(BREAKING)
    kind = ("Content-Type", b"application/json")
    return BrokenRequest("POST", path, breaking(json.loads(json.dumps(GOOD[path])), chance), (kind,))


def _read(chance: random.Random) -> BrokenRequest:
    asked = {
        chance.choice(NAMES): chance.choice([*TEXTS, "stat-1", "champion", "2025-01-04", "S"])
        for _ in range(chance.randint(0, 5))
    }
    query = urlencode(asked)
    if chance.random() < 0.2:
        query = "&".join(f"{name}={quote(value, safe='=&')}" for name, value in asked.items())
    method = chance.choice(("GET", "GET", "GET", "HEAD", "DELETE", "PUT"))
    return BrokenRequest(method, f"{chance.choice(READS)}?{query}")


def _path(chance: random.Random) -> BrokenRequest:
    parts = [quote(chance.choice([*TEXTS, "v1", "explain", "predict", "..", "support"]), safe="/") for _ in range(4)]
    begin = chance.choice(("/", "/v1/", "/v1/explain/", "/v1/explain/daily/2025-01-03/stat-1/7/r0/", "//"))
    method = chance.choice(("GET", "POST", "PATCH", "OPTIONS"))
    return BrokenRequest(method, begin + "/".join(parts[: chance.randint(1, 4)]))


# --- bodies ---


def _cut(good: Any, chance: random.Random) -> bytes:
    text = json.dumps(good).encode()
    return text[: chance.randint(0, len(text) - 1)]


def _flipped(good: Any, chance: random.Random) -> bytes:
    text = bytearray(json.dumps(good).encode())
    for _ in range(chance.randint(1, 4)):
        text[chance.randrange(len(text))] = chance.randrange(256)
    return bytes(text)


def _encoded(good: Any, chance: random.Random) -> bytes:
    text = json.dumps({"use": "ä€🛒", "of": good}, ensure_ascii=False)
    encoding = chance.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "cp500"))
    return text.encode(encoding, errors="replace")


def _nested(_: Any, chance: random.Random) -> bytes:
    depth = chance.choice((50, 1_000, 20_000, 100_000))
    opening, closing = chance.choice(((b"[", b"]"), (b'{"series":', b"}"), (b'{"a":[', b"]}")))
    return opening * depth + (closing * depth if chance.random() < 0.5 else b"")


def _replaced(good: Any, chance: random.Random) -> bytes:
    return json.dumps(_with(good, chance, chance.choice(VALUES))).encode()


def _with(good: Any, chance: random.Random, value: Any) -> Any:
    """Put a value in some place of a document, or a field that nobody knows beside it."""
    if isinstance(good, dict) and good and chance.random() < 0.85:
        name = chance.choice(list(good))
        if chance.random() < 0.15:
            return {**good, chance.choice(TEXTS)[:50]: value}
        return {**good, name: _with(good[name], chance, value)}
    if isinstance(good, list) and good and chance.random() < 0.85:
        return [_with(good[0], chance, value), *good[1:]] * chance.choice((1, 1, 1, 2, 700))
    return value


def _noise(_: Any, chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 10, 1_000, 50_000)))


def _numbers(good: Any, chance: random.Random) -> bytes:
    text = json.dumps(good)
    for digit in ("3", "0.8"):
        text = text.replace(f" {digit}", f" {chance.choice(NUMBERS)}", 1)
    return text.encode()


def _doubled(good: Any, chance: random.Random) -> bytes:
    text = json.dumps(good)
    return (text + chance.choice(("", ",", "\n", "\x00", "]")) + text).encode()


def _surrogates(good: Any, _: random.Random) -> bytes:
    return json.dumps(good).replace('"S"', r'"\ud800"').replace('"what_if"', r'"\udfff"').encode()


BREAKING: tuple[Callable[[Any, random.Random], bytes], ...] = (
    _cut, _flipped, _encoded, _nested, _replaced, _replaced, _replaced, _replaced, _noise, _numbers, _doubled,
    _surrogates,
)  # fmt: skip
