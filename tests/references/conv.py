"""Two-dimensional convolution and its gradients, float64 loops over output pixels."""

import numpy as np


def conv(x, kernel, strides, pads):
    """Convolves [B, H, W, C] with [h, w, C, O]; a pad is (low, high)."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    h, w = kernel.shape[:2]
    rows = (padded.shape[1] - h) // strides[0] + 1
    columns = (padded.shape[2] - w) // strides[1] + 1
    y = np.zeros((len(x), rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            top, left = i * strides[0], j * strides[1]
            window = padded[:, top : top + h, left : left + w]
            y[:, i, j] = np.tensordot(window, kernel, axes=3)
    return y


def conv_gradients(x, kernel, strides, pads, gradient):
    """Gradients of sum(gradient * conv) with respect to x and kernel."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    to_padded, to_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    h, w = kernel.shape[:2]
    for i in range(gradient.shape[1]):
        for j in range(gradient.shape[2]):
            top, left = i * strides[0], j * strides[1]
            spot = np.s_[:, top : top + h, left : left + w]
            g = np.asarray(gradient[:, i, j], np.float64)  # [B, O]
            to_kernel += np.einsum("bhwc,bo->hwco", padded[spot], g)
            to_padded[spot] += np.einsum("hwco,bo->bhwc", kernel, g)
    (top, _), (left, _) = pads
    to_x = to_padded[:, top : top + x.shape[1], left : left + x.shape[2]]
    return to_x, to_kernel
