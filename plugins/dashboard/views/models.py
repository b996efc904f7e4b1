"""Which model serves, which is tried, which served before, and what became of every offer."""

from itertools import islice
from typing import Any

from hub.flow import Store
from hub.messages import ModelAnswer, ModelState

MOST_STATES = 2_000
MOST_ANSWERS = 30


def models(store: Store) -> dict[str, Any]:
    """live, shadow, previous (name, version, sha256, since), and the answers to offers, the newest first."""
    states = list(islice(store.newest_first(ModelState), MOST_STATES))
    now = states[0] if states else ModelState()
    answers: dict[tuple[str, str, str], ModelAnswer] = {}
    for state in states:
        if (answer := state.answer) is not None:
            answers.setdefault((answer.sha256, answer.status, answer.reason), answer)
    places = {name: getattr(now, name) for name in ("live", "shadow", "previous")}
    return {
        **{name: None if model is None else model.model_dump(mode="json") for name, model in places.items()},
        "answers": [answer.model_dump(mode="json") for answer in islice(answers.values(), MOST_ANSWERS)],
        "refused": len(now.refused),
    }
