//! Mesh background: statistics of boxes, completion of the mesh, and its expansion to pixels.
//!
//! The method is SExtractor's (Bertin & Arnouts 1996, A&AS 117, 393) with the statistics of `photutils.Background2D`: each
//! box of pixels is sigma-clipped and gives a level and an rms; boxes without enough sky are filled from their neighbours;
//! a median filter removes boxes spoiled by a source; a bicubic spline carries the mesh to the pixels.
//!
//! Pixels are float32. All arithmetic on them is in float64, in an order that is fixed by the box alone, so that
//! results depend neither on the threads nor on the extent of the image that a box is part of.

mod mesh;
mod sources;
mod statistics;

pub use mesh::{Spline, complete_mesh};
pub use sources::{dilate_square, mark_sources};
pub use statistics::{MeshStatistics, SigmaClip, mesh_statistics};
