"""`plot`: one series of a published run as a PNG, new and whole, or a clear error."""

import shutil
from pathlib import Path

import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.operations.new_files import new_file
from forecast_assets.operations.reading import resolve_run, series_after, series_history
from resources.stores.home import Stores, open_stores
from tests.support import store_cases
from tests.support.command import Call, caller
from tests.support.products import KNOWN_UNTIL

RUN = ("--date", "2025-01-01", "--model-version", "stat-1")
SERIES = (*RUN, "--store", "S", "--sku", "A")
PNG_HEAD = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One published run that knows one day of sales; the day after came later."""
    made = open_stores(tmp_path_factory.mktemp("template") / "store")
    key = store_cases.run_key()
    store_cases.ingest(made)
    store_cases.register(made)
    staged = store_cases.stage(made, key, known_until=KNOWN_UNTIL)
    made.predictions.publish(key, staged, store_cases.required, None)
    store_cases.ingest(made, day=1)
    return made.blobs.root


@pytest.fixture
def stores(template: Path, tmp_path: Path) -> Stores:
    return open_stores(shutil.copytree(template, tmp_path / "home/store"))


@pytest.fixture
def call(stores: Stores, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(stores.blobs.root.parent))
    monkeypatch.chdir(stores.blobs.root.parent)

    return caller(monkeypatch, capsys, "plot")


def test_a_fan_and_its_drivers_are_drawn_and_the_same_twice(call: Call) -> None:
    for name, *options in (("fan",), ("why", "--drivers")):
        code, text = call(*SERIES, *options, "--out", f"{name}.png")
        assert (code, text) == (0, f"Drew A in S (daily/2025-01-01/stat-1/7/r0) to {name}.png\n")
        assert call(*SERIES, *options, "--out", f"{name}-2.png")[0] == 0
        assert Path(f"{name}.png").read_bytes() == Path(f"{name}-2.png").read_bytes()
        assert Path(f"{name}.png").read_bytes().startswith(PNG_HEAD)
    assert Path("fan.png").read_bytes() != Path("why.png").read_bytes()


def test_a_whole_store_is_drawn_from_its_sums(call: Call) -> None:
    store = (*RUN, "--store", "S")
    assert call(*store, "--out", "all.png") == (0, "Drew all in S (daily/2025-01-01/stat-1/7/r0) to all.png\n")
    assert call(*SERIES, "--out", "one.png")[0] == 0
    assert Path("all.png").read_bytes() != Path("one.png").read_bytes()
    # What came since is in it, as long as it is asked for now.
    assert call(*store, "--out", "then.png", "--as-of", "3")[0] == 0
    assert Path("all.png").read_bytes() != Path("then.png").read_bytes()


def test_what_came_is_what_is_known_now_or_was_by_then(call: Call, stores: Stores) -> None:
    publication = resolve_run(stores, "daily", store_cases.CUTOFF, "stat-1")
    assert series_history(stores, publication, "S", "A")["sales_units"].to_list() == [2.0]
    assert series_after(stores, publication, "S", "A")["sales_units"].to_list() == [3.0]
    then = stores.as_of(publication.sequence)
    assert series_after(then, publication, "S", "A").is_empty()
    assert call(*SERIES, "--out", "now.png")[0] == 0
    assert call(*SERIES, "--out", "then.png", "--as-of", str(publication.sequence))[0] == 0
    assert Path("now.png").read_bytes() != Path("then.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*SERIES, "--out", "fan.gif"), "`fan.gif` has no known format. End it in .png."),
        ((*SERIES, "--out", "none/fan.png"), "The folder `none` does not exist. Create it first."),
        ((*RUN, "--store", "S", "--sku", "Z", "--out", "fan.png"), "has no SKU Z in store S"),
        ((*RUN, "--store", "T", "--out", "fan.png"), "has no store T. Choose a store of that run's `forecasts`."),
        ((*RUN, "--store", "S", "--drivers", "--out", "fan.png"), "Drivers are drawn of one SKU: name it with --sku."),
        ((*SERIES, "--days", "0", "--out", "fan.png"), "0 is not in the range"),
        ((*SERIES, "--days", "1000000", "--out", "fan.png"), "1000000 is not in the range"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_leaves_no_file(call: Call, arguments: tuple[str, ...], words: str) -> None:
    code, text = call(*arguments)
    assert code == 2
    assert words in text
    assert [path.name for path in Path().iterdir()] == ["store"]


def test_a_file_that_is_there_is_not_replaced(call: Call) -> None:
    Path("fan.png").write_text("mine")
    code, text = call(*SERIES, "--out", "fan.png")
    assert (code, Path("fan.png").read_text()) == (2, "mine")
    assert "Choose another name, or remove it first." in text


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "fan.png"

    def stop_halfway() -> None:
        with new_file(out, [".png", ".gif"]) as scratch:
            scratch.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    assert list(tmp_path.iterdir()) == []
    with new_file(out, [".png", ".gif"]) as scratch:
        scratch.write_bytes(b"whole")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]
    with pytest.raises(InputError, match=r"End it in .png or .gif"), new_file(tmp_path / "fan.txt", [".png", ".gif"]):
        pass
