"""Restore operator: makes an earlier version champion again; traffic first, then alias and ledger."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, ROLLBACK, LedgerEntry
from airflow_mlops.core.errors import (
    EndpointBusyError,
    InvalidConfigError,
    MlopsError,
    ModelReplacedError,
    RegistryConflictError,
)
from airflow_mlops.core.rollout.notice import Event
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.operators.rollout import RolloutOperator
from airflow_mlops.runtime.deployment import deploy, holder_of, ledger_entry
from airflow_mlops.runtime.ends import flush_ends, free_from_ended_run
from airflow_mlops.runtime.evidence import open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import RESTORATION_PATH
from airflow_mlops.runtime.stop import stop_rollout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_mlops.backends.registry.protocol import ModelRegistry, ModelVersion
    from airflow_mlops.backends.serving.protocol import ServingBackend


_ATTEMPTS = 3


class RestoreVersionOperator(RolloutOperator):
    """Makes an earlier version champion again; idempotent.

    Deploys the version, routes all requests to it, then moves the alias and writes the ledger; a retry
    continues where the last try stopped. If the alias was moved meanwhile, traffic is restored as well.

    :param reason: reason, stored in the ledger. Templated.
    :param force: allow a version that never was champion, and stop another rollout that holds the endpoint;
        the ledger then has that stop too. Templated: ``True`` and ``"True"`` force.
    """

    template_fields: Sequence[str] = ("model", "version", "reason", "force")

    def __init__(self, *, reason: str | None, force: bool | str | None = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reason = reason
        self.force = force

    def execute(self, context: Context) -> dict[str, Any]:
        """Roll back and return the ledger entry."""
        registry = MlflowHook(self.mlflow_conn_id).registry()
        with fail_fast():
            known = registry.version(self.model, self.version)
            self._refuse(registry, known)
            version = known.version
            evidence = open_evidence(self.mlflow_conn_id, self.model, context)
            champion = registry.settle(self.model)
            backend, holder = ServingHook(self.serving_conn_id).backend(), holder_of(context)
            self._claim(backend, registry, context)
            try:
                before = _serve(backend, registry, self.model, version, holder)
            except ModelReplacedError:
                backend.release(self.model, holder)
                raise
            self._tell(backend, registry)
            try:
                entry = self._write(registry, known, champion, context, evidence.run)
            except RegistryConflictError:
                _back(backend, registry, self.model, before, holder)
                raise
            backend.clean_up(self.model, holder=holder)
            backend.release(self.model, holder)
        document = entry.to_json()
        evidence.keep(RESTORATION_PATH, document)
        reason = f"{self.reason}; version {version} serves again"
        about: dict[str, Any] = {"champion": version, "step": 0, "weight": 0, "reason": reason}
        self.notify(Event.ROLLED_BACK, context, version=entry.from_version or "none", **about)
        evidence.store.close(evidence.run, succeeded=True)
        self.log.warning("%s: version %s serves again, was %s", self.model, version, before)
        return document

    def _refuse(self, registry: ModelRegistry, version: ModelVersion) -> None:
        """Refuse a rollback without a reason, or to a version that never was champion."""
        if not (self.reason or "").strip():
            msg = f"{self.model}: a rollback needs a reason"
            raise InvalidConfigError(msg)
        entries = registry.ledger(self.model)
        served = {v for e in entries for v in (e.from_version, e.to_version) if v}
        made = [entry for entry in entries if entry.to_version == version.version]
        was = version.version in served and (not made or any(entry.names(version) for entry in made))
        if not was and not self._forced:
            known = ", ".join(sorted(served, key=int)) or "none"
            why = "; it is another model of that number, made later" if made else ""
            it = f"{self.model}: version {version.version}"
            msg = f"{it} never was champion{why}, allowed: {known}, or any by force"
            raise InvalidConfigError(msg)

    @property
    def _forced(self) -> bool:
        return str(self.force) == "True"

    def _claim(self, backend: ServingBackend, registry: ModelRegistry, context: Context) -> None:
        """Claim the endpoint; with force from whoever holds it, also if they come back in between.

        :raises EndpointBusyError: another rollout holds it; says that force stops it.
        """
        holder = holder_of(context)
        free_from_ended_run(backend, registry, self.model, holder)
        for _ in range(_ATTEMPTS):
            try:
                backend.claim(self.model, holder)
            except EndpointBusyError as error:
                if not self._forced:
                    msg = f"{error}; nothing was changed. Force stops that rollout first"
                    raise EndpointBusyError(msg) from error
                self._stop(backend, context)
            else:
                return
        backend.claim(self.model, holder)

    def _stop(self, backend: ServingBackend, context: Context) -> None:
        person = getattr(context["dag_run"], "triggering_user_name", None) or holder_of(context)
        about: dict[str, Any] = {"actor": person, "reason": self.reason or "", "way": "forced rollback"}
        done = stop_rollout(backend, self.model, now=time.time(), **about)
        self.log.warning("forced: %s", done.sentence)

    def _tell(self, backend: ServingBackend, registry: ModelRegistry) -> None:
        """Write ends of other rollouts to the ledger; what it refuses now stays pending."""
        try:
            flush_ends(backend, registry, self.model)
        except MlopsError as error:
            self.log.warning("the ends of other rollouts are not in the ledger yet: %s", error)

    def _write(
        self,
        registry: ModelRegistry,
        version: ModelVersion,
        champion: str | None,
        context: Context,
        evidence_run: str,
    ) -> LedgerEntry:
        last = registry.ledger(self.model)[-1:]
        if champion == version.version and last and last[0].names(version):
            return last[0]
        claim = LedgerEntry(
            model=self.model,
            from_version=champion,
            to_version=version.version,
            reason=str(self.reason),
            kind=ROLLBACK,
            evidence_run=evidence_run,
        )
        return registry.promote(ledger_entry(claim, context))


def _serve(
    backend: ServingBackend, registry: ModelRegistry, model: str, version: str, holder: str
) -> str | None:
    """Route all requests to a version under a claim; return the version that had them.

    :raises ModelReplacedError: another model serves under this number.
    """
    before = backend.traffic(model)
    if before.stable == version:
        deploy(backend, registry, model, version, holder)  # starts nothing: only its identity is compared
    if before.canary not in (None, version):
        backend.roll_back(model, str(before.canary), holder=holder)
    if before.stable != version:
        deploy(backend, registry, model, version, holder)
        backend.promote(model, version, holder=holder)
    return before.stable


def _back(
    backend: ServingBackend, registry: ModelRegistry, model: str, before: str | None, holder: str
) -> None:
    """Route all requests to the registry's current champion, and release the endpoint."""
    champion = registry.alias(model, CHAMPION_ALIAS) or before
    if champion is not None:
        deploy(backend, registry, model, champion, holder)
        backend.promote(model, champion, holder=holder)
    backend.clean_up(model, holder=holder)
    backend.release(model, holder)
