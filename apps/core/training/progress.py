"""What a training says while it runs: a bar with the time that is left on a terminal,
and everywhere a line per round with its scores in words."""

import datetime

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

# Seconds over which the speed is measured: the pauses of validations count too.
PERIOD = 300


class RoundsShown(keras.callbacks.Callback):
    """Shows how far a training has come; comes behind `keeper`, whose scores it shows.

    Args:
        keeper: a `checkpoints.Rounds`.
        steps, rounds: of a round; in all.
        in_words: function of a round's figures -> str.
        silent: for a worker that is not the chief.
        console: rich's; None: standard output.

    A context: the bar is gone at its end, whatever ended the training.
    """

    def __init__(self, keeper, steps, rounds, in_words, silent=False, console=None):
        super().__init__()
        self.keeper, self.steps, self.rounds = keeper, steps, rounds
        self.in_words, self.silent, self.before = in_words, silent, 0
        self.console = console or _standard_output()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.completed:,.0f} of {task.total:,.0f}"),
            TimeRemainingColumn(),
            console=self.console,
            speed_estimate_period=PERIOD,
            transient=True,
            disable=silent or not self.console.is_terminal,
        )

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *error):
        self.bar.stop()

    def on_epoch_begin(self, epoch, logs=None):
        self.before = done = epoch * self.steps
        what = f"round {epoch + 1} of {self.rounds}"
        if not self.bar.tasks:
            # Begun where a resumed run goes on: its speed is that of this process.
            total = self.rounds * self.steps
            self.bar.add_task(what, total=total, completed=done)
        self.bar.update(self.bar.tasks[0].id, description=what, completed=done)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(self.bar.tasks[0].id, completed=self.before + batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        if self.silent:
            return
        row = self.keeper.history[-1]
        seconds = datetime.timedelta(seconds=round(row["seconds"]))
        loss, best = f"training loss {row['loss']:.3f}", self.keeper.is_best
        parts = [loss, self.in_words(row), "best so far" if best else ""]
        words = ", ".join(part for part in parts if part)
        self.console.print(f"round {epoch + 1} of {self.rounds}, {seconds}: {words}")


def shown(items, what, console=None):
    """The items of a list in turn, with a bar on a terminal.

    Args:
        what: is being done. console: rich's; None: standard output.
    """
    console = console or _standard_output()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        yield from bar.track(items, description=what)


def _standard_output():
    """rich's console; a notebook is no terminal, though it says so, and rich would show
    each line as a page of its own there."""
    terminal = False if Console().is_jupyter else None
    return Console(
        force_jupyter=False, force_terminal=terminal, soft_wrap=True, highlight=False
    )
