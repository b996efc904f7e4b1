"""Old facts make room, so that the disk lasts for years: never a bar, and never what a forwarder or a dump has yet to take."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from hub.errors import HubError
from hub.flow import Sink, Source
from hub.messages import Article, Dump, Forecast, Message, Score
from hub.runtime.backups import nightly
from hub.runtime.mqtt.outbox import CURSOR
from hub.settings import LEAST_RETENTION, RetentionSettings

if TYPE_CHECKING:
    from hub.runtime.app import App

EVERY_S = 3600.0
TOLD_AT: Mapping[type[Message], str] = {Forecast: "made_at", Score: "scored_at", Article: "collected_at"}
"""What can be pruned, and the field that says how old it is. The others are few."""


def wanted(retention: RetentionSettings) -> dict[type[Message], timedelta]:
    """How long each kind stays, where not for ever."""
    given: Mapping[type[Message], timedelta | None]
    given = {Forecast: retention.forecasts, Score: retention.scores, Article: retention.articles}
    return {kind: span for kind, span in given.items() if span is not None}


def at_worst() -> dict[type[Message], timedelta]:
    """How long each kind stays where the disk is nearly full: scores can be worked out again, forecasts cannot."""
    return {Score: LEAST_RETENTION, Article: LEAST_RETENTION}


def taken(app: "App", kind: type[Message]) -> int:
    """Up to which number every forwarder has taken the facts of this kind."""
    cursors = app.recorder.store.cursors()
    found = [cursors.get(CURSOR, 0)] if kind in app.own else []
    for name, member in list(app.members.items()):
        if member.failure:  # what it declares is not known: what it has taken before is
            found += [seq for cursor, seq in cursors.items() if cursor.startswith(f"{name}.")]
        for flow in member.declared.flows:
            if isinstance(flow, Sink) and flow.durable and kind in flow.consumes:
                found.append(cursors.get(f"{name}.{flow.name}", 0))
    return min(found, default=app.recorder.store.last_seq())


def dumped(app: "App") -> datetime | None:
    """Where daily dumps are made here: facts before that stand in dumps that are not made again."""
    flows = (flow for member in list(app.members.values()) for flow in member.declared.flows)
    if not any(isinstance(flow, Source) and Dump in flow.produces for flow in flows):
        return None
    days = [dump.day for dump in app.recorder.store.newest(Dump)]
    return datetime.combine(max(days), time(), UTC) - LEAST_RETENTION if days else datetime.min.replace(tzinfo=UTC)


def prune(app: "App", spans: Mapping[type[Message], timedelta]) -> dict[str, int]:
    """Delete what is older than that, and say how many of each kind went. HubError where the disk does not take it."""
    now, until, gone = app.clock.now(), dumped(app), {}
    for kind, span in spans.items():
        before = min(now - span, until or now)
        if count := app.recorder.store.forget(kind, TOLD_AT[kind], before, taken(app, kind)):
            gone[kind.__name__] = count
    return gone


def shed(app: "App") -> None:
    """The disk is nearly full: what can be had again, or is there twice, goes now."""
    log = app.log.bind(part="disk")
    try:
        old = [file for _, file in nightly.archives(nightly.folder_of(app.configuration))[:-1]]
        for file in old:
            file.unlink(missing_ok=True)
        gone = prune(app, wanted(app.configuration.settings.retention) | at_worst())
    except (HubError, OSError, ValueError) as error:  # whatever it is, bars go on
        log.warning("nothing could be let go of", reason=str(error))
        return
    if old or gone:
        log.warning("the disk is nearly full: what can be had again is let go of", backups=len(old), facts=gone)


async def prune_hourly(app: "App") -> None:
    """For ever, as the section `retention` says."""
    while True:
        await app.clock.sleep(EVERY_S)
        try:
            gone = await asyncio.to_thread(prune, app, wanted(app.configuration.settings.retention))
        except (HubError, OSError, ValueError) as error:
            app.log.warning("old facts stay for now", part="retention", reason=str(error))
            continue
        if gone:
            app.log.info("old facts are let go of", part="retention", **gone)
