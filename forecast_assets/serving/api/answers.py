"""What answers look like, for the document of routes: names, types and meaning of their fields.

What belongs here: a model of each answer. What does not: making one.

Nothing is written through these models, since answers are written as they are found, for speed; tests hold answers to
them.
"""
# Models of rows and dataclasses are made from contracts and docstrings: types that no checker can see.
# mypy: disable-error-code="valid-type, arg-type, maybe-unrecognized-str-typeform"

import re
from dataclasses import MISSING, fields
from datetime import date
from typing import Any, Final, Literal, get_type_hints

import polars as pl
from pydantic import AwareDatetime, BaseModel, Field, RootModel, create_model

from forecast_assets.contracts import (
    FORECAST_EXPLANATIONS,
    FORECASTS,
    QUANTILE_COLUMNS,
    SERIES_STEP_KEY,
    STOCKOUT_RISKS,
)
from forecast_assets.contracts.schema import Column, Contract
from forecast_assets.serving.dataplane.service_state import ServiceState
from forecast_assets.serving.dataplane.stored import RunAnswered
from forecast_assets.serving.dataplane.versions import KnownVersion
from resources.events.buffer import BufferState
from resources.operational.feedback import Outcome

_PREDICTION_ID: Final = Field(description="the row, as views and lineage name it")
_ATTRIBUTE: Final = re.compile(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", re.MULTILINE)


def _from_dataclass(kind: type[Any], name: str, **instead: Any) -> Any:
    """Return a model of a dataclass, described as its docstring describes it."""
    words = {each: " ".join(text.split()) for each, text in _ATTRIBUTE.findall(kind.__doc__ or "")}
    types = get_type_hints(kind) | instead
    made: dict[str, Any] = {
        each.name: (
            types[each.name],
            Field(description=words[each.name])
            if each.default is MISSING and each.default_factory is MISSING
            else Field(None, description=words[each.name]),
        )
        for each in fields(kind)
    }
    return create_model(name, **made)


def _type_of(column: Column) -> Any:
    if isinstance(column.dtype, pl.Decimal):
        return float
    return {pl.String: str, pl.Date: date, pl.Int32: int, pl.Boolean: bool, pl.Float64: float}[column.dtype]


def _row_fields(columns: dict[str, Column], required: tuple[str, ...]) -> dict[str, Any]:
    """Return columns as fields; others than the required are not there if they were not asked for."""
    return {
        name: (_type_of(column), Field(description=column.description))
        if name in required
        else (_type_of(column) | None, Field(None, description=column.description))
        for name, column in columns.items()
    }


def _columns(contract: Contract) -> dict[str, Column]:
    return {column.name: column for column in contract.columns}


def _row(contract: Contract, name: str, *, is_named: bool = True) -> Any:
    """Return the model of a row; what is told by rule has no prediction id."""
    optional = Field(None, description=_PREDICTION_ID.description)
    named: dict[str, Any] = {"prediction_id": (str, _PREDICTION_ID) if is_named else (str | None, optional)}
    key = ("store_id", "sku_id", "step", "target_date")
    return create_model(name, __doc__=f"{contract.grain}.", **named, **_row_fields(_columns(contract), key))


def _columns_of(contract: Contract, name: str) -> Any:
    """Return the model of the columns of one row besides its key."""
    rest = {each: column for each, column in _columns(contract).items() if each not in SERIES_STEP_KEY}
    return create_model(name, __doc__=f"Columns of `{contract.name}`.", **_row_fields(rest, ()))


Run: Final = _from_dataclass(RunAnswered, "RunAnswered")
Version: Final = _from_dataclass(KnownVersion, "KnownVersion")
ForecastRow: Final = _row(FORECASTS, "ForecastRow")
RiskRow: Final = _row(STOCKOUT_RISKS, "RiskRow")
ExplanationRow: Final = _row(FORECAST_EXPLANATIONS, "ExplanationRow")


class LiveAnswer(BaseModel):
    """The process answers."""

    status: Literal["live"]


ReadyAnswer: Final = create_model(
    "ReadyAnswer",
    __base__=_from_dataclass(
        ServiceState, "ServiceState", events=_from_dataclass(BufferState, "EventBuffer") | None
    ),
    status=(Literal["ready", "not ready"], Field(description="the same in words")),
)  # fmt: skip


class ProblemDocument(BaseModel):
    """What is wrong, what to do, and facts for programs (RFC 9457)."""

    type: str = Field(description="a URI that names the kind of error")
    title: str = Field(description="the status in words")
    status: int = Field(description="the same as the answer's")
    code: str = Field(description="what kind of error it is; it never changes")
    detail: str = Field(description="what is wrong, and which")
    remedy: str = Field(description="what to do")
    actions: list[dict[str, Any]] = Field(description="what to do as use cases with arguments")
    facts: dict[str, Any] = Field(description="what a program needs of it")
    request_id: str = Field(description="as in the header `X-Request-Id` and in the service's log")


def _page(name: str, row: Any) -> Any:
    """Return the model of a page of rows."""
    runs = (list[Run], Field(description="which runs the rows are of"))
    following = (str | None, Field(description="to be given back as `page` for the page after; null after the last"))
    return create_model(name, runs=runs, next_page=following, rows=(list[row], ...))


ForecastsAnswer: Final = _page("ForecastsAnswer", ForecastRow)
RisksAnswer: Final = _page("RisksAnswer", RiskRow)
ExplanationsAnswer: Final = _page("ExplanationsAnswer", ExplanationRow)


class VersionsAnswer(BaseModel):
    """Model versions, and the channels that point at them."""

    versions: list[Version] = Field(description="the newest first")
    channels: dict[str, str | None] = Field(description="version by channel; null where it points at none")


class ExplainedAnswer(BaseModel):
    """All that is published of one row."""

    prediction_id: str = _PREDICTION_ID
    run: Run
    forecast: _columns_of(FORECASTS, "ForecastColumns")
    risk: _columns_of(STOCKOUT_RISKS, "RiskColumns")
    explanation: _columns_of(FORECAST_EXPLANATIONS, "ExplanationColumns")
    made_from: dict[str, str] = Field(description="hashes by name: what `lineage` follows further")


class EventCaller(BaseModel):
    """Who asked."""

    key_id: str
    name: str
    role: str


class EventListed(BaseModel):
    """What a list has of a prediction event."""

    event_id: str = Field(description="a UUID")
    occurred_at: AwareDatetime = Field(description="moment of the answer, UTC")
    caller: EventCaller
    request_id: str = Field(description="as in headers and logs")
    use: str = Field(description="as asked")
    model_version: str = Field(description="which version answered")
    run: dict[str, Any] = Field(description="as in the answer")
    input: dict[str, Any] = Field(description="the body, as it was sent")
    series: list[list[str]] = Field(description="pairs of store and SKU")
    out_of_distribution_score: float | None = Field(description="the largest of its rows")
    is_degraded: bool = Field(description="whether something other than the model answered")
    warnings: list[str] = Field(description="as in the answer")
    milliseconds: float = Field(description="what the answer took, without writing it")


class EventStep(BaseModel):
    """A step of the pipeline; values are columns over the rows of the event."""

    name: str
    formula: str
    milliseconds: float
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    decomposition: dict[str, Any] = Field(description="parts that add up")


class EventDocument(EventListed):
    """All of a prediction event."""

    schema_: int = Field(alias="schema", description="goes up when a field comes to mean something else")
    trace: str = Field(description="W3C trace context")
    days: list[date] = Field(description="the days ahead")
    steps: list[EventStep]
    bounds: dict[str, Any] = Field(description="the quantiles of demand")
    held: list[str] = Field(description="as in the answer")


class ExplainedOrEvent(RootModel[ExplainedAnswer | EventDocument]):
    """All that is published of one row, or all of a prediction event."""


class EventsAnswer(BaseModel):
    """A page of prediction events."""

    events: list[EventListed] = Field(description="the newest first")
    next_page: str | None = Field(description="to be given back as `page`; null after the last")


_NUMBERS: Final = ("forecast_units", "expected_sales_units", *QUANTILE_COLUMNS)
_OF_RISK: Final = ("stockout_probability", "risk_band")
_NUMBER_COLUMNS: Final = {
    **{name: _columns(FORECASTS)[name] for name in _NUMBERS},
    **{name: _columns(STOCKOUT_RISKS)[name] for name in _OF_RISK},
}
VintageRow: Final = create_model(
    "VintageRow",
    __doc__="What one run said of a day.",
    prediction_id=(str, _PREDICTION_ID),
    prediction_date=(date, ...),
    model_version=(str, ...),
    revision=(int, ...),
    step=(int, ...),
    published_at=(str, ...),
    **_row_fields(_NUMBER_COLUMNS, ()),
)
ToldRow: Final = create_model(
    "ToldRow",
    __doc__="What a caller was told of a day in real time.",
    event_id=(str, ...),
    occurred_at=(AwareDatetime, ...),
    caller=(str, ...),
    use=(str, ...),
    model_version=(str, ...),
    prediction_date=(date, ...),
    served_from=(str, ...),
    step=(int, ...),
    **_row_fields({name: _NUMBER_COLUMNS[name] for name in (*_NUMBERS[:2], *_OF_RISK)}, ()),
)


class HistoryAnswer(BaseModel):
    """Every forecast of one day of a series, and what came."""

    sales_units: float | None = Field(description="what was sold, as known now; null where it is not known")
    out_of_stock_share: float | None = Field(description="share of trading hours without stock, 0 to 1")
    warnings: list[str] = Field(description="what whoever reads it has to know")
    rows: list[VintageRow] = Field(description="the earliest first")
    events: list[ToldRow] = Field(description="the newest first")


class EventTold(BaseModel):
    """What becomes of the event of an answer."""

    id: str = Field(description="a UUID, to be explained by")
    status: Literal["recorded", "dropped"]


class PredictedAnswer(BaseModel):
    """Series of a run forecast again."""

    use: str = Field(description="as asked")
    run: Run = Field(description="what it rests on; `served_from` says what answered")
    degraded: bool = Field(description="whether something other than the model answered")
    held: list[str] = Field(description="what was held at the published run")
    warnings: list[str] = Field(description="what whoever reads it has to know")
    event: EventTold
    forecasts: list[_row(FORECASTS, "PredictedForecast", is_named=False)]
    risks: list[_row(STOCKOUT_RISKS, "PredictedRisk", is_named=False)]
    explanations: list[ExplanationRow] = Field(description="none by rule")


class FigureCompared(BaseModel):
    """One number of both predictions."""

    before: float
    after: float
    causes: dict[str, float] = Field(description="by cause; they add up to the difference; none where degraded")


class PartMoved(BaseModel):
    """What a cause moved of a driver."""

    cause: str
    driver: str
    change_units: float


class InputDiffering(BaseModel):
    """An input that differs."""

    store_id: str
    sku_id: str
    kind: str
    input: str
    event_date: date | None
    before: float | None
    after: float | None


class Differing(BaseModel):
    """What differs, as text; null where a prediction has nothing there."""

    name: str
    before: str | None
    after: str | None


class ComparedAnswer(BaseModel):
    """Two predictions of one series and day side by side."""

    words: str = Field(description="the difference in one sentence")
    store_id: str
    sku_id: str
    target_date: date
    runs: list[Run] = Field(description="what either is from")
    degraded: bool = Field(description="whether causes are missing")
    held: list[str] = Field(description="what was held at the published runs")
    warnings: list[str] = Field(description="what whoever reads it has to know")
    figures: dict[str, FigureCompared] = Field(description="by column")
    versions: list[Differing] = Field(description="artifact, features, code and so on that differ")
    parts: list[PartMoved]
    inputs: list[InputDiffering]
    features: list[Differing]
    outputs: list[Differing] = Field(description="published columns that differ")


class FeedbackAnswer(BaseModel):
    """What became of each record of a request."""

    request_id: str
    accepted: int
    dead_lettered: int
    is_repeated: bool = Field(description="whether the same request had come before, and nothing was kept again")
    records: list[_from_dataclass(Outcome, "RecordOutcome")]


class OverrideAnswered(BaseModel):
    """An override as it stands."""

    id: str = Field(description="what it is called")
    product_level: str
    product_node: str
    store_level: str
    store_node: str
    first_date: date
    last_date: date
    form: str
    value: str = Field(description="units a day of the node, or percent; empty of zero")
    reason: str
    note: str
    expires_on: date | None
    by: str = Field(description="who says so")
    observed_until: date = Field(description="days up to this one are not moved")
    recorded_at: AwareDatetime
    status: str = Field(description="pending, recorded, approved, rejected or withdrawn")
    decided_by: str
    decided_at: str
    decided_reason: str


class OverridesAnswer(BaseModel):
    """Overrides, the newest first."""

    overrides: list[OverrideAnswered]


class OverrideEffectAnswered(BaseModel):
    """What one override does to the run; units of all its days together."""

    override: str = Field(description="what is said, in words")
    series: int
    rows: int
    rows_moved: int
    model_units: float
    before_units: float
    after_units: float
    unmet_units: float
    superseded_by: list[str]
    keeps_from: list[str]
    multiplied_uplifts: list[str]
    is_unusual: bool


class LevelAnswered(BaseModel):
    """What becomes of the nodes of a pair of levels that change."""

    product_level: str
    store_level: str
    nodes: int
    model_units: float
    before_units: float
    after_units: float


class OverridesRecordedAnswer(BaseModel):
    """What overrides do, and what was recorded."""

    run: str | None = Field(description="the run that they were held against; null of a request that is repeated")
    seen: int | None = Field(description="ledger entry that this was worked out at; to be sent with what is recorded")
    is_recorded: bool
    is_repeated: bool = Field(description="whether the same request had come before, and nothing was recorded again")
    ids: list[str] = Field(description="of what was recorded, in the order of the request")
    status: str | None = Field(description="how they stand; null of a dry run")
    largest_percent: float | None = Field(description="change above which it has to be confirmed")
    effects: list[OverrideEffectAnswered]
    levels: list[LevelAnswered]
