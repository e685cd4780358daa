"""What is in deploy/ fits the product and itself: settings, commands, ports, names, images, users."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from forecast_assets import __version__
from forecast_assets.settings import Settings
from tests.conftest import REPOSITORY
from tests.test_docs import parse

DEPLOY = REPOSITORY / "deploy"
YAML = sorted(DEPLOY.rglob("*.yaml"))
KUBERNETES = ("home", "api", "backup")
SETTINGS = {f"FORECAST_ASSETS_{name.upper()}" for name in Settings.model_fields}
# Of deploy/.env: which images the services are of.
IMAGES = {"FORECAST_ASSETS_IMAGE", "FORECAST_ASSETS_MLFLOW_IMAGE"}
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::\?[^}]*)?\}")


def named(path: Path) -> str:
    return str(path.relative_to(DEPLOY))


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((DEPLOY / f"kubernetes/{name}.yaml").read_text()) if each]


COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OF_PRODUCT = {name: each for name, each in SERVICES.items() if "FORECAST_ASSETS_IMAGE" in each["image"]}
RESOURCES = [resource for name in KUBERNETES for resource in documents(name)]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in RESOURCES:
        spec = resource.get("spec", {})
        pod = spec.get("jobTemplate", {}).get("spec", spec).get("template", {}).get("spec")
        if pod:
            yield resource["metadata"]["name"], pod


PODS = [*pods()]


@pytest.mark.parametrize("path", YAML, ids=named)
def test_a_file_is_well_formed_and_says_nothing_twice(path: Path) -> None:
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        assert len(keys) == len({*keys}), f"{path.name}: {keys}"
        loader.flatten_mapping(node)
        return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    assert [*yaml.load_all(path.read_text(), Strict)]


@pytest.mark.parametrize("path", [each for each in DEPLOY.rglob("*") if each.is_file()], ids=named)
def test_every_setting_that_is_named_is_one(path: Path) -> None:
    assert {*re.findall(r"FORECAST_ASSETS_[A-Z_]+[A-Z]", path.read_text())} <= SETTINGS | IMAGES


def test_what_the_settings_are_set_to_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = [each["data"] for each in RESOURCES if each["kind"] == "ConfigMap"]
    for values in (config, COMPOSE["x-product"]["environment"]):
        with monkeypatch.context() as patch:
            for name, value in values.items():
                patch.setenv(name, _VARIABLE.sub("secret", value))
            assert str(Settings().home) == "/srv/forecasts"


def commands() -> Iterator[tuple[str, list[str]]]:
    for name, service in OF_PRODUCT.items():
        yield name, service["command"]
    for name, pod in PODS:
        for container in pod["containers"]:
            yield name, container["args"]
    (told,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    yield "Dockerfile", json.loads(told)


@pytest.mark.parametrize(("where", "words"), [*commands()])
def test_every_command_exists_with_its_options(where: str, words: list[str]) -> None:
    words = [str(each) for each in words]
    if words[0] == "forecast-assets":
        assert parse(words[1:]).command.callback, where
        return
    options = {option for word in words[1:] if (option := word.split("=", maxsplit=1)[0]).startswith("--")}
    assert options <= options_of_dagster(words), where


def options_of_dagster(words: list[str]) -> set[str]:
    """The options that a command of Dagster has."""
    import click
    from dagster._cli.code_server import start_command
    from dagster._daemon.cli import run_command
    from dagster_webserver.cli import dagster_webserver

    known: dict[str, click.Command] = {
        "dagster code-server start": start_command,
        "dagster-webserver": dagster_webserver,
        "dagster-daemon run": run_command,
    }
    (found,) = [command for name, command in known.items() if words[: len(name.split())] == name.split()]
    return {option for parameter in found.params for option in parameter.opts}


def test_secrets_come_from_outside_and_example_names_each() -> None:
    asked = {*_VARIABLE.findall((DEPLOY / "compose.yaml").read_text())}
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (DEPLOY / "example.env").read_text(), re.MULTILINE))
    assert asked == {*example}
    assert {name for name, value in example.items() if value} == IMAGES
    ignored = (REPOSITORY / ".gitignore").read_text().splitlines()
    assert {"deploy/.env", "deploy/secrets/"} <= {*ignored}
    assert [name for each in COMPOSE["secrets"].values() for name in [each["file"]]] == ["./secrets/metrics_key"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_of_a_pinned_image_is_looked_at_and_has_what_it_stands_on(name: str) -> None:
    service = SERVICES[name]
    if name != "bucket":
        assert service["restart"] == "unless-stopped"
        # The follower of the outbox listens nowhere: how far it is behind is told by the page and by `outbox status`.
        assert name == "outbox" or service["healthcheck"]["test"]
    assert {*service.get("depends_on", {})} <= {*SERVICES}
    for needed, how in service.get("depends_on", {}).items():
        assert how["condition"] == "service_completed_successfully" or "healthcheck" in SERVICES[needed]
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), mount
    image = service["image"]
    if not _VARIABLE.match(image):
        assert re.search(r":[\w.-]*\d+[\w.-]*$", image), image


def test_no_image_is_the_latest_and_no_registry_of_packages_is_named() -> None:
    for path in [*DEPLOY.rglob("*"), REPOSITORY / ".dockerignore"]:
        if path.is_file():
            text = path.read_text()
            assert ":latest" not in text, path
            assert not re.search(r"pypi\.|index-url|pythonhosted", text), path


def test_images_of_the_product_are_of_its_version() -> None:
    images = {container["image"] for _, pod in PODS for container in pod["containers"]}
    images |= set(re.findall(r"^FORECAST_ASSETS_IMAGE=(.*)$", (DEPLOY / "example.env").read_text(), re.MULTILINE))
    assert images == {f"forecast-assets:{__version__}"}
    values = yaml.safe_load((DEPLOY / "kubernetes/dagster-values.yaml").read_text())
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    for part in (values["dagsterWebserver"], values["dagsterDaemon"], deployment):
        assert (part["image"]["repository"], part["image"]["tag"]) == ("forecast-assets", __version__)


def test_the_chart_is_of_the_release_of_dagster_in_the_lock() -> None:
    (locked,) = re.findall(r"^dagster==(\S+)", (REPOSITORY / "requirements-deploy.lock").read_text(), re.MULTILINE)
    assert f"--version {locked} " in (DEPLOY / "kubernetes/dagster-values.yaml").read_text()


def port_of(words: list[str]) -> int:
    return int(words[words.index("--port") + 1])


def test_ports_agree_between_files() -> None:
    api = {f"{name}:{port_of(SERVICES[name]['command'])}" for name in ("api-1", "api-2")}
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert {*re.findall(r"^\s*server (\S+:\d+) max_fails", nginx, re.MULTILINE)} == api
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())["scrape_configs"][0]
    assert {*scraped["static_configs"][0]["targets"]} == api
    (listens,) = re.findall(r"^\s*listen (\d+);", nginx, re.MULTILINE)
    assert SERVICES["balancer"]["ports"] == [f"127.0.0.1:{listens}:{listens}"]
    assert COMPOSE["x-product"]["environment"]["FORECAST_ASSETS_API_URL"] == f"http://balancer:{listens}"
    (location,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    environment = COMPOSE["x-product"]["environment"]
    asked = {
        name: environment[value["env"]] for name, value in location["grpc_server"].items() if name != "location_name"
    }
    assert asked == {"host": "code-location", "port": str(port_of(SERVICES["code-location"]["command"]))}
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    for service in SERVICES.values():
        for published in service.get("ports", []):
            assert published.startswith("127.0.0.1:"), "others reach nothing unless somebody says so"


def test_every_server_that_a_setting_names_is_a_service() -> None:
    hosts = set()
    for value in COMPOSE["x-product"]["environment"].values():
        hosts |= set(re.findall(r"(?:@|//|^)([a-z][a-z0-9-]*):\d+", _VARIABLE.sub("secret", value)))
    assert hosts - {"forecasts"} <= {*SERVICES}
    assert {"postgresql", "redis", "kafka", "minio", "mlflow", "balancer"} <= hosts


def test_every_database_that_is_used_is_made() -> None:
    made = set(re.findall(r"^CREATE DATABASE (\w+);", (DEPLOY / "postgresql-databases.sql").read_text(), re.MULTILINE))
    text = (DEPLOY / "compose.yaml").read_text()
    used = set(re.findall(r"@postgresql:5432/(\w+)", text)) | {
        COMPOSE["x-product"]["environment"]["DAGSTER_POSTGRES_DB"]
    }
    assert made == used


@pytest.mark.parametrize("name", ["Dockerfile", "mlflow.Dockerfile"])
def test_an_image_runs_as_a_user_without_rights_and_copies_what_there_is(name: str) -> None:
    text = (DEPLOY / name).read_text()
    last = text.rsplit("\nFROM ", 1)[-1]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert last.index("USER 10001") > max((last.rindex(word) for word in ("RUN ", "COPY ") if word in last), default=0)
    taken = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        sources = [word for word in shlex.split(line) if not word.startswith("--")][:-1]
        for source in sources:
            assert (REPOSITORY / source).exists(), source
            assert f"!{source}" in taken, source


def test_the_image_is_made_of_the_lock_with_hashes_in_two_stages() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert "--require-hashes --no-deps -r requirements-deploy.lock" in text
    assert len(re.findall(r"^FROM python:\$\{PYTHON\}", text, re.MULTILINE)) == 2
    assert re.search(r"^ARG PYTHON=3\.\d+\.\d+-", text, re.MULTILINE)


@pytest.mark.parametrize(("name", "pod"), PODS, ids=[name for name, _ in PODS])
def test_a_pod_has_no_rights_and_says_what_it_needs(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    names = {resource["metadata"]["name"] for resource in RESOURCES}
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"]["memory"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        if name == "forecast-assets-api":
            assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
            assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    claims = {
        volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume
    }
    assert claims <= names
    assert pod["serviceAccountName"] in names


def test_a_process_is_sent_nothing_before_it_refuses_what_is_new_and_is_not_killed_before_it_ends() -> None:
    (pod,) = [pod for name, pod in PODS if name == "forecast-assets-api"]
    (container,) = pod["containers"]
    grace = float(container["args"][container["args"].index("--grace") + 1])
    probe = container["readinessProbe"]
    assert grace > probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert pod["terminationGracePeriodSeconds"] > grace + 10


def test_selectors_meet_the_pods_that_they_mean() -> None:
    by_kind = {resource["kind"]: resource for resource in documents("api")}
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert by_kind["Service"]["spec"]["selector"] == labels
    assert by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    target = by_kind["HorizontalPodAutoscaler"]["spec"]
    assert target["scaleTargetRef"]["name"] == by_kind["Deployment"]["metadata"]["name"]
    assert (
        target["minReplicas"]
        == by_kind["Deployment"]["spec"]["replicas"]
        > by_kind["PodDisruptionBudget"]["spec"]["minAvailable"]
    )


def test_no_two_backups_run_at_once() -> None:
    jobs = documents("backup")
    assert [job["spec"]["concurrencyPolicy"] for job in jobs] == ["Forbid"] * len(jobs)
    said = [job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] for job in jobs]
    assert {tuple(words[1:2] + [word for word in words if word == "--verify"]) for words in said} == {
        ("backup",), ("backup", "--verify"), ("verify",),
    }  # fmt: skip


def test_the_instance_queues_runs_as_the_usual_one_does() -> None:
    ours = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    usual = yaml.safe_load((REPOSITORY / "resources/dagster.yaml").read_text())
    for name in ("telemetry", "nux", "compute_logs"):
        assert ours[name] == usual[name]
    most = usual["concurrency"]["runs"]["max_concurrent_runs"]
    assert ours["concurrency"]["runs"]["max_concurrent_runs"] == most
    values = yaml.safe_load((DEPLOY / "kubernetes/dagster-values.yaml").read_text())
    coordinator = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert coordinator["maxConcurrentRuns"] == most
    asked = set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text()))
    assert asked <= COMPOSE["x-product"]["environment"].keys()
