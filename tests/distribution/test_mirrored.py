"""Two devices of one machine train what one device trains."""

import re
import types

import numpy as np
import pytest
import tensorflow as tf

from saccade.apps.core.data.parts import Part, from_data_service
from saccade.apps.core.errors import UserError
from saccade.apps.core.tasks.language.streams import Text, train_windows
from saccade.apps.core.training import devices
from saccade.apps.core.training.feeding import check_rows

from ..machine import seconds
from .processes import (
    DIVERGING,
    SMALL,
    assert_same_losses,
    assert_same_training,
    reference,
    start,
    train,
)

TWO = types.SimpleNamespace(num_replicas_in_sync=2)


@pytest.fixture
def base(tmp_path_factory):
    return tmp_path_factory.getbasetemp()


# The parts of a batch


def test_the_parts_of_a_batch_are_the_batch():
    text = Text([np.arange(90), np.arange(41)])
    whole = train_windows(text, 6, 5, 3, first_step=2).take(7)
    parts = [
        train_windows(text, 6, 5, 3, first_step=2, part=Part(i, 3)).take(7)
        for i in range(3)
    ]
    for expected, *got in zip(whole, *parts, strict=True):
        joined = tf.nest.map_structure(lambda *rows: tf.concat(rows, 0), *got)
        tf.nest.map_structure(np.testing.assert_array_equal, joined, expected)


def test_a_data_service_changes_nothing(monkeypatch):
    service = tf.data.experimental.service
    hosts = [service.DispatchServer() for _ in range(2)]
    addresses = [host.target.split("://")[1] for host in hosts]
    workers = [
        service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
        for address in addresses
    ]
    text = Text([np.arange(90)])

    def windows(part):
        return train_windows(text, 4, 5, 3, part=Part(part, 2))

    expected = [list(windows(part).take(5)) for part in range(2)]
    monkeypatch.setenv(
        "SACCADE_DATA_SERVICE", ", ".join(f"grpc://{address}" for address in addresses)
    )
    got = [list(from_data_service(windows(i), i).take(5)) for i in range(2)]
    tf.nest.map_structure(np.testing.assert_array_equal, got, expected)
    served = [worker._server.num_tasks() for worker in workers]
    assert served == [1, 1], "each of the services had its replica's part"


def test_a_batch_that_cannot_be_divided_is_refused():
    check_rows(6, TWO)
    with pytest.raises(UserError, match=r"multiple of 2.*received 7.*6 and 8"):
        check_rows(7, TWO)
    with pytest.raises(UserError, match=r"received 1\. The nearest are 2 and 2"):
        check_rows(1, TWO)


# The strategies by name


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UserError, match="none, mirrored, multi-worker, tpu.*'both'"):
        devices.create("both")


def test_a_second_strategy_in_one_process_is_refused(monkeypatch):
    monkeypatch.setattr(devices.create, "used", ("tpu", TWO), raising=False)
    assert devices.create("tpu") is TWO
    with pytest.raises(UserError, match="strategy tpu again, received mirrored"):
        devices.create("mirrored")


def test_another_keras_is_refused(monkeypatch):
    from saccade.apps.core.training import keras_repairs

    monkeypatch.setattr("keras.__version__", "3.16.0")
    with pytest.raises(UserError, match=r"3\.15\.\*; received Keras 3\.16\.0.*pip"):
        keras_repairs.repair()


@pytest.mark.slow
def test_no_tpu_is_told(tmp_path):
    log = tmp_path / "log"
    process = start(["train", "char_lm", "--strategy=tpu"], log, TPU_NAME="local")
    assert process.wait(seconds(120)) == 2
    assert "error: --strategy tpu expected a TPU named 'local'" in log.read_text()


# Equal to one device


@pytest.mark.processes
@pytest.mark.parametrize("app", ["char_lm", "word_lm", "sentiment"])
def test_two_devices_train_what_one_does(app, tmp_path, base):
    train([app, *SMALL[app], "--strategy=mirrored"], tmp_path / "two", "--devices=2")
    assert_same_training(tmp_path / "two", reference(app, base))


@pytest.mark.slow
def test_captioning_is_that_of_one_device(tmp_path, base):
    settings = ["captioning", *SMALL["captioning"], "--strategy=mirrored"]
    train(settings, tmp_path / "two", "--devices=2")
    one = reference("captioning", base, "--one-variance")
    # Convolutions round otherwise for half a batch, and on some CPUs from one run to
    # the next, and Adam makes much of small gradients: 3e-4 were seen between two runs
    # of the same training.
    assert_same_training(tmp_path / "two", one, tolerance=1e-3)
    # The usual formula rounds otherwise, too: the losses are equal to five digits all
    # the same.
    assert_same_losses(tmp_path / "two", reference("captioning", base))


@pytest.mark.slow
def test_a_frozen_backbone_is_computed_once_for_both(tmp_path):
    settings = ["captioning", *SMALL["captioning"], "--backbone=mobilenet"]
    one = train(settings, tmp_path / "one")
    two = train([*settings, "--strategy=mirrored"], tmp_path / "two", "--devices=2")
    assert "mobilenet is not trained" in one and "mobilenet is not trained" in two
    assert_same_training(tmp_path / "two", tmp_path / "one", tolerance=1e-4)


@pytest.mark.slow
def test_hard_attention_on_two_devices_is_refused(tmp_path):
    log = tmp_path / "log"
    settings = ["captioning", *SMALL["captioning"], "--attention=hard"]
    words = ["train", *settings, "--strategy=mirrored", "--out", tmp_path / "run"]
    assert start(["--devices=2", *words], log).wait(seconds(120)) == 2
    assert "error: --attention hard trains on one device" in log.read_text()
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_it(tmp_path):
    log = tmp_path / "log"
    words = ["train", "char_lm", *SMALL["char_lm"], *DIVERGING, "--strategy=mirrored"]
    process = start(["--devices=2", *words, "--out", tmp_path / "run"], log)
    assert process.wait(seconds(120)) == 2
    assert re.search(
        r"error: (The loss|Weights) became .* in round 1, at step", log.read_text()
    )


@pytest.mark.slow
def test_minutes_xla_and_dropout(tmp_path):
    """The preset's XLA is off and said so; dropout has a generator on each device."""
    settings = ["--preset=hello", "--steps=0", "--minutes=0.02", "--dropout=0.2"]
    message = train(
        ["char_lm", *settings, "--strategy=mirrored"], tmp_path / "run", "--devices=2"
    )
    assert "mirrored: 2 replicas" in message
    assert "XLA is off" in message
    assert "ms a step" in message
    assert (tmp_path / "run/model.keras").exists()
