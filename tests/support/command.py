"""The command as people call it, within this process.

What belongs here: calling it and catching what it says. What does not: what it should say.
"""

import sys
from collections.abc import Callable

import pytest

from forecast_assets.cli import main

# Takes arguments; returns the exit code, and what was printed on both streams.
Call = Callable[..., tuple[int, str]]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *before: str) -> Call:
    """Return what calls the command; ``before`` are arguments that all calls begin with."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["forecast-assets", *before, *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run
