"""`python -m tests.campaign FOLDER TIMES...`: each fault so many times (`NAME=N`), then one table; exit code 1 where anything was lost.

`spoil=1`: something is lost on purpose at the end.
"""

import json
import sys
from datetime import date, timedelta
from pathlib import Path

from tests.campaign.faults import FAULTS
from tests.campaign.house import BEGIN, House, in_words


def campaign(folder: Path, times: dict[str, int]) -> list[dict[str, object]]:
    """The rows of the table."""
    rows: list[dict[str, object]] = []
    with House(folder) as house:
        house.until_well(120)
        plan = [fault for fault in FAULTS if times.get(fault.name, 0)]
        for fault in plan:
            seconds = [fault.strike(house) for _ in range(times[fault.name])]
            lost = house.lost()
            rows.append({"fault": fault.name, "codes": fault.codes, "times": len(seconds), "lost": lost, "recovered": in_words(seconds)})
            print(f"{fault.name:<34} {fault.codes:<10} {len(seconds):>5} {len(lost):>6}   {in_words(seconds)}", file=sys.stderr, flush=True)
        assert house.stop_hub() == 0
        if times.get("spoil"):
            house.spoil()
        days = finished_days(house)
        lost = [*house.lost(), *house.lost_dumps(days)]
        bugs = [line for line in house.log.splitlines() if "Traceback" in line]
        rows.append({"fault": "in the end", "codes": f"{len(days)} dumps", "times": house.lives, "lost": lost + bugs, "recovered": "-"})
    return rows


def finished_days(house: House) -> list[str]:
    """Days whose dump must be where dumps are brought: those that were over some time before the end."""
    last = (house.exchange.clock.now() - timedelta(hours=1)).date()
    days = [date.fromisoformat(BEGIN.date().isoformat())]
    while days[-1] + timedelta(days=1) < last:
        days.append(days[-1] + timedelta(days=1))
    return [day.isoformat() for day in days if day < last]


def table(rows: list[dict[str, object]]) -> str:
    """For people."""
    lines = [f"{'fault':<34} {'catalogue':<10} {'times':>5} {'lost':>6}   recovered in (median / worst)"]
    for row in rows:
        lost = row["lost"]
        assert isinstance(lost, list)
        lines.append(f"{row['fault']:<34} {row['codes']:<10} {row['times']:>5} {len(lost):>6}   {row['recovered']}")
        lines += [f"    {words}" for words in lost[:5]]
    return "\n".join(lines)


if __name__ == "__main__":
    wanted = {name: int(number) for name, _, number in (each.rpartition("=") for each in sys.argv[2:])}
    assert wanted.keys() <= {"spoil", *(fault.name for fault in FAULTS)}, wanted
    found = campaign(Path(sys.argv[1]), wanted)
    print(table(found), file=sys.stderr)
    print(json.dumps(found))
    sys.exit(any(row["lost"] for row in found))
