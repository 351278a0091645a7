"""Every error this package raises on purpose, sorted by who can act.

``PermanentError``: the same input fails again, a retry cannot help; operators turn it into Airflow's
failure without retry. ``TransientError``: it may pass later; Airflow's own retries apply.
"""

from __future__ import annotations


class MlopsError(Exception):
    """Base of all errors of this package; the message says what, where and what is allowed."""


class PermanentError(MlopsError):
    """The same input fails again: a person must change something."""


class TransientError(MlopsError):
    """An outside system failed or answered unexpectedly; a retry may succeed."""


class InvalidConfigError(PermanentError):
    """A configuration value is not understood: names the key, the value and what is allowed."""


class InvalidRecordError(PermanentError):
    """A stored or handed-over record does not have the shape it must have."""


class InvalidDataError(PermanentError):
    """The data cannot be used: missing, empty, unreadable, or without a needed column."""


class NoRowsError(InvalidDataError):
    """A window without a single row, or without a file that could hold one: missing data."""


class InvalidPlanError(PermanentError):
    """A rollout plan that is not valid and is not carried out."""


class GateFailedError(PermanentError):
    """A verdict was not among the accepted outcomes; carries its reasons."""


class NotClearedError(PermanentError):
    """A version was not validated or approved, or a person rejected it; carries every reason."""


class CardIncompleteError(PermanentError):
    """A required section of the model card is empty; names it."""


class TrainingError(PermanentError):
    """The author's training function raised, or returned something that is not a model."""


class EndpointBusyError(PermanentError):
    """Another rollout holds the endpoint; the message names the holder."""


class TrafficConflictError(PermanentError):
    """Observed weights are not those last written: changed by hand; nothing was overwritten."""


class TrafficOrderError(PermanentError):
    """A weight was to be raised although the previous step did not allow it."""


class LeaseLostError(PermanentError):
    """A lease expired or went to another holder; the former holder must not move traffic any more."""


class EndpointMissingError(PermanentError):
    """The endpoint does not exist (deleted, or never created); nothing was changed."""


class ModelReplacedError(PermanentError):
    """A version number names another model than the one that serves, or is stored, under it."""


class AccessDeniedError(PermanentError):
    """Credentials are missing or do not allow what is needed; names the verb and the object."""


class RegistryRefusedError(PermanentError):
    """The registry or evidence store refuses a request, e.g. for what was deleted there; it says why."""


class RegistryConflictError(PermanentError):
    """A registry alias moved since it was read; nothing was overwritten."""


class MissingDependencyError(PermanentError):
    """An optional program or package is needed and absent; the message says how to install it."""


class ServiceUnavailableError(TransientError):
    """An outside service (MLflow, gateway, model server) cannot be reached or is not healthy."""


class KindNotServedError(TransientError):
    """The API server does not serve a kind of object; whether an object exists is not known then."""


class StateFileError(ServiceUnavailableError, OSError):
    """A state file cannot be read or written: disk full, read-only; names the file and the reason."""


class WindowChangedError(TransientError):
    """Rows were added or removed while a window was read: its counts are inconsistent."""
