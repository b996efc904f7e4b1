"""Why no forecast is made: the market's bars are to blame (Refused), or the model is (ModelFailed)."""


class Refused(Exception):
    """Nothing is wrong with the model: what it would need is not there."""

    def __init__(self, name: str, words: str) -> None:
        """`name`: gap, fallback, stale, symbol or features."""
        super().__init__(f"{name}: {words}")
        self.name = name


class ModelFailed(Exception):
    """The model cannot be loaded, or what it says cannot be."""
