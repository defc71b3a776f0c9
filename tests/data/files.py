"""Writes TIFF and PNG files that Pillow cannot write, from their specifications."""

import struct
import zlib

import numpy as np

KINDS = {"u": 1, "i": 2, "f": 3}


def tiff(*pages, order="<", big=False):
    """A TIFF, or BigTIFF, of pages that are dictionaries of the arguments of `page`."""
    data, starts = bytearray(16 if big else 8), []
    sizes = {"count": "Q", "entry": "HHQ", "at": "Q"} if big else None
    sizes = sizes or {"count": "H", "entry": "HHI", "at": "I"}
    word = struct.calcsize("<" + sizes["at"])
    links = []
    for settings in pages:
        parts, tags = page(order=order, **settings)
        offsets = []
        for part in parts:
            offsets.append(len(data))
            data += part
        tiled = 322 in tags
        tags[324 if tiled else 273] = offsets
        tags[325 if tiled else 279] = [len(part) for part in parts]
        listed = b""
        for tag, values in sorted(tags.items()):
            field = struct.pack(f"{order}{len(values)}{sizes['at']}", *values)
            kind = 16 if big else 4
            if len(field) > word:
                at = len(data)
                data += field
                field = struct.pack(order + sizes["at"], at)
            head = struct.pack(order + sizes["entry"], tag, kind, len(values))
            listed += head + field
        starts.append(len(data))
        data += struct.pack(order + sizes["count"], len(tags)) + listed
        links.append(len(data))
        data += bytes(word)
    mark = {"<": b"II", ">": b"MM"}[order]
    head = mark + struct.pack(
        order + ("HHH" if big else "H"), *((43, 8, 0) if big else (42,))
    )
    data[: len(head) + word] = head + struct.pack(order + sizes["at"], starts[0])
    for link, start in zip(links, starts[1:], strict=False):
        data[link : link + word] = struct.pack(order + sizes["at"], start)
    return bytes(data)


def page(
    values,
    *,
    order,
    photometric=1,
    planar=1,
    deflate=False,
    predictor=1,
    rows=None,
    tile=None,
    bits=None,
    extra=(),
    **tags,
):
    """The strips or tiles of values [h, w, c], and the tags that describe them."""
    height, width, bands = values.shape
    dtype = values.dtype
    rows = tile[0] if tile else rows or height
    across = tile[1] if tile else width
    groups = np.moveaxis(values, -1, 0)[..., None] if planar == 2 else [values]
    parts = []
    for group in groups:
        for top in range(0, height, rows):
            for left in range(0, width, across):
                part = group[top : top + rows, left : left + across]
                if tile:
                    room = zip(tile, part.shape, strict=False)
                    part = np.pad(part, [*((0, a - b) for a, b in room), (0, 0)])
                coded = encoded(part, order, predictor, bits)
                parts.append(zlib.compress(coded) if deflate else coded)
    found = {
        256: [width],
        257: [height],
        258: [bits or 8 * dtype.itemsize] * bands,
        259: [8 if deflate else 1],
        262: [photometric],
        277: [bands],
        284: [planar],
        317: [predictor],
        339: [KINDS[dtype.kind]] * bands,
        **({322: [across], 323: [rows]} if tile else {278: [rows]}),
        **({338: list(extra)} if extra else {}),
        **{int(name.removeprefix("tag")): [value] for name, value in tags.items()},
    }
    return parts, found


def encoded(part, order, predictor, bits):
    """The bytes of a strip or tile."""
    dtype = part.dtype
    if bits is not None:  # Packed, each row beginning with a byte of its own.
        digits = part[..., None] >> np.arange(bits - 1, -1, -1) & 1
        rows = digits.reshape(len(part), -1).astype(np.uint8)
        return np.packbits(rows, axis=-1).tobytes()
    if predictor == 2:
        part = np.diff(part, axis=1, prepend=part[:, :1] * 0)
    if predictor == 3:
        rows, columns, bands = part.shape
        planes = part.astype(dtype.newbyteorder(">")).view(np.uint8)
        planes = planes.reshape(rows, columns * bands, -1).swapaxes(1, 2)
        planes = planes.reshape(rows, -1, bands)
        return np.diff(planes, axis=1, prepend=np.zeros_like(planes[:, :1])).tobytes()
    return part.astype(dtype.newbyteorder(order)).tobytes()


def png(values):
    """A PNG of 16 bits from values [h, w, c]: grey, grey and alpha, RGB or RGBA."""
    height, width, bands = values.shape
    rows = values.astype(">u2").view(np.uint8).reshape(height, -1)
    above = np.concatenate([0 * rows[:1], rows[:-1]])
    data = b"".join(b"\2" + row.tobytes() for row in rows - above)  # Filter "up".
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[bands]

    def chunk(name, body):
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = (
        chunk(b"IHDR", head),
        chunk(b"IDAT", zlib.compress(data)),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
