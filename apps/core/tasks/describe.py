"""What is in a task's data, for people."""

from ..data.places import spec_text


def describe(task, splits):
    """Facts about data: dict, name -> what to say of it."""
    facts = dict(task.describe(splits))
    if hasattr(splits.train, "columns"):
        for name in ("train", "validation", "test"):
            facts[f"{name} examples"] = len(getattr(splits, name))
        learned = task.learn(splits.train)
        inputs, targets, weights = learned.batches(splits.train)(0).element_spec
        tensors = {**inputs, **{f"target {n}": t for n, t in targets.items()}}
        facts["one batch"] = spec_text(tensors)
    for i, line in enumerate(task.example_rows(splits), 1):
        facts[f"example {i}"] = line
    return facts
