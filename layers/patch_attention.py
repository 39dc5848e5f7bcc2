"""DRAW's patches: reading and writing through grids of Gaussian filters, and the
network that paints a picture in steps (Gregor et al. 2015, "DRAW: A recurrent neural
network for image generation", arXiv:1502.04623)."""

import keras
import numpy as np
from keras import ops

from .cells import FastCell, cast_all, current_memory, step_weight
from .lstm import LSTMCell
from .recurrent import Recurrent

# Beyond these no picture changes, and no exponential overflows.
LOG_VARIANCE = (-6.0, 6.0)
LOG_STRIDE = (-6.0, 3.0)
LOG_INTENSITY = (-6.0, 6.0)
LOG_SCALE = (-7.0, 7.0)  # of a latent

PARAMETERS = 5  # of a grid
LATENT = ("means", "log_scales", "latents")  # outputs of DRAW of the latents' shape


def grid(parameters, filters, height, width):
    """Where a grid of filters lies, from five free numbers (equations 21 to 24).

        x = (width + 1) / 2 (p_0 + 1) - 1       its centre, from the first pixel's
        y = (height + 1) / 2 (p_1 + 1) - 1
        stride = (max(height, width) - 1) / (filters - 1) exp(p_3)
        variance = exp(p_2),  intensity = exp(p_4)

    Args:
        parameters: (batch, 5), any numbers; computed in float32 or wider.
        filters: of a side of the grid; with one the stride is that of two.
        height, width: of the picture, in pixels.

    Returns:
        x, y, variance, stride, intensity: (batch, 1) each.
    """
    if keras.backend.standardize_dtype(parameters.dtype) != "float64":
        parameters = ops.cast(parameters, "float32")
    p_x, p_y, p_variance, p_stride, p_intensity = ops.split(parameters, 5, axis=-1)
    x = (width + 1) / 2 * (ops.clip(p_x, -3, 3) + 1) - 1
    y = (height + 1) / 2 * (ops.clip(p_y, -3, 3) + 1) - 1
    widest = (max(height, width) - 1) / max(filters - 1, 1)
    stride = widest * ops.exp(ops.clip(p_stride, *LOG_STRIDE))
    variance = ops.exp(ops.clip(p_variance, *LOG_VARIANCE))
    return x, y, variance, stride, ops.exp(ops.clip(p_intensity, *LOG_INTENSITY))


def filterbank(centre, stride, variance, filters, size):
    """Gaussian filters along one axis (equations 19, 20, 25 and 26).

        mu_i = centre + (i - filters / 2 + 1 / 2) stride
        F[i, a] = exp(-(a - mu_i)^2 / (2 variance)) / (the same, summed over a)

    It is a softmax over pixels: a filter beyond the border keeps to the nearest pixel
    and no sum is zero, however far it is.

    Args:
        centre, stride, variance: (batch, 1).
        filters: how many. size: pixels of the axis.

    Returns:
        (batch, filters, size), rows sum to 1.
    """
    places = ops.cast(ops.arange(filters, dtype="int32"), centre.dtype)
    pixels = ops.cast(ops.arange(size, dtype="int32"), centre.dtype)
    means = centre + (places - filters / 2 + 0.5) * stride  # (batch, filters)
    means = ops.clip(means, -2 * size, 3 * size)
    distance = ops.square(pixels - means[:, :, None])
    return ops.softmax(-distance / (2 * variance[:, :, None]), axis=-1)


def window(x, y, stride, filters):
    """The box of a grid, (batch, 4): left, top, right, bottom in pixels from the corner
    of the picture, whose first pixel reaches from 0 to 1."""
    half = filters * stride / 2
    return ops.concatenate(
        [x + 0.5 - half, y + 0.5 - half, x + 0.5 + half, y + 0.5 + half], axis=-1
    )


def divergence(means, log_scales):
    """KL(N(mean, s^2) || N(0, 1)) in nats, summed over the last axis, float32 or
    wider."""
    if keras.backend.standardize_dtype(means.dtype) != "float64":
        means, log_scales = cast_all((means, log_scales), "float32")
    terms = ops.square(means) + ops.exp(2 * log_scales) - 2 * log_scales - 1
    return ops.sum(terms, axis=-1) / 2


def read_patches(pictures, rows, columns):
    """Several channels through one grid, as two products.

    Args:
        pictures: (batch, height, channels, width).
        rows: (batch, filters, height); columns: (batch, filters, width).

    Returns:
        (batch, filters, channels, filters).
    """
    _, height, channels, width = pictures.shape
    filters = rows.shape[1]
    lines = ops.matmul(rows, ops.reshape(pictures, (-1, height, channels * width)))
    lines = ops.reshape(lines, (-1, filters * channels, width))
    patches = ops.matmul(lines, ops.swapaxes(columns, 1, 2))
    return ops.reshape(patches, (-1, filters, channels, filters))


def write_patches(patches, rows, columns):
    """The transpose of `read_patches`: (batch, filters, channels, filters) ->
    (batch, height, channels, width)."""
    _, filters, channels, _ = patches.shape
    height, width = rows.shape[2], columns.shape[2]
    lines = ops.reshape(patches, (-1, filters * channels, filters))
    lines = ops.reshape(ops.matmul(lines, columns), (-1, filters, channels * width))
    pictures = ops.matmul(ops.swapaxes(rows, 1, 2), lines)
    return ops.reshape(pictures, (-1, height, channels, width))


class _Gaussian(keras.layers.Layer):
    """What reading and writing share: a grid on a picture."""

    def banks(self, parameters, filters, height, width):
        """rows, columns and intensity of a grid, in the compute dtype."""
        x, y, variance, stride, intensity = grid(parameters, filters, height, width)
        rows = filterbank(y, stride, variance, filters, height)
        columns = filterbank(x, stride, variance, filters, width)
        found = rows, columns, intensity[:, :, None, None]
        return cast_all(found, self.compute_dtype)

    def expect(self, name, tensor, rank, last=None):
        shape = tuple(tensor.shape)
        if len(shape) != rank or (last is not None and shape[-1] != last):
            ending = "channels" if last is None else last
            middle = "height, width, " if rank == 4 else ""
            raise ValueError(
                f"{type(self).__name__} expected `{name}` of shape (batch, {middle}"
                f"{ending}); received shape {shape}."
            )


@keras.saving.register_keras_serializable(package="saccade")
class GaussianRead(_Gaussian):
    """Read a patch of a picture through a grid of Gaussian filters.

    DRAW's read operation (Gregor et al. 2015, equation 27): with the filters of the
    rows and of the columns, see `filterbank`, the patch is intensity F_y picture F_x^T.
    It can be differentiated by the picture and by the place, width and blur of the
    grid.

    Args:
        filters: of a side of the grid, which are the height and width of the patch.

    Call arguments:
        pictures: float (batch, height, width, channels), height and width known.
        parameters: float (batch, 5), any numbers: centre x, centre y, log variance,
            log stride, log intensity, as `grid` takes them; zeros look at the whole
            picture.

    Output:
        (batch, filters, filters, channels), in the compute dtype.

    Raises:
        ValueError: a shape that it cannot read, or fewer than one filter.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = _at_least_one(self, filters=filters)

    def call(self, pictures, parameters):
        self.expect("pictures", pictures, 4)
        self.expect("parameters", parameters, 2, PARAMETERS)
        _, height, width, _ = pictures.shape
        rows, columns, intensity = self.banks(parameters, self.filters, height, width)
        pictures = ops.transpose(pictures, (0, 1, 3, 2))
        patches = intensity * read_patches(pictures, rows, columns)
        return ops.transpose(patches, (0, 1, 3, 2))

    def compute_output_shape(self, pictures_shape, parameters_shape):
        return (pictures_shape[0], self.filters, self.filters, pictures_shape[-1])

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="saccade")
class GaussianWrite(_Gaussian):
    """Write a patch into an empty picture through a grid of Gaussian filters.

    DRAW's write operation (Gregor et al. 2015, equation 29): F_y^T patch F_x /
    intensity, the transpose of `GaussianRead`.

    Args:
        height, width: of the picture, in pixels.

    Call arguments:
        patches: float (batch, filters, filters, channels).
        parameters: as of `GaussianRead`.

    Output:
        (batch, height, width, channels), in the compute dtype. What is written sums to
        the patch's sum, divided by the intensity.

    Raises:
        ValueError: a patch that is no square, other shapes, or a side below one pixel.
    """

    def __init__(self, height, width, **kwargs):
        super().__init__(**kwargs)
        self.height = _at_least_one(self, height=height)
        self.width = _at_least_one(self, width=width)

    def call(self, patches, parameters):
        self.expect("patches", patches, 4)
        self.expect("parameters", parameters, 2, PARAMETERS)
        filters = patches.shape[1]
        if patches.shape[2] != filters:
            raise ValueError(
                "GaussianWrite expected square patches (batch, filters, filters, "
                f"channels); received shape {tuple(patches.shape)}."
            )
        rows, columns, intensity = self.banks(
            parameters, filters, self.height, self.width
        )
        patches = ops.transpose(patches, (0, 1, 3, 2))
        pictures = write_patches(patches, rows, columns) / intensity
        return ops.transpose(pictures, (0, 1, 3, 2))

    def compute_output_shape(self, patches_shape, parameters_shape):
        return (patches_shape[0], self.height, self.width, patches_shape[-1])

    def get_config(self):
        config = {"height": self.height, "width": self.width}
        return {**super().get_config(), **config}


def _at_least_one(layer, **named):
    ((name, value),) = named.items()
    if value < 1:
        raise ValueError(
            f"{type(layer).__name__} expected {name} to be at least 1; received "
            f"{value!r}."
        )
    return value


@keras.saving.register_keras_serializable(package="saccade")
class DRAWCell(FastCell, keras.layers.Layer):
    """One step of DRAW: look at picture and canvas, think, paint.

    With c' the canvas before, h_e' and h_d' the states of encoder and decoder, x the
    picture, e the noise of the step:

        x_hat = x - sigmoid(c')                         what is wrong so far
        r = read(x, x_hat, h_d')                        one grid for both
        h_e = LSTM_e([r; h_d'], h_e')
        mean, log s = W_q h_e + b_q
        z = mean + s e                                  the latent, a draw
        h_d = LSTM_d(z, h_d')
        c = c' + write(h_d)

    Without attention r is [x; x_hat], all pixels, and write is a matrix.

    Args:
        height, width: of a picture, in pixels.
        units: of each LSTM. latent: size of z.
        read, write: filters of a side of the grid that reads and of the one that
            writes.
        attention: whether it reads and writes by grids.

    Call arguments:
        inputs: e, (batch, latent).
        states: list of h_e, c_e, h_d, c_d (batch, units) and c (batch, height * width),
            in logits.
        memory: of the loop around, x (batch, height * width), from 0 to 1, through
            which no gradient passes.

    Output:
        mean (latent), log s (latent) and the window that was read (4), see `window`,
        side by side; list of new states. What was painted follows from z, see
        `DRAW.paint`: a loop that trains need not keep every canvas.
    """

    def __init__(
        self,
        height,
        width,
        units=256,
        latent=20,
        read=5,
        write=5,
        attention=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.height = _at_least_one(self, height=height)
        self.width = _at_least_one(self, width=width)
        self.units = _at_least_one(self, units=units)
        self.latent = _at_least_one(self, latent=latent)
        self.read = _at_least_one(self, read=read)
        self.write = _at_least_one(self, write=write)
        self.attention = attention
        self.encoder = LSTMCell(units, dtype=self.dtype_policy, name="encoder")
        self.decoder = LSTMCell(units, dtype=self.dtype_policy, name="decoder")
        self.pixels = height * width
        self.state_size = [units, units, units, units, self.pixels]
        self.output_size = 2 * latent + 4

    def build(self, inputs_shape, memory_shape=None):
        if self.built:
            return
        batch = inputs_shape[0]
        glimpse = 2 * (self.read**2 if self.attention else self.pixels)
        self.encoder.build((batch, glimpse + self.units))
        self.decoder.build((batch, self.latent))
        writes = PARAMETERS + self.write**2 if self.attention else self.pixels
        heads = {"posterior": 2 * self.latent, "write": writes}
        if self.attention:
            heads["read"] = PARAMETERS
        for head, size in heads.items():
            kernel = self.add_weight(
                name=f"{head}_kernel",
                shape=(self.units, size),
                initializer="glorot_uniform",
            )
            bias = self.add_weight(
                name=f"{head}_bias", shape=(size,), initializer=self._first_bias(head)
            )
            setattr(self, f"{head}_kernel", kernel)
            setattr(self, f"{head}_bias", bias)
        self.built = True

    def _first_bias(self, head):
        """Zeros; of a grid a variance by which its filters overlap, half a stride wide
        each: one pixel wide, they would leave most of a large picture without a
        gradient. And of the one that writes an intensity by which a patch of ones adds
        about one to every pixel, where else it were 1 / stride^2."""

        def initial(shape, dtype=None):
            bias = np.zeros(shape)
            if self.attention and head in ("read", "write"):
                filters = getattr(self, head)
                widest = (max(self.height, self.width) - 1) / max(filters - 1, 1)
                bias[2] = 2 * np.log(max(widest / 2, 0.5))
                if head == "write":
                    bias[4] = -2 * np.log(max(widest, 1))
            return ops.convert_to_tensor(bias, dtype)

        return initial

    def prepare_memory(self, memory, memory_mask=None):
        """The picture; without attention also its share of the encoder's product,
        which is the same in every step."""
        picture = ops.stop_gradient(ops.cast(memory, self.compute_dtype))
        prepared = {"picture": picture}
        if not self.attention:
            kernel = step_weight(self, self.encoder.kernel)[: self.pixels]
            prepared["product"] = ops.matmul(picture, kernel)
        return prepared

    def input_mask(self, inputs, training):
        """None: the noise is no input that could be dropped."""

    def step_weights(self, training=False, h=None):
        encoder = self.encoder.step_weights(training)
        if not self.attention:  # The rest is in `prepare_memory`.
            encoder["kernel"] = encoder["kernel"][self.pixels :]
        return {"encoder": encoder, **self._head("posterior"), **self.painting()}

    def painting(self):
        """The weights of the half that needs no picture."""
        weights = {"decoder": self.decoder.step_weights(), **self._head("write")}
        return {**weights, **(self._head("read") if self.attention else {})}

    def _head(self, name):
        return {
            f"{name}_{part}": step_weight(self, getattr(self, f"{name}_{part}"))
            for part in ("kernel", "bias")
        }

    def fast_step(self, multiply, x, states, weights, training=False):
        h_e, c_e, h_d, c_d, canvas = states
        memory = current_memory(self)
        picture = ops.stop_gradient(memory["picture"])
        wrong = picture - ops.sigmoid(canvas)
        glimpse, read_window = self._read(multiply, picture, wrong, h_d, weights)
        inside = _Plus(multiply, memory.get("product"))
        _, (h_e, c_e) = self.encoder.fast_step(
            inside, (glimpse, h_d), [h_e, c_e], weights["encoder"]
        )
        moments = multiply(
            (h_e, weights["posterior_kernel"]), bias=weights["posterior_bias"]
        )
        mean, log_scale = ops.split(moments, 2, axis=-1)
        log_scale = ops.clip(log_scale, *LOG_SCALE)
        z = mean + ops.exp(log_scale) * x
        _, (h_d, c_d, canvas) = self.paint(multiply, z, [h_d, c_d, canvas], weights)
        output = ops.concatenate([mean, log_scale, read_window], axis=-1)
        return output, [h_e, c_e, h_d, c_d, canvas]

    def paint(self, multiply, z, states, weights):
        """The half of a step that needs no picture.

        Args:
            z: (batch, latent). states: h_d, c_d and c. weights: of `painting`.

        Returns:
            the window that was written and c, side by side; new states.
        """
        h_d, c_d, canvas = states
        _, (h_d, c_d) = self.decoder.fast_step(
            multiply, z, [h_d, c_d], weights["decoder"]
        )
        written = multiply((h_d, weights["write_kernel"]), bias=weights["write_bias"])
        if not self.attention:
            canvas, box = canvas + written, self._everything(canvas)
            return ops.concatenate([box, canvas], axis=-1), [h_d, c_d, canvas]
        parameters, patch = written[:, :PARAMETERS], written[:, PARAMETERS:]
        rows, columns, intensity, box = self._banks(parameters, self.write)
        patch = ops.reshape(patch / intensity, (-1, self.write, 1, self.write))
        stroke = write_patches(patch, rows, columns)
        canvas = canvas + ops.reshape(stroke, (-1, self.pixels))
        return ops.concatenate([box, canvas], axis=-1), [h_d, c_d, canvas]

    def _read(self, multiply, picture, wrong, h_d, weights):
        """What the encoder sees, (batch, features), and the window, (batch, 4)."""
        if not self.attention:
            return wrong, self._everything(wrong)
        parameters = multiply((h_d, weights["read_kernel"]), bias=weights["read_bias"])
        rows, columns, intensity, box = self._banks(parameters, self.read)
        both = [
            ops.reshape(p, (-1, self.height, 1, self.width)) for p in (picture, wrong)
        ]
        patches = read_patches(ops.concatenate(both, axis=2), rows, columns)
        return intensity * ops.reshape(patches, (-1, 2 * self.read**2)), box

    def _banks(self, parameters, filters):
        x, y, variance, stride, intensity = grid(
            parameters, filters, self.height, self.width
        )
        rows = filterbank(y, stride, variance, filters, self.height)
        columns = filterbank(x, stride, variance, filters, self.width)
        box = window(x, y, stride, filters)
        return cast_all((rows, columns, intensity, box), self.compute_dtype)

    def _everything(self, like):
        box = ops.convert_to_tensor([[0, 0, self.width, self.height]], like.dtype)
        return ops.tile(box, (ops.shape(like)[0], 1))

    def get_config(self):
        names = ("height", "width", "units", "latent", "read", "write", "attention")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class _Plus:
    """A `Multiply` whose result has something added that was multiplied before."""

    def __init__(self, multiply, ready):
        self.multiply, self.ready = multiply, ready

    def __call__(self, *pairs, bias=None):
        result = self.multiply(*pairs, bias=bias)
        return result if self.ready is None else result + self.ready


class _Painting(FastCell, keras.layers.Layer):
    """The half of a DRAWCell that paints: latents in, windows and canvases out."""

    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell
        self.state_size = cell.state_size[2:]
        self.output_size = 4 + cell.pixels

    def build(self, inputs_shape):
        self.cell.build(inputs_shape)
        self.built = True

    def step_weights(self, training=False, h=None):
        weights = self.cell.painting()
        return {k: v for k, v in weights.items() if not k.startswith("read")}

    def input_mask(self, inputs, training):
        """None, as of the DRAWCell."""

    def fast_step(self, multiply, x, states, weights, training=False):
        return self.cell.paint(multiply, x, states, weights)


@keras.saving.register_keras_serializable(package="saccade")
class DRAW(keras.layers.Layer):
    """Deep recurrent attentive writer: pictures painted in steps.

    The network of Gregor et al. 2015, see `DRAWCell`. A picture is looked at and
    painted anew; without one, `paint` makes pictures from latents. The first canvas is
    a weight.

    Args:
        units, latent, read, write, attention: as of `DRAWCell`.
        fast: as of `Recurrent`.

    Call arguments:
        pictures: (batch, height, width), from 0 to 1.
        noise: (batch, steps, latent), draws from N(0, 1), fresh in every step; zeros
            take the mean of every latent.

    Output: a dict of
        canvas: (batch, height, width), logits after the last step;
        kl: (batch, steps), in nats, float32: sum of (mean^2 + s^2 - 2 log s - 1) / 2,
            the divergence of the latents from N(0, 1) (equation 11, whose T / 2 is the
            1 / 2 of a single number);
        means, log_scales: (batch, steps, latent), of the latents' distributions;
        latents: (batch, steps, latent), from which `paint` gives the same canvas, and
            all before it;
        read_windows: (batch, steps, 4), see `window`.

    Raises:
        ValueError: shapes that do not fit.
    """

    def __init__(
        self,
        units=256,
        latent=20,
        read=5,
        write=5,
        attention=True,
        fast=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units, self.latent = units, latent
        self.read, self.write = read, write
        self.attention, self.fast = attention, fast
        self.reader = self.painter = None

    def build(self, pictures_shape, noise_shape):
        if self.built:
            return
        self._expect(pictures_shape, noise_shape)
        batch, height, width = pictures_shape
        cell = DRAWCell(
            height,
            width,
            self.units,
            self.latent,
            self.read,
            self.write,
            self.attention,
            dtype=self.dtype_policy,
            name="cell",
        )
        options = {"return_sequences": True, "fast": self.fast}
        options["dtype"] = self.dtype_policy
        self.reader = Recurrent(cell, name="reader", return_state=True, **options)
        self.reader.build(noise_shape, memory_shape=(batch, height * width))
        painting = _Painting(cell, dtype=self.dtype_policy, name="painting")
        self.painter = Recurrent(painting, name="painter", **options)
        self.painter.build(noise_shape)
        self.first_canvas = self.add_weight(
            name="first_canvas", shape=(height, width), initializer="zeros"
        )
        self.built = True

    def _expect(self, pictures_shape, noise_shape):
        if len(pictures_shape) != 3 or None in pictures_shape[1:]:
            raise ValueError(
                "DRAW expected pictures (batch, height, width) of a known height and "
                f"width; received shape {tuple(pictures_shape)}."
            )
        if len(noise_shape) != 3 or noise_shape[-1] != self.latent:
            raise ValueError(
                f"DRAW expected noise (batch, steps, {self.latent}), the last axis as "
                f"`latent`; received shape {tuple(noise_shape)}."
            )

    def call(self, pictures, noise, training=False):
        self._expect(pictures.shape, noise.shape)
        cell = self.reader.cell
        flat = ops.reshape(pictures, (-1, cell.pixels))
        outputs, *_, canvas = self.reader(
            noise,
            initial_state=self._start(noise, encoder=True),
            memory=flat,
            training=training,
        )
        ends = [self.latent, 2 * self.latent]
        means, log_scales, read_windows = ops.split(outputs, ends, axis=-1)
        noise = ops.cast(noise, means.dtype)
        return {
            "canvas": ops.reshape(canvas, (-1, *self.first_canvas.shape)),
            "kl": divergence(means, log_scales),
            "means": means,
            "log_scales": log_scales,
            "latents": means + ops.exp(log_scales) * noise,
            "read_windows": read_windows,
        }

    def paint(self, latents):
        """Pictures from latents (batch, steps, latent), draws from N(0, 1).

        Returns:
            a dict of `canvases` (batch, steps, height, width), logits after each step,
            and `write_windows` (batch, steps, 4), see `window`.
        """
        outputs = self.painter(latents, initial_state=self._start(latents))
        windows, canvases = ops.split(outputs, [4], axis=-1)
        steps = ops.shape(canvases)[1]
        canvases = ops.reshape(canvases, (-1, steps, *self.first_canvas.shape))
        return {"canvases": canvases, "write_windows": windows}

    def _start(self, steps, encoder=False):
        batch = ops.shape(steps)[0]
        zeros = ops.zeros((batch, self.units), self.compute_dtype)
        canvas = ops.reshape(ops.cast(self.first_canvas, self.compute_dtype), (1, -1))
        return [zeros] * (4 if encoder else 2) + [ops.tile(canvas, (batch, 1))]

    def compute_output_shape(self, pictures_shape, noise_shape):
        batch, height, width = pictures_shape
        steps = noise_shape[1]
        return {
            "canvas": (batch, height, width),
            "kl": (batch, steps),
            **{name: (batch, steps, self.latent) for name in LATENT},
            "read_windows": (batch, steps, 4),
        }

    def get_config(self):
        names = ("units", "latent", "read", "write", "attention", "fast")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
