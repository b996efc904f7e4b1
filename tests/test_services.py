"""A service asks the hub at its desk, in the hub's own process and in one of its own, and again after it has failed."""

from pathlib import Path

import pytest

from tests.hubs import drop_in, log_of, running, states, status_until, write_values

ASKS = '''
"""Asks, notes what it was told, and fails."""
import asyncio
from pathlib import Path

from hub import Service, TransientError, hookimpl
from hub.errors import HubError


@hookimpl
def register_services(hub):
    async def run(desk):
        health, lines = await asyncio.gather(desk.ask("health"), desk.ask("log", limit=3))
        try:
            await desk.ask("no/such/verb")
        except HubError as error:
            refused = str(error)
        with Path("told").open("a") as file:
            file.write(f"{health['running']} {len(lines) <= 3} {refused.partition(';')[0]}\\n")
        await hub.clock.sleep(1)
        raise TransientError("had enough")

    return [Service("asks", run)]
'''


@pytest.mark.parametrize("isolated", [True, False])
def test_a_service_is_answered_at_its_desk_however_often_it_starts(tmp_path: Path, isolated: bool) -> None:
    drop_in(tmp_path, "asks", ASKS)
    collector = {"source": "simulated", "backfill": "30m"}
    write_values(tmp_path, clock={"speed": 60}, plugins={"collector": collector, "asks": {"isolated": isolated}})
    told = tmp_path / "told"
    with running(tmp_path):
        shown = status_until(tmp_path, lambda _: told.exists() and told.read_text().count("\n") >= 4)
    assert set(told.read_text().splitlines()) == {"True True unknown verb 'no/such/verb'"}
    assert states(shown)["collector"] == "running"
    assert "had enough" in log_of(tmp_path)
    assert "Traceback" not in log_of(tmp_path)
