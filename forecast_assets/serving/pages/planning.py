"""The pages of planners: from the fields of a link or a form to a question of the planning desk.

What belongs here: what fields mean, and which page follows. What does not: answering, or what stands on a page.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from http import HTTPStatus
from typing import Annotated, Final
from uuid import uuid4

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from forecast_assets.core.errors import ForecastAssetsError, InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.operations.override_files import scope_of
from forecast_assets.operations.worklist import WorklistQuestion
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.planned_overrides import (
    acting_section,
    default_fields,
    override_form,
    overrides_section,
    preview_section,
    revision_form,
    revision_section,
)
from forecast_assets.presentation.planned_series import changes_sections, node_sections, series_sections
from forecast_assets.presentation.planning import (
    CHANGES,
    FILTER_FIELDS,
    FILTERS,
    NODES,
    OVERRIDE,
    OVERRIDES,
    PAGE_LINES,
    REVISION,
    SERIES,
    WORKLIST,
    WORKLIST_CSV,
    Signed,
    link,
    run_note,
    saved_filters_section,
    suggestions,
    worklist_csv,
    worklist_form,
    worklist_section,
)
from forecast_assets.presentation.support import warning
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.dataplane.planning import PlanningDesk
from forecast_assets.serving.messages.problem_documents import status_of
from forecast_assets.serving.pages.door import PlannersDoor, Shown
from forecast_assets.serving.pages.revising import Revising
from forecast_assets.serving.pages.signing import Sent
from resources.ledger.entries.override import PENDING
from resources.operational.saved_filters import SavedFilter, SavedFilters

_TITLES: Final[Mapping[str, str]] = {
    WORKLIST: "What is at risk", SERIES: "One series", OVERRIDE: "Override a forecast", OVERRIDES: "Overrides",
    REVISION: "Publish a revision", NODES: "Nodes", CHANGES: "What changed",
}  # fmt: skip
_LISTED: Final = 200
# Days that the form of a new override begins with.
_USUAL_DAYS: Final = 7


async def _form(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_form)]


def add_planning(
    app: FastAPI,
    desk: PlanningDesk,
    door: PlannersDoor,
    revising: Revising | None = None,
    filters: SavedFilters | None = None,
) -> None:
    """Add the pages of planners to an application.

    Args:
        app: The application.
        desk: What answers.
        door: Who may see which page.
        revising: Publishes revisions; None where none can be.
        filters: Where filters of the worklist are kept; None where none are.
    """
    pages = _Pages(desk, revising, filters)

    def page(path: str, place: str, made: object) -> None:
        @app.get(path, include_in_schema=False)
        def shown(request: Request) -> Response:
            return door.answer(request, _TITLES[path], place, made)  # type: ignore[arg-type]

    for path, place, made in (
        (WORKLIST, WORKLIST, pages.worklist), (SERIES, WORKLIST, pages.series), (OVERRIDE, OVERRIDES, pages.preview),
        (OVERRIDES, OVERRIDES, pages.overrides), (REVISION, OVERRIDES, pages.revision), (NODES, NODES, pages.nodes),
        (CHANGES, CHANGES, pages.changes),
    ):  # fmt: skip
        page(path, place, made)

    @app.get(WORKLIST_CSV, include_in_schema=False)
    def exported(request: Request) -> Response:
        return door.answer(request, _TITLES[WORKLIST], WORKLIST, pages.exported)

    def form(path: str, made: object) -> None:
        @app.post(path, include_in_schema=False)
        def sent(request: Request, body: Body) -> Response:
            return door.answer(request, _TITLES[path], OVERRIDES, made, body)  # type: ignore[arg-type]

    for path, done in ((OVERRIDE, pages.record), (OVERRIDES, pages.decide), (REVISION, pages.publish)):
        form(path, done)

    # Whoever may see the worklist may keep filters of it: they move no number.
    @app.post(FILTERS, include_in_schema=False)
    def filtered(request: Request, body: Body) -> Response:
        return door.answer(request, _TITLES[WORKLIST], WORKLIST, pages.keep_filter, body, sends=Right.READ)


class _Pages:
    """What stands on each page.

    Args:
        desk: What answers.
        revising: Publishes revisions; None where none can be.
        filters: Where filters are kept; None where none are.
    """

    def __init__(self, desk: PlanningDesk, revising: Revising | None, filters: SavedFilters | None) -> None:
        self._desk, self._revising, self._filters = desk, revising, filters

    # --- looking ---

    def worklist(self, signed: Signed, sent: Sent) -> Shown:
        form = worklist_form(sent.fields, self._planners()) + self._saved(signed, sent) + self._suggestions()
        try:
            number = _whole(sent, "page", 1)
            question = _question(sent, (number - 1) * PAGE_LINES, PAGE_LINES)
            found = self._desk.worklist(question)
        except ForecastAssetsError as error:
            return _wrong(error, form)
        return Shown([form, worklist_section(found, sent.fields, number, signed)])

    def _saved(self, signed: Signed, sent: Sent) -> str:
        if self._filters is None:
            return ""
        saved = {each.name: each.fields for each in self._filters.all(signed.name)}
        return saved_filters_section(saved, _filter_of(sent), signed)

    def keep_filter(self, signed: Signed, sent: Sent) -> Shown | Response:
        if self._filters is None:
            raise InputError("No filter is saved here: this is a sandbox.", remedy="Bookmark the page instead.")
        own = _filter_of(sent)
        try:
            if "delete" in sent.fields:
                self._filters.delete(signed.name, sent.fields["delete"])
            else:
                kept = SavedFilter(sent.fields.get("name", ""), own)
                self._filters.save(signed.name, kept, now=self._desk.plane.clock())
        except InputError as error:
            shown = self.worklist(signed, Sent(own))
            return Shown([warning(error_text(error)), *shown.parts], status_of(type(error)))
        return _see_other(WORKLIST, **own)

    def exported(self, _: Signed, sent: Sent) -> Response:
        found = self._desk.worklist(_question(sent, 0, None))
        name = f"worklist-{found.run.prediction_date}-{found.run.model_version}-r{found.run.revision}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(worklist_csv(found), media_type="text/csv; charset=utf-8", headers=headers)

    def series(self, signed: Signed, sent: Sent) -> Shown:
        store_id, sku_id = (_required(sent, name) for name in ("store", "sku"))
        day = _day(sent, "day") if "day" in sent.fields else None
        found = self._desk.series(store_id, sku_id, day)
        key = found.publication.key
        overrides = acting_section(found.ahead.overrides, found.ahead.applied, key)
        form = ""
        if signed.may_override:
            fields = default_fields(Scope.of(sku=sku_id, store=store_id), *_usual_days(key))
            shown = override_form(fields, self._desk.reasons()) + self._suggestions()
            form = f'<h2 id="override">Override it</h2>\n{shown}'
        return Shown(series_sections(found, signed, f"{overrides}\n{form}"), title=f"{sku_id} in store {store_id}")

    def nodes(self, signed: Signed, sent: Sent) -> Shown:
        published, found = self._desk.node(_scope(sent))
        return Shown(node_sections(published, found, signed), title=_begun(str(found.scope)))

    def changes(self, signed: Signed, sent: Sent) -> Shown:
        del sent
        return Shown(changes_sections(self._desk.changes(), signed))

    # --- overriding ---

    def preview(self, signed: Signed, sent: Sent) -> Shown:
        fields = dict(sent.fields)
        if "first" not in fields and "last" not in fields:
            usual = default_fields(Scope.of(), *_usual_days(self._desk.newest().key))
            form = override_form({**usual, **fields}, self._desk.reasons())
            return Shown([form, self._suggestions()])
        form = override_form(fields, self._desk.reasons(), button="Preview again") + self._suggestions()
        try:
            found = self._desk.preview([_override(sent)])
        except ForecastAssetsError as error:
            return _wrong(error, form)
        section = preview_section(found, signed, str(uuid4()), needs_approval="needs_approval" in fields)
        note = run_note(found.key, self._desk.run().planned.publication.recorded_at, signed)
        return Shown([section, note, f"<h2>Change it</h2>\n{form}"])

    def record(self, signed: Signed, sent: Sent) -> Shown | Response:
        try:
            done = self._desk.record(
                [_override(sent)],
                by=signed.name,
                confirmed="confirm" in sent.fields,
                needs_approval="needs_approval" in sent.fields,
                seen=_whole(sent, "seen", 0) or None,
                request=f"page/{sent.fields.get('request', uuid4())}",
            )
        except ForecastAssetsError as error:
            # Whoever sees why it was not recorded sees at once what it would do now.
            shown = self.preview(signed, sent)
            return Shown([warning(_unrecorded(error)), *shown.parts], status_of(type(error)))
        return _see_other(OVERRIDES, just=f"o{done.record.sequence}")

    def overrides(self, signed: Signed, sent: Sent) -> Shown:
        return Shown(self._listed(signed, sent))

    def _listed(self, signed: Signed, sent: Sent, reason: str = "") -> list[str]:
        found = self._desk.overrides()
        just = {
            each.id for each in found for name in sent.fields.get("just", "").split(",")
            if name in (each.id, f"o{each.sequence}")
        }  # fmt: skip
        told = [
            f'<p class="done" role="status">{each.id} is {each.status}{_waits(each.status)}.</p>'
            for each in found
            if each.id in just
        ]
        run, is_behind = self._desk.behind()
        revision = revision_form(run, signed, is_behind=is_behind) if self._revising is not None else ""
        return [*told, overrides_section(found, signed, just, _LISTED, reason), revision]

    def decide(self, signed: Signed, sent: Sent) -> Shown | Response:
        names, reason = sent.many.get("override", ()), sent.fields.get("decision", "")
        try:
            if not names:
                raise InputError("No override is chosen.", remedy="Choose one or more, then decide.")
            if not reason:
                raise InputError("A decision needs a reason.", remedy="Write one below the list.")
            self._desk.decide(names, sent.fields.get("status", ""), by=signed.name, reason=reason)
        except ForecastAssetsError as error:
            shown = self._listed(signed, sent, reason)
            return Shown([warning(error_text(error)), *shown], status_of(type(error)))
        return _see_other(OVERRIDES, just=",".join(names))

    # --- a revision ---

    def revision(self, signed: Signed, sent: Sent) -> Shown:
        del signed, sent
        return Shown([revision_section(None if self._revising is None else self._revising.newest())])

    def publish(self, signed: Signed, sent: Sent) -> Shown | Response:
        if self._revising is None or not signed.may_override:
            raise InputError("No revision can be published from here.", remedy="Use the command: overrides publish.")
        self._revising.start(RunKey.parse(_required(sent, "run")), by=signed.name, reason=_required(sent, "why"))
        return _see_other(REVISION)

    def _suggestions(self) -> str:
        return suggestions(self._desk.nodes_to_name())

    def _planners(self) -> list[str]:
        return sorted({each.by for each in self._desk.overrides() if each.is_in_force})


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _usual_days(key: RunKey) -> tuple[date, date]:
    first = key.prediction_date + timedelta(days=1)
    return first, key.prediction_date + timedelta(days=min(_USUAL_DAYS, key.forecast_horizon))


def _waits(status: str) -> str:
    return ": a second person has to approve it" if status == PENDING else ""


def _unrecorded(error: ForecastAssetsError) -> str:
    if getattr(error, "facts", {}).get("confirm"):
        return f"Not recorded. {error.message} If it is meant, tick the box below and record it again."
    return f"Not recorded. {error_text(error)}"


def _wrong(error: ForecastAssetsError, form: str) -> Shown:
    return Shown([warning(error_text(error)), form], status_of(type(error)))


def _see_other(path: str, **asked: str) -> Response:
    return RedirectResponse(link(path, **asked), HTTPStatus.SEE_OTHER)


def _filter_of(sent: Sent) -> dict[str, str]:
    return {name: sent.fields[name] for name in FILTER_FIELDS if name in sent.fields}


def _question(sent: Sent, skip: int, limit: int | None) -> WorklistQuestion:
    said = sent.fields
    return WorklistQuestion(
        _scope(sent), said.get("band", ""), said.get("flag", ""), said.get("planner", ""), skip, limit
    )


def _scope(sent: Sent) -> Scope:
    return scope_of(product=_node(sent, "product"), stores=_node(sent, "stores"))


def _node(sent: Sent, name: str) -> str:
    """Return a node as LEVEL:NODE; empty for all."""
    text = sent.fields.get(name, "")
    return "" if text.casefold() in ("all", "total", "total:total") else text


def _override(sent: Sent) -> Override:
    said = sent.fields
    return Override(
        _scope(sent),
        _day(sent, "first"),
        _day(sent, "last"),
        said.get("form", ""),
        said.get("value", ""),
        said.get("reason", ""),
        said.get("note", ""),
        _day(sent, "expires_on") if "expires_on" in said else None,
    )


def _required(sent: Sent, name: str) -> str:
    if name not in sent.fields:
        raise InputError(f"No {name} is named.", remedy="Come here by a link of the worklist, or fill in the form.")
    return sent.fields[name]


def _day(sent: Sent, name: str) -> date:
    text = sent.fields.get(name, "")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"`{text}` is no day.", remedy="Write it as 2025-07-05.") from error


def _whole(sent: Sent, name: str, default: int) -> int:
    text = sent.fields.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 9) or int(text) < default:  # noqa: PLR2004
        raise InputError(f"`{name}` is no number: `{text}`.", remedy=f"Give one from {default}.")
    return int(text)
