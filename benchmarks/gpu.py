"""Our recurrent layers on a GPU, with JAX, beside keras.layers and others.

    KERAS_BACKEND=jax python benchmarks/gpu.py

needs a GPU with JAX; PyTorch stands beside it where it is installed. For every cell,
batch B, length T and size H (inputs of H features, all outputs wanted): milliseconds
of a forward pass and of forward + backward (gradients of the inputs and of all
weights), of

- ours: `saccade.layers`, compiled by `jax.jit`;
- keras: `keras.layers`, likewise;
- scan: the same network written plainly around `jax.lax.scan`;
- torch: `torch.nn`, which runs through cuDNN.

All compute in float32, with TF32 products allowed everywhere or ("--precision highest")
nowhere. The runs of a point are interleaved, each round in another order; a figure is
the median of its rounds. The table goes to benchmarks/results/gpu.json.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
from timing import medians

from saccade import layers

try:
    import torch
except ImportError:
    torch = None

RESULT = pathlib.Path(__file__).parent / "results" / "gpu.json"
GRIDS = {
    "full": [(b, 128, h) for b in (1, 32, 128) for h in (128, 512, 1024)],
    "small": [(32, 64, 512), (128, 64, 512)],
    "toy": [(2, 3, 4)],
}
CELLS = {  # ours, Keras', torch's
    "Elman": (layers.Elman, keras.layers.SimpleRNN, "RNN"),
    "LSTM": (layers.LSTM, keras.layers.LSTM, "LSTM"),
    "GRU": (layers.GRU, keras.layers.GRU, "GRU"),
}
PRECISIONS = ("default", "highest")


def layer_function(layer, shape):
    """(weights, x) -> outputs of a Keras layer, and its weights."""
    layer.build(shape)
    weights = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]

    def forward(weights, x):
        outputs, _ = layer.stateless_call(weights, others, x, training=True)
        return outputs

    return forward, weights


def elman(weights, state, x):
    kernel, recurrent, bias = weights
    h = jnp.tanh(x @ kernel + state[0] @ recurrent + bias)
    return (h,), h


def lstm(weights, state, x):
    kernel, recurrent, bias = weights
    h, c = state
    i, f, g, o = jnp.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def gru(weights, state, x):
    kernel, recurrent, bias = weights
    (h,) = state
    x_z, x_r, x_h = jnp.split(x @ kernel + bias[0], 3, axis=-1)
    h_z, h_r, h_h = jnp.split(h @ recurrent + bias[1], 3, axis=-1)
    z, r = jax.nn.sigmoid(x_z + h_z), jax.nn.sigmoid(x_r + h_r)
    h = z * h + (1 - z) * jnp.tanh(x_h + r * h_h)
    return (h,), h


PLAIN = {"Elman": (elman, 1), "LSTM": (lstm, 2), "GRU": (gru, 1)}


def scan_function(cell, size):
    step, count = PLAIN[cell]

    def forward(weights, x):
        start = (jnp.zeros((x.shape[0], size), x.dtype),) * count
        _, outputs = jax.lax.scan(
            lambda state, x: step(weights, state, x), start, jnp.swapaxes(x, 0, 1)
        )
        return jnp.swapaxes(outputs, 0, 1)

    return forward


def jax_runs(forward, weights, x):
    """{pass: function}; each waits for the GPU to finish."""

    def loss(weights, x):
        return jnp.sum(forward(weights, x) ** 2)

    run = jax.jit(forward)
    both = jax.jit(jax.grad(loss, argnums=(0, 1)))
    return {
        "forward": lambda: jax.block_until_ready(run(weights, x)),
        "both": lambda: jax.block_until_ready(both(weights, x)),
    }


def torch_runs(kind, size, x):
    rnn = getattr(torch.nn, kind)(size, size, batch_first=True).cuda()
    x = torch.tensor(x, device="cuda", requires_grad=True)

    def forward():
        with torch.no_grad():
            rnn(x)
        torch.cuda.synchronize()

    def both():
        rnn.zero_grad()
        x.grad = None
        (rnn(x)[0] ** 2).sum().backward()
        torch.cuda.synchronize()

    return {"forward": forward, "both": both}


def runs_of(cell, batch, time_steps, size):
    """{(side, pass): function}; the greatest difference of the outputs under JAX."""
    ours, theirs, kind = CELLS[cell]
    draw = np.random.default_rng(0)
    x = draw.standard_normal((batch, time_steps, size)).astype("float32")
    device_x = jnp.asarray(x)
    forward, weights = layer_function(ours(size, return_sequences=True), x.shape)
    forwards = {
        "ours": forward,
        "keras": layer_function(theirs(size, return_sequences=True), x.shape)[0],
        "scan": scan_function(cell, size),
    }
    outputs = [np.array(run(weights, device_x)) for run in forwards.values()]
    difference = max(float(np.abs(o - outputs[0]).max()) for o in outputs)
    runs = {}
    for side, forward in forwards.items():
        for name, run in jax_runs(forward, weights, device_x).items():
            runs[side, name] = run
    if torch is not None and torch.cuda.is_available():
        for name, run in torch_runs(kind, size, x).items():
            runs["torch", name] = run
    return runs, difference


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grid", choices=GRIDS, default="full")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument(
        "--precision", choices=("default", "highest"), default="default"
    )
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--to", type=pathlib.Path, default=RESULT)
    options = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", options.precision)
    if torch is not None:
        allowed = options.precision == "default"
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed
    rows = []
    for cell in options.cells:
        for batch, steps, size in GRIDS[options.grid]:
            runs, difference = runs_of(cell, batch, steps, size)
            figures = medians(runs, options.repeats, warm_up=2)
            row = {"cell": cell, "batch": batch, "time": steps, "size": size}
            for (side, name), seconds in figures.items():
                row[f"{side}_{name}"] = round(1e3 * seconds, 3)
            row["difference"] = difference
            rows.append(row)
            print(row, flush=True)
    result = {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "keras": keras.__version__,
        "torch": torch.__version__ if torch is not None else None,
        "precision": options.precision,
        "rows": rows,
    }
    options.to.write_text(json.dumps(result, indent=1), "utf-8")


if __name__ == "__main__":
    main()
