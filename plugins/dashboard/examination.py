"""What `hub doctor` sees of the page."""

from hub import Hub, TransientError
from plugins.dashboard.password import FIRST
from plugins.dashboard.settings import DashboardSettings


async def look(hub: Hub, settings: DashboardSettings) -> str:
    """Whether it answers, where, and where its first password is."""
    import httpx

    try:
        answer = await hub.http.get(f"{settings.address}/sign-in", headers={"host": f"localhost:{settings.port}"})
    except httpx.HTTPError as error:
        words = f"{settings.address} does not answer: {error or type(error).__name__}"
        raise TransientError(f"{words}; does the hub run (`hub run`), and is the port free?") from error
    if answer.status_code != 200:
        raise TransientError(f"{settings.address} answers {answer.status_code}; another program may have taken plugins.dashboard.port")
    first = hub.data_dir / FIRST
    return f"{settings.address} answers" + (f"; its first password stands in {first}" if first.exists() else "")
