//! Comparator networks: sorting and merging by minima and maxima alone.

use std::collections::HashMap;

/// A value: an input or the result of an operation.
pub type Wire = usize;

/// What makes a wire.
#[derive(Clone, Copy)]
pub enum Gate {
    /// Element of a leaf: (leaf, index).
    Input(usize, usize),
    Min(Wire, Wire),
    Max(Wire, Wire),
}

/// Gates in the order of their computation.
#[derive(Default)]
pub struct Net {
    pub gates: Vec<Gate>,
}

impl Net {
    pub fn input(&mut self, leaf: usize, index: usize) -> Wire {
        self.gates.push(Gate::Input(leaf, index));
        self.gates.len() - 1
    }

    fn compare(&mut self, a: Wire, b: Wire) -> [Wire; 2] {
        let n = self.gates.len();
        self.gates.extend([Gate::Min(a, b), Gate::Max(a, b)]);
        [n, n + 1]
    }

    /// Sorts by merging halves.
    pub fn sort(&mut self, list: &[Wire]) -> Vec<Wire> {
        if list.len() < 2 {
            return list.to_vec();
        }
        let (low, high) = list.split_at(list.len() / 2);
        let (low, high) = (self.sort(low), self.sort(high));
        self.merge(&low, &high)
    }

    /// Batcher's odd-even merge of sorted lists of any lengths (Knuth, The Art of Computer Programming 3, 5.3.4).
    pub fn merge(&mut self, a: &[Wire], b: &[Wire]) -> Vec<Wire> {
        match (a, b) {
            ([], rest) | (rest, []) => return rest.to_vec(),
            (&[a], &[b]) => return self.compare(a, b).to_vec(),
            _ => {}
        }
        let every_other =
            |list: &[Wire], first: usize| -> Vec<Wire> { list.iter().skip(first).step_by(2).copied().collect() };
        let even = self.merge(&every_other(a, 0), &every_other(b, 0));
        let odd = self.merge(&every_other(a, 1), &every_other(b, 1));
        let mut merged = vec![even[0]];
        let pairs = odd.len().min(even.len() - 1);
        for i in 0..pairs {
            let pair = self.compare(odd[i], even[i + 1]);
            merged.extend(pair);
        }
        merged.extend(&even[pairs + 1..]);
        merged.extend(&odd[pairs..]);
        merged
    }

    /// The gates that `outputs` depend on, in an order that keeps few values alive: each output's own as late as can be.
    pub fn live(&self, outputs: &[Wire]) -> Vec<Wire> {
        let mut seen = vec![false; self.gates.len()];
        for &wire in outputs {
            seen[wire] = true;
        }
        for wire in (0..self.gates.len()).rev() {
            if let (true, Gate::Min(a, b) | Gate::Max(a, b)) = (seen[wire], self.gates[wire]) {
                (seen[a], seen[b]) = (true, true);
            }
        }
        (0..self.gates.len()).filter(|&wire| seen[wire]).collect()
    }
}

/// Number of comparators that merge lists of these lengths.
pub fn merge_cost(p: usize, q: usize, known: &mut HashMap<(usize, usize), usize>) -> usize {
    *known.entry((p, q)).or_insert_with(|| {
        let mut net = Net::default();
        let a: Vec<_> = (0..p).map(|i| net.input(0, i)).collect();
        let b: Vec<_> = (0..q).map(|i| net.input(1, i)).collect();
        net.merge(&a, &b);
        (net.gates.len() - p - q) / 2
    })
}
