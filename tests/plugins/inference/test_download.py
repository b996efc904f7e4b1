"""Chunks in any order, twice, damaged, over restarts: the file is whole, or it is not there."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import TransientError
from hub.offer import OfferRefused
from plugins.inference.download import Download
from tests.offers import offer_of, other_model, padded

CONTENT = padded(other_model(), 400_000)
OFFER = offer_of(CONTENT)
SIZE = OFFER.chunk_size


def chunk(index: int) -> bytes:
    return CONTENT[index * SIZE : (index + 1) * SIZE]


steps = st.lists(
    st.tuples(st.sampled_from(["take", "damaged", "short", "restart", "foreign"]), st.integers(0, len(OFFER.chunks) + 1)), max_size=20
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_whatever_comes_the_file_is_whole_in_the_end(moves: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        download, taken = Download(Path(name), OFFER), set[int]()
        for way, index in moves:
            if way == "restart":
                download = Download(Path(name), OFFER)
            elif index < len(OFFER.chunks) and way == "take":
                assert download.take(index, chunk(index)) == (index not in taken)
                taken.add(index)
            else:
                data = chunk(index)[:-1] if way == "short" else bytes(len(chunk(index)))
                assert not download.take(index, data)
            assert download.missing == [each for each in range(len(OFFER.chunks)) if each not in taken]
            assert not download.file.exists()
        for index in download.missing:
            assert download.take(index, chunk(index))
        assert download.finish().read_bytes() == CONTENT
        assert [file.name for file in Path(name).iterdir()] == [f"{OFFER.sha256}.onnx"]


def test_good_chunks_of_another_whole_are_not_taken_for_it(tmp_path: Path) -> None:
    """Each chunk's short digest fits, the whole file's does not: it is thrown away."""
    lying = OFFER.model_copy(update={"sha256": "0" * 64})
    download = Download(tmp_path, lying)
    for index in range(len(OFFER.chunks)):
        download.take(index, chunk(index))
    with pytest.raises(OfferRefused, match="SHA-256 differs"):
        download.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(TransientError, match=str(tmp_path / "models")):
        Download(tmp_path / "models", OFFER)
