"""What `hub doctor` sees of the page."""

import ssl
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING

from hub import Hub, TransientError
from plugins.dashboard.password import FIRST
from plugins.dashboard.settings import DashboardSettings

if TYPE_CHECKING:
    import httpx


async def look(hub: Hub, settings: DashboardSettings) -> str:
    """Whether it answers, where, and where its first password is."""
    import httpx

    try:
        async with _client(hub, settings) as http:
            answer = await http.get(f"{settings.address}/sign-in", headers={"host": f"localhost:{settings.port}"}, timeout=10.0)
    except (httpx.HTTPError, OSError) as error:
        words = f"{settings.address} does not answer: {error or type(error).__name__}"
        raise TransientError(f"{words}; does the hub run (`hub run`), and is the port free?") from error
    if answer.status_code != 200:
        raise TransientError(f"{settings.address} answers {answer.status_code}; another program may have taken plugins.dashboard.port")
    first = hub.data_dir / FIRST
    return f"{settings.address} answers" + (f"; its first password stands in {first}" if first.exists() else "")


def _client(hub: Hub, settings: DashboardSettings) -> "AbstractAsyncContextManager[httpx.AsyncClient]":
    """With https, one that trusts the page's own certificate whatever its names are: whether it answers is the question."""
    if settings.certificate_file is None:
        return nullcontext(hub.http)
    import httpx

    trust = ssl.create_default_context(cafile=str(settings.certificate_file))
    trust.check_hostname, trust.verify_flags = False, trust.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN
    return httpx.AsyncClient(verify=trust, trust_env=False)
