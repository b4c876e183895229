"""Readers of images: planes of FITS files and pictures, in windows, and what their headers say.

In the order in which they are built upon each other: `planes` (pixels of one image), `hdus` (which images a FITS file
holds), `headers` (filter, unit, zero point, WCS), `companions` (weight and quality planes), `rasters` (PNG, JPEG,
TIFF), `bands` (a band and all that belongs to it).
"""
