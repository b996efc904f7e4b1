"""The keys that models are signed with."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from hub.errors import HubError
from hub.keys import key_id
from trainer.keygen import make_keys


def test_a_pair_fits_together_and_the_private_key_is_private(tmp_path: Path) -> None:
    """A signature made with the one is good by the other."""
    pair = make_keys(tmp_path / "keys")
    private, public = load_pem_private_key(pair.private.read_bytes(), None), load_pem_public_key(pair.public.read_bytes())
    public.verify(private.sign(b"model"), b"model")  # type: ignore[union-attr, call-arg]
    assert pair.private.stat().st_mode & 0o777 == 0o600
    assert pair.id == key_id(public.public_bytes_raw())  # type: ignore[union-attr]
    assert len(pair.id) == 16


@pytest.mark.parametrize("there", ["tickerml.key", "tickerml.pub"])
def test_keys_are_never_overwritten(there: str, tmp_path: Path) -> None:
    """A hub that trusts the old one would trust nobody any more. No half of a pair is left either."""
    (tmp_path / there).write_text("mine")
    with pytest.raises(HubError, match=f"{there}: a key is never overwritten"):
        make_keys(tmp_path)
    assert (tmp_path / there).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HubError, match="file: cannot be written"):
        make_keys(tmp_path / "file")
