"""Every fault of the drill is told, explained, mended and over; a sample of them in every test run."""

from pathlib import Path

import pytest

from forecast_assets.core.health import ALERT_CODES
from tests.torture import fire_drill
from tests.torture.fire_drill import DRILLS, MOST_SECONDS, make_home, train_home
from tests.torture.sizes import size

SAMPLE = (
    "late feed", "failed check", "corrupted store file", "full disk", "Redis stopped", "spool growing", "service gone",
    "breaker of the model open", "clock behind", "drift on a second day", "deaf destination",
)  # fmt: skip
TRIED = SAMPLE if size(1, 2) == 1 else tuple(DRILLS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("drill") / "home")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_home(tmp_path_factory.mktemp("drill-trained") / "home")


@pytest.mark.parametrize("name", TRIED)
def test_a_fault_is_told_explained_mended_and_over(name: str, request: pytest.FixtureRequest) -> None:
    tried = DRILLS[name]
    home = request.getfixturevalue("trained" if tried.needs_model else "made")
    done = fire_drill.drill(tried, home, every_seconds=0.2)
    # What a sensor adds that looks every half minute.
    assert max(done.told_seconds, done.over_seconds) + fire_drill.ALERT_SECONDS < MOST_SECONDS


def test_there_are_twelve_faults_and_more_of_as_many_alerts() -> None:
    assert len(DRILLS) >= 12
    codes = [each.code for each in DRILLS.values()]
    assert len({*codes}) == len(codes)
    assert {*codes} <= {*ALERT_CODES}
