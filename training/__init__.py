"""Training of facade generators, from pairs of photo and label map to a weights file and its scores.

Commands, in the order of use; each is a module that can be run, and tells more with --help:

- `download` fetches the data sets, by way of `fetch`;
- `fit` trains a generator: `options`, `data` (pairs, augmented; without `wedges`), `batch`, `recipes` and
  `losses`, `loop` (a step, the trainer), `replay` and `repaint` (samples made of what there is), `logbook`;
- `open_sky` teaches weights where there is sky among walls, as photos show it: `skies`;
- `refine` has a generator learn from its own pictures, put right: all of `retouching`;
- `evaluate` scores weights: `judge` and `referee` (the networks that score), `scores`, `metrics`, `closeups`,
  `obedience` (colors), `gallery`, `sheet` and `tables`.

They share `command`, `stages`, `distributed`, `checkpoint`, `resumable`, `pretrained`, `vision`, `masks` and
`clear_sky`.
`networks` has all that is a network, or is compiled into weights files beside one; `export` writes these.

Classes "facade" and "background" are walls and surroundings here: what is labelled so may be another house's,
or in front.

Raises:
    ImportError: a package of the `train` extra is not installed.
"""

from importlib.util import find_spec

_missing = [name for name in ("scipy", "torchvision") if find_spec(name) is None]
if _missing:
    # By this package's name `python -m training...` takes it for absent, and says so without a traceback.
    raise ImportError(f"training needs {', '.join(_missing)}: pip install 'facadegen[train]'", name=__name__)
