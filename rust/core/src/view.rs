//! Strided views of images.

use std::marker::PhantomData;

/// A read-only image `(ny, nx)`, any strides (in elements, possibly negative).
#[derive(Debug)]
pub struct View2<'a, T> {
    ptr: *const T,
    shape: (usize, usize),
    strides: (isize, isize),
    life: PhantomData<&'a [T]>,
}

impl<T> Clone for View2<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for View2<'_, T> {}

// SAFETY: a `View2` is a shared borrow of `T`s; sharing it is sharing `&[T]`.
unsafe impl<T: Sync> Send for View2<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for View2<'_, T> {}

impl<'a, T> View2<'a, T> {
    /// A view of a contiguous row-major slice.
    ///
    /// # Panics
    /// If the slice does not hold `shape.0 * shape.1` elements.
    pub fn from_slice(data: &'a [T], shape: (usize, usize)) -> Self {
        assert_eq!(data.len(), shape.0 * shape.1, "slice and shape disagree");
        Self { ptr: data.as_ptr(), shape, strides: (shape.1 as isize, 1), life: PhantomData }
    }

    /// A view from raw parts.
    ///
    /// # Safety
    /// For every `y < shape.0`, `x < shape.1`, the element at `ptr + y * strides.0 + x * strides.1` must be valid for
    /// reads, aligned, and not written to during `'a`.
    pub unsafe fn from_raw(ptr: *const T, shape: (usize, usize), strides: (isize, isize)) -> Self {
        Self { ptr, shape, strides, life: PhantomData }
    }

    /// `(ny, nx)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// The row as a slice, where the pixels of a row lie side by side.
    pub fn row(&self, y: usize) -> Option<&'a [T]> {
        assert!(y < self.shape.0, "row {y} of {}", self.shape.0);
        if self.strides.1 != 1 && self.shape.1 > 1 {
            return None;
        }
        // SAFETY: `y` is inside, and with unit stride the row's `shape.1` elements are consecutive (contract of `from_raw`).
        Some(unsafe { std::slice::from_raw_parts(self.ptr.offset(y as isize * self.strides.0), self.shape.1) })
    }
}

impl<T: Copy> View2<'_, T> {
    /// The pixel at `(y, x)`.
    #[inline]
    pub fn get(&self, y: usize, x: usize) -> T {
        assert!(y < self.shape.0 && x < self.shape.1, "({y}, {x}) outside {:?}", self.shape);
        // SAFETY: inside the shape (contract of `from_raw`).
        unsafe { *self.ptr.offset(y as isize * self.strides.0 + x as isize * self.strides.1) }
    }

    /// Copies row `y` into `out`, whatever the strides.
    pub fn copy_row(&self, y: usize, out: &mut [T]) {
        match self.row(y) {
            Some(row) => out.copy_from_slice(row),
            None => out.iter_mut().enumerate().for_each(|(x, o)| *o = self.get(y, x)),
        }
    }
}

/// A writable image `(ny, nx)` whose rows are contiguous; rows may lie apart.
#[derive(Debug)]
pub struct ViewMut2<'a, T> {
    ptr: *mut T,
    shape: (usize, usize),
    row_stride: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: a `ViewMut2` is a unique borrow of `T`s, like `&mut [T]`.
unsafe impl<T: Send> Send for ViewMut2<'_, T> {}

impl<'a, T> ViewMut2<'a, T> {
    /// A view of a contiguous row-major slice.
    ///
    /// # Panics
    /// If the slice does not hold `shape.0 * shape.1` elements.
    pub fn from_slice(data: &'a mut [T], shape: (usize, usize)) -> Self {
        assert_eq!(data.len(), shape.0 * shape.1, "slice and shape disagree");
        Self { ptr: data.as_mut_ptr(), shape, row_stride: shape.1, life: PhantomData }
    }

    /// A view from raw parts.
    ///
    /// # Safety
    /// The rows `ptr + y * row_stride .. + shape.1`, `y < shape.0`, must be valid for reads and writes, must not overlap,
    /// and must not be touched through anything else during `'a`.
    pub unsafe fn from_raw(ptr: *mut T, shape: (usize, usize), row_stride: usize) -> Self {
        Self { ptr, shape, row_stride, life: PhantomData }
    }

    /// `(ny, nx)`.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// One row.
    pub fn row_mut(&mut self, y: usize) -> &mut [T] {
        assert!(y < self.shape.0, "row {y} of {}", self.shape.0);
        // SAFETY: `y` is inside (contract of `from_raw`), and `&mut self` makes the borrow unique.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(y * self.row_stride), self.shape.1) }
    }

    /// A row and the next.
    pub fn two_rows_mut(&mut self, y: usize) -> [&mut [T]; 2] {
        assert!(y + 1 < self.shape.0, "rows {y} and {} of {}", y + 1, self.shape.0);
        // SAFETY: both are inside and do not overlap (contract of `from_raw`), and `&mut self` holds them.
        [y, y + 1].map(|y| unsafe { std::slice::from_raw_parts_mut(self.ptr.add(y * self.row_stride), self.shape.1) })
    }

    /// The blocks between these cuts (ascending, from 0 to the end of the axis), row by row, to be filled in parallel.
    ///
    /// # Panics
    /// If the cuts are not such.
    pub fn blocks_mut(&mut self, ys: &[usize], xs: &[usize]) -> Vec<ViewMut2<'_, T>> {
        for (cuts, n) in [(ys, self.shape.0), (xs, self.shape.1)] {
            let covers = cuts.first() == Some(&0) && cuts.last() == Some(&n) && cuts.is_sorted();
            assert!(covers, "cuts {cuts:?} do not cover an axis of {n}");
        }
        let block = |y: &[usize], x: &[usize]| ViewMut2 {
            // Wrapping, since an empty last block may start beyond the end of the pixels.
            ptr: self.ptr.wrapping_add(y[0] * self.row_stride + x[0]),
            shape: (y[1] - y[0], x[1] - x[0]),
            row_stride: self.row_stride,
            life: PhantomData,
        };
        ys.windows(2).flat_map(|y| xs.windows(2).map(move |x| block(y, x))).collect()
    }

    /// Strips of this many rows, with their first, to be filled in parallel.
    ///
    /// # Panics
    /// If that is none.
    pub fn strips_mut(&mut self, rows: usize) -> Vec<(usize, ViewMut2<'_, T>)> {
        let (ny, nx) = self.shape;
        let starts: Vec<_> = (0..ny).step_by(rows).collect();
        let cuts: Vec<_> = starts.iter().copied().chain([ny]).collect();
        let strips = if ny == 0 { vec![] } else { self.blocks_mut(&cuts, &[0, nx]) };
        starts.into_iter().zip(strips).collect()
    }

    /// All rows, to be filled in parallel.
    pub fn rows_mut(&mut self) -> Vec<&mut [T]> {
        (0..self.shape.0)
            // SAFETY: rows do not overlap (contract of `from_raw`), each is borrowed once, and `&mut self` holds them all.
            .map(|y| unsafe { std::slice::from_raw_parts_mut(self.ptr.add(y * self.row_stride), self.shape.1) })
            .collect()
    }
}
