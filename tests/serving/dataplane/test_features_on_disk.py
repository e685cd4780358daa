"""What predictions need of series, in a file below the home: a restart answers from it, and no process holds a run."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.features.changes import SeriesChange
from forecast_assets.serving.dataplane import runs_in_cache
from forecast_assets.serving.dataplane.comparing import CompareQuestion, Comparer, PredictionAsked
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.putting import SeriesBlock, put_block, putting
from resources.feature_cache.cache import FeatureCache
from resources.feature_cache.on_disk import OnDiskCache
from tests.support.feature_cases import DAY, KEEPS, NOW, Process, asked, never, require_equal, series
from tests.support.retailers import KEY

Start = Callable[..., Process]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "features.sqlite"


@pytest.fixture
def opened(path: Path, now: list[float]) -> Callable[..., OnDiskCache]:
    """The file as a process opens it."""

    def begin(most_bytes: int = 64 << 20) -> OnDiskCache:
        return OnDiskCache(path, most_bytes, left_alone_seconds=0.0, clock=lambda: now[0])

    return begin


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_in_cache, "BLOCK", 10)


def warmed(process: Process) -> list[RunKey]:
    """Warm the run; return what was told to be prepared."""
    told: list[RunKey] = []
    process.features.warm(KEY, told.append)
    return told


def test_a_restart_answers_without_preparing_and_who_put_it_holds_no_run(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun
) -> None:
    first = process(opened())
    assert warmed(first) == [KEY]
    assert (first.features.is_ready(KEY), first.features.is_whole(KEY), first.features.degraded()) == (False, True, ())
    changes = asked(prepared, 7, 3, 35)
    require_equal(first.answer(*changes), prepared, changes)
    first.features.close()
    again = process(opened(), make=never)
    assert warmed(again) == []
    require_equal(again.answer(*changes), prepared, changes)
    assert (first.prepared_times, again.prepared_times) == (1, 0)
    assert again.features.state().hits == 4


def test_answers_from_the_file_are_equal_byte_by_byte(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = asked(prepared, *range(0, 36, 5))
    monkeypatch.setattr(OnDiskCache, "is_lasting", False)
    holding, asking = process(opened()), process(opened(), make=never)
    warmed(holding)
    assert holding.features.is_ready(KEY)
    of_run, of_file = holding.answer(*changes), asking.answer(*changes)
    for name in ("forecasts", "risks", "explanations"):
        assert getattr(of_file, name).write_csv() == getattr(of_run, name).write_csv()


def test_many_series_are_put_by_a_process_of_their_own(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun, small_blocks: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    del small_blocks
    monkeypatch.setattr(runs_in_cache, "putting", partial(putting, least_series=10))
    first = process(opened())
    warmed(first)
    assert (first.features.state().put, first.features.is_whole(KEY)) == (36, True)
    changes = asked(prepared, *range(36))
    require_equal(process(opened(), make=never).answer(*changes), prepared, changes)


@contextmanager
def dying(cache: FeatureCache, _count: int) -> Iterator[Callable[[SeriesBlock], bool]]:
    """Put a block, and fail as the death of a process does."""
    blocks: list[SeriesBlock] = []

    def put(block: SeriesBlock) -> bool:
        blocks.append(block)
        if len(blocks) > 1:
            raise RuntimeError("it was killed")
        return put_block(cache, block)

    yield put


def test_killed_in_the_middle_of_putting_a_restart_prepares_and_puts_all(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun, small_blocks: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    del small_blocks
    with monkeypatch.context() as patch:
        patch.setattr(runs_in_cache, "putting", dying)
        first = process(opened())
        warmed(first)
    assert (first.features.state().put, first.features.is_whole(KEY), first.features.is_ready(KEY)) == (20, False, True)
    require_equal(first.answer(*asked(prepared, 30)), prepared, asked(prepared, 30))
    # It is not begun again at each look.
    warmed(first)
    assert first.features.state().put == 20
    again = process(opened())
    assert warmed(again) == [KEY]
    assert (again.features.state().put, again.features.is_whole(KEY)) == (36, True)
    # Who holds it lets go of it, since others have put it.
    warmed(first)
    assert not first.features.is_ready(KEY)


def test_where_there_is_no_room_the_run_is_held_and_it_is_told(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun, small_blocks: None
) -> None:
    del small_blocks
    one = process(opened(most_bytes=128 << 10))
    warmed(one)
    assert (one.features.is_ready(KEY), one.features.is_whole(KEY)) == (True, False)
    require_equal(one.answer(*asked(prepared, 2)), prepared, asked(prepared, 2))
    (said,) = one.features.degraded()
    assert said.startswith("features are of runs prepared in this process alone: the file of features fails (")
    assert not one.features.state().answers


def test_in_a_folder_that_cannot_be_written_every_answer_is_right(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun, path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path.parent.write_text("no folder")
    one = process(opened())
    assert warmed(one) == [KEY]
    require_equal(one.answer(*asked(prepared, 2)), prepared, asked(prepared, 2))
    assert "File exists" in one.features.degraded()[0]
    path.parent.unlink()
    monkeypatch.setattr(one.features._runs, "_put_again", {})
    warmed(one)
    assert (one.prepared_times, one.features.is_whole(KEY), one.features.is_ready(KEY)) == (1, True, False)


def test_removed_while_it_is_used_every_answer_is_right_and_all_is_put_again(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun, path: Path
) -> None:
    one, changes = process(opened()), asked(prepared, 2, 30)
    warmed(one)
    for each in path.parent.iterdir():
        each.unlink()
    require_equal(one.answer(*changes), prepared, changes)
    warmed(one)
    assert (one.prepared_times, one.features.is_whole(KEY), one.features.is_ready(KEY)) == (2, True, False)
    require_equal(process(opened(), make=never).answer(*changes), prepared, changes)


def test_a_restart_on_a_damaged_file_begins_it_anew(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun, path: Path
) -> None:
    first, changes = process(opened()), asked(prepared, 2, 30)
    warmed(first)
    first.features.close()
    # All but the first page, which is read when it is opened.
    content = path.read_bytes()
    path.write_bytes(content[:16_384] + os.urandom(len(content) - 16_384))
    again = process(opened())
    require_equal(again.answer(*changes), prepared, changes)
    warmed(again)
    assert (again.prepared_times, again.features.is_whole(KEY)) == (1, True)
    assert "begun anew" in again.features.degraded()[0]
    require_equal(process(opened(), make=never).answer(*changes), prepared, changes)


def test_two_that_warm_one_run_at_once_do_no_harm(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun, small_blocks: None
) -> None:
    del small_blocks
    both = process(opened()), process(opened())
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(warmed, both))
    for each in both:
        assert (each.features.is_whole(KEY), each.features.is_ready(KEY)) == (True, False)
        require_equal(each.answer(*asked(prepared, 2)), prepared, asked(prepared, 2))


def test_shortly_before_it_is_too_old_it_is_prepared_and_put_again(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun, now: list[float]
) -> None:
    one = process(opened())
    warmed(one)
    now[0] += 0.85 * KEEPS
    assert warmed(one) == []
    now[0] += 0.1 * KEEPS
    assert warmed(one) == [KEY]
    now[0] += 0.1 * KEEPS
    require_equal(process(opened(), make=never).answer(*asked(prepared, 2)), prepared, asked(prepared, 2))
    assert one.prepared_times == 2


def test_comparisons_with_other_inputs_are_answered_from_it_too(
    process: Start, opened: Callable[..., OnDiskCache], plane: DataPlane, prepared: PreparedRun
) -> None:
    warmed(process(opened()))
    again = process(opened(), make=never)
    (one,) = series(prepared, 2)
    row = f"{KEY}/{one[1]}/{one[0]}/{(DAY - KEY.prediction_date).days}"
    question = CompareQuestion(
        PredictionAsked(row, None), PredictionAsked(row, SeriesChange(*one, price_ratios={DAY: 0.7}))
    )
    runs = PreparedRuns(plane.stores, prepare=lambda _stores, _run: prepared)
    found, expected = (
        Comparer(plane.stores, runs, features=features, deadline_seconds=60.0).compare(question, NOW)
        for features in (again.features, None)
    )
    assert found.figures.keys() == expected.figures.keys()
    for name, figure in found.figures.items():
        other = expected.figures[name]
        assert (figure.before, figure.after) == (other.before, other.after)
        assert figure.causes.rows() == other.causes.rows()
    assert (found.words, found.is_degraded) == (expected.words, False)
    assert again.features.state().hits == 1


def test_a_wrong_name_is_refused_and_no_run_is_prepared_for_it(
    process: Start, opened: Callable[..., OnDiskCache], prepared: PreparedRun
) -> None:
    one, (known,) = process(opened()), series(prepared, 2)
    warmed(one)
    for _ in range(2):
        with pytest.raises(InputError, match="has no series S-01/none") as alone:
            one.answer(SeriesChange("S-01", "none"))
        with pytest.raises(InputError, match="has no series S-01/none") as beside:
            one.answer(SeriesChange(*known), SeriesChange("S-01", "none"))
        assert alone.value.facts["series"] == beside.value.facts["series"] == [["S-01", "none"]]
        warmed(one)
    assert (one.prepared_times, one.features.is_whole(KEY)) == (1, True)
    require_equal(one.answer(*asked(prepared, 2)), prepared, asked(prepared, 2))
