"""The `saccade` command as the tests of several devices need it: a process each.

    python driver.py [--devices=N] [--one-variance] train APP ...

--devices=N     the CPU appears as N devices, for --strategy mirrored
--one-variance  BatchNormalization computes its variance as it must over replicas,
                E[x^2] - E[x]^2, which rounds otherwise than one device's formula
"""

import importlib
import sys

import tensorflow as tf

from saccade.apps import cli
from saccade.apps.core.training import replicas


def main(arguments):
    while arguments[0].startswith("--"):
        option, _, value = arguments.pop(0).partition("=")
        if option == "--devices":
            cpu, *_ = tf.config.list_physical_devices("CPU")
            parts = [tf.config.LogicalDeviceConfiguration()] * int(value)
            tf.config.set_logical_device_configuration(cpu, parts)
        elif option == "--one-variance":
            synchronise_built_models(f"saccade.apps.{arguments[1]}.task")
    sys.argv = ["saccade", *arguments]
    cli.main()


def synchronise_built_models(name):
    module = importlib.import_module(name)
    build = module.build_model

    def build_synchronised(config, assets):
        model = build(config, assets)
        replicas.synchronise(model)
        return model

    module.build_model = build_synchronised


if __name__ == "__main__":
    main(sys.argv[1:])
