"""`mlflow sync`, `check`, `where`, and what commands say of the mirror that follows them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from forecast_assets.core.errors import MirrorDifferenceError
from forecast_assets.launch import Runner
from resources.stores.home import open_stores
from tests.support.command import Call, caller
from tests.support.mirrors import client, free_port, home_with
from tests.support.store_cases import register

COMMAND = Path(sys.executable).with_name("forecast-assets")
DECISION = ("--by", "ana", "--reason", "better")
# In a process of its own: every look-up of a name and every connection that is not to this machine is told and refused.
RECORDER = """
import json, sys
asked = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments
    else:
        return
    # A path is that of a socket of this machine.
    host = address[0] if isinstance(address, tuple) else "localhost"
    if host not in ("127.0.0.1", "::1", "localhost", "", None):
        asked.append([event, str(host)])
        raise OSError("nothing may leave this machine")
sys.addaudithook(watch)
"""
# Goes out in the ways that libraries do, and once to this machine.
KNOCKING = """
import socket, urllib.request
import requests
outside = ("192.0.2.1", 9)
def datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", outside)
for knock in (
    lambda: socket.create_connection(outside, timeout=1),
    lambda: socket.socket().connect_ex(outside),
    datagram,
    lambda: socket.gethostbyname("one.invalid"),
    lambda: urllib.request.urlopen("http://two.invalid/", timeout=1),
    lambda: requests.post("https://three.invalid/", timeout=1),
    lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
):
    try:
        knock()
    except OSError:
        pass
print(json.dumps(asked))
"""
# Runs a command, and lets MLflow report what it has to report.
COMMAND = """
import os, time
sys.argv = ["forecast-assets", *sys.argv[1:]]
if os.environ.pop("REPORTS", ""):
    # As if the project had switched nothing off.
    from resources.mlflow import place
    place.QUIET.clear()
from forecast_assets.cli import main
code = 0
try:
    main()
except SystemExit as stop:
    code = stop.code or 0
from mlflow.telemetry import get_telemetry_client
from mlflow.telemetry.utils import is_telemetry_disabled
reporter = get_telemetry_client()
if reporter is not None:
    reporter.flush()
    time.sleep(3)
print(json.dumps({"asked": asked, "reports": not is_telemetry_disabled(), "code": code}))
"""
# What MLflow takes for a reason not to report: test runners and CI services.
CI_NAMES = (
    "PYTEST_CURRENT_TEST",
    "CI",
    "GITHUB_ACTIONS",
    "CIRCLECI",
    "GITLAB_CI",
    "JENKINS_URL",
    "BUILDKITE",
    "TF_BUILD",
)


@pytest.fixture(scope="module")
def kept(trained: Runner, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return home_with(trained, tmp_path_factory.mktemp("commands") / "home", "stat-2")


@pytest.fixture
def home(kept: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import shutil

    shutil.copytree(kept.settings.home, tmp_path / "home", symlinks=True)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORECAST_ASSETS_MLFLOW", "true")
    return tmp_path / "home"


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    assert home.is_dir()
    return caller(monkeypatch, capsys)


def test_versions_are_mirrored_compared_and_made_anew(home: Path, call: Call) -> None:
    database = f"sqlite:///{home}/mlflow/mlflow.db"
    assert call("mlflow", "where") == (0, f"{database}\n")
    code, said = call("mlflow", "check")
    assert code == 5
    assert "there is no mirror yet" in said
    assert "forecast-assets mlflow sync" in said
    code, said = call("mlflow", "sync")
    assert code == 0
    assert f"MLflow at {database} follows the ledger up to entry 4: new: stat-1, stat-2; `champion` is stat-1." in said
    code, said = call("mlflow", "check")
    assert code == 0
    assert "says of 2 versions what the ledger says up to entry 4." in said
    assert "nothing had changed" in call("mlflow", "sync")[1]
    code, said = call("mlflow", "sync", "--rebuild")
    assert code == 0
    assert "new: stat-1, stat-2" in said
    pages = {path.name: path.stat().st_size for path in (home / "mlflow/artifacts").rglob("reports/*.html")}
    assert {"evaluation.html", "calibration.html"} == set(pages)
    assert min(pages.values()) > 10_000
    pictures = [path.read_bytes() for path in (home / "mlflow/artifacts").rglob("pictures/*.png")]
    assert len(pictures) >= 4
    assert all(each.startswith(b"\x89PNG") for each in pictures)


def test_a_promotion_is_followed_and_a_rollback_too(home: Path, call: Call) -> None:
    # Where there is no mirror yet, moving a channel makes none.
    assert "MLflow" not in call("promote", "stat-2", *DECISION)[1]
    assert not (home / "mlflow").exists()
    call("mlflow", "sync")
    code, said = call("rollback", *DECISION)
    assert code == 0
    assert said.index("champion is now stat-1") < said.index("`champion` is stat-1")
    assert "`champion` is stat-2" in call("promote", "stat-2", *DECISION)[1]
    code, said = call("retire", "stat-1", *DECISION)
    assert (code, "put right: stat-1" in said) == (0, True)
    assert call("mlflow", "check")[0] == 0


def test_a_mirror_that_is_down_is_told_and_stops_nobody(
    home: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_MLFLOW_URI", f"http://127.0.0.1:{free_port()}")
    code, said = call("promote", "stat-2", *DECISION)
    assert code == 0
    assert said.index("champion is now stat-2") < said.index(
        "warning: MLflow is late, and what was recorded stays so. MLflow at "
    )
    assert said.rstrip().endswith("Mend the access, then catch up: forecast-assets mlflow sync.")
    assert open_stores(home / "store").ledger.state().channel("champion") == "stat-2"
    code, said = call("mlflow", "sync")
    assert (code, "does not answer" in said) == (6, True)
    monkeypatch.delenv("FORECAST_ASSETS_MLFLOW_URI")
    assert "`champion` is stat-2" in call("mlflow", "sync")[1]


def test_a_database_of_another_release_is_told_and_stops_nobody(home: Path, call: Call) -> None:
    import sqlite3
    from contextlib import closing

    call("mlflow", "sync")
    with closing(sqlite3.connect(home / "mlflow/mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    code, said = call("promote", "stat-2", *DECISION)
    assert code == 0
    assert "is of another release of MLflow" in said
    assert "make the mirror anew from the ledger: forecast-assets mlflow sync." in said
    code, said = call("mlflow", "sync")
    assert code == 4
    assert "Move `" in said
    (home / "mlflow").rename(home / "aside")
    assert "new: stat-1, stat-2; `champion` is stat-2" in call("mlflow", "sync")[1]


def test_a_folder_that_cannot_be_made_is_told_and_stops_nobody(home: Path, call: Call) -> None:
    (home / "mlflow").write_text("in the way")
    code, said = call("promote", "stat-2", *DECISION)
    assert (code, "champion is now stat-2" in said) == (0, True)
    assert call("mlflow", "sync")[0] == 6


def test_many_differences_are_counted_and_ten_are_named() -> None:
    error = MirrorDifferenceError("MLflow", [f"`v-{number}` is missing" for number in range(12)])
    assert "`v-9` is missing; and 2 more." in str(error)
    assert "v-10" not in str(error)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",), ("versions",), ("mlflow", "where"), ("mlflow", "--help"), ("promote", "stat-2", *DECISION),
        ("log",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_commands_that_do_not_need_mlflow_never_load_it(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    stores = open_stores(tmp_path / "home/store")
    for name in ("stat-1", "stat-2"):
        register(stores, name, horizon=90)
    program = (
        "import sys\nfrom forecast_assets.cli import main\ntry:\n    main()\nfinally:\n"
        "    print('loaded:', [n for n in ('mlflow', 'sqlalchemy', 'alembic') if n in sys.modules])"
    )
    environment = {**os.environ, "FORECAST_ASSETS_HOME": str(tmp_path / "home"), "FORECAST_ASSETS_MLFLOW": "true"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "loaded: []" in done.stdout, done.stdout + done.stderr


def test_whatever_would_leave_the_machine_is_noticed() -> None:
    """The control of the test below."""
    done = subprocess.run(
        [sys.executable, "-c", f"{RECORDER}{KNOCKING}"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        ["socket.getaddrinfo", "192.0.2.1"], ["socket.connect", "192.0.2.1"], ["socket.sendto", "192.0.2.1"],
        ["socket.gethostbyname", "one.invalid"], ["socket.getaddrinfo", "two.invalid"],
        ["socket.getaddrinfo", "three.invalid"],
    ]  # fmt: skip


@pytest.mark.parametrize("reports", [False, True])
def test_nothing_leaves_the_machine(home: Path, *, reports: bool) -> None:
    """Outside of CI's and pytest's own switches: where the project's are left out, MLflow would report."""
    environment = {name: value for name, value in os.environ.items() if name not in CI_NAMES}
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        environment.pop(name, None)
    if reports:
        environment["REPORTS"] = "1"
    command = [sys.executable, "-c", f"{RECORDER}{COMMAND}", "mlflow", "sync"]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["code"] == 0
    assert told["reports"] is reports
    assert bool(told["asked"]) is reports, told["asked"]


def test_mlflow_writes_nothing_into_the_working_folder(
    home: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("mlflow", "sync")[0] == 0
    assert list((tmp_path / "elsewhere").iterdir()) == []
    from resources.mlflow.place import MirrorPlace

    found = client(MirrorPlace(home / "mlflow", "forecast-assets")).get_experiment_by_name("forecast-assets")
    assert found.artifact_location == f"{home}/mlflow/artifacts"


def test_a_trial_is_followed_from_its_beginning_to_its_end(call: Call) -> None:
    call("mlflow", "sync")
    code, said = call("challenger", "set", "stat-2", "--share", "0.5", *DECISION)
    assert (code, "`challenger` is stat-2" in said) == (0, True), said
    assert call("mlflow", "check")[0] == 0
    code, said = call("challenger", "stop", *DECISION)
    assert code == 0, said
    assert call("mlflow", "check")[0] == 0
