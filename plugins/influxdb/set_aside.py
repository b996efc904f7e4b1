"""Points that InfluxDB will never take, kept on disk with its reasons: one JSON object a line."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from hub import Hub, TransientError

MOST_BYTES = 4 * 1024 * 1024
"""Then the file becomes `set_aside.jsonl.1`, and the one that had this name is gone."""
MOST_REASONS = 100


class SetAside:
    """The file, and what is in it."""

    def __init__(self, hub: Hub) -> None:
        self.file: Path = hub.data_dir / "set_aside.jsonl"
        self._hub = hub
        self._points: set[int] | None = None
        """Hashes of the points in the file, read when first needed."""
        self._last = ""
        self._told: set[str] = set()

    def holds(self, line: str) -> bool:
        """Whether this very point is there already, so that it need not be refused again."""
        points = self._known()
        return bool(points) and hash(line) in points

    def put(self, bucket: str, refused: Sequence[tuple[str, str]]) -> None:
        """Keep points with their reasons; they are on disk afterwards. A reason is said once in the log."""
        if not refused:
            return
        at = self._hub.clock.now().isoformat()
        rows = [json.dumps({"at": at, "bucket": bucket, "reason": reason, "line": line}) + "\n" for line, reason in refused]
        points = self._known()
        try:
            if not self.file.exists():
                points.clear()
            elif self.file.stat().st_size > MOST_BYTES:
                self.file.replace(self.file.with_name(f"{self.file.name}.1"))
                points.clear()
            _append(self.file, rows)
        except OSError as error:
            raise TransientError(f"{self.file}: cannot be written: {error.strerror}") from error
        for line, reason in refused:
            points.add(hash(line))
            self._last = reason
            if (kind := reason.split("'")[0]) not in self._told and len(self._told) < MOST_REASONS:
                self._told.add(kind)
                self._hub.log.error("InfluxDB refused a point; it is set aside", reason=reason, point=line[:300], file=str(self.file))

    def words(self) -> str | None:
        """For the plugin's state; None where nothing is set aside, or somebody has seen to it and removed the file."""
        points = self._known()
        if not points or not self.file.exists():
            return None
        return f"{len(points)} points that InfluxDB refused are set aside in {self.file} (the last one: {self._last})"

    def _known(self) -> set[int]:
        if self._points is None:
            self._points = set()
            if self.file.exists():
                with self.file.open(encoding="utf-8", errors="replace") as file:
                    for row in filter(None, map(_row, file)):
                        self._points.add(hash(row["line"]))
                        self._last = row["reason"]
        return self._points


def _append(file: Path, rows: Sequence[str]) -> None:
    with file.open("a", encoding="utf-8") as open_file:
        open_file.writelines(rows)
        open_file.flush()
        os.fsync(open_file.fileno())


def _row(text: str) -> dict[str, str] | None:
    """A line that a power cut has cut is none."""
    try:
        row = json.loads(text)
        return {name: str(row[name]) for name in ("line", "reason")}
    except (ValueError, LookupError, TypeError):
        return None
