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
WILDNESS = FEATURES.index("volatility_60")
"""The logarithm of the hour's volatility beside USUAL_VOLATILITY."""
USUAL_VOLATILITY = 5e-4
MOST_WILDNESS = 2.0
"""Beyond it, what calibration learnt of calm and wild hours is not extrapolated."""


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
    """[2, horizons]: logarithm of what each side of the interval is stretched by, and how that grows with the hour's wildness."""

    def __init__(self) -> None:
        super().__init__()
        ones, zeros, lines = torch.ones(len(HORIZONS)), torch.zeros(len(HORIZONS)), torch.zeros(2, len(HORIZONS))
        for name, start in (("slope", ones), ("bias", zeros), ("shrink", ones), ("below", lines), ("above", lines)):
            self.register_buffer(name, start.clone())


Raw = tuple[Tensor, Tensor, Tensor, Tensor]
"""Logit of P(up), median, low and high, each [..., horizons]; quantiles in units of volatility."""


def _raw(heads: Tensor) -> Raw:
    logit, middle, below, above = (heads[..., place : place + len(HORIZONS)] for place in range(0, HEADS * len(HORIZONS), len(HORIZONS)))
    return logit, middle, middle - nn.functional.softplus(below), middle + nn.functional.softplus(above)


class Forecaster(nn.Module):
    """Scaling, networks that differ by chance alone, calibration.

    `voices` is what is trained, `raw` their mean, which errs less than any of them; `forward` is what is shipped.
    """

    root_of_time: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.scaling = Scaling()
        kind = PatchTransformer if spec.kind == "patch" else SeedTransformer
        self.networks = nn.ModuleList(kind(spec) for _ in range(spec.voices))
        self.calibration = Calibration()
        self.register_buffer("root_of_time", torch.tensor(HORIZONS).sqrt(), persistent=False)

    def voices(self, rows: Tensor) -> Raw:
        """What each network says, [voices, batch, horizons]."""
        return _raw(self._heads(rows))

    def raw(self, rows: Tensor) -> Raw:
        """[batch, window, features] to what the voices say on average, each [batch, horizons]."""
        return _raw(self._heads(rows).mean(dim=0))

    def _heads(self, rows: Tensor) -> Tensor:
        scaled = self.scaling(rows)
        return torch.stack([network(scaled) for network in self.networks])

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[batch, window, features] to expected log return, low, high, P(up), each [batch, horizons]."""
        logit, middle, low, high = self.raw(rows)
        fit, volatility = self.calibration, rows[:, -1:, WILDNESS]
        unit = USUAL_VOLATILITY * torch.exp(volatility) * self.root_of_time
        wild = volatility.clamp(-MOST_WILDNESS, MOST_WILDNESS)
        expected = middle * fit.shrink
        return (
            expected * unit,
            (expected - (middle - low) * torch.exp(fit.below[0] + fit.below[1] * wild)) * unit,
            (expected + (high - middle) * torch.exp(fit.above[0] + fit.above[1] * wild)) * unit,
            torch.sigmoid(logit * fit.slope + fit.bias),
        )


def loss(raw: Raw, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of up/down plus the pinball loss of the three quantiles, means over the batch, and over voices where there are some.

    `labels` [batch, horizons] in units of volatility; an outcome of exactly 0 is neither up nor down. `weight` [batch].
    """
    logit, *quantiles = raw
    moved = (labels != 0).to(labels.dtype)
    target = (labels > 0).to(labels.dtype).expand_as(logit)
    entropy = nn.functional.binary_cross_entropy_with_logits(logit, target, reduction="none") * moved
    pinball = torch.zeros_like(entropy)
    for level, quantile in zip((MIDDLE, LOW, HIGH), quantiles, strict=True):
        miss = labels - quantile
        pinball = pinball + torch.maximum(level * miss, (level - 1.0) * miss)
    each = (2.0 * entropy + pinball / 3.0).mean(dim=-1)
    return each.mean() if weight is None else (each * weight).mean() / weight.mean()
