"""Trainings that are killed: the program that `test_kill.py` runs.

    python victim.py train PIPE ARGUMENT ...

is `saccade train ARGUMENT ...`, and writes into the pipe, a line each, what it is about
to do.

    python victim.py die FOLDER

trains a small model again and again, in FOLDER/1, FOLDER/2 ...: the n-th training kills
itself the n-th time that it touches the disk, before and after every rename and
deletion and amid the writing, until one comes through. Prints a line for each kill.
"""

import os
import pathlib
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
STEPS, ROUNDS = 2, 2


def train_and_tell(pipe, arguments):
    def report(what):
        os.write(pipe, f"{what}\n".encode())

    report("starting")
    from saccade.apps import cli
    from saccade.apps.core import run
    from saccade.apps.core.files.whole import replacing
    from saccade.apps.core.training.checkpoints import Rounds

    def reporting(owner, name, say):
        original = getattr(owner, name)

        def wrapper(self, *arguments, **options):
            report(say(self, *arguments))
            return original(self, *arguments, **options)

        setattr(owner, name, wrapper)

    reporting(Rounds, "on_epoch_begin", lambda self, epoch, *_: f"training {epoch + 1}")
    reporting(Rounds, "on_epoch_end", lambda self, epoch, *_: f"validating {epoch + 1}")
    reporting(replacing, "__enter__", lambda self: f"writing {self.path.name}")
    reporting(replacing, "__exit__", lambda self, *_: f"moving {self.path.name}")
    reporting(run.Run, "measure", lambda self, *_: "evaluating")
    sys.argv = ["saccade", "train", *arguments]
    cli.main()


# A small model with everything that has a state: dropout, statistics, Adam.


def build():
    import keras

    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Dense(8, "relu", name="hidden"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.4),
        keras.layers.Dense(1, name="last"),
    ]
    model = keras.Sequential([keras.Input((5,)), *layers])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    return model


def batches(first_step):
    import tensorflow as tf

    def make(step):
        x = tf.random.stateless_normal([8, 5], tf.stack([0, tf.cast(step, tf.int32)]))
        return x, x[:, :1] * x[:, 1:2]

    return tf.data.Dataset.range(first_step, tf.int64.max).map(make)


def train(folder, resume=False, rounds=ROUNDS, score=None):
    """Train `build()`; every round is better than the one before, unless `score`."""
    from saccade.apps.core.training import loop

    model = build()

    def better():
        return {"val_score": float(model.optimizer.iterations.numpy())}

    loop.train(model, batches, STEPS, rounds, folder, score or better, resume)
    return model


def at_every_write(act):
    """Calls `act` before and after every rename and deletion, and amid the writing."""
    rename, unlink = os.replace, pathlib.Path.unlink

    def replace(source, target):
        whole = pathlib.Path(source).read_bytes()
        os.truncate(source, len(whole) // 2)
        act(f"half of {pathlib.Path(target).name} is written")
        pathlib.Path(source).write_bytes(whole)
        act(f"{pathlib.Path(target).name} is written")
        rename(source, target)
        act(f"{pathlib.Path(target).name} is in place")

    def remove(self, **options):
        unlink(self, **options)
        act(f"{self.name} is deleted")

    os.replace, pathlib.Path.unlink = replace, remove


def die_at_every_write(folder):
    from saccade.apps.core.training import loop  # noqa: F401  once, for all who are forked

    n = 0
    survived = False
    while not survived:
        n += 1
        child = os.fork()
        if child == 0:
            die_at_write(folder / str(n), n)
            os._exit(0)
        survived = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def die_at_write(folder, n):
    left = n

    def act(what):
        nonlocal left
        left -= 1
        if left == 0:
            os.write(1, f"killed: {what}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    at_every_write(act)
    train(folder)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train_and_tell(int(sys.argv[2]), sys.argv[3:])
    else:
        die_at_every_write(pathlib.Path(sys.argv[2]))
