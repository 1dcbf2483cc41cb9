"""reldrop-bench: do explanation-guided regularizers make models better, and how sure are we?

The public API is in `__init__.pyi`; every name is imported on first use, so that ``import
reldrop_bench`` is quick.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
