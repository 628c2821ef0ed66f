"""Weights files without torch: where the shipped one is, whether a file is whole, what its card says."""

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facadegen.errors import UsageError, WeightsError
from facadegen.palettes import LabelSet

FORMAT_VERSION = 1
CARD_NAME = "facadegen.json"  # the extra file inside the TorchScript archive
SUMS_NAME = "SHA256SUMS"
STYLES = ("colors", "none")

_WEIGHTS_NAME = "facades.pt"
_MAX_CARD_BYTES = 1 << 20
_ZIP_MAGIC = b"PK\x03\x04"
_EXPECTED = "expected a facadegen weights file (TorchScript)"


@dataclass(frozen=True)
class Card:
    """What a weights file says of itself.

    native_size_px: the picture size it was trained at. stride: heights and widths are multiples of it.
    context_px: how far away a pixel of the label map can still matter. style: "colors" where the mean
    color of each class is an input, "none" where the network ignores it. training: how it was made. scores:
    what its pictures are worth, where that was measured.

    Raises:
        WeightsError: values that cannot work.
    """

    label_set: LabelSet
    native_size_px: int
    stride: int
    context_px: int
    style: str = "colors"
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("native_size_px", 1), ("stride", 1), ("context_px", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise WeightsError(f"its card has {name} {value!r}, expected a whole number from {least}")
        if self.style not in STYLES:
            raise WeightsError(f"its card has style {self.style!r}, expected {' or '.join(STYLES)}")
        for name in ("training", "scores"):
            if not isinstance(getattr(self, name), dict):
                raise WeightsError(f"its card has {name} {getattr(self, name)!r}, expected a JSON object")

    def to_json(self) -> dict[str, Any]:
        """The card as plain lists and dicts, as `CARD_NAME` holds it."""
        return {
            "format_version": FORMAT_VERSION,
            "label_set": self.label_set.to_json(),
            "native_size_px": self.native_size_px,
            "stride": self.stride,
            "context_px": self.context_px,
            "style": self.style,
            "training": self.training,
            "scores": self.scores,
        }

    @classmethod
    def from_json(cls, data: object) -> "Card":
        """A card from what `to_json` gives; keys it does not know are left alone.

        Raises:
            WeightsError: another shape of data, a newer format, or values that cannot work.
        """
        if not isinstance(data, dict) or type(data.get("format_version")) is not int:
            raise WeightsError(f"its card has no format_version, expected {FORMAT_VERSION}")
        version = data["format_version"]
        if version != FORMAT_VERSION:  # before the rest: another format may have any other keys
            advice = "; update facadegen to use it" if version > FORMAT_VERSION else ""
            raise WeightsError(f"is in weights format {version}, expected format {FORMAT_VERSION}{advice}")
        missing = [
            key for key in ("label_set", "native_size_px", "stride", "context_px", "style") if key not in data
        ]
        if missing:
            raise WeightsError(f"its card lacks {', '.join(missing)}")
        try:
            label_set = LabelSet.from_json(data["label_set"])
        except UsageError as error:
            raise WeightsError(f"its card has a label set that cannot work: {error.problem}") from None
        return cls(
            label_set,
            data["native_size_px"],
            data["stride"],
            data["context_px"],
            data["style"],
            data.get("training", {}),
            data.get("scores", {}),
        )


def shipped_weights() -> Path:
    """The weights file that comes with facadegen: inside the package of a wheel, beside it in a checkout.

    Raises:
        WeightsError: this copy of facadegen has none.
    """
    package = Path(__file__).parent
    places = (package / "_weights" / _WEIGHTS_NAME, package.parent / "weights" / _WEIGHTS_NAME)
    for path in places:
        if path.is_file():
            return path
    raise WeightsError("facadegen's own weights are missing; install it again or give --weights", places[0])


def read_card(path: Path) -> Card:
    """The card of a weights file, after making sure that the file is whole.

    Each byte is checked by the archive's CRC32 (10 ms for 11 MB), for torch would load a flipped bit without
    a word, and by SHA-256 where `SUMS_NAME` lies beside the file and names it (20 ms more).

    Raises:
        WeightsError: missing, truncated, damaged, foreign, or a newer format.
    """
    try:
        _check_archive(path)
        _compare_with_sums(path)
        return Card.from_json(_read_card_json(path))
    except WeightsError as error:
        raise WeightsError(error.problem, path) from None
    except OSError as error:
        raise WeightsError(f"cannot be read ({error.strerror or error}), {_EXPECTED}", path) from None


def checksum(path: Path) -> str:
    """The SHA-256 of a file in hex digits, as `SUMS_NAME` has it.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_archive(path: Path) -> None:
    if not path.exists():
        raise WeightsError(f"does not exist, {_EXPECTED}")
    if path.is_dir():
        raise WeightsError(f"is a folder, {_EXPECTED}")
    with path.open("rb") as file:
        magic = file.read(len(_ZIP_MAGIC))
    if not zipfile.is_zipfile(path):
        size = path.stat().st_size
        if magic == _ZIP_MAGIC:
            raise WeightsError(f"is cut short: its {size:,} bytes end before the archive does; copy it again")
        raise WeightsError(f"is no zip archive ({size:,} bytes), {_EXPECTED}")


def _compare_with_sums(path: Path) -> None:
    sums = path.with_name(SUMS_NAME)
    if not sums.is_file():
        return
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        expected, _, name = line.partition(" ")
        if name.lstrip(" *") != path.name:
            continue
        found = checksum(path)
        if found != expected.lower():
            raise WeightsError(f"has SHA-256 {found}, expected {expected} from {SUMS_NAME} beside it")


def _read_card_json(path: Path) -> object:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise WeightsError(f"is damaged: {damaged} inside it fails its checksum; copy it again")
            names = archive.namelist()
            if not any(name.endswith("/constants.pkl") for name in names):
                raise WeightsError(f"is a zip archive without TorchScript code, {_EXPECTED}")
            cards = [name for name in names if name.endswith(f"/extra/{CARD_NAME}")]
            if not cards or archive.getinfo(cards[0]).file_size > _MAX_CARD_BYTES:
                raise WeightsError(f"is TorchScript without a card ({CARD_NAME}), {_EXPECTED}")
            return json.loads(archive.read(cards[0]))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise WeightsError(f"is damaged: {error}; copy it again") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"its card is no JSON: {error}") from None
