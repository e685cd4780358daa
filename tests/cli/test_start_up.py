"""Starting up swiftly leaves the process as it was."""

import gc
import sys

import pytest

from forecast_assets.cli.start_up import swift_imports

LIBRARY = "wave"


def test_a_library_that_is_not_needed_is_not_there_inside_and_can_be_imported_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, LIBRARY, raising=False)
    with swift_imports(without=(LIBRARY,)):
        with pytest.raises(ModuleNotFoundError):
            __import__(LIBRARY)
        assert not gc.isenabled()
    assert gc.isenabled()
    assert LIBRARY not in sys.modules
    __import__(LIBRARY)


def test_a_library_that_was_imported_before_stays() -> None:
    with swift_imports(without=("json",)):
        import json

        assert json.loads("1") == 1
    assert sys.modules["json"] is json


def test_an_import_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, LIBRARY, raising=False)
    with pytest.raises(OSError, match="disk"), swift_imports(without=(LIBRARY,)):
        raise OSError("disk")
    assert gc.isenabled()
    assert LIBRARY not in sys.modules
