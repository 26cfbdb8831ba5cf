"""What danqing raises when the user can do something about it: one line that says what, where, and what to do.

The command line prints the message of a `DanqingError` without a traceback and exits with `exit_code`.
"""

from __future__ import annotations


class DanqingError(Exception):
    """Base of every error that a user can act on."""

    exit_code = 1


class ConfigError(DanqingError):
    """A preset, key or value in the configuration is wrong."""

    exit_code = 2


class GuardError(ConfigError):
    """The guard's policy is wrong."""


class DataError(DanqingError):
    """Pictures, metadata or a corpus cannot be used."""

    exit_code = 3


class StorageError(DanqingError):
    """A file cannot be read or written: no room, no right, or damaged."""

    exit_code = 4


class TrainingError(DanqingError):
    """A training cannot go on: a NaN, or a checkpoint that does not fit."""

    exit_code = 5


class ValidationFailed(DataError):
    """The corpus breaks an expectation."""


class ServingError(DanqingError):
    """A server cannot be started or reached, or refuses a request."""

    exit_code = 6


class ApprovalError(ServingError):
    """The consultant's queue cannot be used, or refuses a request or decision."""


class RegistryError(DanqingError):
    """The model registry cannot be reached or does not hold what is asked for."""

    exit_code = 7


class ClusterError(DanqingError):
    """Kubeflow cannot be reached or refuses."""

    exit_code = 8
