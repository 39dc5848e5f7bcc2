"""What is in a task's data, for people."""

from ..data.places import spec_text


def describe(task, splits):
    """Facts about data: dict, name -> what to say of it."""
    task = task.learn(splits.train)
    facts = dict(task.describe(splits))
    if hasattr(splits.train, "columns"):
        for name in ("train", "validation", "test"):
            facts[f"{name} examples"] = len(getattr(splits, name))
        # Of one example: all batches have its shapes, and none need be decoded.
        inputs, targets, _ = task.batches(splits.train[:1])(0).element_spec
        tensors = {**inputs, **{f"target {n}": t for n, t in targets.items()}}
        facts["one batch"] = spec_text(tensors)
    for i, line in enumerate(task.example_rows(splits), 1):
        facts[f"example {i}"] = line
    return facts
