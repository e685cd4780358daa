"""A revision for overrides alone has the bytes that drawing everything anew makes, whatever it takes over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.core.arrays import Floats
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.core.run import CorrectionRequest, RunRequest
from forecast_assets.launch import Runner
from forecast_assets.models.sample_paths.drawing import JointPaths
from forecast_assets.operations.overrides import record_overrides
from forecast_assets.operations.replaying import replay
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.scoring import context
from forecast_assets.scoring.context import RunContext
from resources.ledger.entries.publish import Publication
from tests.support.retailers import KEY, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

FIRST, SECOND = replace(KEY, revision=1), replace(KEY, revision=2)
DAYS = (KEY.prediction_date + timedelta(days=3), KEY.prediction_date + timedelta(days=5))
LATER = KEY.prediction_date + timedelta(days=20)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many series are drawn, day by day."""
    counts: list[int] = []
    on_day = JointPaths.on_day

    def counted(paths: JointPaths, step: int, out: Floats | None = None) -> Floats:
        counts.append(len(paths.keys))
        return on_day(paths, step, out)

    monkeypatch.setattr(JointPaths, "on_day", counted)
    return counts


def overridden(runner: Runner, home: Path, *said: Override) -> Runner:
    """Return a copy of a home in which a planner has said something."""
    revised = copied(runner, home)
    record_overrides(revised.stores, said, by="ana")
    return revised


def files(publication: Publication) -> dict[str, list[str]]:
    """SHA-256 of each product's files."""
    return {name: [file.sha256 for file in files] for name, files in publication.files.items()}


def revision(runner: Runner) -> Publication:
    return runner.publish_overrides(KEY, by="ana", reason="local festival").publication


def series(runner: Runner, at: int) -> Scope:
    store = runner.stores.predictions
    rows = store.read(store.version(store.publication(KEY).products["forecasts"]), ["store_id", "sku_id"])
    return Scope.of(sku=rows["sku_id"][28 * at], store=rows["store_id"][28 * at])


def test_what_has_not_moved_is_taken_over_and_every_byte_is_that_of_drawing_all(
    published: tuple[Runner, RunOutcome], tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = published[0]
    count = published[1].publication.files["forecasts"][0].rows // 28
    one = Override(series(runner, 5), *DAYS, "percent", "20", "event")
    quick = overridden(runner, tmp_path / "quick", one)
    made = [revision(quick)]
    assert drawn == [1, 1, *[count] * 3, *[1] * 23]
    other = Override(series(runner, 9), LATER, LATER, "zero", "", "event")
    record_overrides(quick.stores, [other], by="ana")
    drawn.clear()
    made.append(revision(quick))
    assert drawn == [*[1] * 19, count, *[1] * 8]
    for key in (FIRST, SECOND):
        replay(quick.stores, quick.settings, key, lambda *_: None).require_equal()

    monkeypatch.setattr(RunContext, "taken_over", None)
    drawn.clear()
    whole = overridden(runner, tmp_path / "whole", one)
    assert files(revision(whole)) == files(made[0])
    record_overrides(whole.stores, [other], by="ana")
    assert files(revision(whole)) == files(made[1])
    assert drawn == [count] * 56


def going_on(runner: Runner, schemas: dict[str, str]) -> RunContext:
    """Return the context of a revision for overrides alone."""
    correction = CorrectionRequest(datetime.now(UTC), "ana", "local festival", of_overrides=True)
    return RunContext(runner.stores, RunRequest(FIRST, runner.options, correction), schemas=schemas)


def test_what_is_made_again_takes_nothing_over(published: tuple[Runner, RunOutcome]) -> None:
    before = going_on(published[0], {}).taken_over
    assert before is not None
    assert before.key == KEY
    assert going_on(published[0], {"forecasts": "as recorded"}).taken_over is None


@pytest.mark.parametrize(
    ("what", "said"), [("code_version", "0.0.1+old"), ("cpu_type", "z80"), ("library_versions", {})]
)
def test_nothing_is_taken_over_from_other_code_libraries_or_processors(
    what: str, said: object, published: tuple[Runner, RunOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, what, lambda: said)
    assert going_on(published[0], {}).taken_over is None
