"""Difference of two schemas, rule by rule: what each change loosens or tightens, and how to apply it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.expectations.evaluate import evaluate_rule
from airflow_mlops.core.data.expectations.query import shortened
from airflow_mlops.core.data.expectations.rule import ENVIRONMENTS, Rule
from airflow_mlops.core.data.schema.column_rules import ESTIMATED
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.schema.options import InferenceOptions
    from airflow_mlops.core.data.schema.schema import Schema


class ChangeEffect(StrEnum):
    """Whether a change makes a schema allow more or less."""

    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    BOTH = "loosens and tightens"
    UNCLEAR = "unclear"


class ChangeKind(StrEnum):
    """What happened to a rule."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Record):
    """One rule that differs.

    :param id: ``type:column``, the same from one comparison to the next.
    :param before: the rule as it is, ``None`` if added.
    :param after: the rule as it would be, ``None`` if removed.
    :param effect: what accepting the change does to the schema.
    :param needed: the compared data does not meet the rule as it is.
    """

    id: str
    kind: ChangeKind
    effect: ChangeEffect
    sentence: str
    before: Rule | None = None
    after: Rule | None = None
    needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaDiff(Record):
    """What differs between two schemas; ids are unique.

    :param notes: how the data was read, if the new schema is that of data.
    """

    old: str
    new: str
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()

    def pick(self, ids: Iterable[str]) -> tuple[Change, ...]:
        """Return the changes with these ids.

        :raises InvalidConfigError: an id that no change has; names those there are.
        """
        known = {change.id: change for change in self.changes}
        wanted = tuple(dict.fromkeys(ids))
        for name in wanted:
            if name not in known:
                msg = f"no change {name!r}; changes: {', '.join(known) or 'none'}{did_you_mean(name, known)}"
                raise InvalidConfigError(msg)
        return tuple(known[name] for name in wanted)


def diff(old: Schema, new: Schema) -> SchemaDiff:
    """Compare rule by rule; notes, descriptions and reasons are ignored."""
    mine, theirs = dict(old.identified()), dict(new.identified())
    changes = [_compare(name, mine.get(name), theirs.get(name)) for name in {**mine, **theirs}]
    found = tuple(change for change in changes if change is not None)
    return SchemaDiff(old=old.name, new=new.name, changes=found)


def diff_from_data(
    schema: Schema,
    profile: Profile,
    options: InferenceOptions | None = None,
    *,
    proposed: Schema | None = None,
) -> SchemaDiff:
    """Compare a schema with the one that would be inferred from data.

    A rule is proposed for removal if its column is gone, or if inference once proposed it, does not any more,
    and the data does not meet it. What inference only estimates changes no rule. Columns that only training
    data has (by the schema's environments) are taken for labels.

    :param proposed: the schema inferred from the data, if it is known; else inferred from the profile.
    """
    labels = [name for name in label_columns(schema) if name in profile.names]
    inferred = proposed or infer_schema(profile, schema.name, labels=labels, options=options)
    changes = [
        replace(change, needed=_is_needed(change, profile)) for change in diff(schema, inferred).changes
    ]
    kept = [change for change in changes if _is_founded(change, profile)]
    return SchemaDiff(old=schema.name, new=", ".join(profile.partitions) or "data", changes=tuple(kept))


def apply_changes(schema: Schema, changes: Sequence[Change]) -> list[tuple[str, Rule]]:
    """Return the schema's rules after these changes, each with the name it had; every other rule is kept.

    A changed rule keeps its id, notes and description; its reason becomes the new one. A new rule comes
    after the last one of its column.

    :raises InvalidConfigError: a change that does not fit the schema as it is now.
    """
    rules = dict(schema.identified())
    added = []
    for change in changes:
        there = rules.get(change.id)
        if _essence(there) != _essence(change.before):
            msg = f"{change.id}: the rule is no longer what it was when it was compared; compare again"
            raise InvalidConfigError(msg)
        if there is None:
            added.append(change)
        elif change.after is None:
            del rules[change.id]
        else:
            rules[change.id] = _changed(there, change.after)
    if not rules and not added:
        msg = f"{schema.name}: these changes leave no rule, allowed: one or more"
        raise InvalidConfigError(msg)
    return _placed(list(rules.items()), added)


def _compare(name: str, before: Rule | None, after: Rule | None) -> Change | None:
    if before is None and after is not None:
        why = f" ({after.meta['why']})" if "why" in after.meta else ""
        sentence = f"{name}: added: {_limits(after.kwargs)}{why}"
        return Change(
            id=name, kind=ChangeKind.ADDED, effect=ChangeEffect.TIGHTENS, sentence=sentence, after=after
        )
    if before is not None and after is None:
        sentence = f"{name}: removed: {_limits(before.kwargs)}"
        return Change(
            id=name, kind=ChangeKind.REMOVED, effect=ChangeEffect.LOOSENS, sentence=sentence, before=before
        )
    if before is None or after is None or _essence(before) == _essence(after):
        return None
    return _changed_rule(name, before, after)


def _changed_rule(name: str, before: Rule, after: Rule) -> Change:
    old, new = _essence(before) or {}, _essence(after) or {}
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    told = "; ".join(_from_to(key, old.get(key), new.get(key)) for key in keys)
    effect = _together([_effect_of(before.type, key, old.get(key), new.get(key)) for key in keys])
    return Change(
        id=name,
        kind=ChangeKind.CHANGED,
        effect=effect,
        sentence=f"{name}: {told} ({effect})",
        before=before,
        after=after,
    )


def _essence(rule: Rule | None) -> dict[str, Any] | None:
    """Return what a rule demands: arguments, severity and environments; sets sorted."""
    if rule is None:
        return None
    kwargs = {key: _sorted(key, value) for key, value in rule.kwargs.items() if value is not None}
    where = sorted(rule.environments, key=ENVIRONMENTS.index)
    return {**kwargs, "severity": str(rule.severity), "environments": where}


def _sorted(key: str, value: Any) -> Any:
    unordered = key.endswith("_set") or key == "type_list"
    return sorted(value, key=repr) if unordered and isinstance(value, list) else value


def _from_to(key: str, old: Any, new: Any) -> str:
    if isinstance(old, list) and isinstance(new, list):
        more, less = [v for v in new if v not in old], [v for v in old if v not in new]
        parts = [f"+ {shortened(more)}"] if more else []
        parts += [f"- {shortened(less)}"] if less else []
        return f"{key} {' '.join(parts) or 'in another order'}"
    return f"{key} {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    return "none" if value is None else (f"[{shortened(value)}]" if isinstance(value, list) else str(value))


def _limits(kwargs: dict[str, Any]) -> str:
    told = [f"{key} {_shown(value)}" for key, value in kwargs.items() if key != "column"]
    return ", ".join(told) or "no limits"


def label_columns(schema: Schema) -> list[str]:
    """Return the columns whose rules all apply in training only."""
    places: dict[str, set[str]] = {}
    for rule in schema.expectations:
        places.setdefault(rule.subject, set()).update(rule.environments)
    return [column for column, where in places.items() if where == {"training"} and column != "table"]


def _is_founded(change: Change, profile: Profile) -> bool:
    """Whether the data speaks for a change, rather than only not for the rule as it is."""
    if change.kind is ChangeKind.REMOVED:
        return _is_obsolete(change, profile)
    return change.kind is ChangeKind.ADDED or not (change.after and change.after.meta.get(ESTIMATED))


def _is_obsolete(change: Change, profile: Profile) -> bool:
    """Whether the column of a rule is gone, or a rule that was once proposed is neither proposed nor met."""
    rule = change.before
    if rule is None or rule.subject == "table":
        return False
    columns = rule.subject.split(",") if rule.subject not in profile.names else [rule.subject]
    return ("why" in rule.meta and change.needed) or any(column not in profile.names for column in columns)


def _is_needed(change: Change, profile: Profile) -> bool:
    """Whether the data does not meet the rule as it is; it is taken for training data."""
    if change.before is None or not change.before.applies_to("training"):
        return False
    found = evaluate_rule(change.before, profile)
    return found is not None and found.outcome is not Outcome.PASS


def _changed(old: Rule, new: Rule) -> Rule:
    meta = {key: value for key, value in old.meta.items() if key not in ("environments", ESTIMATED)}
    return replace(new, meta=meta | new.meta, notes=old.notes, description=old.description, id=old.id)


def _placed(rules: list[tuple[str, Rule]], added: Sequence[Change]) -> list[tuple[str, Rule]]:
    for change in added:
        if change.after is not None:
            same = [i for i, (_, rule) in enumerate(rules) if rule.subject == change.after.subject]
            rules.insert(same[-1] + 1 if same else len(rules), (change.id, change.after))
    return rules


def _effect_of(expectation: str, key: str, old: Any, new: Any) -> ChangeEffect:
    """Return what a changed argument does.

    :param old: ``None`` where the argument was absent, ``new`` likewise.
    """
    judge = _EFFECTS.get(key)
    if judge is None:
        return ChangeEffect.UNCLEAR
    try:
        effect = judge(old, new)
    except TypeError:
        return ChangeEffect.UNCLEAR
    return _turned(effect) if key == "value_set" and _demands_set(expectation) else effect


def _together(effects: Iterable[ChangeEffect]) -> ChangeEffect:
    """Return what several changes of one rule do together."""
    found = set(effects)
    if ChangeEffect.UNCLEAR in found or not found:
        return ChangeEffect.UNCLEAR
    return found.pop() if len(found) == 1 else ChangeEffect.BOTH


def _demands_set(expectation: str) -> bool:
    """Whether more values in the set allow less."""
    return "not_be_in_set" in expectation or "contain_set" in expectation


def _turned(effect: ChangeEffect) -> ChangeEffect:
    return {ChangeEffect.LOOSENS: ChangeEffect.TIGHTENS, ChangeEffect.TIGHTENS: ChangeEffect.LOOSENS}.get(
        effect, effect
    )


def _loosens(yes: bool) -> ChangeEffect:  # noqa: FBT001 - private
    return ChangeEffect.LOOSENS if yes else ChangeEffect.TIGHTENS


def _lower_limit(old: Any, new: Any) -> ChangeEffect:
    return _loosens(new is None or (old is not None and new < old))


def _upper_limit(old: Any, new: Any) -> ChangeEffect:
    return _loosens(new is None or (old is not None and new > old))


def _share(old: Any, new: Any) -> ChangeEffect:
    return _loosens((1.0 if new is None else new) < (1.0 if old is None else old))


def _flag(old: Any, new: Any) -> ChangeEffect:
    return _loosens(bool(old) and not new)


def _allowed(old: Any, new: Any) -> ChangeEffect:
    if not isinstance(old, list) or not isinstance(new, list):
        return ChangeEffect.UNCLEAR
    more, less = any(v not in old for v in new), any(v not in new for v in old)
    return ChangeEffect.BOTH if more and less else _loosens(more)


def _columns(_old: Any, _new: Any) -> ChangeEffect:
    """Return that a further column in the set is both allowed and asked for."""
    return ChangeEffect.BOTH


def _severity(old: Any, new: Any) -> ChangeEffect:
    ranks = [str(severity) for severity in Severity]
    return _loosens(ranks.index(str(new)) < ranks.index(str(old)))


def _environments(old: Any, new: Any) -> ChangeEffect:
    gone, come = ([e for e in ENVIRONMENTS if e in a and e not in b] for a, b in ((old, new), (new, old)))
    return ChangeEffect.BOTH if gone and come else _loosens(bool(gone))


_EFFECTS: dict[str, Callable[[Any, Any], ChangeEffect]] = {
    "min_value": _lower_limit,
    "max_value": _upper_limit,
    "mostly": _share,
    "strict_min": _flag,
    "strict_max": _flag,
    "strictly": _flag,
    "exact_match": _flag,
    "value_set": _allowed,
    "type_list": _allowed,
    "column_set": _columns,
    "severity": _severity,
    "environments": _environments,
}
