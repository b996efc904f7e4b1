"""Where the models stand: live, in shadow, and the one before. One always serves: in the end the starter that came with the hub.

The newest `ModelState` on disk is the whole truth about it; so a model changes places in one transaction.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from hub import Hub, ModelAnswer, ModelState, ModelWant, PermanentError, ServedModel
from hub.errors import HubError
from hub.offer import Offer
from hub.whole_file import write_whole
from plugins.inference.model_file import facts_in
from plugins.inference.onnx_look import metadata

STARTER = files("plugins.inference").joinpath("starter.onnx")
CONTENTS_HELD = 3
MOST_FAILURES = 3
"""In a row: then the model before it serves again."""
TRIAL_RUNS = 12
"""While it is new, a fifth of failed runs is enough."""
TRIAL_SHARE = 0.2
FEWEST_TRIALS = 5
MOST_REFUSED = 256
_ALWAYS = datetime(2017, 1, 1, tzinfo=UTC)


@dataclass
class Record:
    """How a model's runs have gone since the hub started."""

    runs: int = 0
    failed: int = 0
    in_a_row: int = 0

    @property
    def fails(self) -> bool:
        """Whether it must not serve any longer."""
        on_trial = FEWEST_TRIALS <= self.runs <= TRIAL_RUNS
        return self.in_a_row >= MOST_FAILURES or (on_trial and self.failed > TRIAL_SHARE * self.runs)


class Slot:
    """The places, and who stands in them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._state: ModelState | None = None
        self._changes: asyncio.Queue[tuple[ModelState | ModelWant, asyncio.Future[None] | None]] = asyncio.Queue()
        self._changing = asyncio.Lock()
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._records: dict[str, Record] = {}
        self._avoided: dict[str, str] = {}
        """Models that have just failed, and why: not asked again, even before that is on disk."""
        self._entered: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def folder(self) -> Path:
        """Of the model files, each named by its SHA-256."""
        return self._hub.data_dir.absolute() / "models"

    @property
    def state(self) -> ModelState:
        """What is on disk."""
        if self._state is None:
            self._state = next(iter(self._hub.store.newest(ModelState)), ModelState())
        return self._state

    def live(self) -> tuple[ServedModel, bytes]:
        """The model that serves: there always is one."""
        for served in (self.state.live, self.state.previous):
            if served is not None and (content := self._usable(served)) is not None:
                return served, content
        return self.starter

    def shadow(self) -> tuple[ServedModel, bytes] | None:
        """The model that is being proven beside it."""
        served = self.state.shadow
        content = self._usable(served) if served is not None else None
        return None if served is None or content is None else (served, content)

    def report(self, sha256: str, ok: bool, reason: str) -> None:
        """How a run went. A model that fails too often loses its place at once."""
        record = self._records.setdefault(sha256, Record())
        record.runs, record.failed = record.runs + 1, record.failed + (not ok)
        record.in_a_row = 0 if ok else record.in_a_row + 1
        if ok and sha256 in self._entered:
            self._survived(sha256)
        if record.fails and sha256 not in self._avoided and sha256 != self.starter[0].sha256:
            self._withdraw(sha256, f"{record.failed} of its {record.runs} runs failed, the last one: {reason}")

    async def change(self, answer: ModelAnswer | None = None, **fields: Any) -> None:
        """Returns when it is on disk, and holds from then on. `fields` and `answer` are those of ModelState; the rest stays."""
        async with self._changing:
            now = self.state
            changed = now.model_copy(update={**fields, "answer": answer or now.answer})
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            await self._changes.put((changed, done))
            await done
            self._state = changed

    def ask_for(self, want: ModelWant) -> None:
        """Have the trainer be asked."""
        self._changes.put_nowait((want, None))

    async def stream(self) -> AsyncGenerator[ModelState | ModelWant, None]:
        """What has been decided, for the disk and then for everybody."""
        yield self.state  # a broker that is new hears it too
        while True:
            message, done = await self._changes.get()
            try:
                yield message
            except BaseException:
                self._changes.put_nowait((message, done))
                raise
            if done is not None and not done.done():
                done.set_result(None)

    async def promote(self, reason: str) -> ServedModel:
        """The shadow goes live. HubError where there is none."""
        shadow = self.state.shadow
        if shadow is None or self._usable(shadow) is None:
            raise HubError("no model is in shadow; `trainer publish` offers one")
        await self.to_live(shadow, reason)
        return shadow

    async def to_live(self, model: ServedModel, reason: str) -> None:
        """This model serves, and the one that did so is kept."""
        now = self._hub.clock.now()
        self._avoided.pop(model.sha256, None)
        self._records.pop(model.sha256, None)
        await self.change(
            self.answer(model.sha256, "live", reason),
            live=model.model_copy(update={"since": now}),
            previous=self.state.live,
            shadow=None,
        )
        self._hub.log.info("a model goes live", name=model.name, version=model.version, reason=reason)
        self._tidy()

    async def roll_back(self, reason: str) -> ServedModel:
        """The model before it serves again, or the starter. HubError where the starter serves already."""
        failed = self.state.live
        if failed is None:
            raise HubError("the starter model serves already: there is nothing before it")
        back = self.state.previous
        if back is not None and self._usable(back) is None:
            back = None
        await self.change(
            self.answer(failed.sha256, "rolled_back", reason),
            live=back,
            previous=None,
            refused=(*self.state.refused, failed.sha256)[-MOST_REFUSED:],
        )
        self._hub.log.error("a model is withdrawn", name=failed.name, version=failed.version, reason=reason)
        return back or self.starter[0]

    async def drop_shadow(self, reason: str) -> None:
        """The model in shadow is refused for good."""
        if (shadow := self.state.shadow) is not None:
            refused = (*self.state.refused, shadow.sha256)[-MOST_REFUSED:]
            await self.change(self.answer(shadow.sha256, "rejected", reason), shadow=None, refused=refused)
            self._hub.log.warning("the model in shadow is refused", name=shadow.name, version=shadow.version, reason=reason)
            self._tidy()

    def answer(self, sha256: str, status: Any, reason: str, offer: Offer | None = None) -> ModelAnswer:
        """An answer as of now; `offer`, if it is not about one that was answered before."""
        counter, name = (0, None) if offer is None else (offer.counter, f"{offer.name} {offer.version}")
        if offer is None and (last := self.state.answer) is not None and last.sha256 == sha256:
            counter, name = last.counter, last.model
        for place in (self.state.live, self.state.shadow, self.state.previous):
            if place is not None and place.sha256 == sha256:
                name = f"{place.name} {place.version}"
        now = self._hub.clock.now()
        return ModelAnswer(sha256=sha256, counter=counter, status=status, reason=reason[:1000], at=now, model=name)

    def told(self) -> dict[str, Any]:
        """Who stands where, for people and commands."""
        live, _ = self.live()
        return {**self.state.model_dump(mode="json", exclude={"live"}), "live": live.model_dump(mode="json")}

    def has(self, sha256: str) -> bool:
        """Whether the file is here, whole."""
        return self._content(sha256) is not None

    # -- one model

    def _usable(self, served: ServedModel) -> bytes | None:
        """Its bytes; None where it has failed, or its file is not what it was."""
        if served.sha256 in self._avoided or (content := self._content(served.sha256)) is None:
            return None
        if served.sha256 not in self._entered:
            self._enter(served.sha256)
        return None if served.sha256 in self._avoided else content

    def _content(self, digest: str) -> bytes | None:
        if digest in self._contents:
            return self._contents[digest]
        try:
            content = (self.folder / f"{digest}.onnx").read_bytes()
        except OSError:
            return None
        if sha256(content).hexdigest() != digest:
            self._hub.log.error("a model file is damaged", file=str(self.folder / f"{digest}.onnx"))
            return None
        self._contents[digest] = content
        if len(self._contents) > CONTENTS_HELD:
            self._contents.popitem(last=False)
        return content

    def _enter(self, digest: str) -> None:
        """Note that it is about to run: a model that takes the whole hub down with it is known by that at the next start."""
        self._entered.add(digest)
        attempts = self._attempts() | {digest: self._attempts().get(digest, 0) + 1}
        if attempts[digest] > MOST_FAILURES:
            self._withdraw(digest, f"the hub went down {MOST_FAILURES} times before it had made one forecast")
            attempts.pop(digest)
        self._write_attempts(attempts)

    def _survived(self, digest: str) -> None:
        attempts = self._attempts()
        if attempts.pop(digest, None) is not None:
            self._write_attempts(attempts)

    def _withdraw(self, digest: str, reason: str) -> None:
        self._avoided[digest] = reason
        task = asyncio.get_running_loop().create_task(self._withdrawn(digest, reason))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _withdrawn(self, digest: str, reason: str) -> None:
        if self.state.live is not None and self.state.live.sha256 == digest:
            await self.roll_back(reason)
        elif self.state.shadow is not None and self.state.shadow.sha256 == digest:
            await self.drop_shadow(reason)

    @property
    def _attempts_file(self) -> Path:
        return self._hub.data_dir / "attempts.json"

    def _attempts(self) -> dict[str, int]:
        try:
            found = json.loads(self._attempts_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(key): value for key, value in found.items() if isinstance(value, int)} if isinstance(found, dict) else {}

    def _write_attempts(self, attempts: dict[str, int]) -> None:
        with suppress(OSError):
            if attempts:
                write_whole(self._attempts_file, json.dumps(attempts))
            else:
                self._attempts_file.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Files that no place names any more are deleted."""
        kept = {served.sha256 for served in (self.state.live, self.state.previous, self.state.shadow) if served is not None}
        with suppress(OSError):
            for file in self.folder.glob("*.onnx"):
                if file.stem not in kept:
                    file.unlink()

    @cached_property
    def starter(self) -> tuple[ServedModel, bytes]:
        try:
            content = STARTER.read_bytes()
        except OSError as error:
            raise PermanentError(f"{STARTER}: the model that comes with the hub cannot be read; install tickerml again") from error
        facts = facts_in(metadata(content))
        return ServedModel(name="starter", version=facts.version, sha256=sha256(content).hexdigest(), since=_ALWAYS), content
