"""The engine: decode, encode, fuse and commit, as threads in this process or as Ray actors, with the same rows."""

import os

# Idle threads of torch's pools must sleep, not spin: several stages share the cores. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
