"""From a window to forecasts: the live model's, and beside them those of the model in shadow."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from math import exp
from typing import Literal, Protocol

from hub import Forecast, Hub, ModelId
from hub.market.interval import MINUTE_MS, from_ms
from plugins.inference.refusal import ModelFailed, Refused
from plugins.inference.session import Model
from plugins.inference.window import Window, read_window

TRIES = 3
"""Runs of one model about one bar: so many failures take the slot back to the model before it."""
MOST_LOADED = 3


class Served(Protocol):
    """Which model it is."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> str: ...


class Slot(Protocol):
    """Where the models stand."""

    def live(self) -> tuple[Served, bytes]:
        """The model that serves: there always is one."""

    def shadow(self) -> tuple[Served, bytes] | None:
        """The model that is being proven beside it."""

    def report(self, sha256: str, ok: bool, reason: str) -> None:
        """How a run went; too many failures, and another model is live."""


class Forecasting:
    """Asks the models of one slot."""

    def __init__(self, hub: Hub, slot: Slot) -> None:
        self._hub = hub
        self._slot = slot
        self._loaded: dict[str, Model] = {}

    async def about(self, symbol: str, open_time: int) -> list[Forecast]:
        """Of every horizon, seen from the bar that opened then (ms). Refused, or ModelFailed where no live model can."""
        made = await self._by_live(symbol, open_time)
        if (shadow := self._slot.shadow()) is not None:
            with suppress(Refused, ModelFailed):
                made += await self._made(*shadow, symbol, open_time, "shadow")
        return made

    async def partners(self, symbol: str) -> list[str]:
        """Whose bar of the same minute the live model also looks at."""
        with suppress(ModelFailed):
            model = await asyncio.to_thread(self._model, *self._slot.live())
            if (other := model.facts.other(symbol)) is not None and other in self._hub.symbols:
                return [other]
        return []

    async def _by_live(self, symbol: str, open_time: int) -> list[Forecast]:
        failures: dict[str, int] = {}
        while True:
            served, content = self._slot.live()
            try:
                return await self._made(served, content, symbol, open_time, "live")
            except ModelFailed:
                failures[served.sha256] = failures.get(served.sha256, 0) + 1
                if failures[served.sha256] >= TRIES and self._slot.live()[0].sha256 in failures:
                    raise

    async def _made(self, served: Served, content: bytes, symbol: str, open_time: int, role: Literal["live", "shadow"]) -> list[Forecast]:
        try:
            made = await asyncio.to_thread(self._run, served, content, symbol, open_time, role)
        except ModelFailed as error:
            self._slot.report(served.sha256, False, str(error))
            raise ModelFailed(f"model {served.name} {served.version}: {error}") from error
        self._slot.report(served.sha256, True, "")
        return made

    def _run(self, served: Served, content: bytes, symbol: str, open_time: int, role: Literal["live", "shadow"]) -> list[Forecast]:
        model = self._model(served, content)
        window = read_window(self._hub.store, symbol, model.facts, open_time)
        said = model.run(window.rows)
        which = ModelId(name=served.name, version=served.version, sha256=served.sha256)
        return [
            forecast_of(self._hub, symbol, horizon, window, tuple(said[:, place].tolist()), which, role)
            for place, horizon in enumerate(model.facts.horizons)
        ]

    def _model(self, served: Served, content: bytes) -> Model:
        if served.sha256 not in self._loaded:
            nowhere = self._hub.data_dir / "nowhere"
            nowhere.mkdir(exist_ok=True)
            self._loaded[served.sha256] = Model(content, nowhere)
            for oldest in list(self._loaded)[:-MOST_LOADED]:
                del self._loaded[oldest]
        return self._loaded[served.sha256]


def forecast_of(
    hub: Hub, symbol: str, horizon: int, window: Window, said: tuple[float, ...], model: ModelId, role: Literal["live", "shadow"]
) -> Forecast:
    """What a model said of one horizon (log_return, low, high, p_up), as the world reads it. Confidence is the chance of the direction."""
    expected, low, high, p_up = said
    seen_until = window.open_time + MINUTE_MS
    return Forecast(
        symbol=symbol,
        horizon_minutes=horizon,
        open_time=from_ms(window.open_time),
        made_at=hub.clock.now(),
        target_time=from_ms(seen_until) + timedelta(minutes=horizon),
        last_close=window.last_close,
        price=window.last_close * exp(expected),
        low=window.last_close * exp(low),
        high=window.last_close * exp(high),
        p_up=p_up,
        direction="up" if p_up >= 0.5 else "down",
        confidence=max(p_up, 1.0 - p_up),
        model=model,
        role=role,
    )
