"""The lock files: what runs is a part of what tests need, with the same pins, and neither names a registry."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parent.parent
LOCKS = "requirements.lock", "requirements-dev.lock"
OF_IMAGES = "requirements-deploy.lock"
_NAME = re.compile(r"^[A-Za-z0-9._-]+")


def pins(name: str) -> dict[str, str]:
    """Return the whole pin of each package: version, marker, hashes."""
    entries = re.split(r"\n(?=[a-zA-Z])", (REPOSITORY / name).read_text().strip())
    return {canonical(entry): entry for entry in entries}


def canonical(requirement: str) -> str:
    found = _NAME.match(requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def wanted(*groups: str) -> set[str]:
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(extras) == {
        "build",
        "notebooks",
        "postgresql",
        "s3",
        "redis",
        "kafka",
        "otlp",
        "deploy",
        "supervisor",
        "bench",
        "dev",
    }
    return {canonical(each) for each in [*project["dependencies"], *(one for group in groups for one in extras[group])]}


def without_marker(pin: str) -> str:
    """Return version and hashes: what only some systems need to run, tests may need everywhere."""
    return re.sub(r" ; [^\\]*", " ", pin, count=1)


def test_what_runs_is_a_part_of_what_tests_need_with_the_same_pins() -> None:
    run, everything = (pins(name) for name in LOCKS)
    differing = {
        name for name, pin in run.items() if without_marker(pin) != without_marker(everything.get(name, "none"))
    }
    assert differing == set()
    assert len(run) < len(everything)


def test_each_lock_has_what_the_project_asks_for_and_no_tools_are_among_what_runs() -> None:
    run, everything = (pins(name) for name in LOCKS)
    assert wanted("build") <= set(run)
    assert wanted(
        "build", "notebooks", "postgresql", "s3", "redis", "kafka", "otlp", "supervisor", "bench", "dev"
    ) <= set(everything)
    runs_everywhere = {name for name, pin in run.items() if without_marker(pin) == pin}
    assert runs_everywhere & (wanted("notebooks", "bench", "dev") - wanted("build")) == set()


def test_images_have_what_runs_and_what_services_need_with_the_same_pins_and_no_tools() -> None:
    run, everything, image = (pins(name) for name in (*LOCKS, OF_IMAGES))
    assert set(run) | wanted("postgresql", "s3", "redis", "kafka", "otlp", "deploy") <= set(image)
    assert {
        name for name in image if name in everything and without_marker(image[name]) != without_marker(everything[name])
    } == set()
    assert set(image) & {"pytest", "mypy", "ruff", "marimo", "hypothesis", "mlforecast"} == set()


@pytest.mark.parametrize("name", [*LOCKS, OF_IMAGES])
def test_every_pin_has_a_version_and_hashes_and_no_address(name: str) -> None:
    text = (REPOSITORY / name).read_text()
    assert "://" not in text
    assert [pin for pin in pins(name).values() if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_the_demonstration_needs_what_runs_and_tests_need_the_rest() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    needs = dict(re.findall(r"^([a-z0-9-]+): (\$\(READY(?:_DEV)?\)) ##", makefile, flags=re.MULTILINE))
    assert {name for name, need in needs.items() if need == "$(READY)"} == {"install", "demo", "ui", "serve"}
    assert {"install-dev", "test", "check", "notebooks", "torture", "format"} <= set(needs)
