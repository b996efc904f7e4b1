"""The networks: a window of raw feature rows in, for each horizon an expected log return, its 80 % interval, and P(up) out.

Scaling, volatility and calibration are part of the graph: whoever runs the model feeds it the rows as they are.
"""

import torch
from torch import Tensor, nn

from hub.market.features import FEATURES
from hub.market.outcome import HORIZONS
from trainer.spec import Spec

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
"""The quantiles that the heads stand for; low to high is the 80 % interval."""
HEADS = 4
"""For each horizon: logit of P(up), median, and how far below and above it the interval reaches."""
SQUASH = 3.0
"""Scaled features are bent to lie within this many standard deviations, so that one wild minute cannot shout."""
_VOLATILITY = FEATURES.index("volatility_60")
_USUAL = 5e-4  # what `volatility_60` is the logarithm beside


class Scaling(nn.Module):
    """Raw feature rows to standard ones, by mean and deviation of the training part; a feature that never moved there counts as 0."""

    mean: Tensor
    factor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("factor", torch.ones(len(FEATURES)))

    def fit(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the training part's moments, [features]."""
        self.mean.copy_(mean)
        self.factor.copy_(torch.where(deviation > 1e-6, 1.0 / deviation.clamp_min(1e-6), torch.zeros_like(deviation)))

    def forward(self, rows: Tensor) -> Tensor:
        return SQUASH * torch.tanh((rows - self.mean) * self.factor / SQUASH)


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of one window; the other windows of a batch are out of sight."""

    def __init__(self, tokens: int, d_model: int, heads: int) -> None:
        super().__init__()
        self.split = (-1, tokens, 3, heads, d_model // heads)
        self.joined = (-1, tokens, d_model)
        self.project = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x).reshape(self.split).permute(2, 0, 3, 1, 4).unbind(0)  # [batch, heads, tokens, d_model / heads]
        weights = torch.softmax(query @ key.transpose(-2, -1) * self.split[-1] ** -0.5, dim=-1)
        out: Tensor = self.out((weights @ value).transpose(1, 2).reshape(self.joined))
        return out


class Block(nn.Module):
    """Attention, then a feed-forward step, each normalised before and added to what was there."""

    def __init__(self, spec: Spec, tokens: int) -> None:
        super().__init__()
        self.before_attention, self.before_feed_forward = nn.LayerNorm(spec.d_model), nn.LayerNorm(spec.d_model)
        self.attention = Attention(tokens, spec.d_model, spec.heads)
        self.feed_forward = nn.Sequential(nn.Linear(spec.d_model, spec.feed_forward), nn.SiLU(), nn.Linear(spec.feed_forward, spec.d_model))
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.before_attention(x)))
        out: Tensor = x + self.dropout(self.feed_forward(self.before_feed_forward(x)))
        return out


class PatchTransformer(nn.Module):
    """Tokens of several minutes each, and a short way around them for the newest row, which knows the longest spans."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        tokens = spec.window // spec.patch
        self.patches = (-1, tokens, spec.patch * len(FEATURES))
        self.project = nn.Linear(len(FEATURES) * spec.patch, spec.d_model)
        self.position = nn.Parameter(torch.zeros(tokens, spec.d_model))
        self.blocks = nn.Sequential(*(Block(spec, tokens) for _ in range(spec.layers)))
        wide = 2 * spec.d_model
        self.newest = nn.Sequential(
            *(nn.Linear(len(FEATURES), wide), nn.SiLU(), nn.Dropout(spec.dropout)),
            *(nn.Linear(wide, wide), nn.SiLU(), nn.Dropout(spec.dropout)),
        )
        self.heads = nn.Linear(spec.d_model + wide, HEADS * len(HORIZONS))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.blocks(self.project(x.reshape(self.patches)) + self.position)
        heads: Tensor = self.heads(torch.cat((tokens[:, -1], self.newest(x[:, -1])), dim=1))
        return heads


class SeedTransformer(nn.Module):
    """One token a minute; the position is added to the projected row."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.project = nn.Linear(len(FEATURES), spec.d_model)
        self.position = nn.Parameter(torch.randn(spec.window, spec.d_model) * 0.02)
        self.blocks = nn.Sequential(*(Block(spec, spec.window) for _ in range(spec.layers)))
        self.normal = nn.LayerNorm(spec.d_model)
        self.heads = nn.Linear(spec.d_model, HEADS * len(HORIZONS))

    def forward(self, x: Tensor) -> Tensor:
        heads: Tensor = self.heads(self.normal(self.blocks(self.project(x) + self.position)[:, -1]))
        return heads


class Calibration(nn.Module):
    """What the validation stretch said about the heads, per horizon; fitted by `trainer.calibrate`, neutral until then."""

    slope: Tensor
    bias: Tensor
    shrink: Tensor
    below: Tensor
    above: Tensor

    def __init__(self) -> None:
        super().__init__()
        ones, zeros = torch.ones(len(HORIZONS)), torch.zeros(len(HORIZONS))
        for name, start in (("slope", ones), ("bias", zeros), ("shrink", ones), ("below", ones), ("above", ones)):
            self.register_buffer(name, start.clone())


class Forecaster(nn.Module):
    """Scaling, a network, calibration. `raw` is what is trained; `forward` is what is shipped."""

    spread: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.scaling = Scaling()
        self.network = PatchTransformer(spec) if spec.kind == "patch" else SeedTransformer(spec)
        self.calibration = Calibration()
        self.register_buffer("spread", torch.tensor(HORIZONS, dtype=torch.float32).sqrt())

    def raw(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[batch, window, features] to logit of P(up), median, low and high, each [batch, horizons]; quantiles in units of volatility."""
        heads = self.network(self.scaling(rows)).reshape(-1, HEADS, len(HORIZONS))
        middle = heads[:, 1]
        below, above = nn.functional.softplus(heads[:, 2]), nn.functional.softplus(heads[:, 3])
        return heads[:, 0], middle, middle - below, middle + above

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[batch, window, features] to expected log return, low, high, P(up), each [batch, horizons]."""
        logit, middle, low, high = self.raw(rows)
        fit = self.calibration
        unit = (_USUAL * torch.exp(rows[:, -1, _VOLATILITY]))[:, None] * self.spread
        expected = middle * fit.shrink
        return (
            expected * unit,
            (expected - (middle - low) * fit.below) * unit,
            (expected + (high - middle) * fit.above) * unit,
            torch.sigmoid(logit * fit.slope + fit.bias),
        )


def loss(raw: tuple[Tensor, Tensor, Tensor, Tensor], labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of up/down plus the pinball loss of the three quantiles, means over the batch.

    `labels` [batch, horizons] in units of volatility; an outcome of exactly 0 is neither up nor down. `weight` [batch].
    """
    logit, *quantiles = raw
    moved = (labels != 0).to(labels.dtype)
    entropy = nn.functional.binary_cross_entropy_with_logits(logit, (labels > 0).to(labels.dtype), reduction="none") * moved
    pinball = torch.zeros_like(entropy)
    for level, quantile in zip((MIDDLE, LOW, HIGH), quantiles, strict=True):
        miss = labels - quantile
        pinball = pinball + torch.maximum(level * miss, (level - 1.0) * miss)
    each = (2.0 * entropy + pinball / 3.0).mean(dim=1)
    return each.mean() if weight is None else (each * weight).sum() / weight.sum()
