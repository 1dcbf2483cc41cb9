"""How diverse are a model's relevance maps and features, and how much of that is noise?"""

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from reldrop_bench import Batch, Context, Count, Evaluation, Metric, Record, SubsetSplit
from reldrop_bench.kinds.attributor import RelevanceError
from reldrop_bench.kinds.evaluation import Explained
from reldrop_bench.kinds.workload import Workload

from ._measures import features, maps
from ._measures.penultimate import FeaturesError, penultimate_features
from ._measures.samples import PerSample, joined, varies, where_defined

_MAP, _FEATURE = "1 explanation", "1 prediction"
_IMAGES, _CLOUDS = frozenset({"image"}), frozenset({"cloud"})
_NO_RELEVANCE = "no positive relevance, or the same for all elements"
_NO_MASK = "the mask is empty or holds every element"
LEFT_OUT: Mapping[str, str] = {
    "attribution_entropy": _NO_RELEVANCE,
    "gini": _NO_RELEVANCE,
    "mass_coverage": _NO_RELEVANCE,
    "relevance_mass_accuracy": f"{_NO_RELEVANCE}, or {_NO_MASK}",
    "relevance_rank_accuracy": f"{_NO_RELEVANCE}, or {_NO_MASK}",
    "in_mask_entropy": f"{_NO_RELEVANCE} in the mask, or a mask of less than two elements",
    "shortcut_mass": f"{_NO_RELEVANCE}, or {_NO_MASK}",
    "critical_set_fraction": "every feature is the same at all points",
}
"""Why a sample may have no value."""
IN_MASKS = ("relevance_mass_accuracy", "relevance_rank_accuracy", "in_mask_entropy")


def permuted(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Return a copy of a network, its weights permuted within each parameter; buffers are kept.

    Each weight's distribution stays as training made it, and what was learned is gone: the
    randomised control of Adebayo et al. 2018, arXiv 1810.03292. generator: on the CPU. Batch norms
    then have the statistics of another network: see `settle`.
    """
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return other


@torch.no_grad()
def settle(model: nn.Module, batches: Iterable[Batch]) -> None:
    """Give a network's batch norms the mean and variance that its own layers have on the batches.

    With those of the weights that it had before, most of its features are constant.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    for batch in batches:
        if len(batch) > 1:  # one has no variance
            model(batch.inputs)
    model.eval()


def features_in_order(context: Context, size: int) -> Iterator[Tensor]:
    """Yield penultimate features (b, d) of the first `size` items of `context.order`, on the CPU.

    Raises
    ------
    FeaturesError
        The network has none; the message says why.
    """
    for batch in context.batches(SubsetSplit(context.test, context.order[:size])):
        yield penultimate_features(context.model, batch.inputs).cpu()


class Diversity(Evaluation):
    """Spread and place of relevance, dimensions of the features, variety of maps within a class.

    Each on the clean test items, split "test", and on a control, split "randomised-weights": a copy
    of the model with permuted weights, its batch norms adapted to them, whose predicted classes are
    explained, so that all numbers are those of noise. The direction of a metric says which way is
    more diverse, not that it is better: a noisy map is spread widely, too, so a difference counts
    only beside accuracy and away from the control.

    Of relevance (positive part): "attribution_entropy", "gini", "mass_coverage" over the whole
    input; "relevance_mass_accuracy", "relevance_rank_accuracy" and "in_mask_entropy" with masks,
    "shortcut_mass" in their place where masks show a shortcut;
    "class_map_cosine" for images (points of two clouds do not correspond). These are means over
    samples, single values are example rows. Samples without a value are left out and noted.

    Of penultimate features (input of the last linear layer called): "effective_rank",
    "participation_ratio", "vendi_score". They see directions in which features vary, not where in
    the input they come from: redundant cues that come and go together count as one, so that a
    model of one cue and one of all may have the same. The share of relevance in the masks and the
    cosine of maps do not tell these two apart either, where all maps are right. No dimension
    exceeds the number of samples: compare only what has the same `max_samples`.
    "critical_set_fraction" is the share of points that a PointNet's maximum takes something from.
    """

    name = "diversity"
    metrics = {
        "samples": Metric("neither", "measured samples", "nothing"),
        "attribution_entropy": Metric(
            "higher", "entropy of the relevance over log n: 0 one element, 1 all alike", _MAP
        ),
        "gini": Metric(
            "lower", "Gini coefficient of the relevance: 0 all elements alike, near 1 one", _MAP
        ),
        "mass_coverage": Metric(
            "higher", "least share of the elements that holds half of the relevance, 0 to 1", _MAP
        ),
        "relevance_mass_accuracy": Metric(
            "higher", "share of the relevance inside the mask, 0 to 1", _MAP
        ),
        "relevance_rank_accuracy": Metric(
            "higher",
            "share of the |mask| most relevant elements that lie inside it, 0 to 1; ties at random",
            _MAP,
            seeded=True,
        ),
        "in_mask_entropy": Metric(
            "higher", "entropy of the relevance inside the mask over its log size, 0 to 1", _MAP
        ),
        "shortcut_mass": Metric(
            "lower", "share of the relevance on the shortcut that the masks show, 0 to 1", _MAP
        ),
        "class_map_cosine": Metric(
            "lower",
            "mean cosine between the maps of one class: 0 disjoint, 1 all alike",
            _MAP,
            modalities=_IMAGES,
        ),
        "effective_rank": Metric(
            "higher", "exp(entropy) of the features' singular values, 1 to dimensions", _FEATURE
        ),
        "participation_ratio": Metric(
            "higher", "(Σλ)²/Σλ² of the features' covariance, 1 to dimensions", _FEATURE
        ),
        "vendi_score": Metric(
            "higher", "effective number of different samples by feature cosine, 1 to n", _FEATURE
        ),
        "critical_set_fraction": Metric(
            "higher",
            "share of the points that decide a pooled feature, 0 to 1",
            _FEATURE,
            modalities=_CLOUDS,
        ),
    }

    presets = {"fast": {"max_samples": 64}, "full": {"max_samples": 1024}}

    max_samples: Count = 256
    """Test items that are measured."""
    control: bool = True
    """Whether the same is measured on a copy with permuted weights: as much again."""

    def passes(self, workload: Workload) -> float:
        features = 2 if workload.facts.modality in _CLOUDS else 1  # those of points as well
        each = features + workload.explanation
        # The control's batch norms are adapted, and its predictions are what is explained.
        total = each + (2 + each if self.control else 0)
        return workload.sample(self.max_samples) * total

    def evaluate(self, context: Context, record: Record) -> None:
        maps_of_labels = context.explained(self.max_samples, self.name)
        self._measure(context, record, "test", maps_of_labels)
        if self.control:
            split = "randomised-weights"
            other = permuted(context.model, context.generator(self.name, "control"))
            control = context.with_model(other)
            items = context.order[: self.max_samples]
            settle(other, context.batches(SubsetSplit(context.test, items)))
            try:
                self._measure(control, record, split, self._explained_predictions(control))
            except RelevanceError as error:
                record.note(split, "*", f"the model with permuted weights: {error}")

    def _measure(
        self, context: Context, record: Record, split: str, explained: Iterator[Explained]
    ) -> None:
        record.metric(split, "samples", min(self.max_samples, len(context.order)))
        self._features(context, record, split)
        self._critical_sets(context, record, split)
        self._maps(context, record, split, explained)

    def _explained_predictions(self, context: Context) -> Iterator[Explained]:
        """Yield what `Context.explained` does, with the relevance of the predicted classes.

        To permuted weights a label means nothing: its logit is as often negative as not, and then
        most methods find no positive relevance at all.
        """
        for items in context.order[: self.max_samples].split(context.batch_size):
            context.progress(f"{self.name} control")
            batch = context.test.batch(items).to(context.device)
            said = context.predict(batch.inputs).argmax(1).to(context.device)
            stream = context.generator(self.name, "control relevance", int(items[0]))
            relevance = context.explain(batch.replace(targets=said), stream)
            yield Explained(items, batch, relevance)

    def _maps(
        self, context: Context, record: Record, split: str, explained: Iterator[Explained]
    ) -> None:
        items: list[Tensor] = []
        values: dict[str, list[PerSample]] = defaultdict(list)
        images = context.facts.modality in _IMAGES
        cosine = maps.ClassCosine()
        for shown in explained:
            items.append(shown.items)
            some = varies(shown.relevance).cpu()
            for name, (value, defined) in self._map_values(context, shown).items():
                values[name].append(where_defined(value, defined & some))
            if images:
                cosine.add(shown.relevance.cpu()[some], shown.batch.labels.cpu()[some])
        for name, parts in values.items():
            self._write(record, split, name, torch.cat(items), joined(parts))
        if not set(IN_MASKS) <= values.keys():
            reason = context.facts.without_masks or "the task has no masks"
            record.note(split, ", ".join(IN_MASKS), reason)
        if not images:
            reason = "points of two clouds do not correspond, so their maps cannot be compared"
            record.note(split, "class_map_cosine", reason)
        else:
            reason = "no class has two maps with positive relevance"
            record.metric(split, "class_map_cosine", cosine.mean, reason)

    def _map_values(self, context: Context, shown: Explained) -> dict[str, PerSample]:
        relevance = shown.relevance.cpu()
        values = {
            "attribution_entropy": maps.attribution_entropy(relevance),
            "gini": maps.gini(relevance),
            "mass_coverage": maps.mass_coverage(relevance),
        }
        if shown.batch.masks is None:
            return values
        masks = shown.batch.masks.cpu()
        if context.facts.shortcut:
            return values | {"shortcut_mass": maps.relevance_mass_accuracy(relevance, masks)}
        ties = context.generator(self.name, "ties", int(shown.items[0]))
        return values | {
            "relevance_mass_accuracy": maps.relevance_mass_accuracy(relevance, masks),
            "relevance_rank_accuracy": maps.relevance_rank_accuracy(relevance, masks, ties),
            "in_mask_entropy": maps.in_mask_entropy(relevance, masks),
        }

    def _features(self, context: Context, record: Record, split: str) -> None:
        names = ("effective_rank", "participation_ratio", "vendi_score")
        plain, unit = features.Rows(), features.Rows()
        try:
            for rows in features_in_order(context, self.max_samples):
                plain.add(rows)
                directions, some = features.unit_rows(rows)
                unit.add(directions[some])
        except FeaturesError as error:
            record.note(split, ", ".join(names), str(error))
            return
        variances = plain.eigenvalues()
        measured = (
            features.effective_rank(variances),
            features.participation_ratio(variances),
            features.vendi_score(unit.eigenvalues(centred=False)),
        )
        for name, value in zip(names, measured, strict=True):
            reason = "the features are the same for all samples, or all zero"
            record.metric(split, name, value, reason)
        reason = "all features are zero"
        record.note_left_out(split, "vendi_score", unit.count, plain.count, reason)

    @torch.no_grad()
    def _critical_sets(self, context: Context, record: Record, split: str) -> None:
        name = "critical_set_fraction"
        if context.facts.modality not in _CLOUDS:
            return
        point_features = getattr(context.model, "point_features", None)
        if point_features is None:
            record.note(
                split, name, "the network offers no point_features(points) before a maximum"
            )
            return
        items = context.order[: self.max_samples]
        parts = [
            features.critical_set_fraction(point_features(batch.inputs).cpu())
            for batch in context.batches(SubsetSplit(context.test, items))
        ]
        self._write(record, split, name, items, joined(parts))

    def _write(
        self, record: Record, split: str, name: str, items: Tensor, samples: PerSample
    ) -> None:
        record.note_left_out(split, name, len(samples.kept), len(items), LEFT_OUT[name])
        if samples.mean is not None:
            record.metric(split, name, samples.mean)
            record.examples(split, name, samples.kept, items[samples.defined])
