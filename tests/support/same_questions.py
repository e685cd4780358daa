"""Questions that every door is asked, and whether two answers are the same.

A question is made from what a home has published, seeded, and one in three is wrong in some way.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict

from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.serving.dataplane.questions import STORED, Page
from forecast_assets.serving.rpc import forecast_assets_pb2 as pb

METHODS = {
    "forecasts": ("Forecasts", pb.StoredRequest),
    "risks": ("Risks", pb.StoredRequest),
    "explanations": ("Explanations", pb.StoredRequest),
    "explain": ("Explain", pb.ExplainRequest),
    "history": ("History", pb.HistoryRequest),
    "predict": ("Predict", pb.PredictRequest),
    "compare": ("Compare", pb.CompareRequest),
    "versions": ("Versions", pb.VersionsRequest),
}
# What an error is to each protocol.
STATUSES = {
    401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "FAILED_PRECONDITION",
    422: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What a home has, to ask about.

    Attributes:
        runs: Published runs.
        series: Store and SKU of each series.
    """

    runs: Sequence[RunKey]
    series: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Question:
    """A question, as JSON would have it.

    Attributes:
        kind: One of `METHODS`.
        arguments: By name.
    """

    kind: str
    arguments: Mapping[str, Any]


def questions(known: Known, count: int, seed: int, kinds: Sequence[str]) -> Iterator[Question]:
    """Yield so many questions of some kinds."""
    chance = random.Random(seed)
    for _ in range(count):
        kind = chance.choice(kinds)
        yield Question(kind, MAKERS[kind](known, chance, kind))


def _run(known: Known, chance: random.Random) -> dict[str, Any]:
    run = chance.choice(known.runs)
    named: dict[str, Any] = {"model_version": run.model_version}
    if chance.random() < 0.3:
        named = {"channel": chance.choice(["champion", "champion", "challenger"])}
    elif chance.random() < 0.5:
        named |= {"prediction_date": str(run.prediction_date), "revision": run.revision}
    if chance.random() < 0.2:
        named["horizon"] = run.forecast_horizon
    if chance.random() < 0.15:
        named |= chance.choice(
            [
                {"model_version": "stat-9"}, {"channel": "nobody's"}, {"prediction_date": "2020-01-01"},
                {"prediction_date": "2025-13-45"}, {"prediction_date": "yesterday"}, {"horizon": 5}, {"horizon": 0},
                {"revision": 7}, {"revision": -1}, {"cadence": "weekly"}, {"cadence": "hourly"}, {"model_version": ""},
                {"channel": "x" * 300}, {"channel": "champion", "model_version": "stat-1"},
            ]
        )  # fmt: skip
    if chance.random() < 0.03:
        named = {}
    return named


def _stored(known: Known, chance: random.Random, kind: str) -> dict[str, Any]:
    asked = _run(known, chance)
    columns = list(STORED[kind].schema)
    series = chance.sample(known.series, min(len(known.series), chance.randint(1, 3)))
    some: list[dict[str, Any]] = [
        {"store_id": sorted({store for store, _ in series})}, {"sku_id": [sku for _, sku in series]},
        {"columns": chance.sample(columns, chance.randint(1, 4))}, {"limit": chance.choice([1, 3, 10, 200])},
        {"first_step": chance.randint(1, 3)}, {"last_step": chance.randint(1, 7)},
        {"page": str(Page((str(chance.choice(known.runs)),), chance.randint(0, 8)))},
    ]  # fmt: skip
    for more in chance.sample(some, chance.randint(0, 4)):
        asked |= more
    if chance.random() < 0.15:
        asked |= chance.choice(
            [
                {"limit": 0}, {"limit": 60_000}, {"first_step": 0}, {"first_step": 91}, {"page": "nonsense"},
                {"first_step": 5, "last_step": 2}, {"columns": ["color", "forecast_units"]}, {"page": "é"},
                {"store_id": ["nowhere"]}, {"sku_id": [""]}, {"sku_id": ["ä/ö%"]},
                {"page": str(Page(("daily/2020-01-01/stat-1/7/r0",), 0))},
            ]
        )  # fmt: skip
    return asked


def _explain(known: Known, chance: random.Random, _: str) -> dict[str, Any]:
    store, sku = chance.choice(known.series)
    run = chance.choice(known.runs)
    row = str(PredictionId(run, sku, store, chance.choice([1, 2, 5, run.forecast_horizon])))
    wrong = ["nonsense", row.replace("/r", "/r9"), f"{row}9", row.replace(sku, "none"), row.replace("stat-", "other-")]
    return {"prediction_id": row if chance.random() < 0.7 else chance.choice(wrong)}


def _history(known: Known, chance: random.Random, _: str) -> dict[str, Any]:
    store, sku = chance.choice(known.series)
    day = chance.choice(known.runs).prediction_date + timedelta(days=chance.randint(1, 5))
    asked: dict[str, Any] = {"store_id": store, "sku_id": sku, "target_date": str(day)}
    if chance.random() < 0.3:
        asked["model_version"] = [chance.choice(known.runs).model_version]
    if chance.random() < 0.25:
        asked |= chance.choice(
            [
                {"target_date": "2030-01-01"}, {"target_date": "soon"}, {"store_id": "nowhere"}, {"cadence": "weekly"},
                {"model_version": ["stat-9"]}, {"model_version": [""]}, {"cadence": "hourly"},
            ]
        )  # fmt: skip
    return asked


def _predict(known: Known, chance: random.Random, _: str) -> dict[str, Any]:
    asked = {"use": chance.choice(["what_if", "what_if", "stockout_check", "resale"]), **_run(known, chance)}
    chosen = chance.sample(known.series, min(len(known.series), chance.randint(1, 2)))
    asked["series"] = [_changed(store, sku, known.runs[-1].prediction_date, chance) for store, sku in chosen]
    if chance.random() < 0.15:
        asked["series"] = chance.choice(
            [
                [{"store_id": "nowhere", "sku_id": "none"}], asked["series"] * 2, [{"store_id": "S"}],
                [{**asked["series"][0], "on_hand_units": -1.0}], [{**asked["series"][0], "sales": {"x": 1.0}}],
                [{**asked["series"][0], "orders": [{"arrives": "soon", "units": 2.0}]}],
            ]
        )  # fmt: skip
    return asked


def _changed(store: str, sku: str, cutoff: date, chance: random.Random) -> dict[str, Any]:
    ahead = str(cutoff + timedelta(days=chance.randint(1, 5)))
    some: list[dict[str, Any]] = [
        {"on_hand_units": 0.1 * chance.randint(0, 400)}, {"price_ratios": {ahead: 0.85}},
        {"promotions": {ahead: chance.random() < 0.5}}, {"sales": {str(cutoff): 3.7}},
        {"orders": [{"arrives": ahead, "units": 24.25}]}, {"events": {ahead: ["Carnival of nobody"]}},
    ]  # fmt: skip
    changed: dict[str, Any] = {"store_id": store, "sku_id": sku}
    for more in chance.sample(some, chance.randint(0, 2)):
        changed |= more
    return changed


def _compare(known: Known, chance: random.Random, _: str) -> dict[str, Any]:
    store, sku = chance.choice(known.series)
    runs = chance.sample(known.runs, 2) if chance.random() < 0.8 else [chance.choice(known.runs)] * 2
    day = max(run.prediction_date for run in runs) + timedelta(days=chance.randint(1, 3))
    asked: dict[str, Any] = {
        name: {"prediction_id": str(PredictionId(run, sku, store, (day - run.prediction_date).days))}
        for name, run in zip(("first", "second"), runs, strict=True)
    }
    if chance.random() < 0.2:
        changed = _changed(store, sku, runs[1].prediction_date, chance)
        asked["second"]["inputs"] = {name: of for name, of in changed.items() if name not in {"store_id", "sku_id"}}
    if chance.random() < 0.2:
        wrong: list[dict[str, Any]] = [
            {"first": {"prediction_id": "nonsense"}}, {"first": {"prediction_id": f"{runs[0]}/{sku}/{store}/900"}},
            {"second": {**asked["second"], "inputs": {"on_hand_units": -1.0}}},
            {"second": {**asked["second"], "inputs": {"sales": {"yesterday": 1.0}}}},
        ]  # fmt: skip
        asked |= chance.choice(wrong)
    return asked


MAKERS: dict[str, Any] = {
    **dict.fromkeys(STORED, _stored),
    "explain": _explain,
    "history": _history,
    "predict": _predict,
    "compare": _compare,
    "versions": lambda _known, _chance, _kind: {},
}


def message_of(question: Question) -> Any:
    """Return a question as gRPC has it: numbers of a change as text, and lists in maps as messages."""
    said = dict(question.arguments)
    if question.kind == "predict":
        said["series"] = [_inputs_message(each) for each in said["series"]]
    if question.kind == "compare":
        said = {
            name: {**each, "inputs": _inputs_message(each["inputs"])} if "inputs" in each else each
            for name, each in said.items()
        }
    return METHODS[question.kind][1](**said)


def _inputs_message(said: Mapping[str, Any]) -> dict[str, Any]:
    made = {name: str(value) if isinstance(value, float) else value for name, value in said.items()}
    for name in ("price_ratios", "sales"):
        if name in made:
            made[name] = {day: repr(value) for day, value in said[name].items()}
    if "orders" in made:
        made["orders"] = [{**order, "units": repr(order["units"])} for order in said["orders"]]
    if "events" in made:
        made["events"] = {day: pb.EventNames(names=names) for day, names in said["events"].items()}
    return made


def plain_reply(reply: Any) -> dict[str, Any]:
    """Return an answer of gRPC as a dictionary, with channels by name."""
    told: dict[str, Any] = MessageToDict(
        reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    if "channels" in told:
        told["channels"] = {each["name"]: each.get("model_version") for each in told["channels"]}
    return told


def differences(http: Any, rpc: Any, where: str = "") -> list[str]:
    """Return where two answers are not the same: null is what is not there, a decimal text its number."""
    if isinstance(http, dict) and isinstance(rpc, dict):
        names = {name for told in (http, rpc) for name, value in told.items() if value is not None}
        return [one for name in sorted(names) for one in differences(http.get(name), rpc.get(name), f"{where}.{name}")]
    if isinstance(http, list) and isinstance(rpc, list) and len(http) == len(rpc):
        return [
            one for i, (a, b) in enumerate(zip(http, rpc, strict=True)) for one in differences(a, b, f"{where}.{i}")
        ]
    if isinstance(http, int | float) and not isinstance(http, bool) and isinstance(rpc, str):
        return [] if float(rpc) == http else [f"{where}: {http} is not {rpc}"]
    return [] if http == rpc and type(http) is type(rpc) else [f"{where}: {http!r} is not {rpc!r}"]


def plain_problem(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every protocol says of a problem: not in which part of a request of HTTP, or document, it is."""
    told = {name: document[name] for name in ("code", "detail", "remedy", "facts", "actions")}
    if told["code"] == "malformed-request":
        told["remedy"] = told["remedy"].partition(";")[0]
        told["detail"] = re.sub(r"(^|; )(query|body)\.", r"\1", told["detail"])
        errors = [{**each, "where": re.sub(r"^(query|body)\.", "", each["where"])} for each in told["facts"]["errors"]]
        told["facts"] = {"errors": errors}
    return told
