"""The parts of a batch: which rows each of several replicas reads, and from where.

The batch of a config is the global batch; replica r of n reads rows r B/n to
(r+1) B/n of it.
"""

import os
import typing

import tensorflow as tf

# The environment variable that names the tf.data services, see `from_data_service`.
DATA_SERVICE = "SACCADE_DATA_SERVICE"


class Part(typing.NamedTuple):
    """One replica's part of every global batch."""

    index: int = 0
    count: int = 1

    def of(self, rows):
        """The slice of the global batch's rows that belongs to this part."""
        size = rows // self.count
        return slice(self.index * size, (self.index + 1) * size)


WHOLE = Part()


def from_data_service(dataset, replica=0):
    """A dataset as it is, or from the tf.data services of DATA_SERVICE.

    The variable holds one address or several with commas between; replica r asks the
    r-th, around. A service must have one worker: several would mix up the order.
    """
    addresses = os.environ.get(DATA_SERVICE, "").split(",")
    address = addresses[replica % len(addresses)].strip()
    if not address:
        return dataset
    service = tf.data.experimental.service
    whole = service.ShardingPolicy.OFF
    return dataset.apply(service.distribute(processing_mode=whole, service=address))
