"""What a worker needs, imported by the fork server whose copies workers are.

The server knows by which code it will make runs, from the moment at which it has read it: a copy that begins hours
later, when files have changed, says so, too.
"""

import distributed  # noqa: F401

from w2s_lib.lab import provenance
from w2s_lib.training import train  # noqa: F401

provenance.code()
