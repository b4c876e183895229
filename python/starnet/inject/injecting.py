"""`inject`: simulated sources into the user's mosaic, and out of it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack
from numpy.typing import NDArray

from starnet import __version__
from starnet.atomic import replacing, write_json
from starnet.errors import StarnetError
from starnet.evaluate.labels import open_labels
from starnet.evaluate.matching import check_scipy
from starnet.evaluate.plots import check_matplotlib
from starnet.inject import images
from starnet.inject.recovery import recover
from starnet.inject.report import write_report
from starnet.inject.scene import Scene, default_range
from starnet.inject.sources import Magnitudes, Pool
from starnet.inject.summary import summarize
from starnet.inject.target import Target, adapt
from starnet.memory import peak_memory
from starnet.mosaic import Mosaic, Weights
from starnet.outputs.catalog_files import read_catalog
from starnet.pipeline import SegmentResult, segment
from starnet.pipeline.stages import Progress, Stopwatch, disk_full_explained
from starnet.recipe import Recipe
from starnet.simulate import Preset, shapes

PLAN = "injection-plan.json"


@dataclass(frozen=True)
class InjectResult:
    """What `inject` made.

    Attributes
    ----------
    directory : Path
        Where everything is.
    outputs : dict
        Paths by kind: table, figures, page.
    summary : dict
        The figures, as in ``injection.json``.
    finished_passes : int
        Passes that an earlier call had finished.
    seconds : dict
        Time by stage.
    peak_memory : int
        Bytes, of this process and of the largest segmentation.
    """

    directory: Path
    outputs: dict[str, Path]
    summary: dict[str, Any]
    finished_passes: int
    seconds: dict[str, float]
    peak_memory: int


def inject(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    passes: int = 20,
    density: float = 50.0,
    mag_range: tuple[float, float] | None = None,
    magnitudes: Magnitudes = "flat",
    band: str | None = None,
    preset: str | Preset | None = None,
    pixel_scale: float | None = None,
    zero_points: Mapping[str, float] | None = None,
    psf: Mapping[str, str | Path] | None = None,
    gain: Mapping[str, float] | None = None,
    seed: int = 1,
    resamples: int = 200,
    keep: bool = False,
    overwrite: bool = False,
    instrument: str | None = None,
    weights: Weights = None,
    progress: Progress | None = None,
    **segmentation: Any,
) -> InjectResult:
    """Paint simulated sources into a mosaic, segment it, and find out what became of them.

    Parameters
    ----------
    inputs : sequence of str or Path
        The bands, as for `starnet.pipeline.segment`.
    output : str or Path
        Directory, made if missing. A call that was interrupted goes on; with more passes than before, the finished ones
        are kept.
    passes : int
        Images that are made, with other sources in each.
    density : float
        Sources in a million pixels, in each pass: far fewer than the image has, so that they neither are each other's
        neighbours nor change the fitted sky.
    mag_range : tuple of float, optional
        AB mag, in the reference band, of the brightest and the faintest source; see
        `starnet.inject.scene.default_range`.
    magnitudes : {"flat", "counts"}
        As many sources at each magnitude, or as many as the preset's sky has.
    band : str, optional
        The reference band; the first by default.
    preset, pixel_scale, zero_points, psf
        As for `starnet.inject.target.adapt`.
    gain : mapping, optional
        Photo-electrons of one image unit, by band: sources then bring the noise of their photons.
    seed : int
        Of everything.
    resamples : int
        Draws of the bootstrap.
    keep : bool
        Keep the images with the injected sources.
    overwrite : bool
        Start anew.
    instrument, weights
        As for `starnet.mosaic.Mosaic.open`.
    progress : callable, optional
        Called with (stage, pixels done, all pixels).
    **segmentation
        Further arguments of `starnet.pipeline.segment`: the settings that are judged.

    Raises
    ------
    StarnetError
        For all that the user can mend.
    """
    check_scipy()
    check_matplotlib()
    shapes.transforms((1.0,))  # complains, before anything is made, if GalSim is missing
    mosaic = Mosaic.open(inputs, instrument=instrument, weights=weights)
    survey, notes = adapt(mosaic, preset=preset, pixel_scale=pixel_scale, zero_points=zero_points, psf=psf)
    names = [one.name for one in mosaic.bands]
    for name in [*([band] if band is not None else []), *(gain or {})]:
        if name not in names:
            raise StarnetError(f"the mosaic has no band {name}: choose from {', '.join(names)}")
    if mag_range is not None and not mag_range[0] < mag_range[1]:
        raise StarnetError(f"magnitudes {mag_range[0]:g} to {mag_range[1]:g}: give the brighter, smaller, one first")
    directory = Path(output)
    plan = {
        "starnet": __version__,
        "inputs": mosaic.fingerprint(),
        "survey": asdict(survey),
        "recipe": Recipe.identity(recipe) if (recipe := segmentation.get("recipe")) else None,
        "segmentation": {
            k: str(v) if isinstance(v, Path) else v for k, v in segmentation.items() if k not in ("threads", "memory")
        },
        "density": density,
        "mag_range": mag_range,
        "magnitudes": magnitudes,
        "band": band or names[0],
        "gain": dict(gain or {}),
        "seed": seed,
    }
    _open_directory(directory, plan, overwrite=overwrite)
    stopwatch = Stopwatch()
    opening: dict[str, Any] = {"instrument": instrument, "weights": weights}
    with stopwatch("original"):
        original = segment(inputs, directory / "original", **opening, **segmentation, progress=progress)
    recipe = Recipe.load(directory / "original" / "recipe.yaml")
    target = Target(mosaic, survey, recipe, names.index(band or names[0]))
    opening["weights"] = images.weights(mosaic)
    run = _Injection(target, directory, original, opening, segmentation, seed, keep, progress)
    mag_range = mag_range or default_range(target, seed)
    if not gain:
        notes.append("the sources bring no photon noise of their own: --gain BAND=ELECTRONS adds it")
    with disk_full_explained(directory):
        with stopwatch("mirrored"):
            mirrored = run.mirror()
        if mirrored is None:
            notes.append("only the recipe noise tells the sky's level: no image was turned over, for others")
        with stopwatch("passes"):
            pool = Pool.fill(target, mag_range, magnitudes, seed)
            number = max(1, round(density * mosaic.shape[0] * mosaic.shape[1] / 1e6))
            done = [run.go(pool, number, which, passes, gain or {}) for which in range(1, passes + 1)]
    detections = {key: sum(one.detections[key] for one in done) for key in done[0].detections}
    with stopwatch("figures"):
        table = vstack([one.table for one in done], metadata_conflicts="silent")
        summary = summarize(
            table,
            band=survey.bands[target.reference].name,
            shape=mosaic.shape,
            mag_range=mag_range,
            detections=detections,
            before=_magnitudes(target, original),
            mirrored=None if mirrored is None else _magnitudes(target, mirrored),
            resamples=resamples,
            seed=seed,
        ) | {
            "passes": passes,
            "density": density,
            "magnitudes": magnitudes,
            "seed": seed,
            "resamples": resamples,
            "preset": survey.name,
            "fwhm": target.fwhm(),
            "pixel_scale": survey.pixel_scale,
            "model": original.run["model"],
            "inputs": [str(path) for path in inputs],
            "notes": notes,
            "starnet": __version__,
        }
        outputs = _write(directory, table, summary)
    peak = max([peak_memory(), original.peak_memory, *(one.peak_memory for one in done)])
    return InjectResult(directory, outputs, summary, sum(one.was_finished for one in done), stopwatch.seconds, peak)


@dataclass(frozen=True)
class _Pass:
    """A finished pass."""

    table: Table
    detections: dict[str, int]
    peak_memory: int
    was_finished: bool


@dataclass(frozen=True)
class _Injection:
    """The passes of an injection."""

    target: Target
    directory: Path
    original: SegmentResult
    opening: dict[str, Any]
    segmentation: dict[str, Any]
    seed: int
    keep: bool
    progress: Progress | None

    def go(self, pool: Pool, number: int, which: int, passes: int, gain: Mapping[str, float]) -> _Pass:
        """Make a pass, or read what an earlier call made of it."""
        folder = self.directory / f"pass-{which:03d}"
        if (folder / "pass.json").exists():
            self._tell(which, passes, 1)
            return self._read(folder, 0, was_finished=True)
        scene = Scene(self.target, pool.choose(number, which))
        change = images.with_light(scene, gain, [self.seed, which])

        def tell(stage: str, part: int, whole: int) -> None:
            if stage == "segment":
                self._tell(which, passes, 0.9 * part / max(whole, 1))

        result = self._segment(folder, change, self.segmentation, tell)
        recovery = recover(
            scene,
            scene.look(),
            open_labels(self.original.directory),
            read_catalog(self.original.outputs["catalog"]),
            open_labels(result.directory),
            read_catalog(result.outputs["catalog"]),
            which=which,
        )
        write_table(recovery.table, folder / "recovered.fits")
        write_json(folder / "pass.json", recovery.detections | {"lost": recovery.lost})
        if not self.keep:
            shutil.rmtree(folder / "images")
        self._tell(which, passes, 1)
        return self._read(folder, result.peak_memory, was_finished=False)

    @staticmethod
    def _read(folder: Path, memory: int, *, was_finished: bool) -> _Pass:
        detections = json.loads((folder / "pass.json").read_text(encoding="utf-8"))
        return _Pass(Table.read(folder / "recovered.fits", mask_invalid=False), detections, memory, was_finished)

    def mirror(self) -> SegmentResult | None:
        """The original turned over, with the original's sky, noise and threshold; None for a recipe that has no sky."""
        if self.target.recipe.config.name != "noise":
            return None
        settings = {
            **self.segmentation,
            "noise": self.original.run["model"]["parameters"]["noise"],
            "recipe": self.original.directory / "recipe.yaml",
        }
        folder = self.directory / "mirrored"
        if (folder / "run" / "run.json").exists():
            return _finished(folder / "run", self.original)
        result = self._segment(folder, images.mirrored(self.target), settings, None)
        if not self.keep:
            shutil.rmtree(folder / "images")
        return result

    def _segment(
        self, folder: Path, change: images.Change, settings: dict[str, Any], progress: Progress | None
    ) -> SegmentResult:
        """Segment a changed copy of the mosaic."""
        kept = (folder / "images").is_dir()
        bands = images.write_copies(self.target.mosaic, folder / "images", change, "write", None)
        # A run goes on only where its images are still those it began with.
        overwrite = not kept and (folder / "run").exists()
        return segment(bands, folder / "run", **self.opening, **settings, overwrite=overwrite, progress=progress)

    def _tell(self, which: int, passes: int, part: float) -> None:
        if self.progress is not None:
            ny, nx = self.target.mosaic.shape
            self.progress("passes", round((which - 1 + part) * ny * nx), passes * ny * nx)


def _finished(directory: Path, like: SegmentResult) -> SegmentResult:
    """A run that was finished before, whose images are gone."""
    run = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    outputs = {kind: directory / path.name for kind, path in like.outputs.items()}
    return SegmentResult(directory, run["sources"], outputs, True, run["tiles"], run["seconds"], 0, run)


def _magnitudes(target: Target, result: SegmentResult) -> NDArray[np.float64]:
    """Isophotal magnitudes in the reference band; infinite where the flux is not positive."""
    catalog = read_catalog(result.outputs["catalog"])
    flux = np.asarray(catalog[f"flux_{target.preset.bands[target.reference].name}"], float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flux > 0, target.zero_point - 2.5 * np.log10(flux), np.inf)


def _open_directory(directory: Path, plan: dict[str, Any], *, overwrite: bool) -> None:
    """Make the directory, or check that it holds the same injection."""
    if directory.exists() and not directory.is_dir():
        raise StarnetError(f"output {directory} is a file: name a directory with -o")
    path = directory / PLAN
    plan = json.loads(json.dumps(plan))
    if overwrite and path.exists():
        for folder in directory.iterdir():
            if folder.name in ("original", "mirrored") or folder.name.startswith("pass-"):
                shutil.rmtree(folder)
        path.unlink()
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in plan if before.get(name) != plan[name]]
        if changed:
            raise StarnetError(
                f"{directory} holds an injection with other settings ({', '.join(changed)}): "
                "name another directory with -o, or add --overwrite"
            )
        return
    if directory.is_dir() and any(directory.iterdir()):
        raise StarnetError(f"{directory} exists and holds no injection: name another directory with -o")
    directory.mkdir(parents=True, exist_ok=True)
    write_json(path, plan)


def write_table(table: Table, path: Path) -> None:
    """Write the table of injected sources as FITS."""
    hdu = fits.table_to_hdu(table)
    hdu.name = "RECOVERED"
    with replacing(path) as partial:
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(partial, overwrite=True)


def _write(directory: Path, table: Table, summary: dict[str, Any]) -> dict[str, Path]:
    outputs = {
        "table": directory / "recovered.fits",
        "figures": directory / "injection.json",
        "page": directory / "injection.html",
    }
    write_table(table, outputs["table"])
    write_json(outputs["figures"], summary)
    write_report(table, summary, outputs["page"])
    return outputs
