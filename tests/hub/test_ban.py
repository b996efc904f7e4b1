"""How long a host asked us to leave it alone is never forgotten, whatever the clocks do."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from hub.ban import DEFAULT_S, LONGEST_S, Ban, wait_asked
from hub.testing import FakeClock

NOW = 1_747_699_200.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("0", DEFAULT_S),
        ("-1", DEFAULT_S),
        ("1000000000", LONGEST_S),
        ("1e9", LONGEST_S),
        ("9" * 400, DEFAULT_S),
        ("1e999", LONGEST_S),
        ("nan", DEFAULT_S),
        ("inf", DEFAULT_S),
        ("", DEFAULT_S),
        ("soon", DEFAULT_S),
        ("Tue, 20 May 2025 00:10:00 GMT", 600),
        ("Mon, 19 May 2025 00:10:00 GMT", DEFAULT_S),
        ("Tue, 99 Foo 2025", DEFAULT_S),
    ],
)
def test_every_form_of_retry_after_is_understood_or_a_minute(text: str, seconds: float) -> None:
    assert wait_asked({"retry-after": text}, NOW) == seconds


def test_a_date_counts_from_the_answers_own_date() -> None:
    """Our clock may be years off."""
    headers = {"retry-after": "Tue, 20 May 2025 00:10:00 GMT", "date": "Tue, 20 May 2025 00:05:00 GMT"}
    assert wait_asked(headers, 0.0) == 300


async def test_it_outlives_a_restart(tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / "ban.json"
    Ban(file, clock).begin(600)
    await clock.advance(100)
    assert Ban(file, clock).remaining() == 500
    await clock.advance(501)
    assert Ban(file, clock).remaining() == 0


async def test_a_shorter_ban_does_not_end_a_longer_one(tmp_path: Path) -> None:
    ban = Ban(tmp_path / "ban.json", FakeClock())
    ban.begin(600)
    ban.begin(5)
    assert ban.remaining() == 600


async def test_it_is_never_longer_than_three_days(tmp_path: Path) -> None:
    file = tmp_path / "ban.json"
    Ban(file, FakeClock()).begin(1e12)
    assert Ban(file, FakeClock()).remaining() == LONGEST_S


@pytest.mark.parametrize("days", [-20_000, -1, 1, 4000])
async def test_a_jump_of_the_wall_clock_does_not_end_it(days: int, tmp_path: Path) -> None:
    """Set by NTP while we run, or while the hub is restarted."""
    clock, file = FakeClock(), tmp_path / "ban.json"
    ban = Ban(file, clock)
    ban.begin(600)
    clock.jump(timedelta(days=days))
    assert ban.remaining() == 600
    await clock.advance(100)
    clock.jump(timedelta(days=days / 2))
    assert Ban(file, clock).remaining() == pytest.approx(500)


async def test_after_a_reboot_the_wall_clock_counts(tmp_path: Path) -> None:
    """The monotonic clock has begun anew; a wall clock in the past only makes us wait longer."""
    file = tmp_path / "ban.json"
    clock = FakeClock()
    await clock.advance(10_000)
    Ban(file, clock).begin(600)
    note = json.loads(file.read_text()) | {"boot": "another"}
    file.write_text(json.dumps(note))
    assert Ban(file, FakeClock(clock.now() + timedelta(seconds=200))).remaining() == pytest.approx(400)
    file.write_text(json.dumps(note))
    assert Ban(file, FakeClock(clock.now() - timedelta(days=2))).remaining() == pytest.approx(600)


async def test_a_clock_that_is_set_right_during_a_ban_is_noted(tmp_path: Path) -> None:
    """Noted in 1970, corrected by NTP, rebooted: the ban still counts."""
    file, clock = tmp_path / "ban.json", FakeClock()
    clock.jump(timedelta(days=-20_000))
    ban = Ban(file, clock)
    ban.begin(600)
    clock.jump(timedelta(days=20_000))
    ban.remaining()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"boot": "another"}))
    assert Ban(file, FakeClock(clock.now() + timedelta(seconds=100))).remaining() == pytest.approx(500)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"wait_s": "x"}', '{"wait_s": NaN, "noted_at": 0, "noted_monotonic": 0, "boot": ""}', "\x00" * 50]
)
def test_a_damaged_note_is_taken_for_a_minute(text: str, tmp_path: Path) -> None:
    file = tmp_path / "ban.json"
    file.write_text(text)
    assert Ban(file, FakeClock()).remaining() == DEFAULT_S
