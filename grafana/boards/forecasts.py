"""The forecasts: what the live model expects, beside what came."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.boards import house

LIVE = """WHERE "role" = 'live'"""
CHOSEN = """AND "symbol" =~ /^${symbol:regex}$/ AND "horizon" =~ /^${horizon:regex}$/"""
OF_SYMBOL = """AND "symbol" =~ /^${symbol:regex}$/"""
NONE = "no forecast yet: the first comes when the model has seen enough bars"
SEVERITIES = {"info": house.BLUE, "warning": house.ORANGE, "critical": house.RED}
UP = house.steps(house.RED, (0.45, house.YELLOW), (0.55, house.GREEN))


def forecasts() -> Dashboard:
    return (
        house.board("forecasts", "Forecasts", "What the live model expects, beside what came.", since="now-6h", until="now+30m")
        .with_variable(house.choice("symbol", "Symbol", "bar"))
        .with_variable(house.choice("horizon", "Minutes ahead", "forecast"))
        .with_panel(
            house.lines(
                "Forecast and outcome",
                "Each forecast stands at the time it was made for, with its 80 % interval: of ten closes, eight should lie inside."
                " A close stands where its minute began.",
                (24, 12),
                NONE,
            )
            .unit(house.PRICE)
            .decimals(2)
            .override_by_name(
                "high", house.looks(custom_fillBelowTo="low", custom_fillOpacity=15, custom_lineWidth=0, color=house.fixed(house.BLUE))
            )
            .override_by_name("low", house.looks(custom_lineWidth=0, color=house.fixed(house.BLUE)))
            .override_by_name("forecast", house.looks(custom_lineWidth=2, color=house.fixed(house.BLUE)))
            .override_by_name("close", house.looks(custom_lineWidth=2, color=house.fixed(house.ORANGE)))
            .with_target(
                house.ask(f"""SELECT last("price") AS "forecast", last("low") AS "low", last("high") AS "high"
 FROM "forecast_target" {LIVE} {CHOSEN} AND $timeFilter GROUP BY time($__interval) fill(none)""")
            )
            .with_target(
                house.ask(f"""SELECT last("close") AS "close" FROM "bar" WHERE "interval" = '1m' {OF_SYMBOL}
 AND $timeFilter GROUP BY time($__interval) fill(none)""")
            )
        )
        .with_panel(
            house.dials("Confidence", "0 is a coin toss, 100 % is certainty; of every symbol and horizon, the newest.", (12, 8), NONE)
            .unit(house.SHARE)
            .decimals(0)
            .min(0)
            .max(1)
            .thresholds(house.steps(house.GREY, (0.1, house.YELLOW), (0.3, house.GREEN)))
            .with_target(
                house.ask(
                    f'SELECT last("confidence") FROM "forecast" {LIVE} AND $timeFilter GROUP BY "symbol", "horizon"',
                    named="$tag_symbol, $tag_horizon min",
                )
            )
        )
        .with_panel(
            house.dials("Chance of up", "That the price is higher at the horizon; of every symbol and horizon, the newest.", (12, 8), NONE)
            .unit(house.SHARE)
            .decimals(0)
            .min(0)
            .max(1)
            .thresholds(UP)
            .with_target(
                house.ask(
                    f'SELECT last("p_up") FROM "forecast" {LIVE} AND $timeFilter GROUP BY "symbol", "horizon"',
                    named="$tag_symbol, $tag_horizon min",
                )
            )
        )
        .with_panel(
            house.baseline(house.lines("Chance of up, over time", "50 % is a coin toss.", (12, 8), NONE), 0.5)
            .unit(house.SHARE)
            .decimals(0)
            .min(0)
            .max(1)
            .with_target(
                house.ask(
                    f"""SELECT last("p_up") FROM "forecast" {LIVE} {OF_SYMBOL}
 AND $timeFilter GROUP BY time($__interval), "horizon" fill(none)""",
                    named="$tag_horizon min",
                )
            )
        )
        .with_panel(
            house.lines("Expected move", "The forecast price against the last close that the model saw.", (12, 8), NONE)
            .unit(house.SHARE)
            .decimals(3)
            .with_target(
                house.ask(
                    f"""SELECT last("price") / last("last_close") - 1 FROM "forecast" {LIVE} {OF_SYMBOL}
 AND $timeFilter GROUP BY time($__interval), "horizon" fill(none)""",
                    named="$tag_horizon min",
                )
            )
        )
        .with_panel(
            house.rows("Newest forecasts", "Of every symbol, horizon and model; a shadow is proven beside the live model.", (24, 8), NONE)
            .unit(house.PRICE)
            .decimals(2)
            .override_by_name("Time", house.looks(displayName="made", unit=house.AGO))
            .override_by_name("target_time", house.looks(displayName="for", unit=house.TIME))
            .override_by_regexp("/^(p_up|confidence)$/", house.looks(unit=house.SHARE, decimals=0))
            .with_target(
                house.ask_rows("""SELECT "direction", "price", "low", "high", "p_up", "confidence", "last_close", "target_time", "version"
 FROM "forecast" WHERE $timeFilter GROUP BY "symbol", "horizon", "model", "role" ORDER BY time DESC LIMIT 1""")
            )
        )
        .with_panel(
            house.rows("Alerts", "What was worth telling a person.", (24, 8), "no alert in this time")
            .unit(house.TEXT)
            .override_by_name("Time", house.looks(displayName="raised", unit=house.AGO))
            .override_by_name("p_up", house.looks(unit=house.SHARE, decimals=0))
            .override_by_name("severity", house.looks(mappings=house.coloured(SEVERITIES), custom_cellOptions={"type": "color-text"}))
            .with_target(
                house.ask_rows("""SELECT "symbol", "severity", "source", "text", "p_up" FROM "alert" WHERE $timeFilter
 ORDER BY time DESC LIMIT 200""")
            )
        )
    )
