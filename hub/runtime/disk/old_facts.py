"""Lets go of old facts, topic by topic; never of the newest of a topic, which a broker may have to be told again."""

from hub.runtime.disk.connection import Run

AT_A_TIME = 500
LET_GO = """
DELETE FROM fact WHERE seq IN (
  SELECT seq FROM fact WHERE kind = ?1 AND topic = ?2 AND seq <= ?3
    AND seq < (SELECT max(seq) FROM fact WHERE kind = ?1 AND topic = ?2)
  ORDER BY seq LIMIT ?6
) AND CASE WHEN json_valid(payload) THEN json_extract(payload, ?5) < ?4 END
"""


def topics_of(run: Run, kind: str) -> list[str]:
    """Every topic that has a fact of that kind."""
    found: list[str] = []
    next_one = "SELECT topic FROM fact WHERE kind = ? AND topic > ? ORDER BY topic LIMIT 1"
    while rows := run(next_one, (kind, found[-1] if found else "")).fetchall():
        found.append(str(rows[0][0]))
    return found


def let_go(run: Run, kind: str, topic: str, told_at: str, before: str, taken: int) -> int:
    """Delete some facts of one topic whose field `told_at` lies before `before` (RFC 3339, UTC), up to number `taken`; returns how many."""
    return int(run(LET_GO, (kind, topic, taken, before, f"$.{told_at}", AT_A_TIME)).rowcount)
