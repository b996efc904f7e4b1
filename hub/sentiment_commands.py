"""`hub sentiment`: how a headline sounds, to the judge that you choose."""

import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.configured import configuration_of

if TYPE_CHECKING:
    from hub.headline.judge import Judgement


class Scorer(StrEnum):
    """Who judges."""

    lexicon = "lexicon"
    gemma = "gemma"


def sentiment(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT | -]", help="A headline; without one, or with -, stdin: one a line.")] = None,
    scorer: Annotated[Scorer, typer.Option(help="The hub's own lexicon, or Gemma through Ollama.")] = Scorer.lexicon,
    as_json: Annotated[bool, typer.Option("--json", help="As it is anyway: one JSON object a line.")] = False,  # noqa: ARG001 - for those who always say it
) -> None:
    """Judge headlines: one a line in, one JSON object a line out, with text, score (-1 to 1), label and scorer."""
    lines = _stdin() if text is None or text == "-" else iter(text.splitlines() or [""])
    judge = _lexicon() if scorer is Scorer.lexicon else _gemma(context)
    for line in lines:
        found = judge(line)
        told = {"text": line, "score": found.score, "label": found.label, "scorer": found.scorer}
        sys.stdout.write(json.dumps(told) + "\n")
        if not sys.stdin.closed:
            sys.stdout.flush()


def _stdin() -> Iterator[str]:
    """Lines as they come; what is no UTF-8 is shown by its marks."""
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", errors="replace").rstrip("\r\n")


def _lexicon() -> Any:
    from hub.headline.judge import Judge
    from hub.headline.plain_text import plain_text

    judge = Judge()
    return lambda line: judge.judge([plain_text(line)])[0]


def _gemma(context: typer.Context) -> Any:
    """A judge that asks Ollama as the configuration says. DependencyDown, with what to type, where it cannot."""
    import asyncio

    import httpx

    from hub.errors import DependencyDown, TransientError
    from hub.headline.gemma import ADDRESS, MODEL, Gemma, checked
    from hub.headline.judge import Judge
    from hub.headline.plain_text import plain_text

    told = configuration_of(context, check=False).sections.get("news", {}).get("ollama") or {}
    address, model = str(told.get("base_url", ADDRESS)).rstrip("/"), str(told.get("model", MODEL))
    lexicon = Judge()

    async def ask(headline: str) -> "Judgement":
        async with httpx.AsyncClient(headers={"accept-encoding": "identity"}, trust_env=False) as http:
            gemma = Gemma(http, address, model)
            try:
                [said] = await gemma.judge([headline])
            except TransientError as error:
                await gemma.look()
                raise DependencyDown(str(error)) from error
        return checked(said, lexicon.judge([headline])[0])[0]

    return lambda line: asyncio.run(ask(plain_text(line)))
