"""Training of facade generators: data, networks, losses, recipes, the loop, export and evaluation.

Raises:
    ImportError: a package of the `train` extra is not installed.
"""

from importlib.util import find_spec

_missing = [name for name in ("scipy", "torchvision") if find_spec(name) is None]
if _missing:
    # By this package's name `python -m training...` takes it for absent, and says so without a traceback.
    raise ImportError(f"training needs {', '.join(_missing)}: pip install 'facadegen[train]'", name=__name__)
