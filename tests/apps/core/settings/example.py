"""A config with a field of every type."""

import dataclasses

from saccade.apps.core.settings.fields import field, validate


@dataclasses.dataclass(frozen=True)
class Config:
    cell: str = field("gru", "the recurrent cell", ("elman", "lstm", "gru"))
    units: int = field(64, "width of the state", low=1)
    rate: float = field(0.5, "share dropped", low=0, high=0.9)
    warm_up: bool = field(True, "raise the learning rate slowly")
    filters: tuple[int, ...] = field((16, 32), "of the stages", low=1)
    seed: int | None = field(None, "of the draws; none: a new one")
    data: str = field("builtin", "where the data is")
    no_data: float = field(1.0, "a name that looks like a negation", high=1)

    def __post_init__(self):
        validate(self)
