"""Headlines made by chance, for the demo: the same for the same minute, and called what they are."""

from collections.abc import Sequence
from datetime import timedelta
from random import Random

from hub import Hub
from hub.market.interval import MINUTE_MS, to_ms
from plugins.news.assets import NAMES
from plugins.news.headline import Headline

SOURCE = "simulated"
PHRASES = (
    "{name} gains as buyers return",
    "{name} slips after profit-taking",
    "Fund reports inflows into {name} products",
    "Analysts warn of weaker demand for {name}",
    "What to know about {name} this week",
    "Developer of a {name} wallet fixes a bug",
    "Court dismisses a lawsuit about {name}",
    "{name} trades sideways in quiet hours",
    "Exchange delays its {name} listing",
    "Company adds {name} to its balance sheet",
)
A_ROUND = 2


async def simulated_headlines(hub: Hub, assets: Sequence[str]) -> list[Headline]:
    """One or two of each asset."""
    now = hub.clock.now()
    chance = Random(to_ms(now) // MINUTE_MS)  # noqa: S311 - no secret
    return [
        Headline(
            f"{chance.choice(PHRASES).format(name=NAMES.get(asset, (asset,))[0].title())} ({now:%d %b %H:%M}, no. {number + 1})",
            "",
            SOURCE,
            now - timedelta(minutes=chance.randrange(10)),
        )
        for asset in assets
        for number in range(chance.randint(1, A_ROUND))
    ]
