"""Type-checked against the installed wheel: what the package promises, a type checker must see."""

from __future__ import annotations

from reldrop_bench import Batch, Count, Probability, Regularizer, Results, Step, load_results


class Fade(Regularizer):
    """Make the inputs of a share of the samples fainter."""

    name = "fade"
    modalities = {"image"}
    off = {"probability": 0.0}

    probability: Probability = 0.5
    halvings: Count = 1

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(inputs=batch.inputs * (1 - self.probability) ** self.halvings)


def seconds(folder: str) -> float:
    results: Results = load_results(folder)
    return float(results.cells["train_seconds"].sum())


def strongest() -> Regularizer:
    return Fade(probability=1.0)


Fade(probability="often")  # type: ignore[arg-type]  # an error, or mypy --strict says the comment is unused
Fade(strength=1)  # type: ignore[call-arg]  # parameters are known by name
