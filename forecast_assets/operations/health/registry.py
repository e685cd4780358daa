"""Which probes there are: one line each.

What belongs here: the list, in the order in which `doctor` shows it. What does not: any probe.

A new one is a function in a module of this folder, its codes in `core.health`, a line here, and a page in
`docs/runbooks` if it is told as an alert.
"""

from typing import Final

from forecast_assets.operations.health import installation, places, punctuality, quality
from forecast_assets.operations.health.look import Probe

ALERTING: Final = (
    Probe("ledger", ("ledger-unreadable",), places.ledger),
    Probe("feeds", ("late-feed",), punctuality.late_feeds, needs_ledger=True),
    Probe("runs that are due", ("late-run",), punctuality.late_runs, needs_ledger=True),
    Probe("runs and checks", ("failed-run", "failed-check"), quality.failed_runs),
    Probe("stored bytes", ("verify-finding",), places.stored_bytes, needs_ledger=True),
    Probe("drift", ("drift-confirmed",), quality.drift, needs_ledger=True),
    Probe("bias", ("bias-out-of-bounds",), quality.bias, needs_ledger=True),
    Probe("coverage", ("coverage-out-of-bounds",), quality.coverage, needs_ledger=True),
    Probe("trials", ("challenger-verdict",), quality.verdicts, needs_ledger=True),
    Probe("service", ("service-unavailable", "service-degraded", "breaker-open"), places.service),
    Probe("spool of events", ("spool-growing",), places.spool),
    Probe("disk", ("disk-nearly-full",), places.disks),
    Probe("MLflow", ("mlflow-behind",), places.mlflow, needs_ledger=True),
    Probe("operational copy", ("copy-behind",), places.operational_copy, needs_ledger=True),
    Probe("Redis", ("redis-down",), places.redis),
    Probe("event store", ("event-store-down",), places.event_database),
    Probe("broker", ("broker-down",), places.broker),
    Probe("destinations of events", ("outbox-behind",), places.outbox, needs_ledger=True),
    Probe("backup", ("backup-old",), places.backup, needs_ledger=True),
    Probe("clock", ("clock-behind",), punctuality.clock, needs_ledger=True),
    Probe("destinations of alerts", ("destination-down",), places.destinations),
)
# Of these, what the page of a service looks at. Left to alerts: what only Dagster remembers, what hashes files, what
# would ask the service itself, and what loads MLflow, which takes seconds and 200 MB.
_NOT_ON_A_PAGE: Final = ("runs and checks", "stored bytes", "service", "MLflow")
ON_A_PAGE: Final = tuple(probe for probe in ALERTING if probe.name not in _NOT_ON_A_PAGE)
INSTALLATION: Final = (
    Probe("home", ("home-unusable",), installation.home),
    Probe("Python", ("python-too-old",), installation.python),
    Probe("libraries", ("versions-differ",), installation.libraries),
    Probe("permissions", ("too-open",), installation.permissions),
    Probe("ports", (), installation.ports),
    Probe("catalogue", ("catalogue-behind",), installation.catalogue, needs_ledger=True),
    Probe("Dagster", ("dagster-home",), installation.dagster),
    Probe("vacuum", ("vacuum-open",), installation.vacuum, needs_ledger=True),
)
EVERYTHING: Final = (*INSTALLATION, *ALERTING)
