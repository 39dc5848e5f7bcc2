"""The draw model: DRAW, and how well it painted what it saw."""

import keras
from keras import ops

from ...layers import DRAW

LAYER = "draw"  # by which answers find it


def build_model(config, assets):
    """The functional model that training fits.

    Args:
        config: a `Config`. assets: as they come; the model needs none.

    Inputs: `image` float32 (batch, size, size), 0, paper, or 1, ink; `noise` float32
    (batch, strokes, latent), draws from N(0, 1).
    Outputs: `nats` (batch,), the bound on -log p(image), and its two parts,
    `reconstruction` (batch,) and `kl` (batch, strokes), float32; `means`, `log_scales`,
    `latents` (batch, strokes, latent) and `read_windows` (batch, strokes, 4) of DRAW.
    """
    size = config.image_size
    image = keras.Input((size, size), name="image")
    noise = keras.Input((config.strokes, config.latent), name="noise")
    seen = DRAW(
        config.units,
        config.latent,
        config.read,
        config.write,
        config.attention,
        name=LAYER,
    )(image, noise)
    logits = ops.cast(seen.pop("canvas"), "float32")  # (batch, size, size)
    # -log of a Bernoulli distribution's probability, per pixel.
    surprise = ops.softplus(logits) - ops.cast(image, "float32") * logits
    reconstruction = ops.sum(surprise, axis=(1, 2))  # (batch,)
    nats = reconstruction + ops.sum(seen["kl"], axis=1)  # (batch,)
    outputs = {"nats": nats, "reconstruction": reconstruction, **seen}
    return keras.Model({"image": image, "noise": noise}, outputs, name="draw")
