"""The page of telemetry has every metric, span and setting, and none that there is not."""

import re

from forecast_assets.core.operational_metrics import PREFIX, OperationalMetric
from forecast_assets.scoring.run import STAGES
from forecast_assets.serving.api.metrics_route import QUEUE_METRICS
from forecast_assets.serving.dataplane.service_metrics import SERVICE_METRICS
from forecast_assets.settings import Settings
from forecast_assets.telemetry.collectors import FAILED, HOME_COLLECTORS
from forecast_assets.telemetry.request_metrics import REQUEST_METRICS
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs/telemetry.md").read_text()
OF_A_SERVICE = (*REQUEST_METRICS, *QUEUE_METRICS, *SERVICE_METRICS)
OF_A_HOME = (*(metric for each in HOME_COLLECTORS for metric in each.metrics), FAILED)
_SEAM = REPOSITORY / "forecast_assets/core/spans.py"
# What tells of work: `span("name"`, `outermost("name"`, `whole("name"`, `later("name"`.
_TOLD = re.compile(r"\b(?:span|outermost|whole|later)\(\s*\"([^\"]+)\"")


def metrics_table() -> str:
    """The table as the page has it between its marks."""

    def rows(title: str, metrics: tuple[OperationalMetric, ...]) -> list[str]:
        return [
            f"| {title} | type | unit | labels | meaning |",
            "|---|---|---|---|---|",
            *(
                f"| `{each.name}` | {each.kind} | {each.unit} | {', '.join(f'`{label}`' for label in each.labels)} "
                f"| {each.meaning} |"
                for each in metrics
            ),
        ]

    return "\n".join(["", *rows("of a service", OF_A_SERVICE), "", *rows("of a home", OF_A_HOME), "", ""])


def test_the_page_has_every_metric_as_the_code_declares_it() -> None:
    between = PAGE.split("<!-- metrics -->", 1)[1].split("<!-- /metrics -->", 1)[0]
    assert between == metrics_table(), f"put this between the marks of docs/telemetry.md:\n{metrics_table()}"


def test_names_say_their_unit_and_come_once() -> None:
    names = [metric.name for metric in (*OF_A_SERVICE, *OF_A_HOME)]
    assert len(names) == len({*names})
    for metric in (*OF_A_SERVICE, *OF_A_HOME):
        assert re.fullmatch(r"[a-z][a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.meaning.endswith("."), metric.name
        for unit in ("seconds", "bytes", "days"):
            assert (metric.unit == unit) <= (unit in metric.name), metric.name


def test_metrics_named_in_passing_exist() -> None:
    known = {metric.name for metric in (*OF_A_SERVICE, *OF_A_HOME)}
    named = {name.removeprefix(PREFIX) for name in re.findall(rf"{PREFIX}[a-z_]+", PAGE)} - {""}
    suffixes = re.compile(r"_(bucket|count|sum)$")
    attributes = {"run_traceparent"}
    assert {name for name in named if suffixes.sub("", name) not in known | attributes} == set()


def test_the_page_has_every_span_that_the_code_tells_of() -> None:
    sources = [
        path for room in ("forecast_assets", "resources", "checks") for path in (REPOSITORY / room).rglob("*.py")
    ]
    told = {name for path in sources if path != _SEAM for name in _TOLD.findall(path.read_text())}
    table = PAGE.split("| span | what goes on | facts |", 1)[1].split("\n\n", 1)[0]
    documented = {
        name
        for line in table.splitlines()
        for name in re.findall(r"`([^`]+)`", line.split("|")[1] if "|" in line else "")
    }
    assert documented == {*told, *STAGES, "feature_snapshots"}


def test_the_page_has_every_setting_of_telemetry() -> None:
    documented = set(re.findall(r"^\| `FORECAST_ASSETS_([A-Z_]+)`", PAGE, re.MULTILINE))
    assert documented == {"OTLP", "TRACE_FILE", "TRACE_SHARE", "TRACE_SHARE_ANSWERS", "METRICS_FILE", "LOG_FORMAT"}
    assert {name.lower() for name in documented} <= {*Settings.model_fields}
