"""What can go wrong with a run on disk."""

from __future__ import annotations


class StoreError(RuntimeError):
    """A run cannot be opened, read or written; the message says which and why."""


class RunBusyError(StoreError):
    """Another process is working on the run; the message says which."""


class SettingsMismatchError(StoreError):
    """A run of that name exists and was made with other settings; results are never mixed."""
