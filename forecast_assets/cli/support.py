"""Commands of support: explain, compare, history, health.

What belongs here: their arguments. What does not: logic.

They ask the data plane that the API asks, in this process, over the home.
"""

import json
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets.cli.common import DAY, current, examples, opened
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, NotReadyError
from forecast_assets.core.keys import CADENCES

if TYPE_CHECKING:
    from forecast_assets.serving.dataplane.comparing import PredictionAsked
    from forecast_assets.serving.dataplane.plane import DataPlane

_ROW: Final = "daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/1"
_PUBLISH: Final = Sentence("Publish a run: ", Action("run", {"cadence": "daily", "date": "DATE"}), ".")
_json: Final = click.option("--json", "as_json", is_flag=True, help="All of the answer, as JSON.")


@click.group()
def support() -> None:
    """Why a number is what it is: what the API and the page /support answer, on a terminal."""


@support.command(
    epilog=examples(
        f"forecast-assets support explain {_ROW}",
        "forecast-assets support explain 0e7d67d2-edfc-423c-ac9e-8b5b7ec9e006 --json",
    )
)
@click.argument("prediction_id")
@_json
def explain(prediction_id: str, *, as_json: bool) -> None:
    """Say all that is published of one row, and why; or all of a prediction event.

    PREDICTION_ID is a row's, as in the views and in answers, or the id of an event.
    """
    from forecast_assets.presentation.support_text import event_text, explained_text
    from forecast_assets.serving.dataplane.answered import Viewer, is_event_id

    plane = _plane()
    if is_event_id(prediction_id):
        event = plane.event(prediction_id, Viewer("", sees_all=True))
        click.echo(_as_json(event) if as_json else event_text(event))
        return
    found = plane.explain(prediction_id)
    click.echo(_as_json(asdict(found)) if as_json else explained_text(found))


@support.command(
    epilog=examples(
        "forecast-assets support compare daily/2025-06-29/stat-1/28/r0/FOOD-0001/S-01/2 "
        "daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/1",
        f"forecast-assets support compare {_ROW} {_ROW} --second-inputs '{{\"on_hand_units\": 0}}'",
    )
)
@click.argument("first")
@click.argument("second")
@click.option("--first-inputs", help="What is other of the first, in JSON as for POST /v1/compare: made in real time.")
@click.option("--second-inputs", help="The same of the second.")
@click.option("--quick", is_flag=True, help="Do not wait for causes, which take a forecast of both runs.")
def compare(first: str, second: str, first_inputs: str | None, second_inputs: str | None, *, quick: bool) -> None:
    """Say what differs between two predictions of one series and day, and the whole difference by cause.

    FIRST and SECOND are prediction ids, as in the views and in answers.
    """
    from forecast_assets.presentation.support_text import compared_text
    from forecast_assets.serving.dataplane.comparing import CompareQuestion

    asked = CompareQuestion(_asked(first, first_inputs), _asked(second, second_inputs))
    plane = _plane()
    if not quick:
        plane.comparer.prepare_for(asked)
    click.echo(compared_text(plane.compare(asked)))


@support.command(epilog=examples("forecast-assets support history --store S-01 --sku FOOD-0001 --day 2025-07-01"))
@click.option("--store", required=True, help="Store of the series.")
@click.option("--sku", required=True, help="SKU of the series.")
@click.option("--day", required=True, type=DAY, help="The day that was forecast.")
@click.option("--model-version", "versions", multiple=True, help="Only this version; may be repeated.")
@click.option(
    "--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES]), help="Rhythm of the runs."
)
def history(store: str, sku: str, day: date, versions: tuple[str, ...], cadence: str) -> None:
    """Show every published forecast of one day of a series, what callers were told in real time, and what came."""
    from forecast_assets.presentation.support_text import history_text
    from forecast_assets.serving.dataplane.answered import Viewer
    from forecast_assets.serving.dataplane.published import HistoryQuestion

    plane = _plane()
    found = plane.history(HistoryQuestion(store, sku, day, versions, cadence))
    click.echo(history_text(found, plane.told(store, sku, day, Viewer("", sees_all=True)), day))


@support.command(
    epilog=examples("forecast-assets support health", "forecast-assets support health --url http://127.0.0.1:8000")
)
@click.option("--url", help="Of a running service, to ask it instead: its own state, and that of its events.")
@_json
def health(url: str | None, *, as_json: bool) -> None:
    """Say whether questions can be answered, and what is degraded; exit code 3 if they cannot."""
    from forecast_assets.presentation.support_text import health_text
    from forecast_assets.serving.dataplane.service_state import NOTHING_PUBLISHED

    # Events and kept features are those of a service; this process has none.
    state = _told_by(url) if url else {**asdict(_plane().readiness()), "events": None, "features": None}
    click.echo(_as_json(state) if as_json else health_text(state))
    if not state["is_ready"]:
        is_empty = NOTHING_PUBLISHED in state["reasons"]
        raise NotReadyError(
            f"Questions cannot be answered: {'; '.join(state['reasons'])}.",
            remedy=_PUBLISH if is_empty else "Mend what is named, or wait for a service that is started again.",
        )


def _plane() -> "DataPlane":
    from forecast_assets.operations.prediction_events import event_home
    from forecast_assets.serving.dataplane.plane import DataPlane

    return DataPlane(opened(), events=event_home(current()))


def _told_by(url: str) -> dict[str, Any]:
    from forecast_assets.operations.service_health import told_state

    return dict(told_state(url))


def _asked(prediction_id: str, inputs: str | None) -> "PredictionAsked":
    from pydantic import ValidationError

    from forecast_assets.serving.messages.problems import malformed
    from forecast_assets.serving.messages.queries import InputsSaid, PredictionSaid

    try:
        said = None if inputs is None else InputsSaid.model_validate_json(inputs)
        return PredictionSaid(prediction_id=prediction_id, inputs=said).asked()
    except ValidationError as error:
        what = malformed(error.errors(), "`docs/serving.md` shows them")
        raise InputError(f"The inputs cannot be used: {what.detail}.", remedy=what.remedy) from error


def _as_json(found: Any) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return float(value) if hasattr(value, "as_tuple") else str(value)


COMMANDS: Final = (support,)
