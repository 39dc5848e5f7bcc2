"""The state of replicas: what each has of its own, and what all share."""

import keras
import numpy as np

from ..data.parts import Part
from . import workers
from .devices import several


def synchronise(model):
    """Let every BatchNormalization take its moments over the global batch."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        elif isinstance(layer, keras.Model):
            synchronise(layer)


def own_variable(shape, name):
    """A variable of zeros that every replica writes for itself, float32.

    In a checkpoint stand the values of all replicas, one after the other along the
    first axis: so it can be read back by another number of replicas.
    """
    return keras.Variable(
        "zeros",
        shape=shape,
        trainable=False,
        name=name,
        synchronization="on_read",
        aggregation="only_first_replica",  # what it shows to who knows no replicas
    )


def _is_own(variable):
    return variable.synchronization == "on_read"


def whole_shape(variable, strategy):
    """The shape of what `read` returns."""
    shape = tuple(variable.shape)
    if _is_own(variable):
        return (shape[0] * strategy.num_replicas_in_sync, *shape[1:])
    return shape


def read(variable, strategy):
    """A variable as an array. All workers must call it, for the same variables."""
    if not (several(strategy) and _is_own(variable)):
        return np.array(variable)
    parts = strategy.experimental_local_results(variable.value)
    here = np.concatenate([part.numpy() for part in parts])
    return np.concatenate(workers.gather(here, strategy))


def write(variable, array, strategy):
    """Undo `read`."""
    if not (several(strategy) and _is_own(variable)):
        variable.assign(array)
        return
    parts = strategy.experimental_local_results(variable.value)
    first = workers.place(strategy) * len(parts)
    for i, part in enumerate(parts, first):
        part.assign(array[Part(i, strategy.num_replicas_in_sync).of(len(array))])
