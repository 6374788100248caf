"""Sizes of world models and how each is pretrained.

A model's fingerprint covers its own line here beside WORLD_VERSION, so that work on one size leaves the records of all
others as they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Widths of the stream and of the inner layers, blocks, steps, learning rate.

    The blocks are the decoder's; an encoder-decoder has some in its encoder beside them.
    """

    width: int
    layers: int
    inner: int
    steps: int
    learning_rate: float
    encoder_layers: int = 0


# l, xl and xxl are meant for a GPU. Of these only the decoder l was ever pretrained; the others are guesses.
DECODERS = {
    "xs": Size(32, 2, 64, 2400, 2.5e-2),
    "s": Size(64, 3, 160, 2200, 4e-3),
    "m": Size(128, 3, 192, 1400, 4e-3),
    "l": Size(256, 4, 640, 3000, 1e-3),
    "xl": Size(512, 6, 1536, 6000, 5e-4),
    "xxl": Size(1024, 8, 2730, 10_000, 2e-4),
}
ENCODER_DECODERS = {
    "xs": Size(32, 1, 48, 2400, 2.5e-2, encoder_layers=2),
    "s": Size(64, 2, 96, 2200, 6e-3, encoder_layers=2),
    "m": Size(128, 2, 192, 1600, 1.4e-3, encoder_layers=2),
    "l": Size(256, 2, 384, 3000, 1e-3, encoder_layers=3),
    "xl": Size(512, 4, 1024, 6000, 5e-4, encoder_layers=4),
    "xxl": Size(1024, 5, 2048, 10_000, 2e-4, encoder_layers=5),
}
