"""A window that shows what is captured, where there is a screen. Drawn with Tk, which Python brings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...faces.capture import CapturedFrame

__all__ = ["Preview", "open_preview"]

_LONGEST = 640  # pixels of the window's longer side
_GREEN, _YELLOW = (64, 200, 64), (230, 190, 40)


@contextlib.contextmanager
def open_preview(title: str, *, wanted: bool) -> Iterator[Preview | None]:
    """Yield a window; None where it is not wanted, or there is no screen or no Tk."""
    window = _window(title) if wanted else None
    if window is None:
        yield None
        return
    preview = Preview(window)
    try:
        yield preview
    finally:
        preview.close()


def _window(title: str) -> Any:
    try:
        import tkinter

        window = tkinter.Tk()
    except Exception:  # no Tk in this Python, or Tk finds no screen
        return None
    window.title(title)
    window.resizable(False, False)
    return window


class Preview:
    """The window; Enter, Escape or closing it ends the capture."""

    def __init__(self, window: Any) -> None:
        import tkinter

        self._tk: Any = tkinter
        self._window = window
        self._open = True
        self._label = tkinter.Label(window)
        self._label.pack()
        for key in ("<Return>", "<KP_Enter>", "<Escape>"):
            window.bind(key, lambda _event: self.close())
        window.protocol("WM_DELETE_WINDOW", self.close)

    def show(self, captured: CapturedFrame) -> bool:
        """Draw a frame with the face's box, green where it was kept; False once the window is closed."""
        if self._open:
            # kept in an attribute: Tk does not hold on to the picture itself
            self._picture = self._tk.PhotoImage(data=ppm(picture_of(captured)), format="PPM")
            self._label.configure(
                image=self._picture, text=f"{captured.kept}  {captured.note}", compound="top"
            )
            self._window.update()
        return self._open

    def close(self) -> None:
        """Close the window, once."""
        if self._open:
            self._open = False
            self._window.destroy()


def picture_of(captured: CapturedFrame) -> NDArray[np.uint8]:
    """The frame made small enough, with a rectangle about the face."""
    from ...images import pyramid

    height, width = captured.frame.shape[:2]
    scale = min(1.0, _LONGEST / max(height, width))
    (picture,) = pyramid(captured.frame, [(max(1, round(width * scale)), max(1, round(height * scale)))])
    if captured.face is not None:
        left, top, right, bottom = (round(v * scale) for v in captured.face.box.tolist())
        colour = _YELLOW if captured.note else _GREEN
        for band in (
            picture[top : top + 2, left:right],
            picture[max(bottom - 2, 0) : bottom, left:right],
            picture[top:bottom, left : left + 2],
            picture[top:bottom, max(right - 2, 0) : right],
        ):
            band[:] = colour
    return picture


def ppm(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels as a portable pixmap, which Tk reads."""
    height, width = pixels.shape[:2]
    return b"P6 %d %d 255 " % (width, height) + pixels.tobytes()
