"""Rules, dashboard and scraping name figures, labels, pages and files that there are."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from forecast_assets.core.operational_metrics import PREFIX
from tests.conftest import REPOSITORY
from tests.telemetry.test_documented import OF_A_HOME, OF_A_SERVICE

DEPLOY = REPOSITORY / "deploy"
METRICS = {f"{PREFIX}{each.name}": each for each in (*OF_A_SERVICE, *OF_A_HOME)}
# What Prometheus adds to every figure that it scrapes.
SCRAPED = {"instance", "job"}
_NAME = re.compile(rf"{PREFIX}\w+|forecast_assets:[\w:]+")
_SELECTOR = re.compile(rf"({PREFIX}\w+)(?:\{{([^}}]*)\}})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


def loaded(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def rules() -> list[dict[str, Any]]:
    return [rule for group in loaded("prometheus/rules.yaml")["groups"] for rule in group["rules"]]


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana/forecast-assets.json").read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule.get("alert", rule.get("record")), rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def metric_of(name: str) -> Any:
    found = METRICS.get(name)
    if found is None:
        found = METRICS.get(re.sub(r"_(bucket|count|sum)$", "", name))
        assert found is None or found.kind == "histogram", name
    return found


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_an_expression_names_figures_and_labels_that_there_are(where: str, expression: str) -> None:
    names = _NAME.findall(expression)
    assert names or "up{" in expression, where
    for name in names:
        assert name in recorded() if ":" in name else metric_of(name) is not None, name
    for name, labels in _SELECTOR.findall(expression):
        allowed = {*metric_of(name).labels, *SCRAPED}
        assert {*_LABEL.findall(labels)} <= allowed, f"{where}: {labels}"


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_what_is_grouped_by_is_a_label_of_a_figure_in_it(where: str, expression: str) -> None:
    metrics = [metric_of(name) for name in _NAME.findall(expression) if ":" not in name]
    known = {*SCRAPED, "le", *(label for metric in metrics for label in metric.labels)}
    grouped = {name.strip() for by in re.findall(r"\bby \(([^)]*)\)", expression) for name in by.split(",")}
    assert grouped <= known, where


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_counters_are_read_as_rates_and_brackets_close(where: str, expression: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing), where
    for name in re.findall(rf"{PREFIX}\w+_(?:total|bucket|count)\b", expression):
        before = expression[: expression.index(name)]
        assert re.search(r"(rate|increase)\($", before), f"{where}: {name}"


def left_over(expression: str) -> set[str]:
    """The labels that what an expression gives has: those of its aggregation, else all."""
    for rule in rules():
        if rule.get("record", "\0") in expression:
            return left_over(rule["expr"])
    grouped = {name.strip() for by in re.findall(r"\bby \(([^)]*)\)", expression) for name in by.split(",")}
    if grouped or re.match(r"(sum|max)\(", expression):
        return grouped
    return {*SCRAPED, *(label for name in _NAME.findall(expression) for label in metric_of(name).labels)}


@pytest.mark.parametrize("rule", [rule for rule in rules() if "alert" in rule], ids=lambda rule: rule["alert"])
def test_an_alert_has_its_page_severity_and_words(rule: dict[str, Any]) -> None:
    page = REPOSITORY / rule["annotations"]["runbook_url"]
    assert page.is_file()
    assert page.is_relative_to(REPOSITORY / "docs/runbooks")
    assert rule["labels"]["severity"] in {"warning", "critical"}
    named = {*re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])}
    assert named <= left_over(rule["expr"]), rule["alert"]


def test_names_of_alerts_come_once_and_what_is_watched_from_outside_is_there() -> None:
    names = [rule["alert"] for rule in rules() if "alert" in rule]
    assert len(names) == len({*names})
    watched = " ".join(rule["expr"] for rule in rules())
    for figure in (
        "request_seconds",
        "ledger_head_timestamp",
        "feed_lag_days",
        "breakers",
        "event_spool_bytes",
        "drift_signals_open",
        "coverage_share",
        "bias_share",
    ):
        assert figure in watched
    assert any(rule["expr"].startswith("absent(") for rule in rules())


def test_what_fires_and_what_is_silent_is_said_of_alerts_that_there_are() -> None:
    told = [each for case in loaded("prometheus/rules_test.yaml")["tests"] for each in case["alert_rule_test"]]
    pages = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules() if "alert" in rule}
    assert {each["alertname"] for each in told} <= {*pages}
    fired = [(each["alertname"], alert) for each in told for alert in each["exp_alerts"]]
    assert len(fired) >= 10
    for name, alert in fired:
        assert alert["exp_annotations"]["runbook_url"] == pages[name]


def test_every_page_for_prometheus_alone_belongs_to_an_alert() -> None:
    named = {rule["annotations"]["runbook_url"] for rule in rules() if "alert" in rule}
    pages = {str(page.relative_to(REPOSITORY)) for page in (REPOSITORY / "docs/runbooks/prometheus").glob("*.md")}
    assert pages <= named


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_in_which_unit_and_from_where(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    variables = {each["name"] for each in dashboard()["templating"]["list"]}
    for target in panel["targets"]:
        assert {*re.findall(r"\$(\w+)", target["expr"])} <= variables


def test_the_dashboard_has_its_rows_and_no_panel_lies_on_another() -> None:
    found = dashboard()
    rows = [panel["title"] for panel in found["panels"] if panel["type"] == "row"]
    assert {"Drift", "Volume", "Stability", "Accuracy", "Calibration", "Freshness", "Errors", "Latency"} <= {*rows}
    identities = [panel["id"] for panel in found["panels"]]
    assert len(identities) == len({*identities})
    taken = set()
    for panel in found["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_figure_is_on_the_dashboard() -> None:
    shown = " ".join(expression for _, expression in expressions())
    # Ages and counts that others on it say better, as docs/telemetry.md has it.
    left_out = {"ledger_head_age_seconds", "run_accepted_checks", "override_rows"}
    assert {name.removeprefix(PREFIX) for name in METRICS if name not in shown} == left_out


def test_prometheus_reads_the_rules_beside_it_and_scrapes_with_a_key() -> None:
    found = loaded("prometheus/prometheus.yaml")
    assert [(DEPLOY / "prometheus" / name).is_file() for name in found["rule_files"]] == [True]
    (scraped,) = found["scrape_configs"]
    assert scraped["metrics_path"] == "/metrics"
    assert scraped["authorization"]["credentials_file"]
    jobs = {job for _, expression in expressions() for job in re.findall(r'job="([^"]+)"', expression)}
    assert jobs == {scraped["job_name"]}


def test_grafana_finds_data_source_and_dashboard() -> None:
    (source,) = loaded("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["type"] == "prometheus"
    (provider,) = loaded("grafana/provisioning/dashboards/forecast-assets.yaml")["providers"]
    assert provider["options"]["path"].startswith("/")
