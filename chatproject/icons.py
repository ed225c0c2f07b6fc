"""The app's icons, drawn as `static/tether/icon.svg` says: ``python -m chatproject.icons``."""

from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path(__file__).resolve().parent.parent / "static" / "tether" / "icons"
GREEN, WHITE = "#1f6f63", "#ffffff"
UNITS = 32  # the side of the drawing in the .svg
FINER = 4  # drawn so many times larger, then reduced
# name: (pixels, radius of the corners in units, share of the side that the knots take)
ICONS = {
    "icon-192": (192, 9, 1.0),
    "icon-512": (512, 9, 1.0),
    "icon-maskable": (512, 0, 0.8),  # any shape may be cut out of it
    "apple-touch": (180, 0, 0.9),
}


def draw_icon(pixels: int, radius: float, share: float) -> Image.Image:
    side = pixels * FINER
    unit = side / UNITS
    image = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, side - 1, side - 1), radius * unit, fill=GREEN)

    def at(x: float, y: float) -> tuple[float, float]:
        middle = UNITS / 2
        return (middle + (x - middle) * share) * unit, (middle + (y - middle) * share) * unit

    def dot(x: float, y: float, size: float) -> None:
        (middle_x, middle_y), reach = at(x, y), size * share * unit
        draw.ellipse((middle_x - reach, middle_y - reach, middle_x + reach, middle_y + reach), fill=WHITE)

    dot(11, 11, 3.5)
    dot(21, 21, 3.5)
    for step in range(401):
        dot(*_curve(step / 400, (11, 14.5), (11, 19.5), (21, 12.5), (21, 17.5)), 1)
    return image.resize((pixels, pixels), Image.Resampling.LANCZOS)


def _curve(t: float, *points: tuple[float, float]) -> tuple[float, float]:
    """Return the place at ``t`` on the Bézier curve of these four points."""
    weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
    x, y = (sum(weight * point[axis] for weight, point in zip(weights, points, strict=True)) for axis in (0, 1))
    return x, y


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, shape in ICONS.items():
        draw_icon(*shape).save(FOLDER / f"{name}.png", optimize=True)
