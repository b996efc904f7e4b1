"""The health: plugins, broker, disk, memory, and how far behind everything is."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.boards import house

NONE = "nothing yet: the hub tells how it is once a minute"
STATES = {"running": house.GREEN, "retrying": house.ORANGE, "stale": house.YELLOW, "failed": house.RED, "stopped": house.GREY}


def of_hub(field: str) -> str:
    return f'SELECT last("{field}") AS "{field}" FROM "hub" WHERE $timeFilter'


def over_time(*fields: str) -> str:
    chosen = ", ".join(f'last("{field}") AS "{field}"' for field in fields)
    return f'SELECT {chosen} FROM "hub" WHERE $timeFilter GROUP BY time($__interval) fill(none)'


def health() -> Dashboard:
    return (
        house.board("health", "Health", "Plugins, broker, disk, memory, and how far behind everything is.", since="now-24h")
        .with_panel(
            house.figure("Broker", "Whether the hub is connected to it.", (4, 4), NONE)
            .unit(house.NUMBER)
            .decimals(0)
            .mappings(house.coloured({"0": house.RED, "1": house.GREEN}, {"0": "offline", "1": "online"}))
            .with_target(house.ask(of_hub("broker_connected")))
        )
        .with_panel(
            house.figure("Plugins in trouble", "How many of them are not ok.", (4, 4), NONE)
            .unit(house.NUMBER)
            .decimals(0)
            .thresholds(house.steps(house.GREEN, (1, house.RED)))
            .with_target(
                house.ask("""SELECT count("newest") - sum("newest") AS "in trouble" FROM
 (SELECT last("ok") AS "newest" FROM "plugin" WHERE $timeFilter GROUP BY "name")""")
            )
        )
        .with_panel(
            house.figure("Minutes missing", "In all known gaps of all symbols.", (4, 4), NONE)
            .unit(house.NUMBER)
            .decimals(0)
            .thresholds(house.steps(house.GREEN, (1, house.ORANGE), (1440, house.RED)))
            .with_target(house.ask(of_hub("minutes_missing")))
        )
        .with_panel(
            house.figure("InfluxDB behind", "How old the oldest fact is that is not there yet.", (4, 4), NONE)
            .unit(house.SECONDS)
            .decimals(0)
            .thresholds(house.steps(house.GREEN, (120, house.ORANGE), (900, house.RED)))
            .with_target(house.ask("""SELECT last("lag_s") AS "lag_s" FROM "plugin" WHERE "name" = 'influxdb' AND $timeFilter"""))
        )
        .with_panel(
            house.figure("Disk free", "Where the store is. Below 1 GiB the hub warns, below 256 MiB it saves.", (4, 4), NONE)
            .unit(house.BYTES)
            .decimals(1)
            .thresholds(house.steps(house.RED, (2**28, house.ORANGE), (2**30, house.GREEN)))
            .with_target(house.ask(of_hub("disk_free_bytes")))
        )
        .with_panel(
            house.figure("Memory", "Of the hub's own process.", (4, 4), NONE)
            .unit(house.BYTES)
            .decimals(1)
            .thresholds(house.steps(house.GREEN, (2**28, house.ORANGE), (2**29, house.RED)))
            .with_target(house.ask(of_hub("memory_bytes")))
        )
        .with_panel(
            house.rows("Plugins", "The newest word of each.", (14, 9), NONE)
            .unit(house.NUMBER)
            .decimals(0)
            .override_by_name("Time", house.looks(displayName="heard", unit=house.AGO))
            .override_by_name("state", house.looks(mappings=house.coloured(STATES), custom_cellOptions={"type": "color-text"}))
            .override_by_name("lag", house.looks(displayName="facts behind"))
            .override_by_name("lag_s", house.looks(displayName="time behind", unit=house.SECONDS))
            .with_target(
                house.ask_rows("""SELECT "state", "restarts", "lag", "lag_s", "error" FROM "plugin" WHERE $timeFilter
 GROUP BY "name" ORDER BY time DESC LIMIT 1""")
            )
        )
        .with_panel(
            house.rows("Newest bar of each symbol", "When its minute began. More than three minutes ago is late.", (10, 9), NONE)
            .unit(house.PRICE)
            .decimals(2)
            .override_by_name("Time", house.looks(displayName="opened", unit=house.AGO))
            .with_target(
                house.ask_rows("""SELECT "close", "source", "quality" FROM "bar" WHERE "interval" = '1m' AND $timeFilter
 GROUP BY "symbol" ORDER BY time DESC LIMIT 1""")
            )
        )
        .with_panel(
            house.states("States", "What each plugin has been doing.", (24, 8), NONE)
            .mappings(house.coloured(STATES))
            .with_target(
                house.ask(
                    'SELECT last("state") FROM "plugin" WHERE $timeFilter GROUP BY time($__interval), "name" fill(none)', named="$tag_name"
                )
            )
        )
        .with_panel(
            house.lines("Behind", "How long each plugin that delivers facts has been behind the store.", (12, 8), NONE)
            .unit(house.SECONDS)
            .decimals(0)
            .min(0)
            .with_target(
                house.ask(
                    'SELECT max("lag_s") FROM "plugin" WHERE $timeFilter GROUP BY time($__interval), "name" fill(none)', named="$tag_name"
                )
            )
        )
        .with_panel(
            house.lines("Not yet published", "Facts on disk that the broker has not acknowledged.", (12, 8), NONE)
            .unit(house.NUMBER)
            .decimals(0)
            .min(0)
            .with_target(house.ask(over_time("mqtt_lag")))
        )
        .with_panel(
            house.lines("Disk", "The store, its write-ahead log, and what is left.", (12, 8), NONE)
            .unit(house.BYTES)
            .decimals(1)
            .min(0)
            .with_target(house.ask(over_time("disk_free_bytes", "store_bytes", "wal_bytes")))
        )
        .with_panel(
            house.lines("Memory, over time", "Of the hub's own process.", (12, 8), NONE)
            .unit(house.BYTES)
            .decimals(1)
            .min(0)
            .with_target(house.ask(over_time("memory_bytes")))
        )
        .with_panel(
            house.lines("Minutes missing, over time", "In all known gaps; it falls as they are filled.", (12, 8), NONE)
            .unit(house.NUMBER)
            .decimals(0)
            .min(0)
            .with_target(house.ask(over_time("minutes_missing")))
        )
        .with_panel(
            house.columns(
                "Taken in, lost and refused", "Bars taken in; messages dropped by slow readers; payloads rejected.", (12, 8), NONE
            )
            .unit(house.NUMBER)
            .decimals(0)
            .with_target(
                house.ask("""SELECT non_negative_difference(last("bars")) AS "bars", non_negative_difference(last("dropped")) AS "dropped",
 non_negative_difference(last("rejected")) AS "rejected" FROM "hub" WHERE $timeFilter GROUP BY time($__interval) fill(none)""")
            )
        )
    )
