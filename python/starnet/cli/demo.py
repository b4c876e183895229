"""`starnet demo`: a first run on real pixels, without any download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starnet.cli import options
from starnet.cli.progress import progress
from starnet.cli.report import print_run
from starnet.cli.segment import Model
from starnet.errors import StarnetError

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Directory for the image and the run.")]


def demo(
    output: Output = Path("demo"),
    *,
    model: Model = "tiny",
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Segment the Hubble eXtreme Deep Field, the JPEG that scikit-image ships."""
    from starnet import pipeline

    image = _save_image(output)
    with progress() as callback:
        result = pipeline.segment(
            [image], output / "run", model=model, threads=threads, overwrite=overwrite, progress=callback
        )
    print_run(result)


def _save_image(directory: Path) -> Path:
    """Write the deep field as PNG, so that a run reads what it always reads: a file."""
    try:
        from skimage.data import hubble_deep_field
    except ImportError:
        raise StarnetError("the demo's image comes with scikit-image: pip install 'starnet[demo]'") from None
    from starnet.outputs.png import write_png

    path = directory / "hubble_deep_field.png"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        write_png(path, hubble_deep_field())
    return path
