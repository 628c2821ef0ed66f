"""Makes overview.jpg, the README's picture: label maps above, the facades made of them below."""

from pathlib import Path

from PIL import Image

from facadegen import labels
from facadegen.palettes import FACADES

HERE = Path(__file__).parent
NAMES = ("shutters.jpg", "balconies.gif", "two-houses.webp", "pair.png", "palace.png")
SIDE_PX, GAP_PX = 256, 8


def main() -> None:
    """Write the picture beside this file."""
    width = len(NAMES) * (SIDE_PX + GAP_PX) - GAP_PX
    sheet = Image.new("RGB", (width, 2 * SIDE_PX + GAP_PX), "white")
    for column, name in enumerate(NAMES):
        label_map = labels.decode(HERE / "labels" / name)
        painted = Image.fromarray(labels.render(label_map.classes, FACADES.palettes[0]))
        facade = Image.open((HERE / "facades" / name).with_suffix(".jpg"))
        for row, picture in enumerate((painted, facade)):
            place = (column * (SIDE_PX + GAP_PX), row * (SIDE_PX + GAP_PX))
            sheet.paste(picture.resize((SIDE_PX, SIDE_PX)), place)
    sheet.save(HERE / "overview.jpg", quality=92)


if __name__ == "__main__":
    main()
