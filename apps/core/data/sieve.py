"""What --skip-bad leaves out: counted, named, and at most so much."""

import logging

from ..errors import UserError

log = logging.getLogger("saccade")

NAMED = 20  # bad rows or files at most, in a message


def sift(config, items, errors, what):
    """The good ones among rows, lines or files, list.

    Args:
        config: with `data`, `skip_bad` and `bad_at_most`, in percent.
        items: list. errors: for each, where and why it is bad, str without a full stop;
            "" where it is good. what: what they are, in the plural.

    Raises:
        UserError: for the first bad one; with `skip_bad` the bad ones are counted and
            named, and only too many of them are an error, or if none is left.
    """
    bad = [error for error in errors if error]
    if bad and not config.skip_bad:
        raise UserError(f"{bad[0]}. (--skip-bad counts and skips such {what}.)")
    _report(config, bad, len(errors), what)
    good = [item for item, error in zip(items, errors, strict=True) if not error]
    if not good:
        raise UserError(f"{config.data}: none of {len(errors)} {what} is sound.")
    return good


def _report(config, bad, count, what):
    """Logs what is left out of `count` items; too many bad ones are an error."""
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
