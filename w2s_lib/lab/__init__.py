"""Results by spec: kept by content, and computed where they are missing."""

from w2s_lib.lab.lab import Lab

__all__ = ["Lab"]
