"""A load on a service: requests at times fixed beforehand, whether or not earlier ones are answered.

What an answer took counts from when its request was due, so that a service that stalls is not spared the requests that
others would have sent meanwhile (what is called coordinated omission).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

# Connections that are kept open; more would only wait on a machine of two cores.
_MOST_AT_ONCE = 64
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        method: Of HTTP.
        path: With its query.
        body: What is sent as JSON; None for nothing.
    """

    method: str
    path: str
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Loaded:
    """What became of a load.

    Attributes:
        milliseconds: Of each answer, from when its request was due.
        failures: Of each request that was not answered 200, what came instead.
        degraded: Answers that said so.
    """

    milliseconds: Sequence[float]
    failures: Sequence[str]
    degraded: int

    @property
    def median(self) -> float:
        return self._quantile(0.5)

    @property
    def p95(self) -> float:
        return self._quantile(0.95)

    def _quantile(self, at: float) -> float:
        return float(np.quantile(self.milliseconds, at)) if self.milliseconds else float("nan")


def load(address: str, key: str, ask: Callable[[int], Asked], *, per_second: float, seconds: float) -> Loaded:
    """Ask a service so often for so long.

    Args:
        address: Of the service, such as `http://127.0.0.1:8000`.
        key: Of the caller; empty where none is asked for.
        ask: Returns the request of a number.
        per_second: Requests.
        seconds: How long.
    """
    return asyncio.run(_load(address, key, [ask(at) for at in range(int(per_second * seconds))], per_second))


async def _load(address: str, key: str, requests: Sequence[Asked], per_second: float) -> Loaded:
    took, failures, degraded = list[float](), list[str](), 0
    limits = httpx.Limits(max_connections=_MOST_AT_ONCE, max_keepalive_connections=_MOST_AT_ONCE)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    # Whoever waits for a connection waits here: the client's own queue takes longer the longer it is.
    turn = asyncio.Semaphore(_MOST_AT_ONCE)
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=_TIMEOUT_SECONDS, limits=limits) as client:

        async def answer(one: Asked, due: float) -> None:
            nonlocal degraded
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            try:
                async with turn:
                    response = await client.request(one.method, one.path, json=one.body)
            except httpx.HTTPError as error:
                failures.append(type(error).__name__)
                return
            took.append(1_000.0 * (time.perf_counter() - due))
            if response.status_code != httpx.codes.OK:
                failures.append(f"{response.status_code}: {response.text[:200]}")
            degraded += b'"degraded":true' in response.content.replace(b": ", b":", 1_000)

        began = time.perf_counter()
        await asyncio.gather(*(answer(one, began + at / per_second) for at, one in enumerate(requests)))
    return Loaded(took, failures, degraded)
