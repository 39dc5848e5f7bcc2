"""`units.csv`: the scores as a table."""

import csv


def write_table(path, results, names):
    """`units.csv`: the best units of every property."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            "property,rank,unit,high or low,measure,held out,chance,untrained".split(
                ","
            )
        )
        for r in results:
            for rank, unit in enumerate(r.units):
                table.writerow(
                    [
                        r.probe.name,
                        rank + 1,
                        names[unit],
                        "high" if r.rises[rank] else "low",
                        r.measure,
                        f"{r.held_out[rank]:.3f}",
                        f"{r.chance:.3f}",
                        f"{r.untrained:.3f}",
                    ]
                )
