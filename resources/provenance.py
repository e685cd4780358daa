"""Which code and which libraries made a number.

What belongs here: versions and fingerprints. What does not: wall-clock time, host names or anything else that would
make equal content look different.
"""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import forecast_assets

PACKAGES: Final = ("forecast_assets", "resources", "checks", "partitions")
LIBRARIES: Final = (
    "polars",
    "numpy",
    "pyarrow",
    "scipy",
    "statsforecast",
    "hierarchicalforecast",
    "duckdb",
    "dagster",
)


@cache
def code_version() -> str:
    """Return the release and a fingerprint of the source files, for example ``0.1.0+3f2a9c41d0aa``."""
    root = Path(forecast_assets.__file__).parent.parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{forecast_assets.__version__}+{digest.hexdigest()[:12]}"


@cache
def library_versions() -> dict[str, str]:
    """Return the installed versions of the libraries that shape published numbers."""
    return {name: version(name) for name in LIBRARIES}
