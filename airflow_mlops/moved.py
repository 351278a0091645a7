"""Old import paths, valid for one release: what a DAG or a program wrote still resolves, with a warning.

``MODULES`` and ``NEW_NAMES`` are the tables; paths are below ``airflow_mlops``. :class:`MovedModules` serves
modules that no longer exist. A module whose path is a package now, or some of whose names changed, has the
line ``__getattr__ = names_of(__name__)``. Nothing is imported before a name is used.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

_ROOT = "airflow_mlops."

MODULES = {
    "backends.profiling.arrow": "backends.profiling.files.arrow",
    "backends.profiling.cells": "backends.profiling.files.bins",
    "backends.profiling.contents": "backends.profiling.files.partition_files",
    "backends.profiling.csv_end": "backends.profiling.files.csv_source",
    "backends.profiling.dataset": "backends.profiling.files.dataset",
    "backends.profiling.kernels": "backends.profiling.files.kernels",
    "backends.profiling.source": "backends.profiling.files.source",
    "backends.profiling.sql": "backends.profiling.tables.sql",
    "backends.profiling.sql_partition": "backends.profiling.tables.sql_table",
    "backends.profiling.sql_table": "backends.profiling.tables.sql_table",
    "backends.profiling.sql_text": "backends.profiling.tables.sql_text",
    "backends.profiling.storage": "backends.profiling.files.storage",
    "backends.profiling.tally": "backends.profiling.files.tally",
    "backends.registry.succession": "backends.registry.ledger_order",
    "backends.registry.watching": "backends.registry.registry_watch",
    "backends.reporting.card_html": "backends.reporting.page",
    "backends.reporting.forest": "backends.reporting.chart",
    "backends.reporting.plots": "backends.reporting.skew",
    "backends.reporting.rollout_html": "backends.reporting.rollout",
    "backends.reporting.rollout_plots": "backends.reporting.rollout",
    "backends.reporting.skew_html": "backends.reporting.skew",
    "backends.reporting.skew_text": "backends.reporting.skew",
    "backends.reporting.update_html": "backends.reporting.update",
    "backends.serving.edge_rows": "backends.serving.readiness.probe_requests",
    "backends.serving.endpoint_state": "backends.serving.local.state",
    "backends.serving.gateway": "backends.serving.local.gateway",
    "backends.serving.http_route": "backends.serving.kubernetes.http_route",
    "backends.serving.inference_writer": "backends.serving.local.inference_writer",
    "backends.serving.keeper": "backends.serving.local.socket_holder",
    "backends.serving.kept_listener": "backends.serving.local.socket_holder",
    "backends.serving.kserve": "backends.serving.kubernetes.kserve",
    "backends.serving.kserve_knative": "backends.serving.kubernetes.kserve_modes",
    "backends.serving.kserve_standard": "backends.serving.kubernetes.kserve_modes",
    "backends.serving.kserve_status": "backends.serving.kubernetes.kserve_modes",
    "backends.serving.kubernetes_book": "backends.serving.kubernetes.state",
    "backends.serving.kubernetes_objects": "backends.serving.kubernetes.objects",
    "backends.serving.labelled_metrics": "backends.metrics.version_labels",
    "backends.serving.leases": "backends.serving.reaper",
    "backends.serving.local": "backends.serving.local.backend",
    "backends.serving.local_endpoint": "backends.serving.local.endpoint",
    "backends.serving.local_metrics": "backends.serving.local.metrics",
    "backends.serving.model_process": "backends.serving.local.model_process",
    "backends.serving.model_server": "backends.serving.local.model_server",
    "backends.serving.model_store": "backends.serving.remote.model_store",
    "backends.serving.patience": "backends.serving.remote.retry",
    "backends.serving.process": "backends.serving.local.process",
    "backends.serving.readiness": "backends.serving.readiness.probe",
    "backends.serving.remote": "backends.serving.remote.backend",
    "backends.serving.remote_leases": "backends.serving.remote.backend",
    "backends.serving.remote_state": "backends.serving.remote.state",
    "backends.serving.requirements": "backends.serving.readiness.requirements",
    "backends.serving.siblings": "backends.serving.local.model_server",
    "backends.serving.site": "backends.serving.remote.platform",
    "backends.serving.slots": "backends.serving.local.endpoint",
    "backends.serving.stopwatch": "backends.serving.readiness.load_test",
    "backends.serving.vertex": "backends.serving.vertex.platform",
    "backends.serving.vertex_book": "backends.serving.vertex.state",
    "backends.serving.vertex_client": "backends.serving.vertex.client",
    "backends.serving.vertex_state": "backends.serving.vertex.labels",
    "backends.serving.watch": "observe",
    "core.brief": "core.verdict",
    "core.data.answers": "core.data.expectations.evaluate",
    "core.data.answers_aggregates": "core.data.expectations.aggregates",
    "core.data.answers_sets": "core.data.expectations.sets",
    "core.data.answers_table": "core.data.expectations.table",
    "core.data.answers_types": "core.data.expectations.types",
    "core.data.answers_values": "core.data.expectations.values",
    "core.data.arrival": "core.data.partitions",
    "core.data.calibration": "core.data.skew.calibration",
    "core.data.catalogue": "core.data.expectations.signatures",
    "core.data.column": "core.data.profile.column",
    "core.data.distance": "core.data.skew.distance",
    "core.data.distance_bounds": "core.data.skew.bounds",
    "core.data.inference": "core.data.schema.infer",
    "core.data.profile": "core.data.profile.profile",
    "core.data.proposals": "core.data.schema.infer",
    "core.data.quantiles": "core.data.profile.column",
    "core.data.question": "core.data.expectations.query",
    "core.data.schema": "core.data.schema.schema",
    "core.data.schema_diff": "core.data.schema.diff",
    "core.data.schema_text": "core.data.schema.text",
    "core.data.sketch": "core.data.profile.sketch",
    "core.data.skew": "core.data.skew.compare",
    "core.data.skew_cells": "core.data.skew.bins",
    "core.data.skew_distributions": "core.data.skew.report",
    "core.data.skew_findings": "core.data.skew.report",
    "core.data.skew_measure": "core.data.skew.compare",
    "core.data.skew_policy": "core.data.skew.policy",
    "core.data.skew_report": "core.data.skew.report",
    "core.data.strictness": "core.data.schema.diff",
    "core.data.values_known": "core.data.expectations.known_values",
    "core.outcome": "core.verdict",
    "core.rollout.betting": "core.rollout.evidence.betting",
    "core.rollout.evidence": "core.rollout.evidence.share",
    "core.rollout.interval": "core.rollout.evidence.interval",
    "core.rollout.judging": "core.rollout.decide",
    "core.rollout.latency": "core.rollout.evidence.latency",
    "core.rollout.ledger": "core.rollout.counters",
    "core.rollout.prediction": "core.rollout.evidence.prediction",
    "core.rollout.rate": "core.rollout.evidence.rate",
    "core.spelling": "core.did_you_mean",
    "core.validation.against": "core.validation.comparison",
    "core.validation.approval": "core.release.approval",
    "core.validation.card": "core.release.card",
    "core.validation.card_sections": "core.release.card",
    "core.validation.compare": "core.validation.comparison",
    "core.validation.extraction": "core.validation.security.extraction",
    "core.validation.metric": "core.validation.metrics.base",
    "core.validation.metrics": "core.validation.metrics.registry",
    "core.validation.metrics_classes": "core.validation.metrics.classification",
    "core.validation.metrics_mean": "core.validation.metrics.means",
    "core.validation.metrics_query": "core.validation.metrics.retrieval",
    "core.validation.metrics_rank": "core.validation.metrics.ranking",
    "core.validation.names": "core.validation.metrics.registry",
    "core.validation.poisoning": "core.validation.security.poisoning",
    "core.validation.readiness": "core.release.readiness",
    "core.validation.readiness_verdict": "core.release.readiness",
    "core.validation.security": "core.validation.security.security",
    "core.validation.standing": "core.release.version_status",
    "core.validation.study": "core.validation.evaluation",
    "core.validation.threshold": "core.validation.policy",
    "core.validation.update": "core.release.version_status",
    "operators.deployment": "runtime.deployment",
    "operators.references": "runtime.references",
    "task.analysis": "runtime.analysis",
    "task.evidence": "runtime.evidence",
    "task.failure": "runtime.failure",
    "task.lineage": "runtime.lineage",
    "task.notices": "runtime.notices",
    "task.profiles": "runtime.profiles",
    "task.question": "runtime.question",
    "task.rollout_report": "runtime.rollout_report",
    "task.update_report": "runtime.update_report",
}
"""Former module to its present place; where several became one, to that one."""

NEW_NAMES = {
    "backends.metrics.version_labels.LabelledMetrics": "VersionLabelMetrics",
    "backends.profiling.files.bins.cells_of": "empty_column",
    "backends.profiling.files.bins.plain": "decode_dictionary",
    "backends.profiling.files.partition_files.look": "list_contents",
    "backends.profiling.files.source.CsvSource": "backends.profiling.files.csv_source.CsvSource",
    "backends.profiling.files.source.ParquetSource": "backends.profiling.files.parquet_source.ParquetSource",
    "backends.profiling.tables.sql_text.values_of": "value_expression",
    "backends.registry.protocol.CHAMPION": "CHAMPION_ALIAS",
    "backends.registry.registry_watch.Snapshot": "RegistrySnapshot",
    "backends.registry.registry_watch.look": "read_snapshot",
    "backends.serving.kubernetes.http_route.RouteSite": "HttpRoutePlatform",
    "backends.serving.kubernetes.kserve.KserveSite": "KservePlatform",
    "backends.serving.kubernetes.state.EndpointBook": "KubernetesStateStore",
    "backends.serving.local.model_server.serve_siblings": "serve_preforked",
    "backends.serving.local.socket_holder.KeptListener": "HeldListener",
    "backends.serving.readiness.load_test.Stopwatch": "LoadTest",
    "backends.serving.readiness.probe.try_version": "probe_version",
    "backends.serving.readiness.probe_requests.requests_of": "probe_requests",
    "backends.serving.remote.platform.Book": "StateStore",
    "backends.serving.remote.platform.Site": "RemotePlatform",
    "backends.serving.remote.retry.MovedError": "ConflictError",
    "backends.serving.remote.retry.Patience": "RetryPolicy",
    "backends.serving.remote.state.Phase": "RemotePhase",
    "backends.serving.vertex.platform.VertexSite": "VertexPlatform",
    "backends.serving.vertex.state.VertexBook": "VertexStateStore",
    "core.data.expectations.evaluate.answer": "evaluate_rule",
    "core.data.expectations.evaluate.finding": "rule_finding",
    "core.data.expectations.query.Answer": "ProfileAnswer",
    "core.data.expectations.query.Question": "ProfileQuery",
    "core.data.partitions.Arrival": "PartitionWait",
    "core.data.partitions.decide": "complete_partitions",
    "core.data.profile.sketch.HITTERS_KEPT": "HEAVY_HITTERS_KEPT",
    "core.data.profile.sketch.join_hitters": "join_heavy_hitters",
    "core.data.schema.diff.Effect": "ChangeEffect",
    "core.data.schema.schema.Rule": "core.data.expectations.rule.Rule",
    "core.data.schema.schema.require_environment": "core.data.expectations.rule.require_environment",
    "core.data.schema.schema_from_yaml": "backends.rules.schema_file.parse_schema",
    "core.data.skew.bins.SideBySide": "AlignedCounts",
    "core.data.skew.bins.side_by_side": "align_columns",
    "core.data.skew.calibration.Calibration": "core.data.skew.policy.SkewCalibration",
    "core.data.skew.compare.Measured": "MeasuredEffects",
    "core.data.skew.compare.Window": "SampleCounts",
    "core.data.skew.distance.Cells": "Bins",
    "core.data.skew.report.Effect": "EffectSize",
    "core.data.skew.report.conclude": "skew_verdict",
    "core.data.skew.report.sentence": "effect_sentence",
    "core.data.skew.report.told_apart": "multivariate_finding",
    "core.did_you_mean.meant": "did_you_mean",
    "core.release.approval.Answered": "ApprovalAnswer",
    "core.release.approval.Decision": "ApprovalDecision",
    "core.release.card.Card": "ModelCard",
    "core.release.readiness.Answer": "ProbeAnswer",
    "core.release.readiness.Kind": "ProbeKind",
    "core.release.readiness.Readiness": "ReadinessMeasurements",
    "core.release.version_status.Column": "ColumnNulls",
    "core.release.version_status.Data": "UpdateData",
    "core.release.version_status.Rollout": "UpdateRollout",
    "core.release.version_status.Skew": "UpdateSkew",
    "core.release.version_status.decided": "decision_sentence",
    "core.retraining.policy.decide": "decide_retraining",
    "core.rollout.counters.Arrival": "ReadingStatus",
    "core.rollout.counters.Fresh": "CounterDelta",
    "core.rollout.counters.NOTHING": "ZERO_COUNTS",
    "core.rollout.counters.fresh_since": "delta_since",
    "core.rollout.decide.judge": "judge_step",
    "core.rollout.evidence.share.Decision": "StepDecision",
    "core.rollout.evidence.share.Window": "ArmCounts",
    "core.rollout.machine.roll_back": "abort",
    "core.rollout.plan.Metric": "RolloutMetric",
    "core.rollout.state.Answer": "RolloutAnswer",
    "core.validation.author.Check": "OwnCheck",
    "core.validation.comparison.Contest": "core.validation.paired.PairedComparison",
    "core.validation.comparison.PairedComparison": "core.validation.paired.PairedComparison",
    "core.validation.comparison.answered": "core.validation.paired.concluded",
    "core.validation.comparison.concluded": "core.validation.paired.concluded",
    "core.validation.comparison.contests": "core.validation.paired.paired_comparisons",
    "core.validation.comparison.paired_comparisons": "core.validation.paired.paired_comparisons",
    "core.validation.comparison.judge": "judge_candidate",
    "core.validation.evaluation.Part": "Segment",
    "core.validation.evaluation.Study": "Evaluation",
    "core.validation.metrics.registry.plain": "base_name",
    "core.validation.metrics.registry.summary": "default_metrics",
    "core.validation.report.Answer": "ComparisonAnswer",
    "core.verdict.Brief": "VerdictSummary",
    "core.verdict.brief": "summary",
    "dag_factories.Approval": "dag_factories.release.ApprovalConfig",
    "dag_factories.Card": "dag_factories.release.CardConfig",
    "dag_factories.Data": "dag_factories.config.DataConfig",
    "dag_factories.Load": "dag_factories.release.LoadConfig",
    "dag_factories.Monitor": "dag_factories.config.MonitorConfig",
    "dag_factories.Readiness": "dag_factories.release.ReadinessConfig",
    "dag_factories.Reference": "dag_factories.config.ReferenceConfig",
    "dag_factories.Retrain": "dag_factories.config.RetrainConfig",
    "dag_factories.Rollout": "dag_factories.rollout_config.RolloutConfig",
    "dag_factories.Skew": "dag_factories.config.SkewConfig",
    "dag_factories.Train": "dag_factories.config.TrainConfig",
    "dag_factories.Validate": "dag_factories.validate.ValidateConfig",
    "dag_factories.config.Approval": "dag_factories.release.ApprovalConfig",
    "dag_factories.config.Card": "dag_factories.release.CardConfig",
    "dag_factories.config.Data": "DataConfig",
    "dag_factories.config.Monitor": "MonitorConfig",
    "dag_factories.config.Readiness": "dag_factories.release.ReadinessConfig",
    "dag_factories.config.Reference": "ReferenceConfig",
    "dag_factories.config.Retrain": "RetrainConfig",
    "dag_factories.config.Rollout": "dag_factories.rollout_config.RolloutConfig",
    "dag_factories.config.Skew": "SkewConfig",
    "dag_factories.config.Train": "TrainConfig",
    "dag_factories.config.Validate": "dag_factories.validate.ValidateConfig",
    "dag_factories.release.Approval": "ApprovalConfig",
    "dag_factories.release.Card": "CardConfig",
    "dag_factories.release.Load": "LoadConfig",
    "dag_factories.release.Readiness": "ReadinessConfig",
    "dag_factories.rollout.FORM": "ROLLOUT_FORM",
    "dag_factories.rollout.VERSION": "ROLLOUT_VERSION",
    "dag_factories.rollout_config.Rollout": "RolloutConfig",
    "dag_factories.rollout_config.Step": "StepConfig",
    "dag_factories.validate.Calibration": "CalibrationConfig",
    "dag_factories.validate.Check": "CheckConfig",
    "dag_factories.validate.Fairness": "FairnessConfig",
    "dag_factories.validate.Metric": "MetricConfig",
    "dag_factories.validate.Poisoning": "PoisoningConfig",
    "dag_factories.validate.Slices": "SlicesConfig",
    "dag_factories.validate.Validate": "ValidateConfig",
    "observe.look": "analyse_window",
    "runtime.deployment.promote": "promote_version",
    "runtime.deployment.roll_back": "return_traffic",
    "runtime.lineage.Measured": "MeasuredWindow",
    "runtime.notices.tell": "send_notice",
    "runtime.notices.tell_held": "send_held_notice",
}
_MODEL = "Approval Card Data Monitor Readiness Reference Retrain Rollout Skew Train Validate"
_CONFIGS = {
    "dag_factories": f"{_MODEL} Load",
    "dag_factories.config": _MODEL,
    "dag_factories.release": "Approval Card Load Readiness",
    "dag_factories.rollout_config": "Rollout Step",
    "dag_factories.validate": "Calibration Check Fairness Metric Poisoning Slices Validate",
}
NEW_NAMES |= {f"{path}.{name}": f"{name}Config" for path, names in _CONFIGS.items() for name in names.split()}
"""Name by its module's present path to its present name, with a path where it left that module; one line
serves all former paths of the module."""


def names_of(module: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__``, which resolves names by the tables and warns once per name."""

    def find(name: str) -> Any:
        place = _place_of(f"{module.removeprefix(_ROOT)}.{name}")
        if place is None or (name.startswith("__") and name != "__all__") or _is_submodule(module, name):
            msg = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(msg)
        owner = importlib.import_module(_ROOT + place.rpartition(".")[0])
        if name == "__all__":
            return _public(owner)
        try:
            value = getattr(owner, place.rpartition(".")[2])
        except AttributeError as error:
            msg = f"module {module!r} has no attribute {name!r}, nor has {owner.__name__!r}"
            raise AttributeError(msg) from error
        msg = f"{module}.{name} is {_ROOT}{place} now; the old path goes with the next release"
        warnings.warn(msg, DeprecationWarning, stacklevel=2)
        setattr(sys.modules[module], name, value)
        return value

    return find


class MovedModules:
    """Meta-path finder of former module paths; it comes last, so existing modules never reach it."""

    @classmethod
    def install(cls) -> None:
        """Add the finder to this process, once."""
        if not any(isinstance(one, cls) for one in sys.meta_path):
            sys.meta_path.append(cls())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a moved module, or of a package all of whose modules moved."""
        if not fullname.startswith(_ROOT):
            return None
        short = fullname.removeprefix(_ROOT)
        is_folder = any(old.startswith(f"{short}.") for old in MODULES)
        if short not in MODULES and not is_folder:
            return None
        loader: Any = self  # duck-typed: importing its base class would cost time
        return ModuleSpec(fullname, loader, is_package=is_folder)

    def create_module(self, spec: ModuleSpec) -> None:
        """Let the import system make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Give the module a ``__getattr__`` and nothing else."""
        module.__getattr__ = names_of(module.__name__)  # type: ignore[method-assign]


def _is_submodule(module: str, name: str) -> bool:
    """Return whether a name is a submodule, which the import system loads itself."""
    folders = vars(sys.modules[module]).get("__path__")
    return bool(folders) and PathFinder.find_spec(f"{module}.{name}", folders) is not None


def _place_of(path: str) -> str | None:
    """Return the present path of ``module.name``; ``None`` if the tables do not have it."""
    seen = path
    while True:
        module, _, name = seen.rpartition(".")
        if renamed := NEW_NAMES.get(seen):
            seen = renamed if "." in renamed else f"{module}.{renamed}"
        elif module in MODULES:
            seen = f"{MODULES[module]}.{name}"
        else:
            return seen if seen != path else None


def _public(owner: ModuleType) -> list[str]:
    """Return the names that ``import *`` takes from a module."""
    return [name for name in vars(owner) if not name.startswith("_")]
