"""The news: the mood of each hour, and the headlines behind it."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.boards import house

OF_ASSET = """WHERE "asset" =~ /^${asset:regex}$/ AND $timeFilter"""
NONE = "no news yet: it comes with the news plugin, every quarter of an hour"
MOOD = house.steps(house.RED, (-0.2, house.YELLOW), (0.2, house.GREEN))


def news() -> Dashboard:
    return (
        house.board("news", "News", "The mood of each hour, and the headlines behind it.", since="now-7d", every="5m")
        .with_variable(house.choice("asset", "Asset", "sentiment", several=True))
        .with_panel(
            house.dials("Mood now", "Of the newest hour with news; from -1, all is bad, to 1, all is well.", (8, 8), NONE)
            .unit(house.NUMBER)
            .decimals(2)
            .min(-1)
            .max(1)
            .thresholds(MOOD)
            .with_target(house.ask(f'SELECT last("score") FROM "sentiment" {OF_ASSET} GROUP BY "asset"', named="$tag_asset"))
        )
        .with_panel(
            house.baseline(house.lines("Mood", "By the hour. 0 is neutral.", (16, 8), NONE), 0)
            .interval("1h")
            .unit(house.NUMBER)
            .decimals(2)
            .min(-1)
            .max(1)
            .with_target(
                house.ask(
                    f'SELECT mean("score") FROM "sentiment" {OF_ASSET} GROUP BY time($__interval), "asset" fill(none)', named="$tag_asset"
                )
            )
        )
        .with_panel(
            house.columns("Articles", "How many were judged, by the hour.", (16, 7), NONE)
            .interval("1h")
            .unit(house.NUMBER)
            .decimals(0)
            .with_target(
                house.ask(
                    f'SELECT sum("articles") FROM "sentiment" {OF_ASSET} GROUP BY time($__interval), "asset" fill(none)', named="$tag_asset"
                )
            )
        )
        .with_panel(
            house.rows("Judges", "Who judged the newest hour: a list of words (lexicon) or a language model.", (8, 7), NONE)
            .unit(house.NUMBER)
            .decimals(0)
            .override_by_name("Time", house.looks(displayName="hour", unit=house.AGO))
            .override_by_name("score", house.looks(decimals=2))
            .with_target(
                house.ask_rows(
                    f'SELECT "scorer", "score", "articles" FROM "sentiment" {OF_ASSET} GROUP BY "asset" ORDER BY time DESC LIMIT 1'
                )
            )
        )
        .with_panel(
            house.rows("Headlines", "As they came, untrusted; only links to http and https are shown.", (24, 14), NONE)
            .unit(house.NUMBER)
            .decimals(2)
            .override_by_name("Time", house.looks(displayName="collected", unit=house.AGO, custom_width=140))
            .override_by_name("asset", house.looks(custom_width=80))
            .override_by_name("score", house.cell(MOOD, custom_width=80))
            .override_by_name("url", house.looks(custom_hidden=True))
            .override_by_name("title", house.looks(links=[{"title": "Read it", "url": "${__data.fields.url:raw}", "targetBlank": True}]))
            .with_target(
                house.ask_rows(f"""SELECT "asset", "score", "title", "source", "scorer", "url" FROM "article" {OF_ASSET}
 AND "url" =~ /^https?:\\/\\// ORDER BY time DESC LIMIT 200""")
            )
        )
    )
