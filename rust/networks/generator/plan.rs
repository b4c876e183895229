//! The plan of a size: which lists are sorted and merged for the medians of a tile of outputs.
//!
//! After L. Sugy, "Fast and exact median filter via hierarchical tiling" (2025), and A. Adams, "Fast median filters using
//! separable sorting networks" (2021). The windows of a tile share a core; its pixels are sorted once. The tile is halved
//! again and again, and the core grows by the columns or rows that all windows of a half have in common, until it is the
//! window of one output. Ranks that can no longer be the median are dropped on the way. Columns and rows outside the core
//! are kept sorted along it, and grow with it.

use std::ops::Range;

pub type Id = usize;

/// A list of values.
#[derive(Clone)]
pub enum Node {
    /// Pixels of the tile's surroundings from (y, x) on, not sorted.
    Pixels {
        y: usize,
        x: usize,
        n: usize,
        vertical: bool,
    },
    /// The pixels of column x over the core's rows, sorted beforehand since neighbouring tiles share them.
    Column {
        x: usize,
    },
    Sort(Id),
    Merge(Id, Id),
    /// Part of a sorted list.
    Slice(Id, Range<usize>),
}

/// The lists of a tile, each after those it is made of.
pub struct Plan {
    pub size: usize,
    /// Outputs in a tile, (height, width).
    pub tile: (usize, usize),
    pub nodes: Vec<Node>,
    /// Lengths of the lists.
    pub lengths: Vec<usize>,
    /// (y, x) of each output and the list whose one value it is; those of one halving side by side.
    pub outputs: Vec<((usize, usize), Id)>,
}

/// Values that may still be the median: a sorted list, the number of pixels that it stands for, and how many of them were
/// dropped below it.
#[derive(Clone)]
struct Core {
    list: Id,
    dropped: usize,
    pixels: usize,
}

/// The outputs that are left and the lists beside their core.
struct Part {
    y: Range<usize>,
    x: Range<usize>,
    core: Core,
    /// Sorted pieces of rows above and below the core, (y, list), and of columns beside it.
    rows: Vec<(usize, Id)>,
    columns: Vec<(usize, Id)>,
}

impl Plan {
    pub fn new(size: usize, tile: (usize, usize)) -> Self {
        let mut plan = Self { size, tile, nodes: vec![], lengths: vec![], outputs: vec![] };
        let (th, tw) = tile;
        let (core_x, core_y) = (tw - 1..size, th - 1..size);
        let outside = |core: &Range<usize>, n: usize| (0..core.start).chain(core.end..n);

        let lists = core_x.clone().map(|x| plan.push(Node::Column { x })).collect();
        let list = plan.merge_all(lists);
        let core = plan.prune(Core { list, dropped: 0, pixels: core_x.len() * core_y.len() });
        let rows = outside(&core_y, size + th - 1)
            .map(|y| (y, plan.sorted_pixels(y, core_x.start, core_x.len(), false)))
            .collect();
        let columns = outside(&core_x, size + tw - 1).map(|x| (x, plan.push(Node::Column { x }))).collect();
        plan.divide(Part { y: 0..th, x: 0..tw, core, rows, columns });
        plan
    }

    /// Rows of a presorted column.
    pub fn column_length(&self) -> usize {
        self.size - self.tile.0 + 1
    }

    fn push(&mut self, node: Node) -> Id {
        let length = match &node {
            Node::Pixels { n, .. } => *n,
            Node::Column { .. } => self.column_length(),
            &Node::Sort(list) => self.lengths[list],
            &Node::Merge(a, b) => self.lengths[a] + self.lengths[b],
            Node::Slice(_, range) => range.len(),
        };
        self.nodes.push(node);
        self.lengths.push(length);
        self.nodes.len() - 1
    }

    fn sorted_pixels(&mut self, y: usize, x: usize, n: usize, vertical: bool) -> Id {
        let pixels = self.push(Node::Pixels { y, x, n, vertical });
        self.push(Node::Sort(pixels))
    }

    fn merge_all(&mut self, mut lists: Vec<Id>) -> Id {
        while lists.len() > 1 {
            lists.sort_by_key(|&list| self.lengths[list]);
            let merged = self.push(Node::Merge(lists[0], lists[1]));
            lists.drain(..2);
            lists.push(merged);
        }
        lists[0]
    }

    /// Drops the ranks that cannot be the median, whatever the pixels that are still to come.
    fn prune(&mut self, core: Core) -> Core {
        let (all, median) = (self.size * self.size, self.size * self.size / 2);
        let lowest = median.saturating_sub(all - core.pixels).max(core.dropped);
        let highest = median.min(core.pixels - 1);
        let range = lowest - core.dropped..self.lengths[core.list].min(highest + 1 - core.dropped);
        if range == (0..self.lengths[core.list]) {
            return core;
        }
        Core { list: self.push(Node::Slice(core.list, range)), dropped: lowest, pixels: core.pixels }
    }

    /// The core with more pixels, in sorted lists.
    fn grow(&mut self, core: &Core, lists: Vec<Id>, pixels: usize) -> Core {
        let added = self.merge_all(lists);
        let list = self.push(Node::Merge(core.list, added));
        self.prune(Core { list, dropped: core.dropped, pixels: core.pixels + pixels })
    }

    fn divide(&mut self, part: Part) {
        let Part { y, x, core, rows, columns } = part;
        if (y.len(), x.len()) == (1, 1) {
            self.outputs.push(((y.start, x.start), core.list));
            return;
        }
        // The pixels that all windows of the outputs have in common.
        let common = |outputs: &Range<usize>| outputs.end - 1..outputs.start + self.size;
        let (core_y, core_x) = (common(&y), common(&x));
        let size = self.size;
        let halves = |outputs: &Range<usize>| {
            let middle = outputs.start.midpoint(outputs.end);
            // Each half, and the lines that its windows have in common besides the core.
            [
                (outputs.start..middle, middle - 1..outputs.end - 1),
                (middle..outputs.end, outputs.start + size..middle + size),
            ]
        };
        let take = |lines: &[(usize, Id)], new: &Range<usize>, within: Range<usize>| -> (Vec<Id>, Vec<(usize, Id)>) {
            let taken = lines.iter().filter(|(i, _)| new.contains(i)).map(|&(_, list)| list).collect();
            let left = lines.iter().filter(|(i, _)| !new.contains(i) && within.contains(i)).copied().collect();
            (taken, left)
        };
        if x.len() >= y.len() {
            for (x, new) in halves(&x) {
                let (taken, columns) = take(&columns, &new, x.start..x.end - 1 + size);
                let core = self.grow(&core, taken, new.len() * core_y.len());
                let mut longer = vec![];
                for &(y, row) in &rows {
                    let pixels = self.sorted_pixels(y, new.start, new.len(), false);
                    longer.push((y, self.push(Node::Merge(row, pixels))));
                }
                self.divide(Part { y: y.clone(), x, core, rows: longer, columns });
            }
        } else {
            for (y, new) in halves(&y) {
                let (taken, rows) = take(&rows, &new, y.start..y.end - 1 + size);
                let core = self.grow(&core, taken, new.len() * core_x.len());
                let mut longer = vec![];
                for &(x, column) in &columns {
                    let pixels = self.sorted_pixels(new.start, x, new.len(), true);
                    longer.push((x, self.push(Node::Merge(column, pixels))));
                }
                self.divide(Part { y, x: x.clone(), core, rows, columns: longer });
            }
        }
    }
}
