"""What a model file says of itself, in its metadata."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.complaints import explain
from hub.market.features import FEATURE_HASH
from hub.messages import Horizon, Name, Symbol
from plugins.inference.refusal import ModelFailed, Refused

METADATA = "tickerml"
INPUT = "features"
OUTPUTS = ("log_return", "log_return_low", "log_return_high", "p_up")


class FeatureSet(BaseModel):
    """What a row is: ordered names, and the hash of names and formulas."""

    names: tuple[str, ...]
    hash: str


class ModelFacts(BaseModel):
    """The part of the metadata that inference needs; the rest is for people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Name
    version: str
    feature_set: FeatureSet
    window: Annotated[int, Field(ge=1, le=1440)]
    """Rows that it sees."""
    horizons: Annotated[tuple[Horizon, ...], Field(min_length=1)]
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1)]
    """What it was trained on; it is not asked about others."""
    most_fallback: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the bars it sees that may be stand-ins."""

    def other(self, symbol: str) -> str | None:
        """The symbol whose closes stand beside this one's, as in training: there must be just two."""
        return next((name for name in self.symbols if name != symbol), None) if len(self.symbols) == 2 else None

    def refuse_features(self) -> None:
        """Refused where its rows would not be what it was trained on."""
        if self.feature_set.hash != FEATURE_HASH:
            raise Refused("features", f"model {self.name} {self.version} was trained on another feature set; publish one of this version")


def facts_in(metadata: Mapping[str, str]) -> ModelFacts:
    """ModelFailed, in words, where the metadata is not what docs/models.md says."""
    if METADATA not in metadata:
        raise ModelFailed(f"it has no metadata {METADATA!r}: `trainer export` writes it")
    try:
        return ModelFacts.model_validate_json(metadata[METADATA])
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, where))}: {text}" for where, text in explain(error, ModelFacts))
        raise ModelFailed(f"its metadata {METADATA!r} will not do: {problems}") from error
