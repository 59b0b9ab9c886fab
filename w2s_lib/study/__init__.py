"""What is studied: registries of conditions, methods and mitigations, editions, who is trained on what, what that
takes."""

from w2s_lib.study.study import Study

__all__ = ["Study"]
