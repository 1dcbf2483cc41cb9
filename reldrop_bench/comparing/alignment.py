"""What of several result sets is the same thing, and what only has the same name."""

from collections.abc import Sequence
from dataclasses import dataclass

from reldrop_bench.comparing.groups import Group, fitting, reason
from reldrop_bench.comparing.result_sets import ResultSet, evaluation_class, free_name
from reldrop_bench.errors import one_line
from reldrop_bench.results import Setting
from reldrop_bench.store.state import differences

SHOWN = 8
"""Names that a remark lists at most."""


@dataclass(frozen=True)
class Alignment:
    """The names under which the parts of each set stand beside those of the others; one entry a set.

    Two sets give a name to the same thing only: what differs in anything that decides its results
    is called "name (SET)" in the later one.
    """

    settings: tuple[dict[Setting, Setting], ...]
    labels: tuple[dict[str, str], ...]
    left_out: tuple[dict[Setting, set[str]], ...]
    """Evaluations whose values cannot stand beside those of an earlier set of the same setting."""
    protocols: tuple[dict[Setting, int], ...]
    """1 for the first set's way to train and test a setting, 2 for the next one …"""
    incomparable: tuple[str, ...]
    """A line for everything that only has the same name, with what differs."""
    remarks: tuple[str, ...]
    """What else has to be known."""


def align(sets: Sequence[ResultSet]) -> Alignment:
    """Find out what can be compared; depends on the sets' order, and on nothing else."""
    incomparable: list[str] = []
    remarks: list[str] = []
    settings, protocols = _align_settings(sets, incomparable, remarks)
    labels = _align_labels(sets, settings, incomparable, remarks)
    left_out = _align_evaluations(sets, settings, labels, incomparable, remarks)
    baselines = [
        labels[i].get(result_set.spec.baseline, result_set.spec.baseline)
        for i, result_set in enumerate(sets)
    ]
    if len(set(baselines)) > 1:
        pairs = zip(baselines, sets, strict=True)
        named = "; ".join(f"“{label}” in {result_set.name}" for label, result_set in pairs)
        remarks.append(f"The sets were run with different baselines: {named}.")
    return Alignment(settings, labels, left_out, protocols, tuple(incomparable), tuple(remarks))


def _align_settings(
    sets: Sequence[ResultSet], told: list[str], remarks: list[str]
) -> tuple[tuple[dict[Setting, Setting], ...], tuple[dict[Setting, int], ...]]:
    taken = {task for result_set in sets for task, _ in result_set.settings}
    groups: list[Group[Setting]] = []
    settings: list[dict[Setting, Setting]] = [{} for _ in sets]
    protocols: list[dict[Setting, int]] = [{} for _ in sets]

    def differs(at: int, ours: Setting, index: int, theirs: Setting) -> str:
        return "; ".join(_between(sets[at], ours, sets[index], theirs))

    def is_known(index: int, setting: Setting) -> bool:
        return "facts" in sets[index].setting_facts(setting)

    for index, result_set in enumerate(sets):
        renamed: dict[str, str] = {}
        reasons: dict[tuple[int, str], list[tuple[str, str]]] = {}
        group_of = fitting(groups, index, result_set.settings, differs, is_known)
        for setting in result_set.settings:
            group = group_of.get(setting)
            if group is None:
                same_name = [group for group in groups if group.name == setting]
                task, model = setting
                if same_name:
                    if task not in renamed:
                        renamed[task] = free_name(f"{task} ({result_set.name})", taken)
                    task = renamed[task]
                    first, text = reason(same_name, index, setting, differs)
                    old_and_new = (" · ".join(setting), f"{task} · {model}")
                    reasons.setdefault((first, text), []).append(old_and_new)
                group = Group(index, setting, (task, model), len(same_name) + 1)
                groups.append(group)
            elif group.name != setting:
                remarks.append(
                    f"{' · '.join(setting)} of {result_set.name} is what {sets[group.owner].name} calls "
                    f"{' · '.join(group.name)}."
                )
            group.members[index] = setting
            settings[index][setting] = group.common
            protocols[index][setting] = group.number
        for (first, text), names in reasons.items():
            told.append(
                f"{listed([old for old, _ in names])} of {result_set.name} cannot be compared with that "
                f"of {sets[first].name} ({text}): it is shown apart as "
                f"{listed([new for _, new in names])}, and nothing is paired across."
            )
    return tuple(settings), tuple(protocols)


def _between(first: ResultSet, ours: Setting, other: ResultSet, theirs: Setting) -> list[str]:
    """Say what keeps two sets' cells of a setting from being paired."""
    left, right = dict(first.setting_facts(ours)), dict(other.setting_facts(theirs))
    for name in set(left) ^ set(right):  # no cell of one of them tells
        left.pop(name, None)
        right.pop(name, None)
    texts = differences(left, right)
    if texts:
        return [one_line(text, 160) for text in texts]
    counts = first.split_sizes(ours), other.split_sizes(theirs)
    for evaluation, split in sorted(counts[0].keys() & counts[1].keys()):
        before, after = (count[evaluation, split] for count in counts)
        if before != after and not evaluation_difference(first, other, evaluation)[0]:
            texts.append(f"items of {split} in {evaluation} {before} → {after}")
    return texts


def _align_labels(
    sets: Sequence[ResultSet],
    settings: Sequence[dict[Setting, Setting]],
    told: list[str],
    remarks: list[str],
) -> tuple[dict[str, str], ...]:
    taken = {label for result_set in sets for label in result_set.labels}
    groups: list[Group[str]] = []
    names: list[dict[str, str]] = [{} for _ in sets]

    def differs(at: int, ours: str, index: int, theirs: str) -> str:
        first, other = sets[at], sets[index]
        before, after = first.label_identity(ours), other.label_identity(theirs)
        if before and after and before != after:
            return one_line("; ".join(differences(before, after)), 300)
        return _other_cell(
            first.label_keys[ours], settings[at], other.label_keys[theirs], settings[index]
        )

    def is_known(index: int, label: str) -> bool:
        # Whatever a checkpoint was trained with, all that is known of it is its name.
        return not sets[index].is_checkpoints and bool(sets[index].label_identity(label))

    for index, result_set in enumerate(sets):
        group_of = fitting(groups, index, result_set.labels, differs, is_known)
        for label in result_set.labels:
            group = group_of.get(label)
            if group is None:
                same_name = [group for group in groups if group.name == label]
                new = free_name(f"{label} ({result_set.name})", taken) if same_name else label
                if same_name:
                    first, text = reason(same_name, index, label, differs)
                    told.append(
                        f"“{label}” of {result_set.name} is not what it is in {sets[first].name} ({text}): "
                        f"it is shown as “{new}”."
                    )
                group = Group(index, label, new)
                groups.append(group)
            elif group.name != label:
                remarks.append(
                    f"“{label}” of {result_set.name} is what {sets[group.owner].name} calls “{group.name}”."
                )
            group.members[index] = label
            names[index][label] = group.common
    return tuple(names)


def _other_cell(
    ours: dict[tuple[Setting, int], str],
    our_settings: dict[Setting, Setting],
    theirs: dict[tuple[Setting, int], str],
    their_settings: dict[Setting, Setting],
) -> str:
    """Say where two labels hold different cells of one setting and seed; only one could be shown."""
    keys = {(our_settings[setting], seed): key for (setting, seed), key in ours.items()}
    for (setting, seed), key in theirs.items():
        task, model = their_settings[setting]
        if keys.get(((task, model), seed), key) != key:
            return f"{task} · {model}, seed {seed} is another model"
    return ""


def evaluation_difference(first: ResultSet, other: ResultSet, name: str) -> tuple[str, bool]:
    """Say what differs in an evaluation of two sets, "" where nothing does.

    The second value is False where one of the folders is too old to tell whether the source is the
    same.
    """
    ours, theirs = first.evaluation_identity(name), other.evaluation_identity(name)
    entries = first.evaluation_entry(name), other.evaluation_entry(name)
    text = ""
    if None not in entries:
        text = one_line("; ".join(differences(*entries)), 200)
    changed = text or "its source, or that of the attribution method that it uses, changed"
    if ours is not None and theirs is not None:
        return ("" if ours == theirs else changed), True
    keys = [
        (mine[name], yours[name])
        for key in sorted(first.records.keys() & other.records.keys())
        if name in (mine := first.evaluation_keys(key))
        and name in (yours := other.evaluation_keys(key))
    ]
    if any(mine == yours for mine, yours in keys):
        return "", True
    cls = evaluation_class(name)
    if keys and cls is not None and not cls.companions:
        return changed, True
    return text, bool(text)


def _align_evaluations(
    sets: Sequence[ResultSet],
    settings: Sequence[dict[Setting, Setting]],
    labels: Sequence[dict[str, str]],
    told: list[str],
    remarks: list[str],
) -> tuple[dict[Setting, set[str]], ...]:
    """Compare each evaluation of a setting with the first set that has it there."""
    owners: dict[tuple[str, str, str], int] = {}
    left_out: list[dict[Setting, set[str]]] = [{} for _ in sets]
    where: dict[tuple[int, int, str, str], list[str]] = {}
    pairs: set[tuple[int, int, str]] = set()
    for index, result_set in enumerate(sets):
        for setting in result_set.settings:
            task, model = settings[index][setting]
            for name in result_set.evaluations:
                owner = owners.setdefault((task, model, name), index)
                if owner == index:
                    continue
                first = sets[owner]
                text = evaluation_difference(first, result_set, name)[0]
                text = text or _other_reference(
                    first, result_set, labels[owner], labels[index], name
                )
                if text:
                    left_out[index].setdefault(setting, set()).add(name)
                    where.setdefault((owner, index, name, text), []).append(f"{task} · {model}")
                else:
                    pairs.add((owner, index, name))
    for (owner, index, name, text), named in where.items():
        told.append(
            f"Evaluation {name} is not the same in {sets[owner].name} and {sets[index].name} "
            f"({text}): the values of {sets[index].name} are left out in {listed(named)}."
        )
    remarks += _evaluation_remarks(sets, sorted(pairs))
    return tuple(left_out)


def _other_reference(
    first: ResultSet,
    other: ResultSet,
    ours: dict[str, str],
    theirs: dict[str, str],
    name: str,
) -> str:
    """Say whether an evaluation that compares with the baseline meets another one."""
    cls = evaluation_class(name)
    if cls is None or not cls.companions & {"reference", "baseline"}:
        return ""
    before, after = first.spec.baseline, other.spec.baseline
    if ours.get(before, before) == theirs.get(after, after):
        return ""
    return f"it compares with the baseline, “{ours.get(before)}” there, “{theirs.get(after)}” here"


def _evaluation_remarks(
    sets: Sequence[ResultSet], pairs: Sequence[tuple[int, int, str]]
) -> list[str]:
    unknown: dict[tuple[int, int], list[str]] = {}
    seeded: dict[tuple[int, int], list[str]] = {}
    for owner, index, name in pairs:
        if not evaluation_difference(sets[owner], sets[index], name)[1]:
            unknown.setdefault((owner, index), []).append(name)
        cls = evaluation_class(name)
        seeds = [sets[i].spec.seed_list[0] for i in (owner, index)]
        if cls is not None and cls.companions & {"reference", "first-seed"} and len(set(seeds)) > 1:
            seeded.setdefault((owner, index), []).append(name)
    remarks = [
        f"Whether {listed(names)} of {sets[index].name} has the source that it has in "
        f"{sets[owner].name} cannot be told: one of the folders was written by an older version."
        for (owner, index), names in unknown.items()
    ]
    for (owner, index), names in seeded.items():
        first, second = (sets[i] for i in (owner, index))
        remarks.append(
            f"{listed(names)}: cells are compared with those of the first seed of their own set, "
            f"{first.spec.seed_list[0]} in {first.name} and {second.spec.seed_list[0]} in "
            f"{second.name}."
        )
    return remarks


def listed(names: Sequence[str]) -> str:
    """Name the first `SHOWN` of them, and say how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
