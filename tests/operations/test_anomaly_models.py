"""Anomaly models as files: what may be loaded, on whose word, and what a home knows of them."""

from pathlib import Path

import joblib
import pytest

from forecast_assets.core.errors import InputError, SourceError, UntrustedModelError
from forecast_assets.operations import anomaly_models
from forecast_assets.operations.anomaly_models import (
    CHANGED,
    GONE,
    THERE,
    Vouched,
    list_anomaly_models,
    load_anomaly_model,
)
from forecast_assets.presentation.actions import error_text
from resources.operational.model_files import registered_model_files
from tests.support.anomaly_cases import trained

STORE = "home/operational.sqlite"


class TouchesAFile:
    """What a file that is code may do when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_what_was_trained_here_is_loaded_without_a_word(tmp_path: Path) -> None:
    outcome = trained(tmp_path, ending=".joblib")
    model, sha256 = load_anomaly_model(tmp_path / STORE, outcome.path, Vouched())
    assert (model.name, sha256) == ("bearings", outcome.sha256)
    moved = outcome.path.rename(tmp_path / "elsewhere.joblib")
    assert load_anomaly_model(tmp_path / STORE, moved, Vouched())[1] == sha256


def test_code_that_nobody_vouches_for_is_not_run(tmp_path: Path) -> None:
    path, touched = tmp_path / "theirs.joblib", tmp_path / "touched"
    joblib.dump(TouchesAFile(touched), path)
    with pytest.raises(
        UntrustedModelError, match="is code that loading would run, and it was not trained on this home"
    ):
        load_anomaly_model(tmp_path / STORE, path, Vouched())
    assert not touched.exists()
    # The same bytes do run once somebody says so, which is why somebody has to.
    with pytest.raises(InputError, match="is no model that can be used"):
        load_anomaly_model(tmp_path / STORE, path, Vouched(is_trusted=True))
    assert touched.exists()


def test_the_refusal_names_the_hash_and_three_ways_on(tmp_path: Path) -> None:
    outcome = trained(tmp_path, ending=".joblib")
    with pytest.raises(UntrustedModelError) as error:
        load_anomaly_model(tmp_path / "other/operational.sqlite", outcome.path, Vouched())
    said = error_text(error.value)
    assert f"Its SHA-256 is {outcome.sha256}. Nothing was loaded." in said
    assert f"forecast-assets score --model {outcome.path} --sha256 HASH; or say --trust. A .skops file" in said
    for vouched in (Vouched(outcome.sha256), Vouched(outcome.sha256.upper()), Vouched(is_trusted=True)):
        assert load_anomaly_model(tmp_path / "other/operational.sqlite", outcome.path, vouched)[1] == outcome.sha256


def test_a_file_that_was_changed_since_is_refused(tmp_path: Path) -> None:
    outcome = trained(tmp_path, ending=".joblib")
    outcome.path.write_bytes(outcome.path.read_bytes() + b" ")
    with pytest.raises(UntrustedModelError, match="was changed since it was trained here at 20"):
        load_anomaly_model(tmp_path / STORE, outcome.path, Vouched())


@pytest.mark.parametrize("ending", [".skops", ".joblib"])
def test_another_hash_than_the_one_that_is_named_is_refused(tmp_path: Path, ending: str) -> None:
    outcome = trained(tmp_path, ending=ending)
    with pytest.raises(UntrustedModelError, match=f"has the SHA-256 {outcome.sha256}, not 00. It is not the file"):
        load_anomaly_model(tmp_path / STORE, outcome.path, Vouched("00"))


def test_data_needs_no_word_and_no_home(tmp_path: Path) -> None:
    outcome = trained(tmp_path, ending=".skops")
    nowhere = tmp_path / "nowhere/operational.sqlite"
    assert load_anomaly_model(nowhere, outcome.path, Vouched())[0].features == outcome.trained.model.features
    assert not nowhere.parent.exists()


def test_a_model_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    outcome = trained(tmp_path)
    (tmp_path / "b/copy.skops").write_bytes(outcome.path.read_bytes())
    (tmp_path / "b/folder.skops").mkdir()
    with pytest.raises(InputError) as error:
        load_anomaly_model(tmp_path / STORE, tmp_path / "b/none.skops", Vouched())
    assert f"Models that are there: {tmp_path / 'b/copy.skops'}, {outcome.path}." in str(error.value)
    assert "forecast-assets anomalies train --detector isolation-forest --input FILE" in error_text(error.value)
    with pytest.raises(InputError, match=r"Models that are there: none."):
        load_anomaly_model(tmp_path / "none/x", tmp_path / "none/none.skops", Vouched())


def test_a_model_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = trained(tmp_path)

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"cannot be read: Permission denied. Make it readable."):
        load_anomaly_model(tmp_path / STORE, outcome.path, Vouched())


def test_the_list_says_which_files_are_as_they_were(tmp_path: Path) -> None:
    outcome = trained(tmp_path)
    (listed,) = list_anomaly_models(tmp_path / STORE)
    assert (listed.state, listed.file.path) == (THERE, str(outcome.path))
    outcome.path.write_bytes(b"other")
    assert list_anomaly_models(tmp_path / STORE)[0].state == CHANGED
    outcome.path.unlink()
    assert list_anomaly_models(tmp_path / STORE)[0].state == GONE


def test_a_file_without_an_ending_is_data(tmp_path: Path) -> None:
    outcome = trained(tmp_path, ending="")
    assert outcome.path == tmp_path / "model.skops"


def test_a_model_is_not_replaced_unasked_and_nothing_is_registered_then(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(InputError, match=r"model.skops exists. Choose another name, or give --overwrite"):
        trained(tmp_path)
    assert len(registered_model_files(tmp_path / STORE)) == 1


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = iter("ab")
    monkeypatch.setattr(anomaly_models, "file_sha256", lambda _: next(hashes))
    with pytest.raises(SourceError, match=r"was changed while it was read. Train again when nobody writes to it."):
        trained(tmp_path)
    assert not (tmp_path / "model.skops").exists()


def test_a_model_that_cannot_be_registered_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(anomaly_models, "register_model_file", fail)
    with pytest.raises(Exception, match="No space left"):
        trained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["usual.csv"]
