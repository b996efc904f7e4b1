"""Every feature of the last row as its words in docs/features.md say, slowly, in plain Python; shares no code with the hub."""

from datetime import UTC, datetime
from math import cos, isfinite, log, log1p, pi, sin, sqrt
from statistics import fmean, pstdev

from hub.market.features import BarColumns, Surroundings


def features_by_hand(bars: BarColumns, around: Surroundings) -> dict[str, float]:
    """By name; the bars end with the row that is meant."""
    opened, high, low, close = (list(map(float, column)) for column in (bars.open, bars.high, bars.low, bars.close))
    volume = [each if isfinite(each) else 0.0 for each in map(float, bars.volume)]
    hour = _volatility(close, 60)
    return (
        {f"return_{n}": log(close[-1] / close[-1 - n]) / hour / sqrt(n) for n in (1, 2, 3, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440)}
        | {"volatility_60": log(hour / 0.0005)}
        | {f"volatility_{n}": log(_volatility(close, n) / hour) for n in (5, 15, 240, 1440)}
        | _ranges(opened, high, low, close, hour)
        | _indicators(high, low, close, volume, hour * close[-1])
        | _volumes(close, volume, list(map(float, bars.volume)), list(map(float, bars.taker_buy_volume)))
        | _times(int(bars.open_time[-1]))
        | _others([] if around.other_close is None else list(map(float, around.other_close)))
        | _news(around)
    )


def _volatility(close: list[float], n: int) -> float:
    squares = [log(close[-k] / close[-k - 1]) ** 2 for k in range(1, n + 1)]
    return max(sqrt(fmean(squares)), 0.00002)


def _ranges(opened: list[float], high: list[float], low: list[float], close: list[float], hour: float) -> dict[str, float]:
    width = high[-1] - low[-1]
    upper, lower = high[-1] - max(opened[-1], close[-1]), min(opened[-1], close[-1]) - low[-1]
    found = {
        "body": (close[-1] - opened[-1]) / width if width else 0.0,
        "wick": (upper - lower) / width if width else 0.0,
        "range": log1p(width / close[-1] / hour),
    }
    for n in (15, 60, 240, 1440):
        top, bottom = max(high[-n:]), min(low[-n:])
        found[f"position_{n}"] = 2 * (close[-1] - bottom) / (top - bottom) - 1 if top > bottom else 0.0
    return found


def _average(x: list[float], alpha: float) -> float:
    weights = [(1 - alpha) ** age for age in range(len(x))]
    return sum(weight * each for weight, each in zip(weights, reversed(x), strict=True)) / sum(weights)


def _indicators(high: list[float], low: list[float], close: list[float], volume: list[float], minute: float) -> dict[str, float]:
    moves = [now - before for before, now in zip(close[-257:], close[-256:], strict=False)]
    up, down = (_average([max(sign * move, 0.0) for move in moves], 1 / 14) for sign in (1, -1))
    ends, last = range(len(close) - 127, len(close) + 1), close[-1]
    lines = [_average(close[end - 128 : end], 2 / 13) - _average(close[end - 256 : end], 2 / 27) for end in ends]
    middle, spread = fmean(close[-20:]), pstdev(close[-20:])
    found = {
        "rsi": (up - down) / (up + down) if up + down else 0.0,
        "macd": lines[-1] / minute,
        "macd_signal": _average(lines, 0.2) / minute,
        "bollinger": (last - middle) / (2 * spread + 0.00002 * last),
        "bollinger_width": log((spread + 0.00002 * last) / minute),
    }
    found |= {f"average_{n}": (last - fmean(close[-n:])) / minute / sqrt(n) for n in (10, 60, 240)}
    for n in (60, 240):
        bought = sum((high[-k] + low[-k] + close[-k]) / 3 * volume[-k] for k in range(1, n + 1))
        shares = sum(volume[-n:])
        found[f"vwap_{n}"] = (last - bought / shares) / minute / sqrt(n) if shares else 0.0
    return found


def _volumes(close: list[float], volume: list[float], told: list[float], taker: list[float]) -> dict[str, float]:
    def beside(part: float, usual: float) -> float:
        return log((part + 0.01 * usual) / (1.01 * usual)) if usual else 0.0

    signs = [(now > before) - (now < before) for before, now in zip(close[-61:], close[-60:], strict=False)]
    pressure = [
        2 * bought - all_ if isfinite(bought) and isfinite(all_) else 0.0 for bought, all_ in zip(taker[-60:], told[-60:], strict=True)
    ]
    hour, day = fmean(volume[-60:]), fmean(volume[-1440:])
    found = {"volume_1": beside(volume[-1], hour), "volume_5": beside(fmean(volume[-5:]), hour), "volume_60": beside(hour, day)}
    for n in (5, 60):
        shares = sum(volume[-n:])
        found[f"flow_{n}"] = sum(sign * each for sign, each in zip(signs[-n:], volume[-n:], strict=True)) / shares if shares else 0.0
        found[f"taker_{n}"] = sum(pressure[-n:]) / shares if shares else 0.0
    return found


def _times(open_time: int) -> dict[str, float]:
    close = datetime.fromtimestamp(open_time / 1000 + 60, UTC)
    of_day = 60 * close.hour + close.minute
    of_week = 1440 * ((close.weekday() - 3) % 7) + of_day  # 1970 began on a Thursday
    angles = {"hour": close.minute / 60, "half_day": of_day % 720 / 720, "day": of_day / 1440, "week": of_week / 10080}
    return {f"{name}_{side.__name__}": side(2 * pi * turn) for name, turn in angles.items() for side in (sin, cos)}


def _others(other: list[float]) -> dict[str, float]:
    known = len(other) > 60 and all(map(isfinite, other[-61:]))
    return {f"other_{n}": log(other[-1] / other[-1 - n]) / _volatility(other, 60) / sqrt(n) if known else 0.0 for n in (1, 5, 15, 60)}


def _news(around: Surroundings) -> dict[str, float]:
    mood = 0.0 if around.sentiment is None else float(around.sentiment[-1])
    count = 0.0 if around.articles is None else float(around.articles[-1])
    return {"sentiment": mood if isfinite(mood) else 0.0, "articles": log(1 + count) if isfinite(count) else 0.0}
