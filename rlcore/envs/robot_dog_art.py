"""The robot dog's looks: sky, grass, a thrower, a disc with its trail, and a dog, drawn with Pillow.

Everything is drawn at twice the size and halved, which is all the anti-aliasing that flat colours need. Lengths are in
metres until the last moment.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, ZOOM = 720, 260, 2  # pixels, and how much larger it is drawn
GROUND = 216  # pixel row on which the dog stands
DOG = 1.3  # how much larger than its physics the dog is drawn, for charm
SKY, SUN, HILL, GRASS, SOIL = "#cfe8f7", "#fff3c4", "#b5d99c", "#8cc26a", "#6fa552"
BODY, SHADE, DARK, GLOW, ACCENT, DISC = "#e8edf2", "#b9c4cf", "#3b4754", "#3fe0c5", "#f28e2b", "#e0392f"


class Pen:
    """Draws shapes given in metres (x along the field, y up) on a picture from −`field` to `field` metres."""

    def __init__(self, picture: Image.Image, field: float):
        self.draw, self.scale = ImageDraw.Draw(picture), ZOOM * WIDTH / (2 * field)
        self.left = -field

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Metres to pixels."""
        return (x - self.left) * self.scale, ZOOM * GROUND - y * self.scale

    def oval(self, x: float, y: float, wide: float, high: float, fill: str, outline: str | None = None):
        """An ellipse around (x, y) with half axes `wide` and `high`."""
        (left, top), (right, bottom) = self.at(x - wide, y + high), self.at(x + wide, y - high)
        self.draw.ellipse((left, top, right, bottom), fill, outline, ZOOM)

    def shape(self, points: list[tuple[float, float]], fill: str, outline: str | None = None):
        """A polygon."""
        self.draw.polygon([self.at(*p) for p in points], fill, outline, ZOOM)

    def line(self, points: list[tuple[float, float]], fill: str, thick: float):
        """A line with round ends, `thick` metres wide."""
        self.draw.line([self.at(*p) for p in points], fill, max(1, round(thick * self.scale)), "curve")
        for x, y in points:
            self.oval(x, y, thick / 2, thick / 2, fill)


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own DejaVu Sans, which is installed wherever Matplotlib is."""
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size * ZOOM)


@cache
def background(field: float) -> Image.Image:
    """What never changes: sky, sun, hills, grass with a mark every five metres, and the thrower."""
    picture = Image.new("RGB", (WIDTH * ZOOM, HEIGHT * ZOOM), SKY)
    pen = Pen(picture, field)
    pen.oval(field * 0.64, 5.9, 0.55, 0.55, SUN)
    for x, wide, high in ((-9.0, 6.0, 1.4), (0.0, 8.0, 1.0), (9.0, 7.0, 1.8)):
        pen.oval(x, 0.2, wide, high, HILL)
    pen.shape([(-field, 0.25), (field, 0.25), (field, -2), (-field, -2)], GRASS)
    pen.shape([(-field, -0.55), (field, -0.55), (field, -2), (-field, -2)], SOIL)
    for metre in range(-10, 11, 5):
        pen.line([(metre, -0.55), (metre, -0.72)], "white", 0.05)
        pen.draw.text(pen.at(metre, -0.8), f"{metre} m".replace("-", "−"), "white", font(10), "ma")
    pen.line([(-11.65, 0.0), (-11.5, 0.75), (-11.25, 0.0)], "#5b6770", 0.12)  # the thrower: legs, body, arm, head
    pen.line([(-11.5, 0.75), (-11.5, 1.35)], "#2f6fb0", 0.26)
    pen.line([(-11.5, 1.3), (-11.05, 1.2)], "#2f6fb0", 0.12)
    pen.oval(-11.5, 1.72, 0.2, 0.22, "#e3b894")
    return picture


def draw_dog(pen: Pen, x: float, y: float, facing: int, stride: float, awake: bool):
    """A robot dog with its paws at height y: running with its legs at phase `stride`, or lying down."""
    def at(along: float, up: float) -> tuple[float, float]:
        return x + DOG * facing * along, y + DOG * up

    belly = 0.42 if awake else 0.1
    for hip, phase, colour in ((-0.5, 0.0, SHADE), (0.42, 1.9, SHADE), (-0.4, 3.1, DARK), (0.52, 5.0, DARK)):
        swing = 0.34 * np.sin(stride + phase)
        lift = 0.16 * max(0.0, np.cos(stride + phase)) if awake else 0.0
        paw = at(hip + swing, 0.06 + lift) if awake else at(hip + 0.28, 0.06)
        knee = at(hip + swing * 0.5 - 0.1, belly * 0.55 + lift / 2)
        pen.line([at(hip, belly + 0.1), knee, paw], colour, 0.13 * DOG)
    wag = 0.12 * np.sin(2 * stride)
    pen.line([at(-0.68, belly + 0.36), at(-0.95, belly + 0.66 + wag)], DARK, 0.07 * DOG)
    pen.oval(*at(-0.95, belly + 0.68 + wag), 0.1, 0.1, ACCENT)
    body = [(-0.72, 0.05), (0.62, 0.05), (0.76, 0.22), (0.7, 0.44), (-0.6, 0.46), (-0.76, 0.3)]
    pen.shape([at(a, belly + b) for a, b in body], BODY, DARK)
    pen.shape([at(a, belly + b) for a, b in ((0.3, 0.06), (0.46, 0.06), (0.46, 0.44), (0.3, 0.44))], ACCENT)
    nod = 0.05 * np.sin(2 * stride) if awake else -0.12
    neck = belly + 0.5 + nod
    pen.line([at(0.58, belly + 0.34), at(0.74, neck + 0.1)], SHADE, 0.2 * DOG)
    head = [(0.52, 0.02), (0.98, -0.02), (1.24, 0.04), (1.24, 0.2), (1.0, 0.26), (0.94, 0.44), (0.54, 0.44)]
    pen.shape([at(a, neck + b) for a, b in head], BODY, DARK)
    pen.shape([at(a, neck + b) for a, b in ((0.5, 0.46), (0.62, 0.72), (0.74, 0.44))], ACCENT, DARK)  # an ear
    pen.oval(*at(1.24, neck + 0.16), 0.09, 0.08, DARK)  # the nose
    pen.shape([at(a, neck + b) for a, b in ((0.7, 0.18), (0.94, 0.18), (0.94, 0.36), (0.7, 0.36))], DARK)
    if awake:
        pen.oval(*at(0.84, neck + 0.27), 0.1, 0.1, GLOW)
    else:
        pen.line([at(0.76, neck + 0.25), at(0.9, neck + 0.25)], GLOW, 0.04)  # half asleep


def draw(trail: np.ndarray, caught: bool, return_: float, field: float) -> np.ndarray:
    """One frame, `[260, 720, 3]` uint8, of the states so far, `trail` `[t + 1, 6]`."""
    dog, dog_speed, disc, height, along, _ = trail[-1]
    picture = background(field).copy()
    pen = Pen(picture, field)
    for x, y in trail[:-1, 2:4]:
        pen.oval(x, y, 0.07, 0.07, "#f7fbfe")
    pen.oval(disc, -0.1, 0.45 / (1 + 0.25 * height), 0.07, SOIL)  # the disc's shadow, smaller from higher up
    pen.oval(dog, -0.08, 1.1, 0.1, SOIL)
    runs = abs(dog_speed) > 0.3
    facing = int(np.sign(dog_speed)) if runs else (1 if disc >= dog else -1)
    # Caught: the dog is up in the air with the disc in its mouth, wherever in its reach the disc was.
    leap = max(0.0, height - DOG * 0.85) if caught else 0.0
    draw_dog(pen, dog, leap, facing, 2.6 * dog if runs else 0.0, runs or caught)
    if caught:
        disc, height = dog + DOG * facing * 1.3, leap + DOG * 0.98
    tilt = 0.0 if caught else 0.05 * np.sign(along)
    pen.shape([(disc - 0.42, height - tilt), (disc - 0.25, height + 0.12), (disc + 0.25, height + 0.12),
               (disc + 0.42, height + tilt)], DISC)
    pen.oval(disc, height, 0.42, 0.09, DISC, "#8f1d17")
    text = f"step {len(trail) - 1:2d}    return {return_:+.2f}" + ("    caught!" if caught else "")
    pen.draw.text((12 * ZOOM, 8 * ZOOM), text, DARK, font(13))
    return np.asarray(picture.reduce(ZOOM))
