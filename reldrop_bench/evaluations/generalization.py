"""How much better a model is on what it was trained on, and how fast it got there."""

import torch
from torch import Tensor
from torch.nn import functional

from reldrop_bench import Context, Count, Evaluation, Metric, Probability, Record, SubsetSplit
from reldrop_bench.kinds.workload import Workload
from reldrop_bench.statistics.wording import counted

from ._measures.predictions import correct

_LOG = "the training log"
_BOTH = "1 prediction, of training and test items"


class Generalization(Evaluation):
    """The gap between training and test data at the end, the gap over epochs, epochs to a target.

    At the end: accuracy and cross-entropy of the final model in evaluation mode, on training items
    as they are (neither augmented nor occluded) and on the test split; "accuracy_gap" = training −
    test, "loss_gap" = test − training. Over epochs: the curve "accuracy_gap" (split "validation") is
    that to the validation split, since nothing looks at test data while a model is trained; the
    training accuracy in it is of the same kind, on as many items as there are for validation.
    "epochs_to_{t}" is the first epoch with a validation accuracy of at least t; where none has, it
    is left out with a note, and a mean over the seeds that are left flatters the method.
    """

    name = "generalization"
    uses_relevance = False
    metrics = {
        "train_accuracy": Metric("neither", "accuracy on training items as they are", _BOTH),
        "train_loss": Metric("neither", "cross-entropy there, in nats", _BOTH),
        "test_loss": Metric("lower", "cross-entropy on the test split, in nats"),
        "accuracy_gap": Metric(
            "lower", "accuracy on training items minus that on held-out items", _BOTH
        ),
        "loss_gap": Metric("lower", "loss on test items minus that on training items", _BOTH),
        "epochs_to_*": Metric("lower", "first epoch with that validation accuracy", _LOG),
        "best_validation_epoch": Metric("neither", "first epoch of the best accuracy there", _LOG),
    }

    presets = {"fast": {"max_samples": 500}, "full": {"max_samples": 20000}}

    targets: tuple[Probability, ...] = (0.5, 0.8, 0.9, 0.95)
    """Validation accuracies of which the first epoch is noted."""
    max_samples: Count = 2000
    """Training items that are predicted, at random."""

    def passes(self, workload: Workload) -> float:
        return min(self.max_samples, workload.training)

    def evaluate(self, context: Context, record: Record) -> None:
        self._final(context, record)
        epochs = context.epochs
        if epochs.empty:
            record.note("validation", "accuracy_gap", "there is no training log")
            return
        validation = epochs["validation_accuracy"]
        if validation.isna().any():
            record.note("validation", "accuracy_gap", "the task has no validation items")
            return
        gap = epochs["clean_train_accuracy"] - validation
        record.curve("validation", "accuracy_gap", epochs["epoch"], gap)
        best = int(epochs["epoch"].iloc[int(validation.argmax())])
        record.metric("validation", "best_validation_epoch", best)
        for target in self.targets:
            name, reached = f"epochs_to_{target:g}", epochs["epoch"][validation >= target]
            first = int(reached.iloc[0]) if len(reached) else None
            reason = (
                f"never reached in {counted(len(epochs), 'epoch')} (best {validation.max():.3f})"
            )
            record.metric("validation", name, first, reason)

    def _final(self, context: Context, record: Record) -> None:
        if context.recipe is None:
            record.note("test", "accuracy_gap", "it is not known what the model was trained on")
            return
        train = context.task.splits(context.root, context.seed).train
        generator = context.generator("generalization", context.seed)
        items = torch.randperm(len(train), generator=generator)[: self.max_samples].sort().values
        batches = context.batches(SubsetSplit(train, items))
        logits = torch.cat([context.predict(batch.inputs) for batch in batches])
        seen, seen_loss = _score(logits, train.targets[items])
        test, test_loss = _score(context.logits(), context.targets())
        record.metric("test", "train_accuracy", seen)
        record.metric("test", "train_loss", seen_loss)
        record.metric("test", "test_loss", test_loss)
        record.metric("test", "accuracy_gap", seen - test)
        record.metric("test", "loss_gap", test_loss - seen_loss)


def _score(logits: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy; logits (n, K), targets (n,)."""
    loss = functional.cross_entropy(logits.double(), targets)
    return correct(logits, targets).mean().item(), loss.item()
