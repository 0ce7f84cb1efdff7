"""Frames as an animated GIF; those that are alike are one, shown longer.

python tests/editors/vscode/make_gif.py OUT MILLISECONDS FRAME.png …
"""

from __future__ import annotations

import sys

from PIL import Image

COLOURS = 48


def main(out: str, milliseconds: int, files: list[str]) -> None:
    """Write the GIF."""
    frames: list[Image.Image] = []
    durations: list[int] = []
    for file in files:
        frame = Image.open(file).convert("RGB")
        if frames and frame.tobytes() == frames[-1].tobytes():
            durations[-1] += milliseconds
        else:
            frames.append(frame)
            durations.append(milliseconds)
    palette = max(frames, key=lambda frame: len(frame.getcolors(1 << 24) or ())).quantize(COLOURS)
    pictures = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    first, *others = pictures
    first.save(out, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
