"""Files that are damaged, or made to do harm."""

import gzip
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.files import PLAIN, plain, write
from trainer import unpacked
from trainer.unpacked import UnusableFile, blocks

TEXT = "".join(f"{line}\n" for line in [PLAIN, *map(plain, range(2000))]).encode()


def zipped(file: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def test_text_comes_out_whole_however_it_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks that end with a line; the last line may lack its end."""
    monkeypatch.setattr(unpacked, "BLOCK", 1000)
    monkeypatch.setattr(unpacked, "PIECE", 300)
    for name in ("x.csv", "x.csv.gz", "x.zip"):
        file = write(tmp_path / name, [PLAIN, *map(plain, range(2000))])
        pieces = list(blocks(file))
        assert b"".join(pieces) == TEXT
        assert len(pieces) > 50
        assert all(piece.endswith(b"\n") for piece in pieces)
    (tmp_path / "y.csv").write_bytes(b"a\nb")
    assert list(blocks(tmp_path / "y.csv")) == [b"a\nb"]


def truncated_gzip(file: Path) -> None:
    packed = gzip.compress(TEXT)
    file.write_bytes(packed[: len(packed) // 2])


def flipped_gzip(file: Path) -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[len(packed) // 2] ^= 255
    file.write_bytes(packed)


def truncated_zip(file: Path) -> None:
    packed = zipped(file, **{"x.csv": TEXT}).read_bytes()
    file.write_bytes(packed[: len(packed) // 2])


def flipped_zip(file: Path) -> None:
    packed = bytearray(zipped(file, **{"x.csv": TEXT}).read_bytes())
    packed[len(packed) // 2] ^= 255
    file.write_bytes(packed)


def bomb(file: Path) -> None:
    file.write_bytes(gzip.compress(b"1,2,3\n" * 20_000_000, 9))


def zip_bomb(file: Path) -> None:
    zipped(file, **{"x.csv": b"1,2,3\n" * 20_000_000})


TRAPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a gzip cut short": (truncated_gzip, r"x:\d+: it ends early or is damaged"),
    "a gzip with a flipped byte": (flipped_gzip, r"x:\d+: it ends early or is damaged"),
    "a zip cut short": (truncated_zip, "it ends early or is damaged"),
    "a zip with a flipped byte": (flipped_zip, "it ends early or is damaged"),
    "a gzip bomb": (bomb, "decompression bomb"),
    "a zip bomb": (zip_bomb, "decompression bomb"),
    "a zip of two": (lambda file: zipped(file, **{"a.csv": TEXT, "b.csv": TEXT}), "holds 'a.csv', 'b.csv'"),
    "an empty zip": (zipped, "holds nothing"),
    "a zip of a program": (lambda file: zipped(file, **{"a.exe": b"MZ"}), "one CSV in it is needed"),
    "a way out": (lambda file: zipped(file, **{"../../etc/x.csv": TEXT}), "reaches out of the zip"),
    "a way to the root": (lambda file: zipped(file, **{"/etc/x.csv": TEXT}), "reaches out of the zip"),
    "a way on Windows": (lambda file: zipped(file, **{"..\\x.csv": TEXT}), "reaches out of the zip"),
    "UTF-16": (lambda file: file.write_bytes(TEXT.decode().encode("utf-16")), r"x:1: is not UTF-8"),
    "Latin-1": (lambda file: file.write_bytes(TEXT + "é\n".encode("latin-1")), r"x:2002: is not UTF-8"),
    "an endless line": (lambda file: file.write_bytes(b"1\n" + b"1" * 10_000_000), r"x:2: a line longer than 64 KiB"),
    "a fifo": (os.mkfifo, "is not a regular file"),
    "nothing there": (Path.absolute, "no such file"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_told_in_words(name: str, tmp_path: Path) -> None:
    """With the file, and the line where there is one; and without filling memory or disk."""
    make, words = TRAPS[name]
    make(tmp_path / "x")
    with pytest.raises(UnusableFile, match=words):
        for _ in blocks(tmp_path / "x"):
            pass
    assert {path.name for path in tmp_path.iterdir()} <= {"x"}


def test_the_place_of_the_damage_is_told(tmp_path: Path) -> None:
    """As near as the packing lets one see: the lines before it are whole."""
    packed = gzip.compress(TEXT * 100)
    (tmp_path / "x").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UnusableFile) as refused:
        list(blocks(tmp_path / "x"))
    line = int(str(refused.value).removeprefix(f"{tmp_path / 'x'}:").split(":")[0])
    assert line == pytest.approx(100_000, rel=0.1)


def test_a_file_may_be_large_but_not_boundless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk can be filled by a file that is not dense, too."""
    monkeypatch.setattr(unpacked, "LARGEST", 10_000)
    with pytest.raises(UnusableFile, match="of text; split it"):
        list(blocks(write(tmp_path / "x.csv", [PLAIN, *map(plain, range(2000))])))
