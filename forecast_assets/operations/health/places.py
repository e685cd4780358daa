"""Probes of what a home stands on: ledger and stored bytes, disks, the spool, mirrors, servers, its own destinations.

What belongs here: whether each is there and says what it should. What does not: mending it.
"""

import shutil
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.addresses import without_password
from forecast_assets.core.errors import (
    ForecastAssetsError,
    IntegrityError,
    MirrorConflictError,
    MirrorUnavailableError,
    StorageError,
    first_ten,
)
from forecast_assets.core.health import HealthFinding
from forecast_assets.core.wording import counted
from forecast_assets.operations.backing_up import last_backup
from forecast_assets.operations.copying import home_copy, is_copied, runs_to_copy
from forecast_assets.operations.health.look import HomeLook, Seen, age, not_watched
from forecast_assets.operations.home_broker import required_broker
from forecast_assets.operations.mirroring import compare_mirror, mirror_place
from forecast_assets.operations.outbox import events_behind, home_destinations, outbox_state
from forecast_assets.operations.prediction_events import events_store
from forecast_assets.operations.service_health import told_state
from resources.events.segments import SUFFIX
from resources.events.spool import ASIDE
from resources.maintenance.sampling import look_at_some
from resources.redis_server.server import RedisServer

# What was published a moment ago is on its way to mirrors.
_ON_ITS_WAY: Final = timedelta(minutes=10)
# A sink takes what is in the spool within seconds.
_WAITS_LONG: Final = timedelta(minutes=10)
# A destination of events that takes none, and one that nobody tells: the sensor does every half minute.
_TAKES_NONE: Final = timedelta(minutes=10)
_IS_NOT_TOLD: Final = timedelta(minutes=30)
_SPOOL_SHARE: Final = 0.25
_MEGABYTE: Final = 1 << 20
# How a service says that published rows answer in the place of a model (`serving.dataplane`).
_BREAKER: Final = "breaker"


def ledger(look: HomeLook) -> Seen:
    """Look whether the ledger can be read; whoever reads it walks its chain."""
    try:
        state = look.state
    except (IntegrityError, StorageError, OSError) as error:
        words = str(error.message) if isinstance(error, ForecastAssetsError) else str(error)
        remedy = error.remedy if isinstance(error, ForecastAssetsError) else "Make it readable for this user."
        found = HealthFinding("ledger-unreadable", "ledger", words, remedy, {"error": type(error).__name__})
        return Seen("cannot be read", (found,))
    place = without_password(look.settings.store)
    return Seen(f"entry {state.sequence}, head {state.head[:12] or 'none'}, in {place}")


def stored_bytes(look: HomeLook) -> Seen:
    """Hash some of what the ledger names, in turn, and again what was found before; changes nothing in the store."""
    found = look_at_some(look.stores, look.state, look.settings.operational_path, look.now, keeps=not look.is_read_only)
    findings = tuple(
        HealthFinding(
            "verify-finding",
            path,
            f"`{path}`: {why}",
            Sentence("Restore it from the backup, and look for more: ", Action("verify"), "."),
            {"path": path},
        )
        for path, why in found.wrong.items()
    )
    return Seen(f"{found.looked:,} of {found.all:,} files looked at now, in turn", findings)


def disks(look: HomeLook) -> Seen:
    """Look how much room is left where the home, the store and temporary files are."""
    least, words, found = look.settings.disk_free_mb * _MEGABYTE, [], []
    for device, path in _disks(look).items():
        usage = shutil.disk_usage(path)
        words.append(f"{usage.free / 1e9:,.1f} GB free at {path}")
        if usage.free < least:
            found.append(
                HealthFinding(
                    "disk-nearly-full",
                    str(path),
                    f"{usage.free / _MEGABYTE:,.0f} MB are free at {path}, of {usage.total / _MEGABYTE:,.0f}.",
                    Sentence(
                        "Free space outside of the store, or let go of what no entry names: ",
                        Action("vacuum"),
                        ".",
                    ),
                    {"path": str(path), "free_bytes": usage.free, "device": device},
                )
            )
    return Seen("; ".join(words), tuple(found))


def _disks(look: HomeLook) -> Mapping[int, Path]:
    """Return a folder of each disk that is needed."""
    home = look.settings.home.expanduser().absolute()
    folders = [home, look.settings.store_folder, look.settings.dagster_folder, look.settings.spool_folder]
    there = [next(part for part in (folder, *folder.parents) if part.exists()) for folder in folders]
    found: dict[int, Path] = {}
    for folder in there:
        found.setdefault(folder.stat().st_dev, folder)
    return found


def spool(look: HomeLook) -> Seen:
    """Look whether prediction events wait for a sink for long, or take a good part of what they may."""
    folder, most = look.settings.spool_folder, look.settings.event_spool_mb * _MEGABYTE
    size, oldest = 0, look.now.timestamp()
    for path in _segments(folder):
        try:
            found = path.stat()
        except FileNotFoundError:  # handed over meanwhile
            continue
        size += found.st_size
        oldest = min(oldest, found.st_mtime) if found.st_size else oldest
    waits = timedelta(seconds=max(look.now.timestamp() - oldest, 0.0))
    words = f"{size / _MEGABYTE:,.1f} MB wait"
    if not size or (size <= _SPOOL_SHARE * most and waits <= _WAITS_LONG):
        return Seen(words)
    minutes = counted(int(waits.total_seconds() // 60), "minute")
    finding = HealthFinding(
        "spool-growing",
        "spool",
        f"{size / _MEGABYTE:,.1f} MB of prediction events wait, of {most // _MEGABYTE:,} MB at most, for {minutes}.",
        Sentence(
            "See why the sink takes none; what dead services left is handed over by: ", Action("events drain"), "."
        ),
        {"bytes": size, "most_bytes": most, "seconds": int(waits.total_seconds())},
    )
    return Seen(words, (finding,))


def _segments(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for inner in folder.iterdir()
        if inner.is_dir() and inner.name != ASIDE
        for path in inner.glob(f"*{SUFFIX}")
    ]


def mlflow(look: HomeLook) -> Seen:
    """Look whether MLflow says what the ledger says; again only where either has changed, or a server is asked."""
    if not look.settings.mlflow:
        return not_watched("off: FORECAST_ASSETS_MLFLOW")
    state, place = look.state, mirror_place(look.settings)
    recorded = [each.recorded_at for each in state.versions.values()]
    recorded += [each.recorded_at for each in state.channel_moves]
    if not recorded:
        return not_watched("no version is registered")
    if age(look, max(recorded)) < _ON_ITS_WAY:
        return Seen("follows shortly")
    try:
        differences = look.remembered.get(
            "mlflow", _mlflow_rests_on(look), lambda: compare_mirror(look.stores, place).differences
        )
    except (MirrorUnavailableError, MirrorConflictError) as error:
        finding = HealthFinding("mlflow-behind", "mlflow", str(error.message), Sentence(error.remedy))
        return Seen("does not follow", (finding,))
    if not differences:
        return Seen(f"says what the ledger says of {counted(len(state.versions), 'version')}")
    finding = HealthFinding(
        "mlflow-behind",
        "mlflow",
        f"MLflow says other than the ledger: {first_ten(differences)}.",
        Sentence(
            "Let it follow: ",
            Action("mlflow sync"),
            "; what somebody changed there: ",
            Action("mlflow sync", {"rebuild": True}),
            ".",
        ),
        {"differences": list(differences)},
    )
    return Seen("does not follow", (finding,))


def _mlflow_rests_on(look: HomeLook) -> object:
    """Return what a comparison rests on: files of a database of the home; of a server the moment, to the minute."""
    if look.settings.mlflow_uri:
        return look.state.sequence, look.now.replace(second=0, microsecond=0)
    folder = look.settings.mlflow_folder
    files = sorted(folder.glob("*.db*")) if folder.is_dir() else []
    return look.state.sequence, [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files]


def operational_copy(look: HomeLook) -> Seen:
    """Look whether the operational copy has every run that it should."""
    if not is_copied(look.settings):
        return not_watched("off: FORECAST_ASSETS_OPERATIONAL_COPY")
    remedy = Sentence("See that the database answers; then: ", Action("copy sync"), ".")
    try:
        due = runs_to_copy(look.stores, home_copy(look.settings), look.settings.operational_copy_runs)
    except (MirrorUnavailableError, MirrorConflictError) as error:
        finding = HealthFinding("copy-behind", "copy", str(error.message), remedy)
        return Seen("does not answer", (finding,))
    published = look.state.publications
    late = [key for key in due if key not in published or age(look, published[key].recorded_at) > _ON_ITS_WAY]
    if not late:
        return Seen("has the runs that it should")
    words = f"The operational copy differs in {counted(len(late), 'run')}: {first_ten(late)}."
    return Seen("behind", (HealthFinding("copy-behind", "copy", words, remedy, {"runs": [str(key) for key in late]}),))


def redis(look: HomeLook) -> Seen:
    """Look whether the Redis that services share answers."""
    if look.settings.redis is None:
        return not_watched("not set: FORECAST_ASSETS_REDIS")
    server = RedisServer(look.settings.redis)
    try:
        trouble = server.trouble()
    finally:
        server.close()
    if trouble is None:
        return Seen(f"{server.place} answers")
    finding = HealthFinding(
        "redis-down",
        "redis",
        f"Redis at {server.place} does not answer ({trouble}); services go on, each by itself.",
        "Start it again, or leave FORECAST_ASSETS_REDIS out; services notice within seconds.",
    )
    return Seen("does not answer", (finding,))


def event_database(look: HomeLook) -> Seen:
    """Look whether the database of prediction events answers, where it is a PostgreSQL."""
    if look.settings.event_store is None:
        return not_watched("in a file of the home")
    place = without_password(look.settings.event_store)
    try:
        days = events_store(look.settings).days()
    except StorageError as error:
        finding = HealthFinding(
            "event-store-down",
            "events",
            str(error.message),
            Sentence("Start it again; events wait in the spool until then, and are handed over by themselves."),
        )
        return Seen("does not answer", (finding,))
    return Seen(f"{place} answers, events of {counted(len(days), 'day')}")


def broker(look: HomeLook) -> Seen:
    """Look whether the message broker answers."""
    if look.settings.broker is None:
        return not_watched("not set: FORECAST_ASSETS_BROKER")
    with closing(required_broker(look.settings)) as asked:
        trouble = asked.trouble()
        if trouble is None:
            return Seen(f"{asked.place} answers")
        finding = HealthFinding(
            "broker-down",
            "broker",
            f"The broker at {asked.place} does not answer ({trouble}); what there is to tell waits for it.",
            Sentence("Start it again, or mend access; then: ", Action("outbox deliver"), "."),
        )
        return Seen("does not answer", (finding,))


def outbox(look: HomeLook) -> Seen:
    """Look whether destinations of events are told what is recorded."""
    names = {each.name for each in home_destinations(look.settings)}
    if not names:
        return not_watched("nobody is told: FORECAST_ASSETS_BROKER, FORECAST_ASSETS_WEBHOOKS")
    state = [each for each in outbox_state(look.settings, look.stores) if each.place.destination in names]
    found = []
    for each in state:
        place = each.place
        if place.trouble:
            # Also where it lacks nothing: of a ledger that was restored it has more than there is.
            since, least = place.trouble_since, _TAKES_NONE
        else:
            waiting = events_behind(look.settings, look.stores, place.stream, place.position, 1)
            if not waiting:
                continue
            # Where nothing was recorded for days there was nothing to tell.
            since, least = max(place.at, waiting[0].at, key=datetime.fromisoformat), _IS_NOT_TOLD
        if age(look, since) <= least:
            continue
        why = place.trouble or f"it was last told something at {place.at}, and nobody tells it"
        found.append(
            HealthFinding(
                "outbox-behind",
                f"{place.destination}, {place.stream}",
                f"{place.destination} lacks {counted(each.waiting, 'event')} of `{place.stream}` since {since}: {why}",
                Sentence("See that it answers; then: ", Action("outbox deliver"), "."),
                {"destination": place.destination, "stream": place.stream, "waiting": each.waiting},
            )
        )
    return Seen(f"{counted(sum(each.waiting for each in state), 'event')} wait", tuple(found))


def backup(look: HomeLook) -> Seen:
    """Look whether what was recorded is backed up, where backups are made at all."""
    newest = last_backup(look.settings)
    if newest is None:
        return not_watched("this home was never backed up")
    words = f"up to {newest.recovery_point}, to {newest.place}"
    hours = timedelta(hours=look.settings.backup_hours)
    if newest.head == f"{look.state.sequence}:{look.state.head}" or age(look, newest.recovery_point) <= hours:
        return Seen(words)
    finding = HealthFinding(
        "backup-old",
        "backup",
        f"The newest backup goes up to {newest.recovery_point}, and entries were recorded since.",
        Sentence("Make one; it copies only what is not there yet: ", Action("backup", on=(newest.place,)), "."),
        {"place": newest.place, "recovery_point": newest.recovery_point},
    )
    return Seen(words, (finding,))


def service(look: HomeLook) -> Seen:
    """Look what the service says of itself, where its address is set."""
    url = look.settings.api_url
    if url is None:
        return not_watched("not set: FORECAST_ASSETS_API_URL")
    try:
        state = told_state(url)
    except StorageError as error:
        return Seen("does not answer", (_unavailable(str(error.message), url),))
    if not state["is_ready"]:
        return Seen("not ready", (_unavailable(f"The service is not ready: {first_ten(state['reasons'])}.", url),))
    told = [str(each) for each in state["degraded"]]
    found = [
        *_told("breaker-open", [each for each in told if _BREAKER in each], url),
        *_told("service-degraded", [each for each in told if _BREAKER not in each], url),
    ]
    return Seen(f"{url} is ready, at entry {state['ledger_sequence']}", tuple(found))


def _unavailable(words: str, url: str) -> HealthFinding:
    remedy = Sentence("Look at its log; start it again: ", Action("serve"), ".")
    return HealthFinding("service-unavailable", "service", words, remedy, {"url": url})


def _told(code: str, told: list[str], url: str) -> Iterable[HealthFinding]:
    if told:
        remedy = "Look at the log of the service; what it names mends itself once the cause is gone."
        yield HealthFinding(
            code, "service", f"The service says: {'; '.join(told)}.", remedy, {"degraded": told, "url": url}
        )


def destinations(look: HomeLook) -> Seen:
    """Look whether alerts reach all their destinations; what fails is told through the others."""
    if not look.settings.alert_to:
        return not_watched("nobody is told: FORECAST_ASSETS_ALERT_TO is empty")
    found = tuple(
        HealthFinding(
            "destination-down",
            name,
            f"Alerts cannot be handed to {name}: {why}.",
            Sentence("Look at its address and whether it answers; try it: ", Action("alerts test"), "."),
        )
        for name, why in sorted(look.destinations.items())
    )
    return Seen(f"{counted(len(look.settings.alert_to), 'destination')}", found)
