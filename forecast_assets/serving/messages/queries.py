"""Questions as requests carry them: names, types and bounds, with examples for the OpenAPI document.

What belongs here: from what is said to a question. What does not: answering, or how a protocol carries it.
"""

import re
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from forecast_assets.core.keys import PredictionId
from forecast_assets.core.overrides import FORMS, Override
from forecast_assets.features.changes import ExpectedOrder, SeriesChange
from forecast_assets.operations.override_files import scope_of
from forecast_assets.serving.dataplane.answered import page_from
from forecast_assets.serving.dataplane.comparing import CompareQuestion, PredictionAsked
from forecast_assets.serving.dataplane.predicting import MOST_SERIES, PredictQuestion
from forecast_assets.serving.dataplane.published import HistoryQuestion
from forecast_assets.serving.dataplane.questions import (
    DEFAULT_ROWS,
    MOST_NAMES,
    MOST_ROWS,
    Page,
    StoredQuestion,
    VersionAsked,
)
from resources.events.stores import MOST_EVENTS, EventQuery

Name = Annotated[str, Field(min_length=1, max_length=200)]
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
NameList = Annotated[list[Name], Field(max_length=MOST_NAMES)]
CadenceName = Literal["daily", "weekly"]


def _iso(value: object) -> object:
    """Refuse numbers, which would be taken for seconds since 1970."""
    if isinstance(value, str) and _DAY.match(value):
        return value
    raise ValueError("write it as 2025-07-05, a moment as 2025-07-05T09:00:00Z")


def _whole_day(value: object) -> object:
    if isinstance(value, str) and len(value) > len("2025-07-05"):
        raise ValueError("write it as 2025-07-05")
    return _iso(value)


Day = Annotated[date, BeforeValidator(_whole_day)]
Moment = Annotated[AwareDatetime, BeforeValidator(_iso)]
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]


class RunAsked(BaseModel):
    """Of which run: one of `model_version` and `channel` is needed."""

    model_config = ConfigDict(extra="forbid")

    model_version: Name | None = Field(None, description="explicit model version", examples=["stat-1"])
    channel: Name | None = Field(None, description="channel, resolved once and named in answers", examples=["champion"])
    cadence: CadenceName = Field("daily", description="rhythm of the runs")
    prediction_date: Day | None = Field(None, description="of the run; default: the newest that is published")
    horizon: int | None = Field(None, ge=1, le=90, description="days ahead of the run, where several are published")
    revision: int | None = Field(None, ge=0, le=10_000, description="needed where a run has been corrected")

    def asked(self) -> VersionAsked:
        """Return which runs are asked for.

        Raises:
            InputError: If it would be an implied version.
        """
        return VersionAsked(
            self.model_version, self.channel, self.cadence, self.prediction_date, self.horizon, self.revision
        )


class StoredQuery(RunAsked):
    """A page of published rows."""

    store_id: NameList = Field([], description="only these stores; may be repeated")
    sku_id: NameList = Field([], description="only these SKUs; may be repeated")
    first_step: int = Field(1, ge=1, le=90, description="first day ahead")
    last_step: int | None = Field(None, ge=1, le=90, description="last day ahead")
    columns: NameList = Field([], description="besides the row's key; may be repeated; default: all")
    limit: int = Field(DEFAULT_ROWS, ge=1, le=MOST_ROWS, description="rows of a page at most")
    page: Annotated[str, Field(max_length=4_000)] | None = Field(None, description="`next_page` of the answer before")

    def question(self, product: str) -> StoredQuestion:
        """Return what is asked of a product.

        Raises:
            InputError: If it cannot be asked.
        """
        return StoredQuestion(
            product,
            self.asked(),
            self.store_id,
            self.sku_id,
            self.first_step,
            self.last_step,
            self.columns,
            self.limit,
            None if self.page is None else Page.parse(self.page),
        )


class HistoryQuery(BaseModel):
    """Every vintage of one day of one series."""

    model_config = ConfigDict(extra="forbid")

    store_id: Name = Field(description="store")
    sku_id: Name = Field(description="SKU")
    target_date: Day = Field(description="the day that was forecast")
    model_version: NameList = Field([], description="only these versions; may be repeated; default: all")
    cadence: CadenceName = Field("daily", description="rhythm of the runs")

    def question(self) -> HistoryQuestion:
        """Return what is asked."""
        return HistoryQuestion(self.store_id, self.sku_id, self.target_date, self.model_version, self.cadence)


class EventsQuery(BaseModel):
    """A page of prediction events."""

    model_config = ConfigDict(extra="forbid")

    key_id: Name | None = Field(None, description="only of this caller's key")
    caller: Name | None = Field(None, description="only of callers of this name")
    store_id: Name | None = Field(None, description="only about this series; with `sku_id`")
    sku_id: Name | None = Field(None, description="only about this series; with `store_id`")
    since: Moment | None = Field(None, description="from this moment on", examples=["2025-07-01T00:00:00Z"])
    until: Moment | None = Field(None, description="before this moment")
    limit: int = Field(50, ge=1, le=MOST_EVENTS, description="events of a page at most")
    page: Annotated[str, Field(max_length=400)] | None = Field(None, description="`next_page` of the answer before")

    def question(self) -> EventQuery:
        """Return what is asked.

        Raises:
            InputError: If the page is none.
        """
        return EventQuery(
            self.key_id,
            self.caller,
            self.store_id,
            self.sku_id,
            self.since,
            self.until,
            None if self.page is None else page_from(self.page),
            self.limit,
        )


class OrderSaid(BaseModel):
    """An order on the way."""

    model_config = ConfigDict(extra="forbid")

    arrives: Day = Field(description="day at whose opening it is there", examples=["2025-07-03"])
    units: Number = Field(ge=0, description="how much it brings", examples=[24])


class InputsSaid(BaseModel):
    """What is other of a series; what is left out stays as the run knew it."""

    model_config = ConfigDict(extra="forbid")

    on_hand_units: Number | None = Field(None, ge=0, description="stock at the end of the prediction date")
    orders: Annotated[list[OrderSaid], Field(max_length=100)] = Field([], description="besides those that the run knew")
    price_ratios: Annotated[dict[Day, Number], Field(max_length=90)] = Field(
        {}, description="price over list price of days ahead", examples=[{"2025-07-02": 0.8}]
    )
    promotions: Annotated[dict[Day, Flag], Field(max_length=90)] = Field({}, description="of days ahead")
    events: Annotated[dict[Day, NameList], Field(max_length=90)] = Field({}, description="known events on days ahead")
    sales: Annotated[dict[Day, Number], Field(max_length=400)] = Field(
        {}, description="units sold on days up to the prediction date that the run did not know, or knew otherwise"
    )

    def change_of(self, store_id: str, sku_id: str) -> SeriesChange:
        """Return what is other of a series."""
        return SeriesChange(
            store_id,
            sku_id,
            self.on_hand_units,
            tuple(ExpectedOrder(order.arrives, order.units) for order in self.orders),
            self.price_ratios,
            self.promotions,
            {day: tuple(names) for day, names in self.events.items()},
            self.sales,
        )


class SeriesSaid(InputsSaid):
    """A series with what is other of it."""

    store_id: Name = Field(description="store", examples=["S-01"])
    sku_id: Name = Field(description="SKU", examples=["FOOD-0001"])

    def change(self) -> SeriesChange:
        """Return what is other."""
        return self.change_of(self.store_id, self.sku_id)


class PredictBody(RunAsked):
    """Series of a run to be forecast again."""

    use: Name = Field(description="what it is for; the policy says which uses are approved", examples=["what_if"])
    series: Annotated[list[SeriesSaid], Field(min_length=1, max_length=MOST_SERIES)] = Field(description="which")

    def question(self) -> PredictQuestion:
        """Return what is asked."""
        return PredictQuestion(self.use, self.asked(), [each.change() for each in self.series])


class PredictionSaid(BaseModel):
    """A published row, or with `inputs` the same forecast again in real time."""

    model_config = ConfigDict(extra="forbid")

    prediction_id: Annotated[str, Field(min_length=1, max_length=1_000)] = Field(
        description="as in answers and views", examples=["daily/2025-06-29/stat-1/28/r0/FOOD-0001/S-01/2"]
    )
    inputs: InputsSaid | None = Field(None, description="what is other of the series; default: the row as published")

    def asked(self) -> PredictionAsked:
        """Return which prediction is meant.

        Raises:
            InputError: If it is no prediction id.
        """
        row = PredictionId.parse(self.prediction_id)
        change = None if self.inputs is None else self.inputs.change_of(row.store_id, row.sku_id)
        return PredictionAsked(self.prediction_id, change)


class CompareBody(BaseModel):
    """Two predictions of one series and target day."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "first": {"prediction_id": "daily/2025-06-29/stat-1/28/r0/FOOD-0001/S-01/2"},
                    "second": {"prediction_id": "daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/1"},
                },
                {
                    "first": {"prediction_id": "daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/1"},
                    "second": {
                        "prediction_id": "daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/1",
                        "inputs": {"promotions": {"2025-07-01": False}},
                    },
                },
            ]
        },
    )

    first: PredictionSaid = Field(description="what it was")
    second: PredictionSaid = Field(description="what it is")

    def question(self) -> CompareQuestion:
        """Return what is asked.

        Raises:
            InputError: If one is no prediction id.
        """
        return CompareQuestion(self.first.asked(), self.second.asked())


# An entry of the ledger holds more; so many are read and answered while somebody waits.
MOST_OVERRIDES: Final = 1_000
_Optional = Annotated[str, Field(max_length=200)]


class OverrideSaid(BaseModel):
    """What a planner says of the forecasts of a node on some days."""

    model_config = ConfigDict(extra="forbid")

    sku: _Optional = Field("", description="one SKU; or:")
    product: _Optional = Field("", description="a product node, as LEVEL:NODE; default: all products")
    store: _Optional = Field("", description="one store; or:")
    stores: _Optional = Field("", description="a store node, as LEVEL:NODE; default: all stores")
    first_date: Day = Field(description="first target date")
    last_date: Day | None = Field(None, description="last target date; default: the first")
    form: _Optional = Field(description=f"one of {', '.join(FORMS)}", examples=["percent"])
    value: Annotated[str, Field(max_length=40)] = Field(
        "", description="units a day of the whole node, or percent, as text so that it is exact; empty of zero"
    )
    reason: _Optional = Field(description="code that the policy knows", examples=["event"])
    note: Annotated[str, Field(max_length=500)] = Field("", description="free words, in one line")
    expires_on: Day | None = Field(None, description="last prediction date of runs that it moves")

    def override(self) -> Override:
        """Return what is said.

        Raises:
            InputError: If a node is not written as one.
        """
        return Override(
            scope_of(self.sku, self.store, self.product, self.stores),
            self.first_date,
            self.last_date or self.first_date,
            self.form,
            self.value,
            self.reason,
            self.note,
            self.expires_on,
        )


class OverridesBody(BaseModel):
    """Overrides, all recorded or none."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "overrides": [
                        {
                            "product": "category:dairy", "first_date": "2025-07-03", "last_date": "2025-07-06",
                            "form": "percent", "value": "20", "reason": "event", "note": "local festival",
                        }
                    ],
                    "dry_run": True,
                },
                {
                    "overrides": [
                        {
                            "sku": "FOOD-0001", "store": "S-01", "first_date": "2025-07-03", "form": "units",
                            "value": "40", "reason": "promotion",
                        }
                    ],
                    "seen": 412,
                    "confirm": True,
                },
            ]
        },
    )  # fmt: skip

    overrides: Annotated[list[OverrideSaid], Field(min_length=1, max_length=MOST_OVERRIDES)] = Field(
        description="what is said"
    )
    dry_run: Flag = Field(False, description="only say what they would do")
    confirm: Flag = Field(False, description="unusually large changes are meant")
    needs_approval: Flag = Field(False, description="a second person has to approve before they move anything")
    seen: int | None = Field(
        None,
        ge=1,
        le=10**12,
        description="`seen` of the preview that was looked at: who has overridden the same since is told",
    )


class OverridesQuery(BaseModel):
    """Which overrides."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["pending", "recorded", "approved", "rejected", "withdrawn"] | None = Field(
        None, description="only those that stand so"
    )
    by: Name | None = Field(None, description="only those of a planner")
    limit: int = Field(1_000, ge=1, le=10_000, description="how many at most, the newest first")


class DecisionBody(BaseModel):
    """A decision about an override."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "as agreed on Monday"}]})

    reason: Annotated[str, Field(min_length=1, max_length=500)] = Field(description="why")
