"""Every error this package raises on purpose, sorted by who can act.

``PermanentError``: the same input fails again, a retry cannot help; operators turn it into Airflow's
failure without retry. ``TransientError``: it may pass later; Airflow's own retries apply.
"""

from __future__ import annotations


class MlopsError(Exception):
    """Base of all errors of this package; the message says what, where and what is allowed."""


class PermanentError(MlopsError):
    """The same input fails again: a person has to change something."""


class TransientError(MlopsError):
    """An outside system did not answer as it should; a retry may succeed."""


class InvalidConfigError(PermanentError):
    """A configuration value is not understood: names the key, the value and what is allowed."""


class InvalidRecordError(PermanentError):
    """A stored or handed-over record does not have the shape it must have."""


class InvalidDataError(PermanentError):
    """The data cannot be used: missing, empty, unreadable, or without a needed column."""


class InvalidPlanError(PermanentError):
    """A rollout plan that must not be carried out."""


class GateFailedError(PermanentError):
    """A verdict was not among the accepted outcomes; carries its reasons."""


class CardIncompleteError(PermanentError):
    """A section of the model card that must be filled before production is empty; names it."""


class TrainingError(PermanentError):
    """The author's training function raised or returned something that is no model."""


class EndpointBusyError(PermanentError):
    """Another rollout holds the endpoint; the message names the holder."""


class TrafficConflictError(PermanentError):
    """Observed traffic is not what was last written: somebody intervened, nothing was overwritten."""


class TrafficOrderError(PermanentError):
    """Traffic was to rise although the step before did not end so that it may."""


class LeaseLostError(PermanentError):
    """A lease ran out or went to somebody else; whoever held it must not move traffic any more."""


class EndpointMissingError(PermanentError):
    """The endpoint's object is gone or was never made; nothing was changed."""


class AccessDeniedError(PermanentError):
    """Credentials are missing or do not allow what is needed; names the verb and the object."""


class RegistryConflictError(PermanentError):
    """A registry alias moved since it was read; nothing was overwritten."""


class MissingDependencyError(PermanentError):
    """An optional program or package is needed and absent; the message says how to install it."""


class ServiceUnavailableError(TransientError):
    """An outside service (MLflow, gateway, model server) cannot be reached or is not healthy."""


class WindowChangedError(TransientError):
    """Rows came or went while a window was read; what was counted does not belong together."""
