"""Images of every kind come as RGB on white, and what cannot be read is named."""

import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from torch.utils.data import DataLoader

from data_modules.images.decode import MAX_PIXELS, UnreadableImageError
from data_modules.images.read import read_image

WHITE = [255, 255, 255]


def picture(width: int = 40, height: int = 30) -> Image.Image:
    """Smooth, with a different color in every corner, so that each orientation is another."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 255 // (width - 1), y * 255 // (height - 1), (x + y) % 256]
    return Image.fromarray(np.stack(planes, axis=2).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def stored(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def png(pixels: bytes, width: int, height: int, depth: int, color: int, *chunks: bytes) -> bytes:
    """A PNG of raw rows, for kinds that Pillow does not write."""

    def chunk(content: bytes) -> bytes:
        check = zlib.crc32(content)
        return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", check)

    stride = len(pixels) // height
    rows = b"".join(b"\0" + pixels[i : i + stride] for i in range(0, len(pixels), stride))
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = [head, *chunks, b"IDAT" + zlib.compress(rows), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, parts))


def close(a: np.ndarray, b: np.ndarray, tolerance: int = 1) -> bool:
    return a.shape == b.shape and np.abs(a.astype(int) - b.astype(int)).max() <= tolerance


PLAIN = {
    "a.png": ("PNG", {}),
    "a.PNG": ("PNG", {}),
    "a.jpg": ("JPEG", {"quality": 95}),
    "a.jpeg": ("JPEG", {"quality": 50, "progressive": True}),
    "a.JPG": ("JPEG", {"quality": 95, "subsampling": 0}),
    "rgb.jpg": ("JPEG", {"quality": 95, "keep_rgb": True}),
    "a.webp": ("WEBP", {"lossless": True}),
    "a.bmp": ("BMP", {}),
    "png named.jpg": ("PNG", {}),
    "jpeg named.png": ("JPEG", {}),
}


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", PLAIN)
def test_plain_images_are_as_pillow_reads_them(tmp_path, name, mode):
    kind, options = PLAIN[name]
    if mode == "L":
        options = {k: v for k, v in options.items() if k != "keep_rgb"}
    path = stored(tmp_path, name, encoded(picture().convert(mode), kind, **options))
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert close(pixels, expected)
    assert close(pixels, np.asarray(picture().convert(mode).convert("RGB")), 24)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
@pytest.mark.parametrize("mode", ["P", "1"])
def test_palette_and_one_bit_images(tmp_path, kind, mode):
    image = picture().quantize(16) if mode == "P" else picture().convert("1")
    path = stored(tmp_path, f"a.{kind.lower()}", encoded(image, kind))
    assert close(read_image(path), np.asarray(image.convert("RGB")), 0)


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (6, 4), c) for c in ("red", "green", "blue")]
    kinds = {"GIF": {}, "PNG": {}, "WEBP": {"lossless": True}, "MPO": {"quality": 95}}
    for kind, options in kinds.items():
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        pixels = read_image(stored(tmp_path, f"a.{kind.lower()}", data))
        assert pixels.shape == (4, 6, 3), kind
        assert close(pixels, np.full_like(pixels, (255, 0, 0))), kind


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_half_transparent_ink_is_half_grey(tmp_path, kind):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 255))
    image.putpixel((0, 0), (200, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    path = stored(tmp_path, "a.png", encoded(image, kind, lossless=True, exact=True))
    pixels = read_image(path)
    assert pixels[0, 0].tolist() == WHITE
    assert close(pixels[0, 1], np.full(3, 127))
    assert pixels[2, 2].tolist() == [0, 0, 0]


def clear_key(depth: int, color: int) -> bytes:
    """A PNG of two pixels, a transparent and an opaque one, marked by a tRNS chunk."""
    if color == 3:
        values, extra = bytes([0b01_000000]), [b"PLTE" + bytes([9, 9, 9, 0, 0, 0]), b"tRNS\0"]
        return png(values, 2, 1, 1, 3, *extra)
    samples = 3 if color == 2 else 1
    marked = 2**depth // 2 + 1 if depth > 1 else 1
    key = b"tRNS" + struct.pack(">H", marked) * samples
    if depth < 8:
        return png(bytes([marked << (8 - depth)]), 2, 1, depth, color, key)
    form = ">H" if depth == 16 else ">B"
    row = struct.pack(form, marked) * samples + struct.pack(form, 0) * samples
    return png(row, 2, 1, depth, color, key)


@pytest.mark.parametrize(
    ("depth", "color"),
    [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3)],
    ids=lambda v: str(v),
)
def test_a_transparent_color_is_white_at_every_depth(tmp_path, depth, color):
    pixels = read_image(stored(tmp_path, "a.png", clear_key(depth, color)))
    assert pixels.tolist() == [[WHITE, [0, 0, 0]]]


def test_palette_alpha_and_grey_alpha_are_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 50, 60, 70])
    image.putpixel((1, 0), 1)
    data = encoded(image, "PNG", transparency=bytes([128, 255]))
    assert close(
        read_image(stored(tmp_path, "p.png", data))[0], np.array([[127] * 3, [50, 60, 70]])
    )
    image = Image.new("LA", (2, 1), (0, 255))
    image.putpixel((0, 0), (10, 0))
    pixels = read_image(stored(tmp_path, "la.png", encoded(image, "PNG")))
    assert pixels.tolist() == [[WHITE, [0, 0, 0]]]


@pytest.mark.parametrize("color", [0, 2, 4, 6])
def test_16_bit_images_are_scaled_and_not_clipped(tmp_path, color):
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    values = [0, 1000, 32768, 65535]
    row = b""
    for value in values:
        sample = struct.pack(">H", value)
        row += sample * (samples - (color >= 4)) + b"\xff\xff" * (color >= 4)
    pixels = read_image(stored(tmp_path, "a.png", png(row, 4, 1, 16, color)))
    assert close(pixels[0, :, 0], np.array([0, 4, 128, 255]))
    assert (pixels == pixels[..., :1]).all()


def test_cmyk_jpeg(tmp_path):
    """Pillow writes CMYK inverted, as Adobe's programs do; YCCK is the same with a marker of 2."""
    image = picture().convert("CMYK")
    data = encoded(image, "JPEG", quality=95)
    assert b"Adobe" in data
    pixels = read_image(stored(tmp_path, "a.jpg", data))
    assert close(pixels, np.asarray(picture()), 12)
    ycck = data.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2")
    assert ycck != data
    path = stored(tmp_path, "b.jpg", ycck)
    with Image.open(path) as reference:
        assert reference.mode == "CMYK"
        assert close(read_image(path), np.asarray(reference.convert("RGB")), 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_are_upright(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = stored(tmp_path, "a.png", encoded(picture(), kind, exif=exif))
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    pixels = read_image(path)
    assert pixels.shape == ((40, 30, 3) if orientation > 4 else (30, 40, 3))
    assert close(pixels, expected)
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize(
    "junk",
    [
        {"exif": b"Exif\0\0junk that is no TIFF header"},
        {"exif": b"Exif\0\0MM\0*\xff\xff\xff\xff"},
        {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0junk"},
        {"icc_profile": b"no profile at all"},
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.filterwarnings("error")
def test_junk_in_metadata_stops_nothing(tmp_path, kind, junk):
    data = encoded(picture(), kind, **junk)
    assert read_image(stored(tmp_path, "a.jpg", data)).shape == (30, 40, 3)


def test_bytes_after_the_picture_do_no_harm(tmp_path):
    for kind in ("JPEG", "PNG"):
        path = stored(tmp_path, "a.jpg", encoded(picture(), kind) + b"<html>junk</html>" * 9)
        assert close(read_image(path), np.asarray(picture()), 24)


# Bad files -----------------------------------------------------------------------------------


def half(kind: str, share: float = 0.5, mode: str = "RGB", **options: object) -> bytes:
    data = encoded(picture(200, 150).convert(mode), kind, **options)
    return data[: int(len(data) * share)]


def broken(kind: str, **options: object) -> bytes:
    data = bytearray(encoded(picture(200, 150), kind, **options))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def zero_tail() -> bytes:
    data = encoded(picture(200, 150), "JPEG")
    return data[: len(data) // 2] + bytes(len(data) - len(data) // 2)


def bomb() -> bytes:
    side = int(MAX_PIXELS**0.5) + 1
    return png(bytes((side + 7) // 8 * side), side, side, 1, 0)


BAD = {
    "empty": b"",
    "one byte": b"x",
    "text": b"no image",
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "zeros": bytes(5000),
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "zip": b"PK\x03\x04" + bytes(60),
    "another format": encoded(picture(), "TIFF"),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "jpeg signature": b"\xff\xd8\xff",
    "jpeg head": half("JPEG", 0.02),
    "jpeg half": half("JPEG"),
    "jpeg almost": half("JPEG", 0.99),
    "jpeg without end": encoded(picture(), "JPEG")[:-2],
    "jpeg last byte": encoded(picture(), "JPEG")[:-1],
    "jpeg progressive half": half("JPEG", progressive=True),
    "jpeg grey half": half("JPEG", mode="L"),
    "jpeg cmyk half": half("JPEG", mode="CMYK"),
    "jpeg zero tail": zero_tail(),
    "png signature": b"\x89PNG\r\n\x1a\n",
    "png head": half("PNG", 0.03),
    "png half": half("PNG"),
    "png almost": half("PNG", 0.99),
    "png without end": encoded(picture(), "PNG")[:-12],
    "png last byte": encoded(picture(), "PNG")[:-1],
    "png flipped bit": broken("PNG"),
    "png bomb": bomb(),
    "png of no width": png(b"\0", 1, 1, 8, 0).replace(b"\0\0\0\1\0\0\0\1", bytes(8), 1),
    "webp half": half("WEBP"),
    "webp last bytes": encoded(picture(), "WEBP")[:-10],
    "gif half": half("GIF"),
    "gif last byte": encoded(picture(), "GIF")[:-1],
    "bmp half": half("BMP"),
    "bmp head": half("BMP", 0.0003),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("side", [None, 20])
def test_bad_files_are_named(tmp_path, kind, side):
    path = stored(tmp_path, "picture.png", BAD[kind])
    with pytest.raises(UnreadableImageError, match=r"Cannot read image .*picture\.png \(.+\)"):
        read_image(path, side)
    with pytest.raises(UnreadableImageError, match=r"Expected .*jpg.*; repair or remove it\."):
        read_image(path, side)


@pytest.mark.parametrize("side", [None, 30])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_no_cut_goes_unnoticed(tmp_path, kind, side):
    data = encoded(picture(61, 50), kind)
    whole = len(data) - 3 * (kind == "BMP")  # these fill up a row and hold no pixel
    for length in {*range(1, whole, whole // 40), *range(whole - 12, whole)}:
        with pytest.raises(UnreadableImageError):
            read_image(stored(tmp_path, "a.jpg", data[:length]), side)


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    for name, found in {
        "folder.png": "it is a folder",
        "missing.png": "there is no such file",
        "link.png": "link to a missing file",
        "pipe.png": "no regular file",
        "folder.png/a.png": r"such file|Not a directory",
        "x" * 300 + ".png": "too long",
    }.items():
        with pytest.raises(UnreadableImageError, match=found) as caught:
            read_image(tmp_path / name)
        assert caught.value.path == tmp_path / name
        assert str(tmp_path / name) in str(caught.value)


def test_no_permission_is_named(tmp_path, monkeypatch):
    path = stored(tmp_path, "a.png", encoded(picture(), "PNG"))

    def refuse(self: Path) -> bytes:  # the superuser reads everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UnreadableImageError, match=r"a\.png \(no permission\).*make it readable"):
        read_image(path)


def test_the_error_travels_between_processes(tmp_path):
    with pytest.raises(UnreadableImageError) as caught:
        read_image(tmp_path / "a.png")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.path) == (str(caught.value), tmp_path / "a.png")
    loader = DataLoader([tmp_path / "a.png"], None, num_workers=1, collate_fn=read_image)
    with pytest.raises(UnreadableImageError) as again:
        next(iter(loader))
    assert str(again.value) == str(caught.value)  # PyTorch adds a traceback to the message


def test_a_file_is_read_once(tmp_path, monkeypatch):
    reads = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: reads.append(self) or real(self))
    for name in ("a.jpg", "b.png", "c.webp"):
        path = stored(
            tmp_path, name, encoded(picture(), {"j": "JPEG", "p": "PNG"}.get(name[2], "WEBP"))
        )
        read_image(path, 10)
    assert len(reads) == 3


# Reduced decoding ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_large_jpegs_are_decoded_small_but_never_below_the_side(tmp_path, mode):
    image = picture(901, 700).convert(mode)
    path = stored(tmp_path, "a.jpg", encoded(image, "JPEG", quality=95))
    for side, shape in {
        None: (700, 901),
        701: (700, 901),
        351: (700, 901),
        350: (350, 451),
        175: (175, 226),
        88: (175, 226),
        87: (88, 113),
        1: (88, 113),
    }.items():
        pixels = read_image(path, side)
        assert pixels.shape == (*shape, 3), side
        assert min(pixels.shape[:2]) >= min(side or 700, 700)
        small = image.convert("RGB").resize(shape[::-1], Image.Resampling.BOX)
        assert np.abs(pixels.astype(int) - np.asarray(small)).mean() < 6


def test_a_reduced_jpeg_is_upright_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = stored(tmp_path, "a.jpg", encoded(picture(400, 200), "JPEG", exif=exif))
    assert read_image(path, 100).shape == (200, 100, 3)


def test_other_files_and_thin_ones_keep_their_size(tmp_path):
    path = stored(tmp_path, "a.png", encoded(picture(400, 200), "PNG"))
    assert read_image(path, 10).shape == (200, 400, 3)
    path = stored(tmp_path, "a.jpg", encoded(Image.new("RGB", (900, 1)), "JPEG"))
    assert read_image(path, 10).shape == (1, 900, 3)


@pytest.mark.filterwarnings("error")
def test_a_huge_valid_jpeg_is_read_small_and_refused_whole(tmp_path):
    image = Image.new("L", (10_000, 9_100), 77)
    path = stored(tmp_path, "a.jpg", encoded(image, "JPEG"))
    pixels = read_image(path, 224)
    assert pixels.shape == (1138, 1250, 3)
    assert close(pixels, np.full_like(pixels, 77))
    with pytest.raises(UnreadableImageError, match=r"10000 x 9100 pixels; at most"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "drawing"),
    [
        *[("a.svg", True), ("a.SVG", True), ("a.ndjson#0", True), ("a.NDJSON#12", True)],
        *[("a.png", False), ("a #2.png", False), ("ndjson#3.jpg", False), ("a.ndjson#x", True)],
    ],
)
def test_the_name_decides_who_reads_an_image(name, drawing, monkeypatch):
    called = []
    monkeypatch.setattr("data_modules.images.read.render_drawing", lambda *_: called.append(True))
    monkeypatch.setattr("data_modules.images.read.read_bytes", lambda _: b"")
    monkeypatch.setattr("data_modules.images.read.decode_image", lambda *_: called.append(False))
    read_image(Path(name))
    assert called == [drawing]


def test_a_mark_without_meaning_in_a_jpeg_is_no_pixels(tmp_path):
    """OpenCV makes up what follows such a mark; Pillow refuses the file."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 20, 3), np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(noise).save(path, quality=90)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path)))
    middle = (whole.index(b"\xff\xda") + len(whole)) // 2
    for mark in (b"\xff\x08", b"\xff\xda\xef"):  # of no meaning, and a scan that is none
        path.write_bytes(whole[:middle] + mark + whole[middle + len(mark) :])
        with pytest.raises(UnreadableImageError, match=r"a\.jpg \(OSError: broken data stream"):
            read_image(path)
    Image.fromarray(noise).save(path, quality=90, progressive=True)
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path)))
