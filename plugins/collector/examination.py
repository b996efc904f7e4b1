"""What `hub doctor` asks of the exchange: does it answer, does it trade our symbols, and what time is it there."""

from collections.abc import Sequence

from hub.errors import PermanentError
from hub.flow import Check, Hub
from plugins.collector.binance import Binance, UnknownSymbol
from plugins.collector.exchange_time import FAR_OFF_S, JUMP_S, ExchangeTime
from plugins.collector.settings import CollectorSettings

ASKED_AT_ONCE = 100


def checks(hub: Hub, settings: CollectorSettings) -> list[Check]:
    """The exchange, and this machine's clock beside the exchange's."""
    if settings.source == "simulated":
        return [Check("exchange", _simulated), Check("clock", _no_other_clock)]
    base_url = settings.binance.base_url if settings.source == "binance" else settings.binanceus.base_url
    time = ExchangeTime(hub.clock, hub.log, compare=False)

    async def exchange() -> str:
        asked = Binance(hub, settings.source, base_url, time)
        await asked.synchronise()
        return await _symbols(asked, hub.symbols)

    async def clock() -> str:
        asked = Binance(hub, settings.source, base_url, time)
        await asked.synchronise()
        return _skew_in_words(time.skew_s)

    return [Check("exchange", exchange), Check("clock", clock)]


async def _simulated() -> str:
    return "simulated on this machine"


async def _no_other_clock() -> str:
    return "the exchange is simulated: there is no other clock to compare with"


async def _symbols(exchange: Binance, symbols: Sequence[str]) -> str:
    """Every symbol is there and trades; PermanentError names those that are not, or do not."""
    halted: dict[str, str] = {}
    for start in range(0, len(symbols), ASKED_AT_ONCE):
        some = symbols[start : start + ASKED_AT_ONCE]
        try:
            halted |= await exchange.halted(some)
        except UnknownSymbol as error:
            unknown = [symbol for symbol in some if await _is_unknown(exchange, symbol)]
            names = ", ".join(symbol.replace("-", "/") for symbol in unknown) or "one of the symbols"
            raise PermanentError(f"{names}: unknown to {exchange.host}; correct or remove it in `symbols`") from error
    if halted:
        words = ", ".join(f"{symbol.replace('-', '/')} is {status}" for symbol, status in halted.items())
        raise PermanentError(f"{exchange.host} answers, but {words}: remove it from `symbols`, or wait until it trades again")
    names = ", ".join(symbol.replace("-", "/") for symbol in symbols)
    return f"{exchange.host} answers; {names} {'trade' if len(symbols) > 1 else 'trades'}"


async def _is_unknown(exchange: Binance, symbol: str) -> bool:
    try:
        await exchange.halted([symbol])
    except UnknownSymbol:
        return True
    return False


def _skew_in_words(skew_s: float) -> str:
    """How far this machine's clock is off. PermanentError where it is so far that nothing dated here can be believed."""
    if abs(skew_s) <= JUMP_S:
        return f"within {JUMP_S:g} s of the exchange's"
    text = f"this machine's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the exchange's"
    if abs(skew_s) > FAR_OFF_S:
        raise PermanentError(f"{text}: set it, and keep it set: timedatectl set-ntp true")
    return f"{text}; bars go by the exchange's, and `timedatectl set-ntp true` would keep it right"
