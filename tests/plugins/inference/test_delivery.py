"""A model is offered, fetched, tested, proven, trusted, and withdrawn when it fails; one always serves."""

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from hub.errors import HubError
from hub.messages import ModelChunk, ModelWant, ServedModel
from hub.offer import Offer
from hub.testing import MemoryStore
from plugins.inference.slot import MOST_FAILURES
from tests.models import digest, line_model
from tests.offers import NOW, golden_of, offer_of, other_model, padded, signed, trust
from tests.plugins.inference.hub_with_models import ModelHub, trusting

CONTENT = other_model()
OFFER = offer_of(CONTENT)


async def test_a_model_that_passes_its_test_is_in_shadow_and_the_starter_serves_on(tmp_path: Path) -> None:
    async with trusting(tmp_path).running() as home:
        state = await home.offered(OFFER, CONTENT, signed(OFFER))
        assert state.answer is not None
        assert (state.answer.status, state.answer.counter) == ("shadow", OFFER.counter)
        assert state.shadow is not None
        assert state.shadow.sha256 == digest(CONTENT)
        assert home.slot.live()[0].name == "starter"
        assert home.slot.shadow() == (state.shadow, CONTENT)


async def test_without_a_shadow_time_it_goes_live_at_once(tmp_path: Path) -> None:
    async with trusting(tmp_path, shadow=timedelta(0)).running() as home:
        state = await home.offered(OFFER, CONTENT, signed(OFFER))
        assert state.live is not None
        assert home.slot.live() == (state.live, CONTENT)


async def test_without_a_trusted_key_nothing_is_taken_and_the_reason_says_what_to_type(tmp_path: Path) -> None:
    async with ModelHub(tmp_path).running() as home:
        state = await home.offered(OFFER, CONTENT, signed(OFFER))
        assert state.answer is not None
        assert state.answer.status == "rejected"
        assert "hub models trust tickerml.pub" in state.answer.reason
        assert not any(isinstance(message, ModelWant) for message in home.said)


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"expires_at": NOW - timedelta(minutes=1)}, "was to be taken until"),
    ({"counter": 2**62}, "lies in the future"),
    ({"feature_hash": "0" * 16}, "another feature set"),
]


@pytest.mark.parametrize(("changed", "words"), REFUSALS)
async def test_a_well_signed_offer_that_will_not_do_is_refused_in_words(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    offer = offer_of(CONTENT, **changed)
    async with trusting(tmp_path).running() as home:
        state = await home.offered(offer, CONTENT, signed(offer))
        assert state.answer is not None
        assert state.answer.status == "rejected"
        assert words in state.answer.reason


async def test_of_two_trainers_the_higher_counter_wins(tmp_path: Path) -> None:
    newer, older = offer_of(CONTENT, 7), offer_of(other_model(0.02), 6)
    async with trusting(tmp_path).running() as home:
        await home.offered(newer, CONTENT, signed(newer))
        state = await home.offered(older, other_model(0.02), signed(older))
        assert state.answer is not None
        assert "a newer model has been offered" in state.answer.reason
        assert state.shadow is not None
        assert state.shadow.sha256 == newer.sha256


def bad_models() -> dict[str, tuple[bytes, Offer]]:
    """Files that are as they were offered, and yet must not run."""
    loop = [helper.make_node("Loop", ["features"], ["log_return"])]
    nan = line_model(told=json.dumps({"name": "nan"}), width=float("nan"))
    wrong = golden_of(CONTENT).model_copy(update={"outputs": {**golden_of(CONTENT).outputs, "p_up": (0.9, 0.9, 0.9)}})
    lying = other_model(0.5, window=30)
    return {
        "operator 'Loop'": _with_golden(_unchecked(loop)),
        "number that cannot be": _with_golden(nan),
        "does not compute what the trainer's did": (CONTENT, offer_of(CONTENT, golden=wrong)),
        "are not those of the offer": (lying, offer_of(lying, golden=golden_of(CONTENT), window=60)),
        "no protocol buffer": (b"\xff" * 5_000, offer_of(CONTENT, **_shape(b"\xff" * 5_000))),
    }


def _unchecked(nodes: list[Any]) -> bytes:
    import onnx

    made = onnx.load_from_string(CONTENT)
    made.graph.node.extend(nodes)
    content: bytes = made.SerializeToString()
    return content


def _shape(content: bytes) -> dict[str, Any]:
    import hashlib

    from hub.offer import digest as short

    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "chunks": (short(content),)}


def _with_golden(content: bytes) -> tuple[bytes, Offer]:
    return content, replace_offer(content)


def replace_offer(content: bytes) -> Offer:
    return offer_of(content, golden=golden_of(CONTENT))


@pytest.mark.parametrize("words", list(bad_models()))
async def test_a_model_that_fails_its_test_is_refused_for_good(tmp_path: Path, words: str) -> None:
    content, offer = bad_models()[words]
    async with trusting(tmp_path).running() as home:
        state = await home.offered(offer, content, signed(offer))
        assert state.answer is not None
        assert state.answer.status == "rejected"
        assert words in state.answer.reason
        assert offer.sha256 in state.refused
        assert home.slot.live()[0].name == "starter"
        again = offer.model_copy(update={"counter": offer.counter + 1})
        state = await home.offered(again, content, signed(again))
        assert state.answer is not None
        assert "refused or withdrawn before" in state.answer.reason


async def test_damaged_and_foreign_chunks_are_asked_for_again(tmp_path: Path) -> None:
    content = padded(CONTENT, 600_000)
    offer = offer_of(content, golden=golden_of(CONTENT))
    async with trusting(tmp_path).running() as home:
        task = asyncio.create_task(home.offered(offer, content, signed(offer)))
        for index in range(5):
            await home.delivery.heard([ModelChunk(sha256=offer.sha256, index=index, data=b"x" * 100)])
            await home.delivery.heard([ModelChunk(sha256="0" * 64, index=index, data=b"x" * 100)])
        state = await task
        assert state.answer is not None
        assert state.answer.status == "shadow"


async def test_a_download_goes_on_after_a_restart_with_what_is_missing(tmp_path: Path) -> None:
    content = padded(CONTENT, 900_000)
    offer = offer_of(content, golden=golden_of(CONTENT))
    store = MemoryStore()
    async with ModelHub(tmp_path, store).running() as home:
        trust(tmp_path)
        await home.delivery.heard([signed(offer)])
        while not any(isinstance(message, ModelWant) for message in home.said):  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.01)
        size = offer.chunk_size
        await home.delivery.heard([ModelChunk(sha256=offer.sha256, index=2, data=content[2 * size : 3 * size])])
    async with ModelHub(tmp_path, store).running() as home:
        await home.offered(offer, content, signed(offer))
        asked = {index for message in home.said if isinstance(message, ModelWant) for index in message.chunks}
        assert asked == set(range(len(offer.chunks))) - {2}


async def test_parts_that_nobody_has_gone_on_with_for_a_day_are_deleted(tmp_path: Path) -> None:
    """M12: their trainer has vanished. A younger one is kept: its trainer may come back."""
    async with trusting(tmp_path).running() as home:
        home.slot.folder.mkdir(parents=True)
        now = home.hub.clock.now().timestamp()
        for name, hours in (("a" * 64, 25), ("b" * 64, 23)):
            part = home.slot.folder / f"{name}.part"
            part.write_bytes(b"some of it")
            os.utime(part, (now - hours * 3600,) * 2)
        await home.offered(OFFER, CONTENT, signed(OFFER))
        assert [file.stem for file in home.slot.folder.glob("*.part")] == ["b" * 64]


class Cut(Exception):
    """The power is cut before this is on disk."""


@pytest.mark.parametrize("kept", range(5))
async def test_whatever_is_on_disk_at_a_cut_a_model_serves_and_the_offer_comes_through_later(tmp_path: Path, kept: int) -> None:
    """`kept` decisions reach the disk, then nothing does any more."""
    store, count = MemoryStore(), 0

    def cut(_message: Any) -> None:
        nonlocal count
        count += 1
        if count > kept:
            raise Cut

    home = ModelHub(tmp_path, store, shadow=timedelta(0))
    home.before_recording = cut
    trust(tmp_path)
    home.offer, home.content = OFFER, CONTENT
    async with home.running():
        await home.delivery.heard([signed(OFFER)])
        await asyncio.sleep(1.0 if kept < 3 else 3.0)
    async with ModelHub(tmp_path, store, shadow=timedelta(0)).running() as again:
        assert again.slot.live()[1]
        state = await again.offered(OFFER, CONTENT, signed(OFFER))
        assert state.live is not None
        assert again.slot.live()[0].sha256 == OFFER.sha256


async def live_with(home: ModelHub, *contents: bytes) -> None:
    """Offers of these, one after the other, each taken live."""
    for counter, content in enumerate(contents, 10):
        offer = offer_of(content, counter)
        await home.offered(offer, content, signed(offer))


async def test_three_failures_in_a_row_bring_the_model_before_it_back(tmp_path: Path) -> None:
    """At once: the run after the third failure is the other model's."""
    first, second = other_model(0.01), other_model(0.02)
    async with trusting(tmp_path, shadow=timedelta(0)).running() as home:
        await live_with(home, first, second)
        for number in range(MOST_FAILURES):
            assert home.slot.live()[1] == second, number
            home.slot.report(digest(second), False, "it says a number that cannot be")
        assert home.slot.live()[1] == first
        state = await home.until(lambda state: state.answer is not None and state.answer.status == "rolled_back")
        assert state.live is not None
        assert state.live.sha256 == digest(first)
        assert digest(second) in state.refused
        assert state.answer is not None
        assert "3 of its 3 runs failed" in state.answer.reason


async def test_the_starter_serves_when_all_others_have_failed_and_it_is_never_withdrawn(tmp_path: Path) -> None:
    async with trusting(tmp_path, shadow=timedelta(0)).running() as home:
        await live_with(home, CONTENT)
        for _ in range(MOST_FAILURES):
            home.slot.report(digest(CONTENT), False, "no")
        starter, _ = home.slot.live()
        assert starter.name == "starter"
        for _ in range(10):
            home.slot.report(starter.sha256, False, "no")
        assert home.slot.live()[0] == starter


async def test_a_fifth_of_failed_runs_is_enough_while_it_is_new(tmp_path: Path) -> None:
    async with trusting(tmp_path, shadow=timedelta(0)).running() as home:
        await live_with(home, CONTENT)
        for ok in (True, False, True, False, True):
            home.slot.report(digest(CONTENT), ok, "no")
        assert home.slot.live()[0].name == "starter"


async def test_a_model_that_takes_the_hub_down_is_not_asked_a_fourth_time(tmp_path: Path) -> None:
    store = MemoryStore()
    home = ModelHub(tmp_path, store, shadow=timedelta(0))
    trust(tmp_path)
    async with home.running():
        await live_with(home, CONTENT)
    served = []
    for _ in range(5):
        async with ModelHub(tmp_path, store).running() as life:
            served.append(life.slot.live()[0].name)  # and then the process is gone: no report
            await asyncio.sleep(0.05)
    assert served == ["other", "other", "other", "starter", "starter"]


async def test_one_good_run_clears_a_model_of_that(tmp_path: Path) -> None:
    store = MemoryStore()
    home = ModelHub(tmp_path, store, shadow=timedelta(0))
    trust(tmp_path)
    async with home.running():
        await live_with(home, CONTENT)
    for _ in range(6):
        async with ModelHub(tmp_path, store).running() as life:
            served, _ = life.slot.live()
            assert served.name == "other"
            life.slot.report(served.sha256, True, "")


async def test_a_damaged_file_is_not_served(tmp_path: Path) -> None:
    store = MemoryStore()
    home = ModelHub(tmp_path, store, shadow=timedelta(0))
    trust(tmp_path)
    async with home.running():
        await live_with(home, CONTENT)
    (home.slot.folder / f"{digest(CONTENT)}.onnx").write_bytes(CONTENT[:-1] + b"x")
    async with ModelHub(tmp_path, store).running() as life:
        assert life.slot.live()[0].name == "starter"


async def test_by_hand_a_shadow_goes_live_and_a_live_model_goes_back(tmp_path: Path) -> None:
    async with trusting(tmp_path).running() as home:
        with pytest.raises(HubError, match="no model is in shadow"):
            await home.slot.promote("by hand")
        with pytest.raises(HubError, match="the starter model serves already"):
            await home.slot.roll_back("by hand")
        await home.offered(OFFER, CONTENT, signed(OFFER))
        assert (await home.slot.promote("by hand")).sha256 == OFFER.sha256
        assert home.slot.live()[1] == CONTENT
        assert isinstance(await home.slot.roll_back("by hand"), ServedModel)
        assert home.slot.live()[0].name == "starter"


async def test_unsigned_offers_are_not_answered_without_end(tmp_path: Path) -> None:
    """Whoever may publish could otherwise fill the disk with refusals."""
    manifest = signed(OFFER)
    async with ModelHub(tmp_path).running() as home:
        for number in range(200):
            await home.delivery.heard([manifest.model_copy(update={"sig": f"{number:0128x}"})])
        await asyncio.sleep(0.1)
        assert 1 <= sum(1 for message in home.said if not isinstance(message, ModelWant)) <= 15


async def test_an_old_offer_that_the_broker_still_holds_changes_nothing(tmp_path: Path) -> None:
    """It comes again at every start and every connection."""
    store = MemoryStore()
    home = ModelHub(tmp_path, store, shadow=timedelta(0))
    trust(tmp_path)
    async with home.running():
        await live_with(home, CONTENT)
        await home.slot.roll_back("by hand")
    before = home.newest()
    for _ in range(3):
        async with ModelHub(tmp_path, store, shadow=timedelta(0)).running() as life:
            offer = offer_of(CONTENT, 10)
            for _ in range(5):
                await life.delivery.heard([signed(offer)])
            await asyncio.sleep(0.05)
            assert life.newest() == before
            assert life.slot.live()[0].name == "starter"
