"""Pictures beside what was read in them."""

from matplotlib.figure import Figure

from ..core.report.plot import fonts

COLUMNS = 4  # pictures side by side


def figure(rows):
    """Every picture as the network saw it, beside how likely each label is.

    Args:
        rows: list of (picture, answer): float (height, width, channels), and a dict as
            an answer of the app, with `truth` where the right label is known.

    Returns:
        `matplotlib.figure.Figure`.
    """
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    drawn = Figure((3.2 * columns, 2.0 * lines), 120, layout="constrained")
    panels = drawn.subplots(lines, 2 * columns, squeeze=False).reshape(-1, 2)
    for left, right in panels:
        left.set_axis_off()
        right.set_axis_off()
    style = {"fontfamily": fonts(), "parse_math": False}
    for (left, right), (picture, answer) in zip(panels, rows, strict=False):
        grey = picture.shape[-1] == 1
        left.imshow(picture[..., 0] if grey else picture, "gray", vmin=0, vmax=1)
        title = f"{answer['label']} ({answer['score']:.2f})"
        if "truth" in answer:
            title += f", is {answer['truth']}"
        left.set_title(title, fontsize=10, **style)
        right.set_axis_on()
        labels = answer["labels"]
        right.barh(labels, answer["probabilities"])
        right.set_xlim(0, 1)
        right.set_xticks([0, 1])
        right.set_yticks(labels, labels, fontsize=6, **style)
        right.invert_yaxis()
    return drawn
