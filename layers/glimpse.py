"""Glimpses: a network that sees small cut-outs of a picture and chooses where."""

import keras
import numpy as np
from keras import layers, ops

from .cells import WrapperCell, as_list, current_memory, step_weight
from .recurrent import Recurrent
from .reinforce import gaussian_log_prob

POLICIES = ("learned", "random", "centre")
WINDOW, STRIDE = 5, 2  # of the convolution of a patch


@keras.saving.register_keras_serializable(package="saccade")
class GlimpseSensor(layers.Layer):
    """Square cut-outs around a location, at several scales: the retina of Mnih et al.
    2014, "Recurrent models of visual attention".

    The patch of scale s covers size * factor^s pixels a side; each of its size * size
    numbers is the mean of factor^s * factor^s pixels. What lies outside of the picture
    is 0. Along one axis, with number i of the patch covering f = factor^s pixels around
    p_i and pixel a covering one,

        p_i = centre + (i - (size - 1) / 2) f
        weight[i, a] = overlap of [p_i - f / 2, p_i + f / 2] and [a - 1/2, a + 1/2], / f
        patch = rows * picture * columns^T

    so that at whole pixels it is a plain cut-out, and between them a linear
    interpolation.

    Args:
        size: numbers of a patch along one side.
        scales: how many patches, each `factor` times as wide as the one before.
        factor: int.
        differentiable: whether a gradient passes to the picture and the location.

    Call arguments:
        images: (batch, height, width, channels).
        locations: (batch, 2), x to the right and y downwards, from -1 to 1 across the
            picture; (0, 0) is its centre.

    Output: (batch, scales, size, size, channels).

    Raises:
        ValueError: an argument is no positive integer, or the images have another rank.
    """

    def __init__(self, size=8, scales=1, factor=2, differentiable=True, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("size", size), ("scales", scales), ("factor", factor)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"GlimpseSensor expected `{name}` a positive integer, received "
                    f"{value!r}."
                )
        self.size, self.scales, self.factor = size, scales, factor
        self.differentiable = differentiable

    def build(self, images_shape, locations_shape=None):
        if len(images_shape) != 4:
            raise ValueError(
                "GlimpseSensor expected images (batch, height, width, channels); "
                f"received the shape {tuple(images_shape)}."
            )
        self.built = True

    def call(self, images, locations):
        # float32 at least: in float16 a place between two pixels would be rounded.
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        images = ops.cast(images, self.compute_dtype)
        locations = ops.cast(locations, wide)
        if not self.differentiable:
            images, locations = map(ops.stop_gradient, (images, locations))
        height, width, channels = images.shape[1:]
        rows = ops.cast(self._weights(locations[:, 1], height), images.dtype)
        columns = ops.cast(self._weights(locations[:, 0], width), images.dtype)
        # Twice two operands: one product each, where three at once would take more.
        if channels == 1:  # the common case, by plain products of matrices
            bands = ops.matmul(
                ops.reshape(rows, (-1, self.scales * self.size, height)),
                images[:, :, :, 0],
            )
            bands = ops.reshape(bands, (-1, self.scales, self.size, width))
            return ops.einsum("bsiw,bsjw->bsij", bands, columns)[..., None]
        bands = ops.einsum("bsih,bhwc->bsiwc", rows, images)
        return ops.einsum("bsiwc,bsjw->bsijc", bands, columns)

    def _weights(self, location, side):
        """Which pixels of an axis make which numbers of each patch: location (batch,)
        -> (batch, scales, size, side)."""
        middle = (location + 1) * (side / 2) - 0.5
        places = ops.cast(ops.arange(side, dtype="int32"), location.dtype)
        offsets = ops.cast(ops.arange(self.size, dtype="int32"), location.dtype)
        offsets = offsets - (self.size - 1) / 2
        found = []
        for scale in range(self.scales):
            f = self.factor**scale
            centres = middle[:, None] + offsets * f  # (batch, size)
            apart = ops.abs(centres[:, :, None] - places)
            found.append(ops.clip((f + 1) / 2 - apart, 0, 1) / f)
        return ops.stack(found, axis=1)

    def compute_output_shape(self, images_shape, locations_shape=None):
        return (images_shape[0], self.scales, self.size, self.size, images_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "scales": self.scales,
            "factor": self.factor,
            "differentiable": self.differentiable,
        }


@keras.saving.register_keras_serializable(package="saccade")
class GlimpseCell(WrapperCell):
    """One glimpse: look at a location, step, choose the next location.

    The network of Mnih et al. 2014, around any inner cell. With l' the location that
    the step before chose, one of the states, and [.] for what no gradient passes:

        g_what = relu(W1 sensor(images, [l']) + b1)
        g_where = relu(W2 [l'] + b2)
        g = relu(W3 g_what + W4 g_where + b3)
        h = cell(g, h')
        z = W6 relu(W5 [h] + b5) + b6
        mean = tanh(z)
        sample = mean + std * noise                 noise is the input of the step
        l = clip(sample, -1, 1)

    With `filters` a patch p is seen through a convolution first: g_what = relu(W1
    [relu(W0 * p + b0)] + b1) with W0 of 5 x 5 numbers, at every second place of every
    scale. A stroke that it has learned in one place it knows in all of them, so small
    digits that a look does not hit in the middle are read better.

    A mean path has a noise of zeros. What trains W5 and W6 is REINFORCE alone, by the
    logarithm of the probability of the samples, see `GlimpseRNN`.

    Args:
        cell: the inner cell, as `ElmanCell(256, activation="relu")`.
        sensor: a `GlimpseSensor`.
        hidden: size of g_what, g_where and the locator's hidden layer.
        units: size of g.
        std: of the locations that are drawn.
        policy: "learned", as above; "random", every place as likely as any other, l =
            erf(noise / sqrt(2)); "centre", l = 0: what to compare the first with.
        filters: of the convolution; 0: none.

    Call arguments:
        inputs: (batch, 2), noise, drawn from the standard normal distribution.
        states: the inner cell's, and last the location (batch, 2).
        The images are a memory, (batch, height, width, channels): see `Recurrent`.

    Output: (batch, output_size + 6): h, l', z and sample side by side; new states.

    Raises:
        ValueError: an unknown policy; a memory that is no images; a convolution of
            patches that are smaller than it.
    """

    def __init__(
        self,
        cell,
        sensor,
        hidden=128,
        units=256,
        std=0.1,
        policy="learned",
        filters=0,
        **kwargs,
    ):
        super().__init__(cell, **kwargs)
        if policy not in POLICIES:
            raise ValueError(
                f"GlimpseCell expected `policy` one of {POLICIES}, received {policy!r}."
            )
        if not std > 0:
            raise ValueError(f"GlimpseCell expected `std` above 0, received {std!r}.")
        if not isinstance(filters, int) or filters < 0:
            raise ValueError(
                "GlimpseCell expected `filters` an integer from 0, received "
                f"{filters!r}."
            )
        if filters and sensor.size < WINDOW:
            raise ValueError(
                f"GlimpseCell expected patches of {WINDOW} x {WINDOW} at least for its "
                f"convolution, received a sensor with size={sensor.size}. Make them "
                "larger, or filters=0."
            )
        self.sensor, self.filters = sensor, filters
        self.hidden, self.units, self.std, self.policy = hidden, units, std, policy
        self.parts = {}  # name -> kernel and bias
        self.state_size = [*as_list(cell.state_size), 2]
        self.output_size = cell.output_size + 6

    def get_initial_state(self, batch_size=None):
        states = as_list(super().get_initial_state(batch_size))
        return [*states, ops.zeros((batch_size, 2), self.compute_dtype)]

    def build(self, inputs_shape, memory_shape):
        if self.built:
            return
        self._expect_images(memory_shape)
        batch = inputs_shape[0]
        if not self.sensor.built:
            self.sensor.build(memory_shape, (batch, 2))
        if not self.cell.built:
            self.cell.build((batch, self.units))
        seen, channels = self.sensor.size**2, memory_shape[-1]
        sizes = {}
        if self.filters:
            sizes["convolution"] = (WINDOW**2 * channels, self.filters)
            seen, channels = len(window_places(self.sensor.size)), self.filters
        sizes |= {
            "what": (self.sensor.scales * seen * channels, self.hidden),
            "where": (2, self.hidden),
            "glimpse": (2 * self.hidden, self.units),
        }
        if self.policy == "learned":
            sizes["locator"] = (self.cell.output_size, self.hidden)
            sizes["mean"] = (self.hidden, 2)
        for name, (inputs, units) in sizes.items():
            kernel = self.add_weight(
                name=f"{name}_kernel",
                shape=(inputs, units),
                initializer="glorot_uniform",
            )
            bias = self.add_weight(
                name=f"{name}_bias", shape=(units,), initializer="zeros"
            )
            self.parts[name] = (kernel, bias)
        self.built = True

    def prepare_memory(self, memory, memory_mask=None):
        """The images, in the compute dtype."""
        self._expect_images(memory.shape)
        return {"images": ops.cast(memory, self.compute_dtype)}

    def _expect_images(self, shape):
        if len(shape) != 4:
            raise ValueError(
                "GlimpseCell expected images (batch, height, width, channels) as its "
                f"memory; received the shape {tuple(shape)}."
            )

    def step_weights(self, training=False, h=None):
        own = {
            name: tuple(step_weight(self, weight) for weight in pair)
            for name, pair in self.parts.items()
        }
        return {"cell": self.inner_weights(training), "own": own}

    def fast_step(self, multiply, x, states, weights, training=False):
        *states, location = states

        def dense(name, *inputs):
            kernel, bias = weights["own"][name]
            return multiply((inputs, kernel), bias=bias)

        location = ops.stop_gradient(location)
        patch = self.sensor(current_memory(self)["images"], location)
        patch = ops.cast(patch, self.compute_dtype)
        if self.filters:
            patch = ops.relu(dense("convolution", windows_of(patch)))
        patch = ops.reshape(patch, (-1, weights["own"]["what"][0].shape[0]))
        what, where = ops.relu(dense("what", patch)), ops.relu(dense("where", location))
        glimpse = ops.relu(dense("glimpse", what, where))
        h, states = self.inner_step(
            multiply, (glimpse,), states, weights["cell"], training
        )
        if self.policy == "learned":
            hidden = ops.relu(dense("locator", ops.stop_gradient(h)))
            z = dense("mean", hidden)
            sample = ops.stop_gradient(ops.tanh(z) + self.std * x)
        else:
            z = ops.zeros_like(x)
            sample = ops.erf(x * 0.5**0.5) if self.policy == "random" else z
        output = ops.concatenate([h, location, z, sample], axis=-1)
        return output, [*as_list(states), ops.clip(sample, -1, 1)]

    def get_config(self):
        return {
            **super().get_config(),
            "sensor": keras.saving.serialize_keras_object(self.sensor),
            "hidden": self.hidden,
            "units": self.units,
            "std": self.std,
            "policy": self.policy,
            "filters": self.filters,
        }

    @classmethod
    def from_config(cls, config):
        sensor = keras.saving.deserialize_keras_object(config["sensor"])
        return super().from_config({**config, "sensor": sensor})


def window_places(size):
    """Which numbers of a patch, row by row, each window of the convolution sees: int32
    (windows, WINDOW * WINDOW)."""
    starts = np.arange(0, size - WINDOW + 1, STRIDE)
    along = starts[:, None] + np.arange(WINDOW)  # (windows along a side, WINDOW)
    places = along[:, None, :, None] * size + along[None, :, None, :]
    return np.int32(places.reshape(-1, WINDOW**2))


def windows_of(patches):
    """(batch, scales, size, size, channels) -> a row for every window of every patch,
    (batch * scales * windows, WINDOW * WINDOW * channels): a convolution is a product
    of these, and the loop gathers the gradients of products."""
    size, channels = patches.shape[-2:]
    flat = ops.reshape(patches, (-1, size * size, channels))
    found = ops.take(flat, window_places(size).reshape(-1), axis=1)
    return ops.reshape(found, (-1, WINDOW**2 * channels))


@keras.saving.register_keras_serializable(package="saccade")
class GlimpseRNN(layers.Layer):
    """A number of glimpses of a picture, where the network itself chooses (Mnih et al.
    2014): the recurrent attention model without its classifier.

    Its first look is at the centre, or at `start`. In training every further location
    is drawn around the locator's mean; else it is that mean, unless there is `noise`.
    A location has no gradient: train by `reinforce.policy_loss` with `log_probs` and
    `baselines`, and the baselines by the squared distance to the reward.

    The standard deviation of the locations is a weight that is not trained, `std`,
    float32, at first the cell's: a training may make it smaller from step to step, with
    `std.assign`, and it is kept with the other weights.

    Args:
        cell: a `GlimpseCell`.
        glimpses: how many.
        seed: int, makes the draws repeatable.

    Call arguments:
        images: (batch, height, width, channels).
        noise: (batch, glimpses, 2) or None, standard normal, of the locations behind
            the first; the last is of no use.
        start: (batch, 2), where it looks first, or None.
        training: bool.

    Output: a dict of
        outputs: (batch, glimpses, output size of the cell), h after each glimpse;
        locations: (batch, glimpses, 2), where it looked, see `GlimpseSensor`;
        log_probs: float32 (batch, glimpses), the logarithm of the probability density
            of the location that was chosen after each glimpse; 0 of the last, where it
            never looks, and of all where the policy is not learned;
        pre_means: float32 (batch, glimpses, 2), z, of which tanh makes the mean. A loss
            that keeps it small keeps the mean from the edge, where tanh has no slope
            and nothing would move it again;
        baselines: float32 (batch, glimpses), the reward that is expected after each
            glimpse, from h, to which no gradient passes: before the location is known
            to which the log_probs in the same place belong.
    """

    def __init__(self, cell, glimpses=6, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(glimpses, int) or glimpses < 1:
            raise ValueError(
                "GlimpseRNN expected `glimpses` a positive integer, received "
                f"{glimpses!r}."
            )
        self.cell, self.glimpses, self.seed = cell, glimpses, seed
        self.std = None
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.loop = Recurrent(
            cell, return_sequences=True, dtype=self.dtype_policy, name="loop"
        )
        self.baseline = layers.Dense(1, dtype=self.dtype_policy, name="baseline")

    def build(self, images_shape, noise_shape=None, start_shape=None):
        batch = images_shape[0]
        if not self.loop.built:
            self.loop.build((batch, self.glimpses, 2), memory_shape=images_shape)
        if not self.baseline.built:
            self.baseline.build((batch, self.glimpses, self.cell.cell.output_size))
        if self.std is None:
            self.std = self.add_weight(
                name="std",
                shape=(),
                initializer=keras.initializers.Constant(self.cell.std),
                trainable=False,
                dtype="float32",
                autocast=False,
                aggregation="only_first_replica",
            )
        self.built = True

    def call(self, images, noise=None, start=None, training=False):
        rows = ops.shape(images)[0]
        shape = (rows, self.glimpses, 2)
        if noise is None and training and self.cell.policy != "centre":
            noise = keras.random.normal(
                shape, dtype="float32", seed=self.seed_generator
            )
        if noise is None:
            noise = ops.zeros(shape, self.compute_dtype)
        if self.cell.policy == "learned":  # The cell multiplies by its own.
            noise = ops.cast(noise, "float32") * (self.std / self.cell.std)
        noise = ops.cast(noise, self.compute_dtype)
        initial_state = self.loop.get_initial_state(rows)
        if start is not None:
            initial_state = [*initial_state[:-1], ops.cast(start, self.compute_dtype)]
        steps = self.loop(
            noise, initial_state=initial_state, memory=images, training=training
        )
        size = self.cell.cell.output_size
        # Not by slices: their gradients would be four arrays of the width of all.
        ends = [size, size + 2, size + 4]
        h, locations, z, samples = ops.split(steps, ends, axis=-1)
        baselines = self.baseline(ops.stop_gradient(h))[..., 0]
        return {
            "outputs": h,
            "locations": ops.cast(locations, "float32"),
            "log_probs": self._log_probs(samples, ops.tanh(z)),
            "pre_means": ops.cast(z, "float32"),
            "baselines": ops.cast(baselines, "float32"),
        }

    def _log_probs(self, samples, means):
        log_probs = gaussian_log_prob(samples, means, self.std)
        log_probs = ops.cast(log_probs, "float32")
        if self.cell.policy != "learned":
            return ops.zeros_like(log_probs)
        last = ops.zeros_like(log_probs[:, -1:])
        return ops.concatenate([log_probs[:, :-1], last], axis=1)

    def compute_output_shape(self, images_shape, noise_shape=None, start_shape=None):
        steps = images_shape[0], self.glimpses
        return {
            "outputs": (*steps, self.cell.cell.output_size),
            "locations": (*steps, 2),
            "log_probs": steps,
            "pre_means": (*steps, 2),
            "baselines": steps,
        }

    def get_config(self):
        cell = keras.saving.serialize_keras_object(self.cell)
        config = super().get_config()
        return {**config, "cell": cell, "glimpses": self.glimpses, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        cell = keras.saving.deserialize_keras_object(config["cell"])
        return cls(**{**config, "cell": cell})
