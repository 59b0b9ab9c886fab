"""Tests; what is set here is set before the first module of the library is imported."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's client is imported: no test waits for a hub
