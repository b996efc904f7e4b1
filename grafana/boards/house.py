"""The house style: what all boards have in common, so that a board's own file holds only what it shows.

A query is InfluxQL, which every InfluxDB answers. A variable is written `${symbol:regex}`, because only a named format means
the same in every Grafana. A panel without data says in words when there will be some.
"""

from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import gauge, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import GraphThresholdsStyleConfig, ReduceDataOptions, VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, QueryVariable, ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

MINUTES = DataSourceRef("influxdb", "tickerml")
"""The database with everything as it came."""
LONG = DataSourceRef("influxdb", "tickerml-long")
"""The database with the bars of hours and days."""
PRICE, NUMBER, SHARE, SECONDS, BYTES = "locale", "locale", "percentunit", "s", "bytes"
TIME, AGO, TEXT = "dateTimeAsLocal", "dateTimeFromNow", "string"
GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "#808080"


class _Panel(Protocol):
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...


PanelT = TypeVar("PanelT", bound=_Panel)


class _Query(Dataquery, Builder[Dataquery]):
    def __init__(self, source: DataSourceRef, query: str, **how: str) -> None:
        self._json = {"datasource": source, "rawQuery": True, "query": query, **how}

    def build(self) -> Dataquery:
        return self

    def to_json(self) -> dict[str, object]:
        return dict(self._json)


def ask(query: str, named: str = "$col", source: DataSourceRef = MINUTES) -> Builder[Dataquery]:
    """Series; `named`: what the legend says, by default the name after AS."""
    return _Query(source, query, alias=named, resultFormat="time_series")


def ask_rows(query: str, source: DataSourceRef = MINUTES) -> Builder[Dataquery]:
    """Rows for a table: the time, the tags, the fields."""
    return _Query(source, query, resultFormat="table")


def board(name: str, title: str, description: str, *, since: str, until: str = "now", every: str = "1m") -> Dashboard:
    """An empty board, linked with the others; variables and time go along."""
    others = DashboardLink("Boards").type(DashboardLinkType.DASHBOARDS).tags(["tickerml"]).icon("dashboard").tooltip("The other boards")
    return (
        Dashboard(title)
        .uid(f"tickerml-{name}")
        .description(description)
        .tags(["tickerml"])
        .time(since, until)
        .refresh(every)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .links([others.keep_time(True).include_vars(True).as_dropdown(False).target_blank(False)])
    )


def choice(tag: str, label: str, measurement: str, *, several: bool = False) -> QueryVariable:
    """A variable: the values of a tag. `several`: any number of them, at first all."""
    variable = (
        QueryVariable(tag)
        .label(label)
        .query(f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{tag}"')
        .datasource(MINUTES)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NUMERICAL_ASC if tag == "horizon" else VariableSort.ALPHABETICAL_ASC)
    )
    if several:
        everything = VariableOption(text="All", value="$__all", selected=True)
        variable = variable.multi(True).include_all(True).all_value(".*").current(everything)
    return variable


def panel(kind: PanelT, title: str, description: str, size: tuple[int, int], empty: str, source: DataSourceRef = MINUTES) -> PanelT:
    """`size`: width of 24, and height. `empty`: what it says as long as there is no data."""
    return kind.title(title).description(description).span(size[0]).height(size[1]).no_value(empty).datasource(source)


def lines(title: str, description: str, size: tuple[int, int], empty: str, source: DataSourceRef = MINUTES) -> timeseries.Panel:
    tooltip = VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    return (
        panel(timeseries.Panel(), title, description, size, empty, source).interval("1m").line_width(1).legend(_legend()).tooltip(tooltip)
    )


def columns(title: str, description: str, size: tuple[int, int], empty: str, source: DataSourceRef = MINUTES) -> timeseries.Panel:
    return lines(title, description, size, empty, source).draw_style(common.GraphDrawStyle.BARS).fill_opacity(70).min(0)


def figure(title: str, description: str, size: tuple[int, int], empty: str, field: str = "") -> stat.Panel:
    """One number, the newest. `field`: a pattern for the column to show, where that is not the number."""
    plain = common.BigValueGraphMode.NONE
    return panel(stat.Panel(), title, description, size, empty).reduce_options(_newest(field)).graph_mode(plain).interval("1m")


def dials(title: str, description: str, size: tuple[int, int], empty: str) -> gauge.Panel:
    return panel(gauge.Panel(), title, description, size, empty).reduce_options(_newest()).interval("1m")


def rows(title: str, description: str, size: tuple[int, int], empty: str) -> table.Panel:
    return panel(table.Panel(), title, description, size, empty).show_header(True)


def states(title: str, description: str, size: tuple[int, int], empty: str) -> statetimeline.Panel:
    """Words over time, each in its colour."""
    shown = panel(statetimeline.Panel(), title, description, size, empty).interval("1m").unit(TEXT)
    return shown.merge_values(True).show_value(common.VisibilityMode.AUTO).row_height(0.8).legend(_legend())


def steps(lowest: str, *rising: tuple[float, str]) -> ThresholdsConfig:
    """Colours: the lowest, and each that begins at a value."""
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(None, lowest), *(Threshold(*step) for step in rising)])


def baseline(panel: timeseries.Panel, value: float) -> timeseries.Panel:
    """A dashed line at what knowing nothing would give."""
    style = GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
    return panel.thresholds(steps("transparent", (value, ORANGE))).thresholds_style(style)


def looks(**properties: object) -> list[DynamicConfigValue]:
    """Overrides for one series or column; `custom_x` is `custom.x`."""
    return [DynamicConfigValue(name.replace("custom_", "custom."), value) for name, value in properties.items()]


def cell(colours: ThresholdsConfig, **properties: object) -> list[DynamicConfigValue]:
    """Overrides for a column whose numbers are coloured."""
    return looks(thresholds=colours.build(), custom_cellOptions={"type": "color-text"}, **properties)


def fixed(colour: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": colour}


def coloured(colours: dict[str, str], words: dict[str, str] | None = None) -> list[ValueMapping]:
    """Values that are shown in a colour, and as a word where one is given."""
    shown = {
        value: ValueMappingResult(text=(words or {}).get(value), color=colour, index=place)
        for place, (value, colour) in enumerate(colours.items())
    }
    return [ValueMap(shown)]


def _newest(field: str = "") -> ReduceDataOptions:
    return ReduceDataOptions().calcs(["lastNotNull"]).fields(field).values(False)


def _legend() -> VizLegendOptions:
    return VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM).show_legend(True)
