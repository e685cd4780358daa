"""The .proto: what is generated is of it, and its rows are those of the contracts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from google.protobuf.descriptor import FieldDescriptor

from forecast_assets.contracts import FORECAST_EXPLANATIONS, FORECASTS, STOCKOUT_RISKS
from forecast_assets.serving.messages.queries import (
    CompareBody,
    HistoryQuery,
    InputsSaid,
    PredictBody,
    PredictionSaid,
    SeriesSaid,
    StoredQuery,
)
from forecast_assets.serving.rpc import forecast_assets_pb2 as pb
from forecast_assets.serving.rpc.door import ForecastAssetsDoor

SOURCE = Path(pb.__file__).with_name("forecast_assets.proto")
TYPES = {
    FieldDescriptor.TYPE_STRING: "string", FieldDescriptor.TYPE_INT32: "int32", FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_BOOL: "bool", FieldDescriptor.TYPE_DOUBLE: "double",
}  # fmt: skip
_MESSAGE = re.compile(r"^message (\w+) \{(.*?)\}$", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (?:(optional|repeated) )?(map<\w+, \w+>|[\w.]+) (\w+) = (\d+);$", re.MULTILINE)
_METHOD = re.compile(r"^  rpc (\w+)\((\w+)\) returns \((\w+)\);$", re.MULTILINE)


def written() -> dict[str, list[tuple[str, ...]]]:
    """Return the fields of each message as the .proto has them: label, type, name, number."""
    return {name: _FIELD.findall(body) for name, body in _MESSAGE.findall(SOURCE.read_text())}


def generated() -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    for name, message in pb.DESCRIPTOR.message_types_by_name.items():
        yield name, [(label(each), type_of(each), each.name, str(each.number)) for each in message.fields]


def label(each: Any) -> str:
    if is_map(each):
        return ""
    if each.is_repeated:
        return "repeated"
    return "optional" if each.has_presence and each.message_type is None else ""


def is_map(each: Any) -> bool:
    return each.message_type is not None and each.message_type.GetOptions().map_entry


def type_of(each: Any) -> str:
    if is_map(each):
        key, value = (type_of(each.message_type.fields_by_name[name]) for name in ("key", "value"))
        return f"map<{key}, {value}>"
    if each.message_type is not None:
        ours = each.message_type.file.package == pb.DESCRIPTOR.package
        return str(each.message_type.name if ours else each.message_type.full_name)
    return TYPES[each.type]


def test_what_is_generated_is_of_the_proto() -> None:
    found = written()
    assert sum(map(len, found.values())) > 150
    assert dict(generated()) == found
    service = pb.DESCRIPTOR.services_by_name["ForecastAssets"]
    methods = [(each.name, each.input_type.name, each.output_type.name) for each in service.methods]
    assert methods == _METHOD.findall(SOURCE.read_text())


def test_it_says_what_each_method_is_and_the_door_has_each() -> None:
    lines = SOURCE.read_text().splitlines()
    assert all(lines[at - 1].startswith("  // ") for at, line in enumerate(lines) if line.startswith("  rpc "))
    assert all(hasattr(ForecastAssetsDoor, name) for name, *_ in _METHOD.findall(SOURCE.read_text()))


@pytest.mark.parametrize(
    ("name", "contract"),
    [("ForecastRow", FORECASTS), ("RiskRow", STOCKOUT_RISKS), ("ExplanationRow", FORECAST_EXPLANATIONS)],
)
def test_rows_have_the_columns_of_their_contract(name: str, contract: Any) -> None:
    fields = {each[2]: each[1] for each in written()[name]}
    assert fields.pop("prediction_id") == "string"
    assert fields == {column: _type_in_proto(kind) for column, kind in contract.schema.items()}


def _type_in_proto(kind: Any) -> str:
    if isinstance(kind, pl.Decimal):
        return "string"
    return {pl.String: "string", pl.Date: "string", pl.Int32: "int32", pl.Boolean: "bool", pl.Float64: "double"}[kind]


@pytest.mark.parametrize(
    ("message", "model"),
    [
        (pb.StoredRequest, StoredQuery),
        (pb.HistoryRequest, HistoryQuery),
        (pb.PredictRequest, PredictBody),
        (pb.SeriesChange, SeriesSaid),
        (pb.CompareRequest, CompareBody),
        (pb.PredictionAsked, PredictionSaid),
        (pb.Inputs, InputsSaid),
    ],
)
def test_questions_have_the_names_of_every_door(message: Any, model: Any) -> None:
    assert set(message.DESCRIPTOR.fields_by_name) == set(model.model_fields)
