"""Configuration: YAML and ``a.b=c`` settings -> one frozen, checked value. Knows no classes of the pipeline.

`load` reads one and `explained` writes it with what every key means; `Config` is the whole, and a module here has the
sections of each subject: `media`, `models`, `events`, `alerts`, `sinks`, `output`, `training` and `engine`.
"""

from __future__ import annotations

from streammm.config.config import Config
from streammm.config.reading import load
from streammm.config.writing import explained

__all__ = ["Config", "explained", "load"]
