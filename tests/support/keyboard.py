"""A keyboard for windows on a display that nobody looks at: keys go where X sends them, as a person's do."""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any

import pytest

_WIDE = 300  # pixels; helper windows of a browser are narrower


class Keyboard:
    """Types into the window of the display that DISPLAY names; without X's libraries the test is skipped."""

    def __init__(self) -> None:
        self._x, self._test = self._library("X11"), self._library("Xtst")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XDefaultRootWindow.restype = ctypes.c_ulong
        self._display = ctypes.c_void_p(self._x.XOpenDisplay(None))

    def type(self, text: str) -> None:
        """Give the window the focus, as a window manager does, and press keys."""
        for window in self._windows():
            self._x.XSetInputFocus(self._display, ctypes.c_ulong(window), 2, ctypes.c_ulong(0))
        for sign in text:
            key = self._x.XKeysymToKeycode(self._display, ctypes.c_ulong(ord(sign)))
            for down in (1, 0):
                self._test.XTestFakeKeyEvent(self._display, key, down, 0)
        self._x.XFlush(self._display)

    def _windows(self) -> list[int]:
        root, parent, count = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_uint()
        found = ctypes.POINTER(ctypes.c_ulong)()
        top = ctypes.c_ulong(self._x.XDefaultRootWindow(self._display))
        references = [ctypes.byref(each) for each in (root, parent, found, count)]
        self._x.XQueryTree(self._display, top, *references)
        return [found[number] for number in range(count.value) if self._width(found[number]) > _WIDE]

    def _width(self, window: int) -> int:
        numbers = [ctypes.c_ulong(), *(ctypes.c_uint() for _ in range(6))]
        self._x.XGetGeometry(self._display, ctypes.c_ulong(window), *map(ctypes.byref, numbers))
        return int(numbers[3].value)

    @staticmethod
    def _library(name: str) -> Any:
        path = ctypes.util.find_library(name)
        if path is None:
            pytest.skip(f"lib{name} is not installed: nothing can be typed here")
        return ctypes.CDLL(path)
