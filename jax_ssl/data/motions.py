"""Rotations and places of cameras and things, in float64 on the host."""

from typing import Any

import numpy as np


def about(axis: int, angle: float) -> np.ndarray:
    """[3, 3] rotation about axis 0, 1 or 2 by an angle in radians."""
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[one, one] = turn[other, other] = np.cos(angle)
    turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
    return turn


def turned(x: float, y: float, z: float) -> np.ndarray:
    """[3, 3] rotation by angles about the three axes, Rx Ry Rz."""
    return about(0, x) @ about(1, y) @ about(2, z)


def placed(turn: Any, at: Any) -> np.ndarray:
    """[4, 4] of a rotation [3, 3] and a place [3]."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = turn, at
    return out
