"""A loss that is no number: at which step, in which layer, at which learning rate.

Whether it is one costs nothing to see, since Keras hands the loss out after every call.
Where it began is searched only then: the round is run again from its checkpoint, which
the resume rule makes equal to the bit, and the steps of the last calls one by one. A
copy of the state before every call would save the replay, but cost 4 % of all training
(captioning, 0.8 million weights, on a CPU; more where they must leave a GPU).
"""

import contextlib

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from ..errors import UserError


class NotFinite(keras.callbacks.Callback):
    """Ends a training whose loss or weights are no finite numbers by a UserError.

    Must stand before the callback that saves: it looks at the weights at the end of
    every round, because the last step of a round can spoil them behind a good loss.

    Args:
        variables: all that a step may change.
        batches: function of the first step -> endless `tf.data.Dataset`.
        steps_per_round: as it says.
        go_back: function that puts the variables into the state before the round.
        folder: the run's folder; for the hint only.
    """

    def __init__(self, variables, batches, steps_per_round, go_back, folder):
        super().__init__()
        self.variables, self.batches, self.go_back = variables, batches, go_back
        self.steps_per_round, self.folder = steps_per_round, folder

    def on_epoch_begin(self, epoch, logs=None):
        self.round, self.calls = epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        self.calls += 1
        if not np.isfinite(logs["loss"]):
            raise self._error(f"The loss became {float(logs['loss'])}")

    def on_epoch_end(self, epoch, logs=None):
        if self._spoilt():
            raise self._error("Weights became infinite or nan")

    def _error(self, what):
        """The UserError, after a search; leaves the model in some state."""
        rate, spoilt = self._rate(), self._spoilt() or "the loss"
        last = self.round * self.steps_per_round + self._steps(self.calls)
        where = f"at step {last}"
        if self._steps(1) > 1:
            where += f" or up to {self._steps(1) - 1} before it"
        # Several replicas would have to search in step with one another.
        if self.model.distribute_strategy.num_replicas_in_sync == 1:
            found = self._search()
            if found is None:
                spoilt = "nothing, when the round was run once more"
            else:
                step, rate, spoilt = found
                where = f"at step {step + 1}"
        kept = "No round was finished before."
        if self.round:
            kept = (
                f"{self.folder} keeps the best weights of the rounds before; --resume "
                "would run into the same numbers again."
            )
        return UserError(
            f"{what} in round {self.round + 1}, {where}, where the learning rate was "
            f"{rate:.3g}. First not finite: {spoilt}. {kept} Train anew, with a lower "
            f"learning rate or clip: saccade train APP --config "
            f"{self.folder / 'config.json'} --learning-rate=..."
        )

    def _search(self):
        """(step, learning rate, what was spoilt first), or None."""
        self.go_back()
        step = self.round * self.steps_per_round
        # All calls but two, as they were run, so that the numbers are the same. Two, as
        # the last step of a call can spoil weights behind a loss that is still finite.
        whole = max(self.calls - 2, 0)
        calls = iter(self.batches(step))
        for _ in range(whole):
            self.model.train_function(calls)
        step += self._steps(whole)
        steps = self._steps(self.calls) - self._steps(whole)

        run, train_step = self.model.distribute_strategy.run, self.model.train_step
        one_step = tf.function(
            lambda data: run(train_step, args=(data,)),
            jit_compile=self.model.jit_compile,
        )
        for data in self.batches(step).take(steps):
            before = [np.array(variable) for variable in self.variables]
            self.model.reset_metrics()
            loss = one_step(data)["loss"]
            spoilt = self._spoilt()
            if spoilt or not np.isfinite(loss):
                for variable, value in zip(self.variables, before, strict=True):
                    variable.assign(value)
                rate = self._rate()
                first = first_not_finite(self.model, data)
                return step, rate, first or spoilt or "the loss"
            step += 1
        return None

    def _steps(self, calls):
        """How many steps of a round this many calls of it are."""
        return min(calls * self.model.steps_per_execution, self.steps_per_round)

    def _rate(self):
        return float(np.array(self.model.optimizer.learning_rate))

    def _spoilt(self):
        """Which variable is not finite, for people; None where all are."""
        for variable in self.variables:
            if not _finite(variable):
                return f"the variable {variable.path}, after the step"
        return None


def first_not_finite(model, data):
    """What becomes nan or infinite first in a training step, for people.

    Looks, in this order, at the batch, the layers' outputs, the loss, and the
    gradients from the loss backwards.

    Args:
        model: a compiled keras.Model in the state before the step.
        data: the batch, (inputs, targets, weights).

    Returns:
        half a sentence, or None where all of them are finite.
    """
    inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
    for name, part in (("inputs", inputs), ("targets", targets), ("weights", weights)):
        for path, tensor in tree.flatten_with_path(part):
            if not _finite(tensor):
                return " ".join(["the batch's", name, *map(str, path)])

    with _watched_layers(model) as greatest, tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        loss = model.compute_loss(inputs, targets, outputs, weights, training=True)
    for layer, size in greatest.items():
        if not np.isfinite(size):
            return f"the output of the layer {layer}"
    if not _finite(loss):
        layer, size = max(greatest.items(), key=lambda item: item[1])
        return f"the loss, of outputs up to {size:.3g} by the layer {layer}"
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in reversed(list(zip(variables, gradients, strict=True))):
        if gradient is not None and not _finite(tf.convert_to_tensor(gradient)):
            return f"the gradient of {variable.path}"
    return None


@contextlib.contextmanager
def _watched_layers(model):
    """A dict that receives each layer's greatest output, in the order they are run."""
    greatest = {}

    def watched(layer, call):
        def watch(*arguments, **options):
            outputs = call(*arguments, **options)
            sizes = [np.abs(_floats(o)).max(initial=0) for o in tree.flatten(outputs)]
            name = f"{layer.name} ({type(layer).__name__})"
            greatest[name] = np.max([greatest.get(name, 0), *sizes])  # nan stays nan
            return outputs

        return watch

    layers = list(_layers(model))
    for layer in layers:
        layer.call = watched(layer, layer.call)  # hides the method of its class
    try:
        yield greatest
    finally:
        for layer in layers:
            del layer.call


def _layers(model):
    """The layers of a model and of the models inside it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _finite(values):
    return bool(np.isfinite(_floats(values)).all())


def _floats(values):
    """The numbers as NumPy's; none of what has no nan: integers, texts, nothing."""
    values = np.array(values)
    if values.dtype.kind in "biuSUO":
        return np.zeros(0)
    return values.astype("float64")  # from bfloat16 too
