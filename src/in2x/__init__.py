"""In2x: turn an English-strong language model into a translator that writes natural Japanese (arXiv 2508.14472)."""

import os

__version__ = "0.1.0"

# On CPUs, torch and oneDNN keep code for up to 1,024 shapes of matrix products, about 1 MB each, and packed texts have
# a new shape in every step: gigabytes in the end. Both read this when they first multiply.
for _name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
    os.environ.setdefault(_name, "64")
