"""How a new model comes to its place: offered, checked, fetched, tested, proven in shadow; and at each step the trainer is told."""

import asyncio
import json
import shutil
from base64 import b64decode
from binascii import Error as NotBase64
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from re import fullmatch
from typing import Literal

from hub import Bar, Hub, ModelChunk, ModelManifest, ModelWant, ServedModel, TransientError
from hub.clock import Clock, SystemClock
from hub.ledger import compare
from hub.market.features import FEATURE_HASH
from hub.offer import Offer, OfferRefused, opened
from plugins.inference.download import Download
from plugins.inference.self_test import self_test
from plugins.inference.settings import InferenceSettings
from plugins.inference.slot import MOST_REFUSED, Slot
from plugins.inference.trust import trusted_keys

AT_ONCE = 4
"""Chunks asked for at a time."""
RESERVE_BYTES = 256 * 1024 * 1024
ASK_AGAIN_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0)
"""How long a chunk is waited for, again and again; after that the trainer has gone, and comes back with another manifest."""
MOST_WASTED = 64
FAR_AHEAD_MS = 86_400_000
REMEMBERED = 256
MOST_REFUSALS = 10
"""Unsigned offers that are answered in an hour; the rest is only counted."""
LOOK_EVERY = timedelta(minutes=1)
PART_KEPT = timedelta(hours=24)


class Delivery:
    """One offer at a time: the one with the highest counter."""

    def __init__(self, hub: Hub, settings: InferenceSettings, slot: Slot, machine: Clock | None = None) -> None:
        """`machine` dates offers: they are made in the present, also where the hub replays the past."""
        self._hub = hub
        self._machine = machine or SystemClock()
        self._settings = settings
        self._slot = slot
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._refusals: deque[float] = deque(maxlen=MOST_REFUSALS)
        self._download: Download | None = None
        self._arrived = asyncio.Event()
        self._offered_again = False
        self._fetching: asyncio.Task[None] | None = None
        self._looked_at: float | None = None
        self._remark: str | None = None

    def remark(self) -> str | None:
        """What is not well although it works."""
        return self._remark

    async def heard(self, messages: Sequence[ModelManifest | ModelChunk]) -> None:
        """From the broker."""
        for message in messages:
            if isinstance(message, ModelChunk):
                self._chunk(message)
            else:
                await self._offered(message)

    async def look(self, _bars: Sequence[Bar]) -> None:
        """Once a minute: has the model in shadow proven itself?"""
        now, shadow = self._hub.clock.monotonic(), self._slot.state.shadow
        if shadow is None or (self._looked_at is not None and now - self._looked_at < LOOK_EVERY.total_seconds()):
            return
        self._looked_at = now
        if self._hub.clock.now() - shadow.since < self._settings.shadow:
            return
        live, _ = self._slot.live()
        found = await asyncio.to_thread(compare, self._hub.store, live.sha256, shadow.sha256, shadow.since, self._hub.clock.now())
        if found.choice == "promote":
            await self._slot.promote(found.reason)
        elif found.choice == "reject":
            await self._slot.drop_shadow(found.reason)

    async def _offered(self, manifest: ModelManifest) -> None:
        mark = sha256(f"{manifest.payload} {manifest.sig}".encode()).hexdigest()
        if mark in self._seen:
            self._offered_again = True  # perhaps by a trainer that was cut off, and has not heard what was asked meanwhile
            self._arrived.set()
            return
        self._seen[mark] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        try:
            offer = opened(manifest, trusted_keys(self._hub, self._settings))
        except OfferRefused as error:
            await self._refuse_unsigned(manifest, error)
            return
        last = self._slot.state.answer
        if last is not None and (last.sha256, last.counter) == (offer.sha256, offer.counter) and last.status != "staged":
            return  # it is the broker's memory, and was answered
        try:
            self._check(offer)
            if (place := self._place_of(offer)) is not None:
                await self._slot.change(self._slot.answer(offer.sha256, place, "it stands there already", offer))
                return
            await self._begin(offer)
        except OfferRefused as error:
            await self._refuse(offer, error, for_good=False)

    def _check(self, offer: Offer) -> None:
        """OfferRefused for an offer that is well signed, and yet not to be taken."""
        now = self._machine.now()
        if offer.expires_at < now:
            raise OfferRefused(f"it was to be taken until {offer.expires_at:%Y-%m-%d %H:%M} UTC; publish it again")
        if offer.counter > now.timestamp() * 1000 + FAR_AHEAD_MS:
            raise OfferRefused("its counter lies in the future: is the clock of the trainer's machine right, or this one's?")
        state = self._slot.state
        again = state.answer is not None and state.answer.sha256 == offer.sha256
        if offer.counter < state.floor or (offer.counter == state.floor and not again):
            raise OfferRefused(f"a newer model has been offered since (counter {state.floor}); publish again")
        if offer.sha256 in state.refused:
            raise OfferRefused("this very file was refused or withdrawn before; train another")
        if offer.feature_hash != FEATURE_HASH:
            raise OfferRefused("it was trained on another feature set than this hub's: use the same version of TickerML on both machines")
        free = shutil.disk_usage(self._hub.data_dir).free
        if free < 2 * offer.size + RESERVE_BYTES:
            raise OfferRefused(f"{self._hub.data_dir}: {free // 1_048_576} MiB are free, too few for a new model; free some space")

    def _place_of(self, offer: Offer) -> Literal["live", "shadow"] | None:
        """Where the model stands already."""
        state = self._slot.state
        if state.live is not None and state.live.sha256 == offer.sha256:
            return "live"
        return "shadow" if state.shadow is not None and state.shadow.sha256 == offer.sha256 else None

    async def _begin(self, offer: Offer) -> None:
        if self._fetching is not None and not self._fetching.done():
            if self._download is not None and self._download.offer.counter >= offer.counter:
                return
            self._fetching.cancel()
        self._clear_old_parts(offer)
        self._fetching = asyncio.create_task(self._bring(offer))

    async def _bring(self, offer: Offer) -> None:
        """From the first chunk to its place."""
        try:
            await self._fetch_and_test(offer)
        except OfferRefused as error:
            await self._refuse(offer, error, for_good=True)
        except TransientError as error:
            self._remark = str(error)
            self._hub.log.warning("the download of a model waits", reason=str(error))
            self._seen.clear()  # the manifest, when it comes again, is a new chance

    async def _fetch_and_test(self, offer: Offer) -> None:
        if not self._slot.has(offer.sha256):
            download = self._download = Download(self._slot.folder, offer)
            await self._fetch(download)
            await asyncio.to_thread(download.finish)
        self._remark = None
        await self._slot.change(self._slot.answer(offer.sha256, "staged", "all of it is here; it is tested", offer), floor=offer.counter)
        await self_test(self._slot.folder / f"{offer.sha256}.onnx", offer)
        now = self._hub.clock.now()
        model = ServedModel(name=offer.name, version=offer.version, sha256=offer.sha256, since=now, scores=offer.scores)
        if self._settings.shadow:
            reason = f"it passed its test, and is proven beside the live model for {self._settings.shadow.total_seconds() / 3600:g} h"
            await self._slot.change(self._slot.answer(offer.sha256, "shadow", reason, offer), shadow=model)
            self._hub.log.info("a model is in shadow", name=model.name, version=model.version)
        else:
            await self._slot.to_live(model, "it passed its test; inference.shadow is 0")

    async def _fetch(self, download: Download) -> None:
        """Ask for what is missing, a few chunks at a time, until all is here. TransientError when nobody answers any more."""
        patience = 0
        while missing := download.missing:
            wanted = missing[:AT_ONCE]
            self._offered_again = False
            self._slot.ask_for(ModelWant(sha256=download.offer.sha256, chunks=tuple(wanted)))
            if await self._some_of(download, wanted, ASK_AGAIN_S[patience]):
                patience = 0
                continue
            patience += 1
            if patience == len(ASK_AGAIN_S):
                raise TransientError(f"the trainer has gone with {len(missing)} chunks still missing; `trainer publish` goes on with them")

    async def _some_of(self, download: Download, wanted: Sequence[int], seconds: float) -> bool:
        """Wait until these chunks are here, or none of them comes any more; whether there is hope."""
        before = set(wanted)
        while left := before.intersection(download.missing):
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
            if download.wasted > MOST_WASTED:
                raise OfferRefused("what comes on the topic of its chunks is not what was offered")
            if self._offered_again:
                return True
            if left == before.intersection(download.missing):
                break
        return len(before.intersection(download.missing)) < len(before)

    def _chunk(self, chunk: ModelChunk) -> None:
        download = self._download
        if download is None or chunk.sha256 != download.offer.sha256:
            return
        download.take(chunk.index, chunk.data)
        self._arrived.set()

    async def _refuse(self, offer: Offer, error: OfferRefused, *, for_good: bool) -> None:
        """Tell the trainer, and remember the file if it will never be taken."""
        state = self._slot.state
        refused = (*state.refused, offer.sha256)[-MOST_REFUSED:] if for_good and offer.sha256 not in state.refused else state.refused
        floor = max(state.floor, offer.counter) if for_good else state.floor
        self._hub.log.warning("a model is refused", name=offer.name, version=offer.version, reason=str(error))
        await self._slot.change(self._slot.answer(offer.sha256, "rejected", str(error), offer), refused=refused, floor=floor)

    async def _refuse_unsigned(self, manifest: ModelManifest, error: OfferRefused) -> None:
        """Nobody we trust said it: told, but not remembered, and not more often than a person would offer models."""
        self._hub.log.warning("a model is refused", reason=str(error))
        now = self._hub.clock.monotonic()
        if len(self._refusals) == MOST_REFUSALS and now - self._refusals[0] < 3600.0:
            return
        self._refusals.append(now)
        claimed, counter = _claim(manifest)
        answer = self._slot.answer(claimed, "rejected", str(error))
        await self._slot.change(answer.model_copy(update={"counter": counter}))

    def _clear_old_parts(self, offer: Offer) -> None:
        now = self._machine.now().timestamp()
        with suppress(OSError):
            for part in self._slot.folder.glob("*.part"):
                if part.stem != offer.sha256 and now - part.stat().st_mtime > PART_KEPT.total_seconds():
                    part.unlink()


def _claim(manifest: ModelManifest) -> tuple[str, int]:
    """The file and the counter that an envelope speaks of, believed only so far that its sender may know the answer is for him."""
    try:
        told = json.loads(b64decode(manifest.payload, validate=True))
        claimed, counter = told["sha256"], told["counter"]
        if fullmatch("[0-9a-f]{64}", claimed) and type(counter) is int and 0 <= counter < 2**63:
            return claimed, counter
    except (NotBase64, ValueError, LookupError, TypeError, RecursionError):
        pass
    return sha256(manifest.payload.encode()).hexdigest(), 0
