"""A model file on its way here: chunks as they come, kept over restarts, and taken for good only as a whole."""

import hashlib
import os
from pathlib import Path

from hub.errors import TransientError
from hub.offer import Offer, OfferRefused, digest
from hub.whole_file import sync_folder


class Download:
    """The chunks of one offer. What an earlier try has left on disk is kept, chunk by chunk, if it is right."""

    def __init__(self, folder: Path, offer: Offer) -> None:
        """TransientError where the disk cannot be used."""
        self.offer = offer
        self.file = folder / f"{offer.sha256}.onnx"
        self.part = folder / f"{offer.sha256}.part"
        self.wasted = 0
        """Chunks that came and were not what was offered."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._missing = set(range(len(offer.chunks))) - self._kept()
        except OSError as error:
            raise _trouble(self.part, error) from error

    @property
    def missing(self) -> list[int]:
        """Chunks that are not here yet, ascending."""
        return sorted(self._missing)

    def take(self, index: int, data: bytes) -> bool:
        """Whether this chunk was one that was missing; what is not as offered is thrown away. TransientError where it cannot be written."""
        if index not in self._missing:
            return False
        if len(data) != self.offer.length_of(index) or digest(data) != self.offer.chunks[index]:
            self.wasted += 1
            return False
        try:
            descriptor = os.open(self.part, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                written = os.pwrite(descriptor, data, index * self.offer.chunk_size)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _trouble(self.part, error) from error
        if written == len(data):
            self._missing.remove(index)
        return written == len(data)

    def finish(self) -> Path:
        """The whole file, checked and on disk for good. OfferRefused where it is not what was offered; then nothing is left of it."""
        try:
            content = self.part.read_bytes()
            if len(content) != self.offer.size or hashlib.sha256(content).hexdigest() != self.offer.sha256:
                self.part.unlink()
                raise OfferRefused("the whole file is not what was offered: its SHA-256 differs")
            with self.part.open("rb+") as stream:
                os.fsync(stream.fileno())
            self.part.replace(self.file)
            sync_folder(self.file.parent)
        except OSError as error:
            raise _trouble(self.part, error) from error
        return self.file

    def _kept(self) -> set[int]:
        if not self.part.exists():
            return set()
        found = set()
        with self.part.open("rb") as stream:
            for index, expected in enumerate(self.offer.chunks):
                if digest(stream.read(self.offer.length_of(index))) == expected:
                    found.add(index)
        return found


def _trouble(file: Path, error: OSError) -> TransientError:
    return TransientError(f"{file}: cannot be written: {error.strerror}; the download goes on when that is mended")
