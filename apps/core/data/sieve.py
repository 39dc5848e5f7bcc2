"""What --skip-bad leaves out: counted, named, and at most so much."""

import logging

from ..errors import UserError

log = logging.getLogger("saccade")

NAMED = 20  # bad rows or files at most, in a message


def report_skipped(config, bad, count, what):
    """Say what --skip-bad has left out.

    Args:
        config: with `bad_at_most`, in percent. bad: why, list of str, for each.
        count: of good and bad together. what: what they are, for the message.

    Raises:
        UserError: they are too many.
    """
    if not bad:
        return
    percent = 100 * len(bad) / count
    named = "".join(f"\n  {why}" for why in bad[:NAMED])
    if len(bad) > NAMED:
        named += f"\n  and {len(bad) - NAMED} more"
    if percent > config.bad_at_most:
        raise UserError(
            f"{len(bad)} of {count} {what} are bad, {percent:.1f} %, which is more "
            f"than --bad-at-most={config.bad_at_most:g}:{named}"
        )
    log.warning("Skipped %d of %d %s:%s", len(bad), count, what, named)
