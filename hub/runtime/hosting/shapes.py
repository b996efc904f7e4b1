"""Looks at what a plugin's hooks returned: whether it is what they promise, down to every field."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hub.errors import PermanentError
from hub.flow import Answer, Check, Flow, Outlet, Service, Sink, Source, Transform
from hub.messages import Message
from hub.runtime.mqtt.outbox import DURABLE
from hub.runtime.words import shown
from hub.topics import TOPICS

LARGEST_BATCH = 10_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PREFIX = re.compile(r"[^+#/\s\x00$][^+#\s\x00]{0,99}(?<!/)")
_VERB = re.compile(r"[a-z][a-z0-9_-]{0,39}(/[a-z0-9_-]{1,40})*")
_READABLE = tuple(topic.kind for topic in TOPICS)


def flows(hook: str, answer: Any, shape: type[Flow]) -> list[Flow]:
    """`answer` as flows of that shape. PermanentError, in words, where it is something else."""
    if not isinstance(answer, list) or not all(isinstance(flow, shape) for flow in answer):
        raise PermanentError(f"{hook} must return a list of {shape.__name__}, not {shown(answer)}")
    for flow in answer:
        if trouble := next(_troubles(flow), None):
            raise PermanentError(f"{shape.__name__} {shown(flow.name)}: {trouble}")
    return answer


def answers(answer: Any) -> dict[str, Answer]:
    """`answer` as verbs and who answers them. PermanentError, in words, where it is something else."""
    if not isinstance(answer, dict) or not all(isinstance(verb, str) and callable(call) for verb, call in answer.items()):
        raise PermanentError(f"register_requests must return a dict of verb to coroutine function, not {shown(answer)}")
    for verb in answer:
        if not _VERB.fullmatch(verb):
            raise PermanentError(f"register_requests: {shown(verb)} is no verb: write it in small letters, such as 'model/promote'")
    return answer


def checks(answer: Any) -> list[Check]:
    """`answer` as checks. PermanentError, in words, where it is something else."""
    if not isinstance(answer, list) or not all(isinstance(check, Check) and callable(check.look) for check in answer):
        raise PermanentError(f"register_checks must return a list of Check, not {shown(answer)}")
    return answer


def _troubles(flow: Any) -> Iterator[str]:
    """What is wrong with one flow."""
    if not isinstance(flow.name, str) or not _NAME.fullmatch(flow.name):
        yield "its name must be letters, digits, '_', '.' or '-'"
    if isinstance(flow, Source | Transform):
        yield from _produced(flow)
    if isinstance(flow, Transform | Sink):
        yield from _consumed(flow)
    calls = {Source: "stream", Transform: "apply", Sink: "write", Outlet: "run", Service: "run"}
    if not callable(getattr(flow, calls[type(flow)])):
        yield f"{calls[type(flow)]} must be a function"
    if isinstance(flow, Source):
        yield from _span("stale_after", flow.stale_after, none=True)
        if flow.backfill is not None and not callable(flow.backfill):
            yield "backfill must be a function"
    elif isinstance(flow, Outlet):
        if not isinstance(flow.prefix, str) or not _PREFIX.fullmatch(flow.prefix):
            yield "its prefix must be the first part of some topics, without + and #"
    elif isinstance(flow, Transform):
        yield from _span("deadline", flow.deadline)
        if type(flow.spread) is not bool:
            yield "spread must be True or False"
    elif isinstance(flow, Sink) and (type(flow.batch) is not int or not 1 <= flow.batch <= LARGEST_BATCH):
        yield f"batch must be a number from 1 to {LARGEST_BATCH}"


def _produced(flow: Source | Transform) -> Iterator[str]:
    yield from _kinds("produces", flow.produces, DURABLE, "only facts that are recorded can be produced", needed=isinstance(flow, Source))


def _consumed(flow: Transform | Sink) -> Iterator[str]:
    durable = isinstance(flow, Sink) and flow.durable
    known, words = (DURABLE, "the store holds none of it") if durable else (_READABLE, "it stands on no topic")
    yield from _kinds("consumes", flow.consumes, known, words)


def _kinds(field: str, kinds: Any, known: tuple[type[Message], ...], words: str, *, needed: bool = True) -> Iterator[str]:
    if not isinstance(kinds, tuple) or not all(isinstance(kind, type) and issubclass(kind, Message) for kind in kinds):
        yield f"{field} must be a tuple of messages, such as (Bar,), not {shown(kinds)}"
    elif needed and not kinds:
        yield f"{field} must name a message, such as (Bar,)"
    else:
        for kind in kinds:
            if kind not in known:
                yield f"{field} names {kind.__name__}: {words}; there are: {', '.join(each.__name__ for each in known)}"


def _span(field: str, span: Any, *, none: bool = False) -> Iterator[str]:
    if not (span is None and none) and not (isinstance(span, timedelta) and span > timedelta()):
        yield f"{field} must be a timedelta, such as timedelta(seconds=30), not {shown(span)}"
