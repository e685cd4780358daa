"""Every alert has its page, every page its alert, and what a page says to type exists."""

import re
import shlex
from pathlib import Path

import pytest

from forecast_assets.core.health import ALERT_CODES, CODES
from forecast_assets.operations.health.registry import ALERTING, EVERYTHING
from tests.test_docs import blocks, parse

RUNBOOKS = Path(__file__).parents[2] / "docs/runbooks"
HEADINGS = ["What it means", "How to look", "What to do", "When it closes"]


def commands(code: str) -> list[list[str]]:
    lines = [line for block in blocks((RUNBOOKS / f"{code}.md").read_text(), "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("forecast-assets ")]


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {*ALERT_CODES}
    index = (RUNBOOKS / "README.md").read_text()
    listed = re.findall(r"^\| \[(.+?)\]\(\1\.md\) \| (\w+) \| (.+) \|$", index, re.MULTILINE)
    assert listed == [(code, CODES[code].severity, CODES[code].meaning) for code in ALERT_CODES]


@pytest.mark.parametrize("code", ALERT_CODES)
def test_a_page_says_what_it_means_and_names_commands_that_exist(code: str) -> None:
    text = (RUNBOOKS / f"{code}.md").read_text()
    assert text.startswith(f"# {code}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert commands(code), "a page names at least one command"
    for words in commands(code):
        assert parse(words).command.callback


def test_every_code_is_of_one_probe_and_alerts_of_one_that_is_evaluated() -> None:
    told = [code for probe in EVERYTHING for code in probe.codes]
    assert sorted([*told, "probe-failed"]) == sorted(CODES)
    assert {code for probe in ALERTING for code in probe.codes} == {*ALERT_CODES} - {"probe-failed"}
