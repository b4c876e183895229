"""What the user may give, and the sentence there is for what cannot be used."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from fits_samples import TAN, image_hdu, sky, write
from starnet.errors import StarnetError
from starnet.io.companions import Source
from starnet.mosaic import Mosaic
from starnet.tiles import Box


def names(*inputs, **options) -> list[str]:
    return [band.name for band in Mosaic.open([str(i) for i in inputs], **options).bands]


def refused(*inputs, **options) -> str:
    with pytest.raises(StarnetError) as caught:
        Mosaic.open([str(i) for i in inputs], **options)
    message = str(caught.value)
    assert "\n" not in message
    assert ": " in message, "a mend should follow"
    return message


# --- inputs ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.fits", Source(Path("a.fits"))),
        ("a.fits[SCI]", Source(Path("a.fits"), hdu="SCI")),
        ("a.fits[SCI,2]", Source(Path("a.fits"), hdu="SCI,2")),
        ("a.fits[3][7]", Source(Path("a.fits"), hdu="3", plane=7)),
        ("F160W=a.fits", Source(Path("a.fits"), "F160W")),
        ("F160W=a.fits[SCI]", Source(Path("a.fits"), "F160W", "SCI")),
        ("z=a=b[1].fits", Source(Path("a=b[1].fits"), "z")),
        ("a=b[1].fits", Source(Path("a=b[1].fits"))),
        ("a=b[1].fits[WHT]", Source(Path("a=b[1].fits"), hdu="WHT")),
        ("x=y=a=b[1].fits[0]", Source(Path("a=b[1].fits"), "x=y", "0")),
        ("c.fits[SCI]", Source(Path("c.fits[SCI]"))),  # a file of exactly this name
        ("c.fits[SCI][SCI]", Source(Path("c.fits[SCI]"), hdu="SCI")),
        ("missing.fits[SCI]", Source(Path("missing.fits"), hdu="SCI")),
        ("r=sub/missing=1.fits[SCI]", Source(Path("sub/missing=1.fits"), "r", "SCI")),
        ("sub/r=1.fits", Source(Path("sub/r=1.fits"))),
    ],
)
def test_inputs_are_taken_apart(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    for name in ("a.fits", "a=b[1].fits", "c.fits", "c.fits[SCI]"):
        Path(name).touch()
    assert Source.parse(text) == expected


@pytest.mark.parametrize("text", ["a.fits[SCI][0][1]", "a.fits[SCI][x]"])
def test_too_many_brackets(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    write(Path("a.fits"), image_hdu(sky(), "SCI"))
    assert "has more in brackets than HDU and plane: write a.fits[SCI]" in refused(text)


def test_an_image_is_found_without_hdu(tmp_path):
    sci, first = sky(seed=1), sky(seed=2)
    box = Box(0, 30, 0, 40)
    a = write(tmp_path / "a.fits", image_hdu(first), image_hdu(sci, "SCI"))
    np.testing.assert_array_equal(Mosaic.open([a]).read(box).data[0], sci)
    b = write(tmp_path / "b.fits", image_hdu(sky((3, 30, 40)), "CUBE"), image_hdu(first, "OTHER"))
    np.testing.assert_array_equal(Mosaic.open([b]).read(box).data[0], first)
    c = write(tmp_path / "c.fits", image_hdu(first, "SCI"), image_hdu(sci, "IMAGE"), INSTRUME="LSSTCam")
    np.testing.assert_array_equal(Mosaic.open([c]).read(box).data[0], sci)


def test_one_file_gives_several_bands(tmp_path):
    a, b = sky(seed=1), sky(seed=2)
    path = write(tmp_path / "a.fits", image_hdu(a, "SCI", FILTER="F606W"), image_hdu(b, "SCI", 2, FILTER="F814W"))
    mosaic = Mosaic.open([f"{path}[SCI,1]", f"{path}[sci, 2]", f"blue={path}[1]"])
    assert [(band.name, band.hdu) for band in mosaic.bands] == [("F606W", "SCI"), ("F814W", "SCI,2"), ("blue", "SCI")]
    np.testing.assert_array_equal(mosaic.read(Box(3, 9, 4, 20)).data, np.stack([a, b, a])[:, 3:9, 4:20])


def test_one_input_may_be_given_without_a_list(tmp_path):
    assert len(Mosaic.open(str(write(tmp_path / "a.fits", sky()))).bands) == 1


def test_a_plane_of_a_cube_is_chosen_with_a_second_bracket(tmp_path):
    data = sky((3, 30, 40))
    path = write(tmp_path / "a.fits", image_hdu(data, "CUBE"))
    mosaic = Mosaic.open([f"r={path}[CUBE][2]", f"g={path}[1][0]"])
    np.testing.assert_array_equal(mosaic.read(Box(0, 30, 0, 40)).data, data[[2, 0]])
    assert mosaic.bands[0].hdu == "CUBE][2"


def test_an_image_of_one_pixel(tmp_path):
    mosaic = Mosaic.open([write(tmp_path / "a.fits", np.array([[2.5]], "f4"))])
    assert mosaic.shape == (1, 1)
    assert mosaic.read(Box(0, 1, 0, 1)).data.tolist() == [[[2.5]]]


# --- refusals ---


def test_missing_file(tmp_path):
    assert refused(tmp_path / "no.fits[SCI]") == f"{tmp_path}/no.fits does not exist: check the name and the folder"


def test_no_input():
    assert "give at least one image" in refused()


def test_folder(tmp_path):
    assert refused(tmp_path) == f"{tmp_path} is a folder: give the image files in it by name"


def test_unreadable_file(tmp_path, monkeypatch):
    path = write(tmp_path / "a.fits", sky())

    def forbidden(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    assert refused(path) == f"{path} cannot be opened (Permission denied): check its permissions"


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"\0" * 5760])
def test_garbage(tmp_path, content):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    assert refused(path) == f"{path} is neither FITS nor an image that Pillow can read: is it damaged?"


@pytest.mark.parametrize(
    "content",
    [
        b"SIMPLE  =                    T",
        b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                   24".ljust(80) + b"END".ljust(2720),
        b"\x1f\x8b" + b"garbage" * 1000,
    ],
)
def test_broken_fits(tmp_path, content):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith(str(path))
    assert "damaged" in message or "holds no data" in message


def test_odd_pixel_type(tmp_path):
    path = write(tmp_path / "a.fits", sky())
    path.write_bytes(path.read_bytes().replace(b"BITPIX  =                  -32", b"BITPIX  =                   24"))
    assert refused(path) == f"{path}[0] has pixels of an unknown type (BITPIX = 24): write it with 32-bit floats"


@pytest.mark.parametrize("keep", [2881, 6000, 7679])
def test_truncated_file(tmp_path, keep):
    path = write(tmp_path / "a.fits", sky())
    path.write_bytes(path.read_bytes()[:keep])
    assert refused(path) == (
        f"{path}[0] is truncated: its header asks for 7680 bytes, the file has {keep}; copy it again"
    )


def test_truncated_compressed_file(tmp_path):
    path = write(tmp_path / "a.fits", fits.CompImageHDU(sky((100, 100))))
    path.write_bytes(path.read_bytes()[:-5760])
    assert f"{path}[1] is truncated" in refused(path)


def test_missing_padding_is_no_truncation(tmp_path):
    data = sky()
    path = write(tmp_path / "a.fits", data)
    path.write_bytes(path.read_bytes()[: 2880 + data.nbytes])
    np.testing.assert_array_equal(Mosaic.open([path]).read(Box(0, 30, 0, 40)).data[0], data)


def test_table(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])], name="CAT")
    path = write(tmp_path / "a.fits", table)
    assert refused(path) == f"{path} holds only tables, not an image: give the file of the mosaic"
    assert refused(f"{path}[CAT]") == f"{path}[CAT] is a table, not an image: choose another HDU, as in {path}[SCI]"
    assert "[0] is an HDU without data, not an image" in refused(f"{path}[0]")


def test_no_data_at_all(tmp_path):
    assert "holds no data, not an image" in refused(write(tmp_path / "a.fits"))


def test_spectrum(tmp_path):
    path = write(tmp_path / "a.fits", sky((30,)))
    assert refused(path) == f"{path}[0] has one axis, not the two of an image: choose another HDU, as in {path}[SCI]"


def test_cube(tmp_path):
    path = write(tmp_path / "a.fits", sky((3, 30, 40)))
    assert refused(path) == (
        f"{path}[0] is a cube of 40 x 30 x 3 pixels, not an image: choose a plane, {path}[0][0] to {path}[0][2], "
        "or another HDU"
    )
    assert refused(f"{path}[0][3]") == f"{path}[0] has no plane [3]: choose one of {path}[0][0] to {path}[0][2]"


@pytest.mark.parametrize("shape", [(0, 40), (30, 0)])
def test_no_pixels(tmp_path, shape):
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2})
    header.update(NAXIS1=shape[1], NAXIS2=shape[0])
    path = tmp_path / "a.fits"
    path.write_bytes(header.tostring().encode())
    assert f"{path}[0] has no pixels ({shape[1]} x {shape[0]}): write the image again" in refused(path)


def test_unknown_hdu(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])])
    path = write(tmp_path / "a.fits", image_hdu(sky(), "SCI"), image_hdu(sky(), "SCI", 2), table)
    assert refused(f"{path}[WHT]") == (
        f"{path} has no HDU [WHT]: choose one of [0] (empty), [SCI] (40 x 30), [SCI,2] (40 x 30), [3] (table)"
    )
    assert "has no HDU [SCI,3]" in refused(f"{path}[SCI,3]")
    assert "has no HDU [4]" in refused(f"{path}[4]")


def test_other_shape(tmp_path):
    a = write(tmp_path / "a.fits", sky())
    b = write(tmp_path / "b.fits", sky((30, 41)))
    assert refused(a, b) == (
        f"{b}[0] is 41 x 30 pixels, but {a}[0] is 40 x 30: resample the bands to one pixel grid first"
    )


def test_duplicate_names(tmp_path):
    a = write(tmp_path / "a.fits", image_hdu(sky(), "SCI"), FILTER="F606W")
    b = write(tmp_path / "b.fits", image_hdu(sky(), "SCI"), FILTER="F606W")
    assert refused(a, b) == (f"{a}[SCI] and {b}[SCI] are both called F606W: name the bands, as in NAME={b}")
    assert names(a, f"again={b}") == ["F606W", "again"]


def test_unknown_instrument(tmp_path):
    message = refused(write(tmp_path / "a.fits", sky()), instrument="hubbel")
    assert message == (
        "there is no instrument preset 'hubbel': choose one of hst, nircam, hsc, rubin, euclid, legacy, decam, or none"
    )


@pytest.mark.parametrize("key", ["BSCALE", "BZERO", "BLANK"])
def test_scaling_that_is_no_number(tmp_path, key):
    path = write(tmp_path / "a.fits", sky(dtype="i2"), OBJECT="x")
    path.write_bytes(path.read_bytes().replace(b"OBJECT  = 'x  ", f"{key:8}= 'x  ".encode()))
    assert refused(path) == f"{path}[0] has a {key} that is no number ('x'): mend its header"


@pytest.mark.parametrize(
    ("cards", "why"),
    [
        ({"CTYPE2": "DEC--SIN"}, "Inconsistent projection types (expected DEC--TAN, got DEC--SIN in CTYPE2)"),
        ({"CTYPE1": "GLON-TAN"}, "Inconsistent projection types (expected GLAT-TAN, got DEC--TAN in CTYPE2)"),
        (dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2"), 1e-5), "the axes of its pixels are parallel"),
        ({"CRVAL2": 100.0}, "No valid solution for latp for these values of phip, phi0, and theta0"),
    ],
)
def test_a_wcs_without_sense(tmp_path, cards, why):
    path = write(tmp_path / "a.fits", image_hdu(sky(), "SCI", **{**TAN, **cards}))
    assert refused(path) == (
        f"{path}[SCI] has a WCS that cannot be understood ({why}): mend it, or blank CTYPE1 and CTYPE2"
    )


# --- weights ---


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("WHT", "weight", 4.0),
        ("WEIGHT", "weight", 4.0),
        ("IVAR", "ivar", 4.0),
        ("ERR", "err", 1 / 16),
        ("RMS", "err", 1 / 16),
        ("SIGMA", "err", 1 / 16),
        ("VAR", "var", 0.25),
        ("VARIANCE", "var", 0.25),
    ],
)
def test_weights_in_the_same_file(tmp_path, name, kind, expected):
    noise = np.full((30, 40), 4, "f4")
    noise[0, :5] = [0, -1, np.nan, np.inf, -np.inf]
    path = write(tmp_path / "a.fits", image_hdu(sky(), "SCI"), image_hdu(noise, name))
    mosaic = Mosaic.open([path])
    source = mosaic.bands[0].weight_source
    assert (source.kind, source.hdu, source.path) == (kind, name, path)
    pixels = mosaic.read(Box(0, 30, 0, 40))
    assert pixels.ivar.dtype == np.float32
    assert pixels.ivar[0, 0, :5].tolist() == [0, 0, 0, 0, 0]
    assert not pixels.valid[0, 0, :5].any()
    assert np.unique(pixels.ivar[0][1:]) == [np.float32(expected)]
    assert pixels.valid[0][1:].all()


def test_weights_of_the_same_version_only(tmp_path):
    path = write(
        tmp_path / "a.fits",
        *(image_hdu(sky(), "SCI", 1), image_hdu(sky(), "SCI", 2), image_hdu(np.ones((30, 40), "f4"), "WHT", 2)),
    )
    mosaic = Mosaic.open([f"a={path}[SCI,1]", f"b={path}[SCI,2]"])
    assert [band.has_weight for band in mosaic.bands] == [False, True]
    pixels = mosaic.read(Box(0, 30, 0, 40))
    assert np.isnan(pixels.ivar[0]).all()
    assert pixels.valid.all()
    assert (pixels.ivar[1] == 1).all()


def test_weights_of_the_same_detector(tmp_path):
    one, two = np.full((30, 40), 1, "f4"), np.full((30, 40), 2, "f4")
    path = write(
        tmp_path / "a.fits",
        *(image_hdu(sky(), "1-1-E.SCI"), image_hdu(one, "1-1-E.RMS")),
        *(image_hdu(sky(), "1-1-F.SCI"), image_hdu(two, "1-1-F.RMS")),
    )
    mosaic = Mosaic.open([f"e={path}[1-1-E.SCI]", f"f={path}[1-1-F.SCI]"])
    assert [band.weight_source.hdu for band in mosaic.bands] == ["1-1-E.RMS", "1-1-F.RMS"]


@pytest.mark.parametrize(
    ("image", "companion", "kind"),
    [
        ("hlsp_goodss_f160w_v1_drz.fits", "hlsp_goodss_f160w_v1_wht.fits", "weight"),
        ("x_f606w_drc.fits", "x_f606w_rms.fits", "err"),
        ("x_sci.fits", "x_var.fits", "var"),
        ("x_SCI.fits", "x_WHT.fits", "weight"),
        ("x_img_g.fits", "x_err_g.fits", "err"),
        ("survey-123-image-r.fits", "survey-123-invvar-r.fits", "ivar"),
        ("galaxies.fits", "galaxies.weight.fits", "weight"),
        ("galaxies.fits", "galaxies_wht.fits", "weight"),
        ("galaxies.fits", "galaxies.weight.fits.gz", "weight"),
        ("galaxies.fits.fz", "galaxies.weight.fits.fz", "weight"),
        ("galaxies.fit", "galaxies_rms.fit", "err"),
    ],
)
def test_weights_in_a_file_beside(tmp_path, image, companion, kind):
    path = write(tmp_path / image, sky())
    write(tmp_path / companion, np.full((30, 40), 2, "i2"))
    write(tmp_path / "unrelated_wht.fits", sky((5, 5)))
    source = Mosaic.open([path]).bands[0].weight_source
    assert (source.path, source.kind) == (tmp_path / companion, kind)


def test_a_weight_map_beside_a_file_of_several_detectors(tmp_path):
    path = write(tmp_path / "a_sci.fits", image_hdu(sky(), "S1"), image_hdu(sky(), "S2"))
    write(tmp_path / "a_wht.fits", image_hdu(sky(), "S1"), image_hdu(np.full((30, 40), 3, "f4"), "S2"))
    mosaic = Mosaic.open([f"{path}[S2]"])
    assert (mosaic.read(Box(0, 30, 0, 40)).ivar == 3).all()


def test_weights_are_left_out_on_demand(tmp_path):
    path = write(tmp_path / "a.fits", image_hdu(sky(), "SCI"), image_hdu(sky(), "WHT"))
    mosaic = Mosaic.open([path], weights="none")
    assert not mosaic.bands[0].has_weight
    assert mosaic.read(Box(0, 30, 0, 40)).ivar is None


def test_weights_that_the_user_names(tmp_path):
    a = write(tmp_path / "a.fits", image_hdu(sky(), "SCI"), image_hdu(sky(), "WHT"))
    b = write(tmp_path / "b.fits", sky())
    noise = write(tmp_path / "depth.fits", image_hdu(np.full((30, 40), 2, "f4"), "N"), image_hdu(sky(), "ERR"))
    mosaic = Mosaic.open([a, b], weights=[f"rms={noise}[N]", None])
    assert [band.has_weight for band in mosaic.bands] == [True, False]
    assert (mosaic.read(Box(0, 30, 0, 40)).ivar[0] == 0.25).all()
    kinds = [
        Mosaic.open([b], weights=[text]).bands[0].weight_source.kind for text in (noise, f"{noise}[1]", f"var={noise}")
    ]
    assert kinds == ["err", "weight", "var"]


def test_weights_that_cannot_be_used(tmp_path):
    a = write(tmp_path / "a.fits", sky())
    small = write(tmp_path / "small.fits", sky((3, 4)))
    assert "1 weight maps were given for 2 bands: give one for each band" in refused(a, f"b={a}", weights=[small])
    assert f"depth={small} is no kind of weight: write one of wht, weight" in refused(a, weights=[f"depth={small}"])
    assert refused(a, weights=[small]) == (
        f"{small}[0] is 4 x 3 pixels, but the image it belongs to, {a}[0], is 40 x 30: "
        "give the right one with --weights, or leave it out with --weights none"
    )
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    assert f"{text} is no FITS file: give a FITS file here" in refused(a, weights=[text])


def test_a_weight_map_of_another_shape(tmp_path):
    path = write(tmp_path / "a.fits", image_hdu(sky(), "SCI"), image_hdu(sky((30, 41)), "WHT"))
    assert f"{path}[WHT] is 41 x 30 pixels, but the image it belongs to, {path}[SCI], is 40 x 30" in refused(path)


def test_errors_too_small_for_float32(tmp_path):
    path = write(tmp_path / "a.fits", image_hdu(sky(), "SCI"), image_hdu(np.full((30, 40), 1e-21, "f4"), "ERR"))
    with pytest.raises(StarnetError, match=r"\[ERR\] has pixels so small that 1/variance is beyond float32: scale"):
        Mosaic.open([path]).read(Box(0, 30, 0, 40))
