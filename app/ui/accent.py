"""A demo's own colour, made fit to be read in the light and in the dark page.

Invariant: text in the colour has a contrast of 4.5 to 1 at least on each page's paper, whatever colour was chosen.
"""

from __future__ import annotations

import colorsys

from markupsafe import Markup

CONTRAST = 4.5
_STEPS = 40
_Colour = tuple[float, float, float]
LIGHT: _Colour = (0.945, 0.937, 0.914)
DARK: _Colour = (0.129, 0.122, 0.110)


def style(accent: str) -> Markup:
    """The variables of a page in this colour; `accent` is `#` and six hexadecimal digits."""
    light, dark = readable(accent, LIGHT), readable(accent, DARK)
    return Markup(f":root{{{_variables(light)}}}[data-theme=dark]{{{_variables(dark)}}}")


def readable(accent: str, paper: _Colour) -> _Colour:
    """The colour, made darker or lighter until it can be read on `paper`."""
    red, green, blue = (int(accent[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    toward = 0.0 if _luminance(paper) > 0.5 else 1.0
    for step in range(_STEPS + 1):
        colour = colorsys.hls_to_rgb(hue, lightness + (toward - lightness) * step / _STEPS, saturation)
        if contrast(colour, paper) >= CONTRAST:
            return colour
    return (toward, toward, toward)


def contrast(one: _Colour, other: _Colour) -> float:
    """As WCAG counts it, from 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: _Colour) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _variables(colour: _Colour) -> str:
    name = "#" + "".join(f"{round(255 * c):02x}" for c in colour)
    on = "#fff" if contrast(colour, (1.0, 1.0, 1.0)) >= contrast(colour, (0.0, 0.0, 0.0)) else "#111"
    soft = f"color-mix(in srgb, {name} 16%, var(--surface))"
    return f"--accent:{name};--on-accent:{on};--accent-soft:{soft}"
