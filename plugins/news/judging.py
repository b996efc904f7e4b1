"""Who judges a headline: Gemma where she answers, the lexicon where not; the same text is judged once."""

from collections import OrderedDict
from collections.abc import Sequence

from hub import Hub, TransientError
from hub.headline.gemma import A_CALL, Gemma, checked
from hub.headline.injection import speaks_to_a_machine
from hub.headline.judge import Judge, Judgement
from hub.headline.words import words
from plugins.news.settings import OllamaSettings

REMEMBERED = 5_000
Verdict = Judgement | None
"""None: it is not judged, and weighs nothing."""


class Judging:
    """All judgements of one run."""

    def __init__(self, hub: Hub, settings: OllamaSettings) -> None:
        self._hub = hub
        self._settings = settings
        self._lexicon: Judge | None = None
        self._known: OrderedDict[str, Verdict] = OrderedDict()
        self._trouble: str | None = None
        self.doubtful = 0
        """Headlines that spoke to the machine, or on which the two judges were at odds."""

    def remark(self) -> str | None:
        """Why Gemma does not judge."""
        return f"the lexicon judges: {self._trouble}" if self._trouble else None

    async def judge(self, titles: Sequence[str]) -> list[Verdict]:
        """One verdict a title, in order."""
        new = [title for title in dict.fromkeys(titles) if title not in self._known]
        honest = [title for title in new if not speaks_to_a_machine(title, words(title))]
        for title in set(new) - set(honest):
            self.doubtful += 1
            self._hub.log.info("a headline speaks to the machine, and is not judged", title=title)
            self._remember(title, None)
        for title, verdict in zip(honest, await self._judged(honest), strict=True):
            self._remember(title, verdict)
        found = [self._known[title] for title in titles]
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _judged(self, titles: Sequence[str]) -> list[Judgement]:
        self._lexicon = self._lexicon or Judge()
        plain = self._lexicon.judge(titles)
        if not titles or not self._settings.enabled:
            return plain
        said = await self._by_gemma(titles)
        found = []
        for opinion, lexicon in zip(said, plain, strict=False):
            verdict, at_odds = checked(opinion, lexicon)
            self.doubtful += at_odds
            found.append(verdict)
        return [*found, *plain[len(said) :]]

    async def _by_gemma(self, titles: Sequence[str]) -> list[Judgement]:
        """Her opinions, as far as she came; she is asked again at the next round."""
        gemma, said = Gemma(self._hub.http, self._settings.base_url, self._settings.model), list[Judgement]()
        try:
            for begin in range(0, len(titles), A_CALL):
                said += await gemma.judge(titles[begin : begin + A_CALL])
        except TransientError as error:
            if self._trouble is None:
                self._hub.log.warning("the lexicon judges headlines", reason=str(error))
            self._trouble = str(error)
            return said
        if self._trouble is not None:
            self._hub.log.info("Gemma judges headlines again")
        self._trouble = None
        return said

    def _remember(self, title: str, verdict: Verdict) -> None:
        self._known[title] = verdict
        self._known.move_to_end(title)
