"""The accuracy: every forecast scored at its horizon, live beside shadow, against knowing nothing."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries

from grafana.boards import house

CHOSEN = """WHERE "symbol" =~ /^${symbol:regex}$/ AND "horizon" =~ /^${horizon:regex}$/ AND $timeFilter"""
NONE = "no score yet: the first comes when a forecast has reached its horizon"


def over_time(field: str, title: str, description: str, nothing: float) -> Timeseries:
    """One score, a line for each symbol, horizon and role. `nothing`: what a model that knows nothing would have."""
    return (
        house.baseline(house.lines(title, description, (12, 8), NONE), nothing)
        .interval("10m")
        .unit(house.SHARE)
        .decimals(1)
        .override_by_regexp("/shadow$/", house.looks(custom_lineStyle={"fill": "dash", "dash": [8, 6]}))
        .with_target(
            house.ask(
                f'SELECT mean("{field}") FROM "score" {CHOSEN} GROUP BY time($__interval), "symbol", "horizon", "role" fill(none)',
                named="$tag_symbol $tag_horizon min $tag_role",
            )
        )
    )


def accuracy() -> Dashboard:
    return (
        house.board("accuracy", "Accuracy", "Every forecast scored at its horizon, live beside shadow.", since="now-30d", every="5m")
        .with_variable(house.choice("symbol", "Symbol", "score", several=True))
        .with_variable(house.choice("horizon", "Minutes ahead", "score", several=True))
        .with_panel(
            house.rows("Scoreboard", "The newest score of each model. n: forecasts in the window.", (24, 9), NONE)
            .unit(house.SHARE)
            .decimals(1)
            .override_by_name("Time", house.looks(displayName="scored", unit=house.AGO))
            .override_by_name("n", house.looks(unit=house.NUMBER, decimals=0))
            .override_by_name("brier", house.looks(unit=house.NUMBER, decimals=3))
            .override_by_name("skill", house.cell(house.steps(house.RED, (0, house.GREEN))))
            .override_by_regexp("/^(auc|hit_rate)$/", house.cell(house.steps(house.RED, (0.5, house.GREEN))))
            .override_by_name("coverage", house.cell(house.steps(house.ORANGE, (0.75, house.GREEN), (0.85, house.ORANGE))))
            .with_target(
                house.ask_rows(f"""SELECT "n", "skill", "auc", "hit_rate", "brier", "coverage", "last_outcome", "window", "version"
 FROM "score" {CHOSEN} GROUP BY "symbol", "horizon", "model", "role" ORDER BY time DESC LIMIT 1""")
            )
        )
        .with_panel(over_time("skill", "Skill", "1 less the squared error against that of 'no change'. Above 0 beats it.", 0))
        .with_panel(over_time("auc", "AUC", "How well the chance of up tells ups from downs. 50 % is a coin toss; 52 % is good.", 0.5))
        .with_panel(over_time("hit_rate", "Hit rate", "How often the direction was right. 50 % is a coin toss.", 0.5))
        .with_panel(over_time("coverage", "Coverage", "How many outcomes lay inside the 80 % interval. It should be 80 %.", 0.8))
        .with_panel(
            over_time("brier", "Brier score", "Squared error of the chance of up, less is better. 0.25 is a coin toss.", 0.25)
            .unit(house.NUMBER)
            .decimals(3)
        )
        .with_panel(
            house.lines("Forecasts scored", "How many the window holds; scores from a few mean little.", (12, 8), NONE)
            .interval("10m")
            .unit(house.NUMBER)
            .decimals(0)
            .min(0)
            .with_target(
                house.ask(
                    f'SELECT last("n") FROM "score" {CHOSEN} GROUP BY time($__interval), "symbol", "horizon", "role" fill(none)',
                    named="$tag_symbol $tag_horizon min $tag_role",
                )
            )
        )
    )
