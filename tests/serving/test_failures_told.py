"""What callers are told of a failure that nobody raised on purpose: no path and no words of a library."""

import errno

import pytest

from forecast_assets.core.errors import ChangedFileError, ForecastAssetsError, NotReadyError, StorageError
from forecast_assets.serving.messages.problems import failure_of

_PATH = "/srv/home/store/observations/a.parquet"
_TOLD = "Tell an operator the id of the request."


@pytest.mark.parametrize(
    ("error", "kind", "code", "detail"),
    [
        (PermissionError(errno.EACCES, "Permission denied", _PATH), StorageError, "storage",
         "A disk of the service refuses."),
        (OSError(errno.EIO, "Input/output error", _PATH), StorageError, "storage", "A disk of the service refuses."),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", _PATH), ChangedFileError, "changed-file",
         "A stored file of the service cannot be read."),
        (KeyError(_PATH), ForecastAssetsError, "defect", "The service failed on this request."),
    ],
)  # fmt: skip
def test_a_failure_names_no_path_and_no_command(
    error: Exception, kind: type[ForecastAssetsError], code: str, detail: str
) -> None:
    found, problem = failure_of(error)
    assert (found, problem.code, problem.detail, problem.remedy) == (kind, code, detail, _TOLD)
    assert _PATH not in str(problem)


def test_what_was_raised_on_purpose_behind_it_is_told_as_it_is() -> None:
    error = RuntimeError("a library's")
    error.__cause__ = NotReadyError("Nothing is published yet.", remedy="Wait.")
    assert failure_of(error)[1].detail == "Nothing is published yet."
