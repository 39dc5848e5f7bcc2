"""Sets of tensorflow-datasets, prepared on disk; what is missing is downloaded."""

import logging
import urllib.request

import rich.filesize

from ..errors import UserError

log = logging.getLogger("saccade")

HOST = "https://storage.googleapis.com/tfds-data/dataset_info"


def builder(data, data_dir=""):
    """The `tfds.core.DatasetBuilder` of a set, whose data is on disk then.

    Args:
        data: `tfds:NAME`. data_dir: where prepared sets lie; "": where
            tensorflow-datasets keeps them.

    Raises:
        UserError: there is no such set, or it is not there and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    name = data.removeprefix("tfds:")
    folder = data_dir or tfds.core.constants.DATA_DIR
    try:
        found = tfds.builder(name, data_dir=folder)
        if not found.data_path.exists():
            check_network()
            log.info(
                "Downloading %s, %s, into %s.", data, found.info.download_size, folder
            )
            tfds.enable_progress_bar()
            found.download_and_prepare()
    except tfds.core.DatasetNotFoundError:
        raise UserError(
            f"{data}: tensorflow-datasets has no set of this name, and none lies "
            f"prepared in {folder} (--data-dir). The names are at "
            "https://www.tensorflow.org/datasets/catalog."
        ) from None
    except Exception as error:  # tfds raises many kinds: no such set, no data.
        reason = str(error).partition("\n")[0]  # A list of all sets may follow.
        raise UserError(
            f"{data} is not prepared in {folder}, and could not be downloaded. Prepare "
            f"it where there is a network, with `tfds build {name} --data_dir FOLDER`, "
            f"and copy FOLDER/{name} to {folder}/{name}, or name FOLDER with "
            f"--data-dir. ({reason})"
        ) from None
    return found


def check_network():
    """An error within seconds. Without a network tfds would try again for minutes."""
    urllib.request.urlopen(HOST, timeout=10).close()


def where(data, data_dir=""):
    """Where a prepared set lies and how large it is, for people."""
    found = builder(data, data_dir)
    return f"{found.data_path}, {rich.filesize.decimal(int(found.info.dataset_size))}"
