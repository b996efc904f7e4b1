"""What `hub demo` shows on stdout: every bar and alert as it comes back from the broker."""

import sys
from collections.abc import Awaitable, Callable

from hub.messages import Alert, Bar, Message
from hub.runtime.app import App


def bars_on(show: Callable[[str], None] = print) -> Callable[[App], Awaitable[None]]:
    """Runs beside the hub and shows what anybody who subscribes would see."""

    async def follow(app: App) -> None:
        async for message in app.bus.subscribe((Bar, Alert)):
            show(line(message))
            sys.stdout.flush()

    return follow


def line(message: Message) -> str:
    """One message as one line."""
    if isinstance(message, Bar):
        change = message.close / message.open - 1
        volume = "        -" if message.volume is None else f"{message.volume:9.3f}"
        return (
            f"{message.open_time:%Y-%m-%d %H:%M}  bar    {message.symbol:<9} {message.close:>12,.2f}  {change:+.2%}"
            f"  volume {volume}  {message.source}{'' if message.quality == 'exact' else ' (fallback)'}"
        )
    if isinstance(message, Alert):
        return f"{message.raised_at:%Y-%m-%d %H:%M}  alert  {message.symbol:<9} {message.text}"
    return message.model_dump_json()
