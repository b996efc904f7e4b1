"""The rungs of a disk that fills: so there is room for bars until somebody has cleared up. The last is a reserve, given up for them."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

MIB = 1024 * 1024
TIGHT_BYTES = 256 * MIB
"""Less than that is nearly full."""


class Ballast:
    """A file that holds nothing but its place."""

    def __init__(self, file: Path, *, size: int = 32 * MIB, scarce: int = 64 * MIB, plenty: int = TIGHT_BYTES) -> None:
        """It is reserved where more than `plenty` bytes are free; below `scarce` what is left is for bars only."""
        self._file = file
        self._size = size
        self._scarce = scarce
        self._plenty = plenty

    @property
    def held(self) -> bool:
        """Whether the reserve is there."""
        with suppress(OSError):
            return self._file.stat().st_size >= self._size
        return False

    @property
    def bars_only(self) -> bool:
        """Whether the disk is so full that nothing but bars may be recorded."""
        return self.free < self._scarce

    @property
    def is_tight(self) -> bool:
        """Whether what can be had again should go."""
        return self.free < self._plenty

    @property
    def free(self) -> int:
        """Bytes left on the disk, beside the reserve."""
        with suppress(OSError):
            return shutil.disk_usage(self._file.parent).free
        return 0

    def reserve(self) -> None:
        """Set the space aside, where there is plenty."""
        if self.held or self.free < self._plenty:
            return
        try:
            with self._file.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError:
            self.release()

    def release(self) -> bool:
        """Give the space back; False where there was none."""
        with suppress(OSError):
            self._file.unlink()
            return True
        return False
