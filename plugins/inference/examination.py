"""What `hub doctor` sees of the models: who serves, whether it can run here, and whose offers are taken."""

import asyncio

from hub import Hub, PermanentError, ServedModel, TransientError
from hub.errors import HubError
from hub.flow import Check
from plugins.inference.settings import InferenceSettings
from plugins.inference.slot import Slot
from plugins.inference.trust import key_given, keys_named


def checks(hub: Hub, settings: InferenceSettings, slot: Slot) -> list[Check]:
    """The model that serves, and the keys."""

    def model() -> str:
        from plugins.inference.session import Model  # brings onnxruntime

        try:
            served, content = slot.live()
        except TransientError:  # no store that could tell: its own line says so
            served, content = slot.starter
        nowhere = slot.folder / "nowhere"
        nowhere.mkdir(parents=True, exist_ok=True)
        Model(content, nowhere)
        if (lost := told(slot)) is not None and lost.sha256 != served.sha256:
            raise PermanentError(
                f"{lost.name} {lost.version} should serve and its file is not whole; {served.name} does: have it offered again"
            )
        return f"{served.name} {served.version} serves"

    async def look_at_model() -> str:
        return await asyncio.to_thread(model)

    async def look_at_keys() -> str:
        names = keys_named(hub, settings)
        try:
            keys = [key_given(name) for name in names]
        except HubError as error:
            raise PermanentError(f"a trusted key cannot be used: {error}; give it again: hub models trust KEY.pub") from error
        if not keys:
            return "no offer of a model is taken yet; with a trainer: hub models trust tickerml.pub"
        return f"models signed by {len(keys)} key{'s' if len(keys) > 1 else ''} are taken"

    return [Check("model", look_at_model), Check("trusted keys", look_at_keys, needed=False)]


def told(slot: Slot) -> ServedModel | None:
    """The model that should serve; None for the starter, and where no store can tell."""
    try:
        return slot.state.live
    except TransientError:
        return None
