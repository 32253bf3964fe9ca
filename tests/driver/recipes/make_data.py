#!/usr/bin/env python3
"""Small data for tests/driver/recipes_test.sh: pictures of many sizes, two classes, a table of texts, an .npz. Standard library alone."""
import os
import struct
import sys
import zipfile
import zlib


def png(path, width, height, pixel):
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def npy(descr, shape, data):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def picture(n):
    return lambda x, y: ((37 * n + 9 * x) % 256, (53 * n + 11 * y) % 256, (91 * n + 5 * (x + y)) % 256)


def main(folder):
    for name in ("pics", "classes/ant", "classes/bee", "broken"):
        os.makedirs(os.path.join(folder, name))
    for n in range(24):
        png(f"{folder}/pics/{n:02}.png", 9 + n % 5, 8 + n % 7, picture(n))
        png(f"{folder}/classes/{'ant' if n % 3 else 'bee'}/{n:02}.png", 8, 8, picture(n))
        png(f"{folder}/broken/{n:02}.png", 8, 8, picture(n))
    with open(f"{folder}/broken/05.png", "w") as file:
        file.write("no picture")
    with open(f"{folder}/captions.tsv", "w") as file:
        for n in range(24):
            file.write(f"classes/{'ant' if n % 3 else 'bee'}/{n:02}.png\tlow lower {n}\n")
    with open(f"{folder}/merges.txt", "w") as file:
        file.write("#version: 0.2\nl o\nlo w</w>\nlo w\ne r</w>\n")
    with zipfile.ZipFile(f"{folder}/set.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        pixels = bytes(value for n in range(24) for y in range(8) for x in range(8) for value in picture(n)(x, y))
        archive.writestr("image.npy", npy("|u1", (24, 8, 8, 3), pixels))
        archive.writestr("label.npy", npy("<i8", (24,), struct.pack("<24q", *(n % 2 for n in range(24)))))


main(sys.argv[1])
