"""An offer is taken as it was signed, by whom we trust, or not at all."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hub.keys import key_id
from hub.messages import ModelManifest
from hub.offer import MOST_MANIFEST_BYTES, OfferRefused, opened, private_key, public_key
from hub.topics import decode, encode
from tests.offers import KEY, offer_of, other_model, signed

CONTENT = other_model()
OFFER = offer_of(CONTENT)
MANIFEST = signed(OFFER)
TRUSTED = {key_id(KEY.public_key().public_bytes_raw()): KEY.public_key()}


def test_what_was_signed_is_what_is_read() -> None:
    assert opened(decode("model/manifest", encode(MANIFEST)), TRUSTED) == OFFER  # type: ignore[arg-type]
    assert len(encode(MANIFEST)) <= MOST_MANIFEST_BYTES


def test_without_a_trusted_key_the_reason_says_what_to_type() -> None:
    with pytest.raises(OfferRefused, match=r"hub models trust tickerml\.pub"):
        opened(MANIFEST, {})


def test_another_key_under_the_same_name_does_not_do() -> None:
    other = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(OfferRefused, match="does not fit"):
        opened(MANIFEST, {MANIFEST.keyid: other})


@settings(max_examples=6_000, deadline=None)
@given(st.data())
def test_no_changed_envelope_is_taken(data: Any) -> None:
    """A byte changed, left out, or put in, anywhere in what stands on the wire."""
    wire = bytearray(encode(MANIFEST))
    place = data.draw(st.integers(0, len(wire) - 1))
    way = data.draw(st.sampled_from(["change", "drop", "insert", "cut"]))
    byte = data.draw(st.integers(0, 255))
    if way == "change":
        wire[place] = byte
    elif way == "drop":
        del wire[place]
    elif way == "insert":
        wire.insert(place, byte)
    else:
        del wire[place:]
    try:
        manifest = decode("model/manifest", bytes(wire))
        assert opened(manifest, TRUSTED) == OFFER  # type: ignore[arg-type]
    except (ValueError, OfferRefused):
        return
    assert manifest == MANIFEST or json.loads(wire) != json.loads(encode(MANIFEST))


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.text(max_size=20), st.none() | st.integers() | st.text(max_size=20), max_size=6) | st.lists(st.integers()))
def test_whatever_a_trusted_key_signs_it_is_an_offer_or_refused(told: Any) -> None:
    payload = json.dumps(told).encode()
    sig = KEY.sign(b"tickerml-model-v1\0" + payload).hex()
    manifest = ModelManifest(payload=base64.b64encode(payload).decode(), keyid=MANIFEST.keyid, sig=sig)
    with pytest.raises(OfferRefused, match="not an offer"):
        opened(manifest, TRUSTED)


def test_a_signature_for_something_else_is_good_for_nothing_here() -> None:
    """Without the word in front, any file that was ever signed with this key could be an offer."""
    payload = base64.b64decode(MANIFEST.payload)
    bare = MANIFEST.model_copy(update={"sig": KEY.sign(payload).hex()})
    with pytest.raises(OfferRefused, match="does not fit"):
        opened(bare, TRUSTED)


@pytest.mark.parametrize("changed", [{"chunks": ("0" * 16,) * 2}, {"size": 9 * 1024 * 1024}, {"counter": -1}, {"chunk_size": 10}])
def test_an_offer_that_contradicts_itself_is_none(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        offer_of(CONTENT, **changed)


def test_keys_that_are_none_are_named(tmp_path: Any) -> None:
    file = tmp_path / "tickerml.pub"
    with pytest.raises(Exception, match=r"tickerml\.pub: cannot be read.*trainer keygen"):
        public_key(file)
    file.write_text("nonsense")
    with pytest.raises(Exception, match=r"tickerml\.pub: is no key in PEM"):
        private_key(file)
