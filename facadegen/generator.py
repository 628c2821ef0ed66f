"""The generator: label maps and class colors in, facade photos out, on any device and at any size."""

import io
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from facadegen import torchscript
from facadegen.device import (
    PRECISIONS,
    choose_device,
    choose_precision,
    keep_to_one_thread,
    single_thread_pool,
    whole_machine_pool,
)
from facadegen.errors import LabelMapError, UsageError, WeightsError
from facadegen.tiles import Tile, pad_to_stride, plan_tiles
from facadegen.weights import Card, read_card, shipped_weights

if TYPE_CHECKING:
    from PIL.Image import Image

    from facadegen.palettes import Color

# What goes through the network in one piece; more is cut into tiles, 4096 x 4096 into four. The peak is then
# 1.2 GB in fp32 with the shipped network.
WHOLE_PICTURE_PX = 2400 * 2400
ONE_THREAD_PX = 512 * 512  # on a CPU, up to this size, pictures are made side by side, one thread each
GPU_LOT = 8  # pictures a GPU works on at a time
CPU_LOT = 2  # small pictures a CPU's core works on at a time, ...
CPU_LOT_PX = 256 * 256  # ... of up to this size
MIN_PHOTO_PX = 32  # of each side; the network halves a photo five times to find its colors
TOLERATED_LEVELS = 2.0  # of 255: the mean difference from fp32 that a faster precision may make

_TEST_MAP_PX = 128
_PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
# Of what PNG has not; RGB for all others.
_MODE_FOR = {"I": "L", "F": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}


class Generator:
    """A generator ready to run, made by `load`; may be called from many threads.

    card: what the weights file says of itself. device: where it runs. precision: "fp32", "bf16" or "fp16".
    color_sets: float32 (M, K, 3), 0..1, mean colors of the classes, measured on photos of real facades.
    """

    def __init__(self, source: Any, card: Card, device: torch.device, precision: str) -> None:
        self.card = card
        if device.type == "cuda" and device.index is None:  # other threads may have another current one
            device = torch.device("cuda", torch.cuda.current_device())
        self.device = device
        self.precision = precision
        self.color_sets: npt.NDArray[np.float32] = source.color_sets.numpy().copy()
        # Colors are estimated in fp32 on the CPU: they are the same whatever the pictures are made on.
        self._source = source
        self._engine = torchscript.freeze(source, device, PRECISIONS[precision])
        self._here = threading.local()  # alone: in threads that make small pictures themselves
        # For large pictures: one at a time, for its memory, whatever threads ask for them.
        self._whole_machine = whole_machine_pool()

    def generate(
        self,
        classes: npt.NDArray[np.uint8],
        colors: npt.NDArray[np.float32],
        whole_picture_px: int = WHOLE_PICTURE_PX,
    ) -> npt.NDArray[np.uint8]:
        """Facade photos (N, H, W, 3) of label maps (N, H, W) in the class colors (N, K, 3) of 0..1.

        Any height and width from 1 px. Each picture has the same bytes whatever the others beside it.
        Pictures of more than whole_picture_px are made in tiles: bounded memory, the same picture.

        Raises:
            ValueError: arrays of another type or shape, or a class id that the label set has not.
        """
        self._check(classes, colors)
        count, height, width = classes.shape
        pictures = np.empty((count, height, width, 3), np.uint8)
        if pictures.size == 0:
            return pictures
        padded = pad_to_stride(classes, self.card.stride)
        _, rows, columns = padded.shape
        tiles = plan_tiles(rows, columns, self.card.stride, self.card.context_px, whole_picture_px)
        lot = self.lot(rows, columns)

        def make(start: int) -> None:
            made = pictures[start : start + lot]
            lot_of = start + np.arange(lot) % len(made)  # a short lot is filled up with repeats
            prepared, shown = padded[lot_of], colors[lot_of]
            if len(tiles) > 1:
                prepared, shown = self._prepare(prepared, shown)
            for tile in tiles:
                self._make_tile(made, prepared, shown, tile)

        # How many threads share a picture goes by its size alone, like the lot: it must not make a
        # difference in bytes.
        if self.device.type != "cpu" or rows * columns > ONE_THREAD_PX:
            threads = self._whole_machine
        elif hasattr(self._here, "alone"):
            threads = None
        else:
            threads = self._pool
        list((threads.map if threads else map)(make, range(0, count, lot)))
        return pictures

    def prepared_classes(
        self, classes: npt.NDArray[np.uint8], colors: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        """Label maps (N, H, W) as the weights prepare them: sky among roofs may be background there, and
        neighbors' walls be classes of their own, from the number of classes on.

        Raises:
            ValueError: as `generate`.
        """
        self._check(classes, colors)
        _, height, width = classes.shape
        if classes.size == 0:
            return classes.copy()
        prepared, _ = self._prepare(pad_to_stride(classes.copy(), self.card.stride), colors)
        return prepared[:, :height, :width]

    def lot(self, height: int, width: int) -> int:
        """How many pictures of that size go through the network together; fewer are filled up with repeats.

        It depends on nothing else, so that the bytes of a picture do not either: convolutions of another
        batch size add up in another order. Of small pictures a CPU makes two 7 % faster than one by one, and
        four 10 %, but then one that comes alone takes four times as long.
        """
        if self.device.type == "cpu":
            return CPU_LOT if height * width <= CPU_LOT_PX else 1
        return max(1, min(GPU_LOT, WHOLE_PICTURE_PX // (height * width)))

    def enter_thread(self) -> None:
        """From now on small pictures that the calling thread asks for on a CPU are made in it, by it alone.

        For threads that work side by side; handing pictures over to other threads and back takes time. All
        that torch does in this thread uses one CPU from then on.
        """
        if self.device.type == "cpu":
            keep_to_one_thread()
            self._here.alone = True

    def estimate_colors(self, photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The mean color (K, 3), 0..1, of each class of the building in a photo (H, W, 3).

        Raises:
            UsageError: the photo is too small to see a building in.
        """
        height, width, _ = photo.shape
        if min(height, width) < MIN_PHOTO_PX:
            raise UsageError(
                f"is {width} x {height} px; colors need a photo of {MIN_PHOTO_PX} px or more each way"
            )
        batch = torch.tensor(photo).permute(2, 0, 1)[None]
        with torchscript.running():
            colors: npt.NDArray[np.float32] = self._source.estimate_colors(batch)[0].numpy()
        return colors

    def __call__(
        self,
        label_map: "str | Path | Image",
        *,
        colors: "Mapping[str, str | Color] | None" = None,
        seed: int | None = None,
        style: str | Path | None = None,
        variant: int = 0,
    ) -> "Image":
        """The facade photo of a label map: a file's path or an open picture.

        Of grey index maps with 2 or 4 bits a pixel take the path: Pillow opens them with other values.

        colors: by class name, "#rrggbb", a color name or (r, g, b) of 0..255. seed: which of `color_sets`.
        style: a photo, or a pair of photo and label map, whose colors to take. variant: another building.

        Raises:
            TypeError: the label map is neither a path nor an open picture.
            LabelMapError: the label map is none, or cannot be read.
            UsageError: no such class or color, a style that cannot be read, choices that exclude each other.
        """
        from PIL import Image

        from facadegen.labels import decode
        from facadegen.palettes import parse_color
        from facadegen.style import Style, resolve_style

        parsed = {
            name: parse_color(color) if isinstance(color, str) else color
            for name, color in (colors or {}).items()
        }
        wanted = Style(None if style is None else Path(style), tuple(parsed.items()), seed)
        chooser = resolve_style(wanted, self, variants=variant + 1)
        source = Path(label_map) if isinstance(label_map, str | Path) else _as_file(label_map)
        decoded = decode(source, self.card.label_set, refuse_own=True)
        chosen = chooser.choose_variants(decoded.classes, variant + 1)[variant]
        return Image.fromarray(self.generate(decoded.classes[None], chosen[None])[0])

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return single_thread_pool()

    def _check(self, classes: npt.NDArray[np.uint8], colors: npt.NDArray[np.float32]) -> None:
        class_count = len(self.card.label_set.classes)
        if classes.dtype != np.uint8 or classes.ndim != 3:
            raise ValueError(f"classes must be uint8 (N, H, W), not {classes.dtype} {classes.shape}")
        if colors.dtype != np.float32 or colors.shape != (len(classes), class_count, 3):
            expected = (len(classes), class_count, 3)
            raise ValueError(f"colors must be float32 {expected}, not {colors.dtype} {colors.shape}")
        if classes.size and classes.max() >= class_count:
            raise ValueError(f"class ids must be below {class_count}, found {classes.max()}")

    def _prepare(
        self, classes: npt.NDArray[np.uint8], colors: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """A lot of whole label maps (n, H, W) and colors (n, K, 3) as tiles are to be cut from: there may be
        more classes, and colors of these."""
        if not hasattr(self._engine, "prepare"):
            return classes, colors
        with torchscript.running():
            prepared, shown = self._engine.prepare(self._upload(classes), self._upload(colors))
            return self._download(prepared), self._download(shown)

    def _make_tile(
        self,
        pictures: npt.NDArray[np.uint8],
        classes: npt.NDArray[np.uint8],
        colors: npt.NDArray[np.float32],
        tile: Tile,
    ) -> None:
        """Fills one tile of the pictures (n, H, W, 3) from a lot of padded label maps, n or more."""
        rows, columns = tile
        seen = classes[:, rows.seen_start : rows.seen_stop, columns.seen_start : columns.seen_stop]
        with torchscript.running():
            made = self._engine(
                self._upload(np.ascontiguousarray(seen)),
                self._upload(colors),
                rows.seen_start,
                columns.seen_start,
            )
            host = self._download(made.permute(0, 2, 3, 1).contiguous())
        target = pictures[:, rows.kept_start : rows.kept_stop, columns.kept_start : columns.kept_stop]
        _, height, width, _ = target.shape  # less than what is kept where the picture was padded
        top, left = rows.kept_start - rows.seen_start, columns.kept_start - columns.seen_start
        target[:] = host[: len(pictures), top : top + height, left : left + width]

    def _upload(self, array: npt.NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":  # from pinned memory the copy runs beside the network
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def _download(self, tensor: torch.Tensor) -> npt.NDArray[Any]:
        if self.device.type != "cuda":
            return tensor.cpu().numpy()
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return host.numpy()


def load(weights: Path | None = None, device: str = "auto", precision: str = "auto") -> Generator:
    """The generator in a weights file (default: the shipped one) on a device, in a precision.

    "auto" takes the fastest precision the device is made for, unless a test picture shows that its
    pictures differ from those of fp32. Weights can execute code: load only files you trust.

    Raises:
        WeightsError: the file is missing, truncated, damaged, foreign, or of a newer format.
        UsageError: no such device here, or a precision it cannot work in.
    """
    path = shipped_weights() if weights is None else weights
    chosen_device = choose_device(device)
    chosen_precision = choose_precision(precision, chosen_device)
    card = read_card(path)
    source = torchscript.read(path, card)
    generator = Generator(source, card, chosen_device, chosen_precision)
    made = _test_picture(generator, path)
    if precision == "auto" and chosen_precision != "fp32":
        exact = Generator(source, card, chosen_device, "fp32")
        if np.abs(made - _test_picture(exact, path)).mean() > TOLERATED_LEVELS:
            return exact
    return generator


def _test_picture(generator: Generator, weights: Path) -> npt.NDArray[np.int16]:
    """What a generator makes of a small map of all classes; here it shows if the device can run it at all."""
    class_count = len(generator.card.label_set.classes)
    rows, columns = np.indices((_TEST_MAP_PX, _TEST_MAP_PX)) // 16
    classes = ((5 * rows + columns) % class_count).astype(np.uint8)
    try:
        return generator.generate(classes[None], generator.color_sets[:1]).astype(np.int16)
    except (RuntimeError, ValueError) as error:
        problem = (str(error).strip().splitlines() or [type(error).__name__])[-1]  # the rest is a traceback
        if generator.device.type == "cpu":
            raise WeightsError(f"fails at a test picture: {problem}", weights) from None
        raise UsageError(f"{generator.device} fails at a test picture, try --device cpu: {problem}") from None


def _require_bytes(values: npt.NDArray[Any]) -> None:
    """Raises LabelMapError for values (H, W) that converting would clip, or cut off behind the point."""
    if not np.isin(values, np.arange(256)).all():
        raise LabelMapError(
            f"has values of {values.min():.10g} to {values.max():.10g}; expected whole ones, 0 to 255"
        )


def _as_file(picture: "Image") -> io.BytesIO:
    """An open picture as the PNG file that `decode` reads, index maps staying such."""
    from PIL.Image import Image

    from facadegen.encoding import refuse_facade

    if not isinstance(picture, Image):
        kind = f"{type(picture).__module__}.{type(picture).__name__}"
        raise TypeError(f"a label map is a path or an open PIL.Image.Image (see its fromarray), not {kind}")
    file = io.BytesIO()
    try:
        refuse_facade(picture)
        exif = picture.getexif()  # which may turn it
        if picture.mode not in _PNG_MODES:
            if picture.mode in ("I", "F"):
                _require_bytes(np.asarray(picture))
            picture = picture.convert(_MODE_FOR.get(picture.mode, "RGB"))
        picture.save(file, "PNG", compress_level=1, exif=exif)
    except (OSError, SyntaxError, ValueError) as error:
        raise LabelMapError(f"cannot be read, damaged or cut off: {error}") from error
    file.seek(0)
    return file
