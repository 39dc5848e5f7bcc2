"""What the tests are worth: small faults, put in one at a time, must each be noticed.

    make mutants

Every mutant is one edit of one file. The package and its tests are copied into a
temporary folder, the edit is made there, and the tests named are run until one fails.
A mutant that survives is a missing test, and the exit status is 1.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import rich.console
import rich.table

ROOT = pathlib.Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Mutant:
    what: str
    file: str  # in layers/
    old: str  # stands in the file exactly once
    new: str
    tests: str  # in tests/, with spaces between


LSTM = "layers/test_lstm.py"
LOOP = "layers/test_time_loop.py"
CUDNN = "layers/test_cudnn.py"
MUTANTS = [
    # Gates
    Mutant(
        "LSTM: g and o swapped",
        "lstm.py",
        "z_i, z_f, z_g, z_o = ops.split",
        "z_i, z_f, z_o, z_g = ops.split",
        LSTM,
    ),
    Mutant(
        "LSTM: i and g swapped",
        "lstm.py",
        "z_i, z_f, z_g, z_o = ops.split",
        "z_g, z_f, z_i, z_o = ops.split",
        LSTM,
    ),
    Mutant(
        "LSTM: recurrent input permuted",
        "lstm.py",
        "(h, recurrent_kernel), bias=bias)",
        "(h[:, ::-1], recurrent_kernel), bias=bias)",
        LSTM,
    ),
    Mutant(
        "LSTM: output activation dropped",
        "lstm.py",
        "return o * activation(c), c",
        "return o * c, c",
        LSTM,
    ),
    Mutant(
        "LSTM: forget bias starts at zero",
        "lstm.py",
        "super().__init__(units, **kwargs)",
        "super().__init__(units, **{**kwargs, 'unit_forget_bias': False})",
        "foreign/test_keras_suite.py",
    ),
    # Peepholes
    Mutant(
        "LSTM: output peephole reads the cell one step before",
        "lstm.py",
        '(previous if peephole_of_output == "previous" else c)',
        "previous",
        LSTM,
    ),
    Mutant(
        "LSTM: with every gate one step back, the output peephole reads today's cell",
        "lstm.py",
        '(previous if peephole_of_output == "previous" else c)',
        "c",
        LSTM,
    ),
    Mutant(
        "LSTM: peepholes of i and f swapped",
        "lstm.py",
        "z_i = z_i + peephole[0] * previous",
        "z_i = z_i + peephole[1] * previous",
        LSTM,
    ),
    # Reset convention and update gate
    Mutant(
        "GRU: z and r swapped",
        "gru.py",
        "z, r = ops.split(recurrent_activation(x_zr + u[:, : 2 * units]), 2, axis=-1)",
        "r, z = ops.split(recurrent_activation(x_zr + u[:, : 2 * units]), 2, axis=-1)",
        "layers/test_gru.py",
    ),
    Mutant(
        "GRU: update gate the other way round",
        "gru.py",
        "return z * (h if carry is None else carry) + (1 - z) * g",
        "return (1 - z) * (h if carry is None else carry) + z * g",
        "layers/test_gru.py",
    ),
    Mutant(
        "GRU: reset before the product, but of the wrong gate",
        "gru.py",
        "multiply((r * h, weights",
        "multiply((z * h, weights",
        "layers/test_gru.py",
    ),
    # Masks
    Mutant(
        "loop: a masked step changes the state",
        "time_loop.py",
        "new = [tf.where(real, n, o) for n, o in zip(new, inner, strict=True)]",
        "new = [tf.where(real, n, n) for n, o in zip(new, inner, strict=True)]",
        LOOP,
    ),
    Mutant(
        "loop: a masked step outputs zeros",
        "time_loop.py",
        "before = before or [0] * len(outputs)",
        "before = [0] * len(outputs)",
        LOOP,
    ),
    Mutant(
        "layer: the mask of a backwards layer is not turned",
        "masks.py",
        "        mask = ops.flip(mask, axis=1)\n",
        "        pass\n",
        "layers/test_masks.py",
    ),
    # cuDNN
    Mutant(
        "cuDNN: padding does not repeat the output before it",
        "cudnn.py",
        "padding = last[:, None] if repeats else 0",
        "padding = 0",
        CUDNN,
    ),
    Mutant(
        "cuDNN: the last output is not that of padding",
        "cudnn.py",
        "if self.zero_output_for_mask and not self.go_backwards:",
        "if False:",
        CUDNN,
    ),
    Mutant(
        "cuDNN: a mask with padding at the left is taken for one at the right",
        "masks.py",
        "ops.all(mask[:, 0])",
        "True",
        CUDNN,
    ),
    Mutant(
        "cuDNN: a mask with holes is taken for padding",
        "masks.py",
        "ops.all(goes_on)",
        "True",
        CUDNN,
    ),
    Mutant(
        "cuDNN: XLA is asked for what it has not",
        "cudnn.py",
        "        if under_xla():",
        "        if False:",
        CUDNN,
    ),
    Mutant(
        "cuDNN: the kernel sees inputs without dropout",
        "cudnn.py",
        "        if dropout_mask is not None:",
        "        if False:",
        CUDNN,
    ),
    # Time
    Mutant(
        "loop: the state before a step is the one after it",
        "time_loop.py",
        'states = [a.read(t) for a in arrays["states"]]',
        'states = [a.read(t + 1) for a in arrays["states"]]',
        LOOP,
    ),
    Mutant(
        "loop: the operands of the weights' gradient one step late",
        "time_loop.py",
        'arrays["states"][part.index].stack()[:-1]',
        'arrays["states"][part.index].stack()[1:]',
        LOOP,
    ),
    Mutant(
        "layer: a reset keeps the state",
        "time_loop.py",
        "inner = [tf.where(again, s, i) for s, i in zip(start, inner, strict=True)]",
        "inner = [tf.where(again, i, i) for s, i in zip(start, inner, strict=True)]",
        "layers/test_streaming.py",
    ),
    # The custom gradient
    Mutant(
        "loop: the last output's gradient reaches every step",
        "time_loop.py",
        "d_now = [tf.where(t == self.time - 1, d, 0) for d in d_outputs]",
        "d_now = d_outputs",
        LOOP,
    ),
    Mutant(
        "loop: the bias gets no gradient",
        "products.py",
        "sums.add_weight(self.bias, tf.reduce_sum(d_z, axis=0))",
        "sums.add_weight(self.bias, 0 * tf.reduce_sum(d_z, axis=0))",
        LOOP,
    ),
    Mutant(
        "loop: inputs read outside of products get no gradient",
        "time_loop.py",
        "self.reads_x = flows[0]",
        "self.reads_x = False",
        LOOP,
    ),
    Mutant(
        "loop: an operand with a gradient is taken for a constant",
        "products.py",
        "all(g is None for g in gradient(operand, sources))",
        "any(g is None for g in gradient(operand, sources))",
        LOOP,
    ),
    Mutant(
        "loop: mixed values get no gradient",
        "products.py",
        "sums.add_memory(self.values, d_values)",
        "sums.add_memory(self.values, 0 * d_values)",
        LOOP,
    ),
    Mutant(
        "loop: hoisted inputs without their bias",
        "products.py",
        "total = tf.nn.bias_add(total, weights[self.bias])",
        "pass",
        LOOP,
    ),
    Mutant(
        "layer: a reset goes back to the state that came in",
        "recurrent.py",
        "tree.flatten(start),",
        "tree.flatten(initial_state),",
        "layers/test_streaming.py",
    ),
    Mutant(
        "scan: a reset goes back to the state that came in",
        "minimal.py",
        "initial_state)[0], reset, start)",
        "initial_state)[0], reset, tree.flatten(initial_state)[0])",
        "layers/test_streaming.py",
    ),
    Mutant(
        "dropout: the recurrent mask is forgotten",
        "elman.py",
        'dropped(h, weights["recurrent_mask"])',
        "h",
        "layers/test_dropout.py",
    ),
    # Diagnostics
    Mutant(
        "gates of the LSTM: i and f named the other way round",
        "lstm.py",
        '{"input": i, "forget": f, "output": o}',
        '{"input": f, "forget": i, "output": o}',
        "layers/test_diagnostics.py",
    ),
    Mutant(
        "gates: a masked step moves the state",
        "diagnostics.py",
        "ops.where(real[:, t], new, old)",
        "new",
        "layers/test_diagnostics.py",
    ),
]


def killed_by(mutant, options=()):
    """The first test that fails with the mutant in place, or None."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        ignore = shutil.ignore_patterns("__pycache__")
        for part in ("layers", "apps"):
            shutil.copytree(ROOT / part, folder / "saccade" / part, ignore=ignore)
        shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignore)
        shutil.copy(ROOT / "setup.cfg", folder)
        file = folder / "saccade/layers" / mutant.file
        source = file.read_text("utf-8")
        if source.count(mutant.old) != 1:
            raise SystemExit(
                f"The mutant '{mutant.what}' expects this once in layers/"
                f"{mutant.file}; it is there {source.count(mutant.old)} times:\n"
                f"{mutant.old}"
            )
        file.write_text(source.replace(mutant.old, mutant.new), "utf-8")
        tests = [f"tests/{test}" for test in mutant.tests.split()]
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", *options, *tests],
            cwd=folder,
            # Before the editable installation, whose finder comes last.
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
        )
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    if result.returncode == 1 and failed:
        return failed[0].split("::", 1)[1].split(" - ")[0]
    if result.returncode == 0:
        return None
    raise SystemExit(f"'{mutant.what}': pytest stopped\n{result.stdout[-3000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only mutants whose name has a word")
    words = parser.parse_args().words
    console = rich.console.Console()
    table = rich.table.Table("mutant", "file", "killed by")
    survivors = 0
    for mutant in MUTANTS:
        if words and not any(word in mutant.what for word in words):
            continue
        killer = killed_by(mutant)
        survivors += killer is None
        console.print(f"{mutant.what}: {killer or 'SURVIVED'}", markup=False)
        table.add_row(mutant.what, mutant.file, killer or "[red]nobody")
    console.print(table)
    raise SystemExit(1 if survivors else 0)


if __name__ == "__main__":
    main()
