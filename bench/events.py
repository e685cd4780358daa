"""What recording prediction events costs an answer: `POST /v1/predict` with and without, on the same prepared run.

Asks an application in this process, in blocks with and without events in turn, so that what else the machine does falls
on both. Prints median and p95 of each and how much they differ, and what the parts cost by themselves. Exits with 1 if
p95 with events is more than a tenth above that without.

    python -m bench.events --home DIR --model-version stat-1 [--blocks 20] [--requests 25] [--at-once 1]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from httpx import ASGITransport, AsyncClient

from forecast_assets.operations.prediction_events import event_home
from forecast_assets.presentation.text import table
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.events import RequestContext, event_document
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.predicting import Predicted, Predictor, PredictQuestion
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.questions import StoredQuestion, VersionAsked
from forecast_assets.settings import Settings
from resources.events.record import written
from resources.operational.api_keys import ApiKeys
from resources.stores.home import open_stores

AIM, LIMIT = 0.03, 0.10
WITHOUT, WITH = "without events", "with events"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="home folder with a published run")
    parser.add_argument("--model-version", required=True, help="whose newest daily run is asked")
    parser.add_argument("--blocks", type=int, default=20, help="of each kind")
    parser.add_argument("--requests", type=int, default=25, help="of a block")
    parser.add_argument("--at-once", type=int, default=1, help="callers")
    parser.add_argument("--series", type=int, default=1, help="of a request")
    return measure(parser.parse_args())


def measure(chosen: argparse.Namespace) -> int:
    stores = open_stores(Settings(home=chosen.home).store, None)
    asked = VersionAsked(chosen.model_version)
    with tempfile.TemporaryDirectory(dir=chosen.home) as folder:
        settings = Settings(home=Path(folder))
        key = ApiKeys(settings.operational_path).create(
            "bench", "operator", now=datetime.now(UTC), valid_for=timedelta(days=1)
        )[1]
        # Both answer from the same run, and by the model however busy the machine is.
        predictor = Predictor(stores, PreparedRuns(stores), deadline_seconds=60.0)
        predictor.prepare(asked)
        plain = DataPlane(stores)
        plain.predictor = predictor
        rows = plain.stored(StoredQuestion("forecasts", asked, first_step=1, last_step=1)).rows
        series = [
            {"store_id": store, "sku_id": sku, "price_ratios": {str(day): 0.8}}
            for store, sku, day in rows.select("store_id", "sku_id", "target_date").rows()
        ]
        took: dict[str, list[float]] = {WITHOUT: [], WITH: []}
        processor: dict[str, list[float]] = {WITHOUT: [], WITH: []}
        recorded = 0
        for block in range(2 * chosen.blocks):
            kind = (WITHOUT, WITH)[(block + block // 2) % 2]
            plane = DataPlane(stores, events=event_home(settings) if kind == WITH else None)
            plane.predictor = predictor
            if plane.events:
                plane.events.buffer.start()
            many = Callers(
                ApiKeys(settings.operational_path), lambda: datetime.now(UTC), per_minute={"operator": 10**6}
            )
            used = time.process_time()
            found, kept = asyncio.run(block_of(ASGITransport(create_app(plane, many)), key, series, chosen))
            took[kind] += found
            recorded += kept
            plane.close()
            processor[kind].append(1_000.0 * (time.process_time() - used) / len(found))
        head = ["", "requests", "median ms", "p95 ms", "of the processor"]
        print(table(head, [[kind, str(len(took[kind])), *figures(took[kind], processor[kind])] for kind in took]))
        ratio = {at: quantile(took[WITH], at) / quantile(took[WITHOUT], at) - 1 for at in (0.5, 0.95)}
        of_processor = quantile(processor[WITH], 0.5) / quantile(processor[WITHOUT], 0.5) - 1
        print(
            f"recorded {recorded} of {len(took[WITH])}; median {ratio[0.5]:+.1%}, p95 {ratio[0.95]:+.1%}, of the "
            f"processor {of_processor:+.1%} (aim of p95 {AIM:+.0%}, at most {LIMIT:+.0%})"
        )
        print_parts(plain, asked, series[: chosen.series])
    return int(ratio[0.95] > LIMIT or recorded < len(took[WITH]))


async def block_of(
    transport: ASGITransport, key: str, series: Sequence[dict[str, object]], chosen: argparse.Namespace
) -> tuple[list[float], int]:
    """Ask so many times; return what each took in milliseconds, and how many were recorded."""
    headers, took, recorded = {"Authorization": f"Bearer {key}"}, list[float](), 0
    random = np.random.default_rng(1)

    async with AsyncClient(transport=transport, base_url="http://bench", timeout=60) as client:

        async def ask(times: int) -> None:
            nonlocal recorded
            for _ in range(times):
                first = int(random.integers(0, max(len(series) - chosen.series, 0) + 1))
                body = {"use": "what_if", "model_version": chosen.model_version,
                        "series": series[first : first + chosen.series]}  # fmt: skip
                began = time.perf_counter()
                answer = await client.post("/v1/predict", json=body, headers=headers)
                took.append(1_000.0 * (time.perf_counter() - began))
                answer.raise_for_status()
                recorded += answer.json()["event"]["status"] == "recorded"

        await ask(2)
        took.clear()
        recorded = 0
        await asyncio.gather(*(ask(chosen.requests // chosen.at_once) for _ in range(chosen.at_once)))
    return took, recorded


def print_parts(plane: DataPlane, asked: VersionAsked, series: Sequence[dict[str, object]]) -> None:
    """Say what making an event costs by itself, and how large it is."""
    from forecast_assets.serving.messages.queries import PredictBody

    body = {"use": "what_if", "model_version": asked.model_version, "series": list(series)}
    said = PredictBody.model_validate(body)
    question: PredictQuestion = said.question()
    context = RequestContext("k", "bench", "operator", "r", is_id_given=False, trace="", body=body)
    predicted: Predicted = plane.predictor.predict(question, datetime.now(UTC))
    took = []
    for _ in range(50):
        began = time.perf_counter()
        content = written(event_document("x", predicted, context, datetime.now(UTC), 1.0))
        took.append(1_000.0 * (time.perf_counter() - began))
    print(f"an event of {len(series)} series: {len(content) / 1_000:.1f} kB, made in {quantile(took, 0.5):.2f} ms")


def figures(took: Sequence[float], processor: Sequence[float]) -> list[str]:
    """Median and p95, and what the processor did for a request in the median block, which others move less."""
    return [f"{figure:.1f}" for figure in (quantile(took, 0.5), quantile(took, 0.95), quantile(processor, 0.5))]


def quantile(took: Sequence[float], at: float) -> float:
    return float(np.quantile(took, at))


if __name__ == "__main__":
    sys.exit(main())
