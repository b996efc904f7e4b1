"""The market: bars as they were collected, and how whole they are."""

from grafana_foundation_sdk.builders.candlestick import Panel as Candlestick
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.models.candlestick import VizDisplayMode

from grafana.boards import house

BARS = """"bar" WHERE "interval" = '1m' AND "symbol" =~ /^${symbol:regex}$/ AND $timeFilter"""
DAYS = """"bar" WHERE "interval" = '1d' AND "symbol" =~ /^${symbol:regex}$/ AND $timeFilter"""
MISSING = f'SELECT 60 - "n" AS "missing" FROM (SELECT count("close") AS "n" FROM {BARS} GROUP BY time(1h) fill(0))'
NONE = "no bars yet: the first comes within two minutes"
NO_HOUR = "no whole hour yet"
NO_DAYS = "no daily bars yet: the first is made after midnight UTC"


def market() -> Dashboard:
    return (
        house.board("market", "Market", "Minute bars as they were collected, and how whole they are.", since="now-24h")
        .with_variable(house.choice("symbol", "Symbol", "bar"))
        .with_panel(
            house.figure("Last close", "Close of the newest bar, in the quote asset.", (4, 4), NONE)
            .unit(house.PRICE)
            .decimals(2)
            .with_target(house.ask(f'SELECT last("close") AS "close" FROM {BARS}'))
        )
        .with_panel(
            house.figure("Move", "From the first open to the last close of the time shown.", (4, 4), NONE)
            .unit(house.SHARE)
            .decimals(2)
            .thresholds(house.steps(house.RED, (0, house.GREEN)))
            .with_target(house.ask(f'SELECT last("close") / first("open") - 1 AS "move" FROM {BARS}'))
        )
        .with_panel(
            house.figure("Newest bar", "When its minute began. More than three minutes ago is late.", (4, 4), NONE, field="/^time$/i")
            .unit(house.AGO)
            .decimals(0)
            .with_target(house.ask_rows(f'SELECT last("close") AS "close" FROM {BARS}'))
        )
        .with_panel(
            house.figure("Minutes missing", "In the whole hours of the time shown: 60 less the bars of each.", (4, 4), NO_HOUR)
            .unit(house.NUMBER)
            .decimals(0)
            .thresholds(house.steps(house.GREEN, (1, house.ORANGE), (60, house.RED)))
            .time_shift("1h/h")
            .with_target(house.ask(f'SELECT sum("missing") AS "missing" FROM ({MISSING})'))
        )
        .with_panel(
            house.figure("Fallback bars", "Only a last price, until the exchange's own bar replaces it.", (4, 4), "none")
            .unit(house.NUMBER)
            .decimals(0)
            .thresholds(house.steps(house.GREEN, (1, house.ORANGE)))
            .with_target(house.ask(f"""SELECT count("close") AS "bars" FROM {BARS} AND "quality" = 'fallback'"""))
        )
        .with_panel(
            house.figure("Bought", "The part of the volume that buyers took.", (4, 4), "not told by this source")
            .unit(house.SHARE)
            .decimals(1)
            .with_target(house.ask(f'SELECT sum("taker_buy_volume") / sum("volume") AS "bought" FROM {BARS}'))
        )
        .with_panel(
            house.panel(
                Candlestick(), "Price and volume", "Open, high, low and close; below, the volume in the base asset.", (24, 12), NONE
            )
            .mode(VizDisplayMode.CANDLES_VOLUME)
            .interval("1m")
            .unit(house.PRICE)
            .decimals(2)
            .with_target(
                house.ask(f"""SELECT first("open") AS "open", max("high") AS "high", min("low") AS "low", last("close") AS "close",
 sum("volume") AS "volume" FROM {BARS} GROUP BY time($__interval) fill(none)""")
            )
        )
        .with_panel(
            house.columns("Volume", "All of it, and what buyers took of it, in the base asset.", (12, 7), NONE)
            .unit(house.NUMBER)
            .decimals(3)
            .with_target(
                house.ask(f"""SELECT sum("volume") AS "volume", sum("taker_buy_volume") AS "bought"
 FROM {BARS} GROUP BY time($__interval) fill(none)""")
            )
        )
        .with_panel(
            house.columns("Trades", "How many there were.", (12, 7), NONE)
            .unit(house.NUMBER)
            .decimals(0)
            .with_target(house.ask(f'SELECT sum("trades") AS "trades" FROM {BARS} GROUP BY time($__interval) fill(none)'))
        )
        .with_panel(
            house.columns("Minutes missing, by the hour", "60 less the bars that are there; whole hours only.", (12, 7), NO_HOUR)
            .unit(house.NUMBER)
            .decimals(0)
            .max(60)
            .time_shift("1h/h")
            .with_target(house.ask(MISSING))
        )
        .with_panel(
            house.states("Source and quality", "Where the bars came from. A fallback bar is only a last price.", (12, 7), NONE)
            .mappings(house.coloured({"exact": house.GREEN, "fallback": house.ORANGE}))
            .with_target(
                house.ask(f"""SELECT last("source") AS "source", last("quality") AS "quality"
 FROM {BARS} GROUP BY time($__interval) fill(none)""")
            )
        )
        .with_row(Row("The long view"))
        .with_panel(
            house.panel(Candlestick(), "Days", "Daily bars of two years.", (16, 9), NO_DAYS, house.LONG)
            .mode(VizDisplayMode.CANDLES_VOLUME)
            .time_from("2y")
            .unit(house.PRICE)
            .decimals(2)
            .with_target(house.ask(f'SELECT "open", "high", "low", "close", "volume" FROM {DAYS}', source=house.LONG))
        )
        .with_panel(
            house.columns("Minutes missing, by the day", "1440 less the bars that each day was made of.", (8, 9), NO_DAYS, house.LONG)
            .time_from("2y")
            .unit(house.NUMBER)
            .decimals(0)
            .with_target(house.ask(f'SELECT 1440 - "minutes" AS "missing" FROM {DAYS}', source=house.LONG))
        )
    )
