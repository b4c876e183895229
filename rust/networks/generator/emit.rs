//! Rust source of the plans.
//!
//! A network of thousands of comparators is slow to compile as one function, and too long for the instruction cache. The
//! lists of a plan are therefore kept in memory, in the cache's first level, and each is made by a call. What is
//! computed only for one list is computed in its function, up to `FUSED` comparators. Comparators whose results nobody
//! reads are left out, so a function is one of (lengths, ranks that are read); lists that are made alike share it.

use std::collections::HashMap;
use std::fmt::Write;

use crate::net::{Gate, Net, Wire, merge_cost};
use crate::plan::{Id, Node, Plan};

/// Comparators in one function at most, unless one merge alone has more.
const FUSED: usize = 120;
/// Up to this size all of a tile is one function: it fits the registers well enough.
const FLAT: usize = 5;

/// A window's side and the tile of outputs, (height, width), whose windows are computed together.
pub type Size = (usize, (usize, usize));

/// Sizes for vectors of 32 bits.
pub const SIZES: &[Size] = &[
    (2, (2, 2)),
    (3, (2, 2)),
    (4, (2, 2)),
    (5, (2, 2)),
    (6, (2, 4)),
    (7, (2, 4)),
    (8, (4, 4)),
    (9, (4, 4)),
    (10, (4, 4)),
    (11, (4, 4)),
    (12, (4, 4)),
    (13, (4, 4)),
    (14, (4, 4)),
    (15, (4, 8)),
    (16, (4, 8)),
    (17, (8, 8)),
    (19, (8, 8)),
    (20, (8, 8)),
    (21, (8, 8)),
    (25, (8, 8)),
];
/// For the other vectors.
pub const FEW_SIZES: &[Size] =
    &[(3, (2, 2)), (4, (2, 2)), (5, (2, 2)), (7, (2, 4)), (9, (4, 4)), (10, (4, 4)), (11, (4, 4)), (15, (4, 8))];
/// The source of all functions of these sizes, to be included where `V`, `min`, `max` and `Network` are defined.
pub fn source(sizes: &[Size], attribute: &str) -> String {
    let mut writer = Writer { attribute, ..Writer::default() };
    let mut table = String::new();
    for &(size, tile) in sizes {
        let plan = Plan::new(size, tile);
        let scratch = writer.program(&plan);
        let (th, tw) = tile;
        let column = plan.column_length();
        let _ = writeln!(
            table,
            "Network {{ size: {size}, tile: ({th}, {tw}), column: {column}, scratch: {scratch}, \
             sort_columns: columns_{size}, run: tile_{size} }},"
        );
    }
    let comparators = writer.gates;
    format!(
        "// {} functions, {comparators} minima and maxima.\n{}pub(super) static NETWORKS: &[Network<V>] = &[\n{table}];\n",
        writer.functions.len(),
        writer.text
    )
}

#[derive(Default)]
struct Writer<'a> {
    attribute: &'a str,
    /// Functions by signature and body.
    functions: HashMap<String, usize>,
    text: String,
    gates: usize,
}

/// Lists that one function makes.
struct Group {
    roots: Vec<Id>,
    outputs: bool,
    leaves: Vec<Id>,
    net: Net,
    wires: HashMap<Id, Vec<Wire>>,
}

/// A sorted list under its slices, and the part of it.
fn resolve(plan: &Plan, id: Id) -> (Id, std::ops::Range<usize>) {
    match &plan.nodes[id] {
        Node::Slice(list, range) => {
            let (list, whole) = resolve(plan, *list);
            (list, whole.start + range.start..whole.start + range.end)
        }
        _ => (id, 0..plan.lengths[id]),
    }
}

/// Which lists are kept in memory, since several others are made of them or their function would grow too long.
fn kept(plan: &Plan) -> Vec<bool> {
    let mut uses = vec![0; plan.nodes.len()];
    for node in &plan.nodes {
        if let Node::Merge(a, b) = node {
            uses[resolve(plan, *a).0] += 1;
            uses[resolve(plan, *b).0] += 1;
        }
    }
    let mut kept = vec![false; plan.nodes.len()];
    if plan.size <= FLAT {
        return kept;
    }
    let (mut costs, mut known) = (vec![0; plan.nodes.len()], HashMap::new());
    for (id, node) in plan.nodes.iter().enumerate() {
        match node {
            Node::Sort(_) => {
                let n = plan.lengths[id];
                costs[id] = (1..n).map(|i| i.ilog2() as usize + 1).sum();
            }
            Node::Merge(a, b) => {
                let own = merge_cost(plan.lengths[*a], plan.lengths[*b], &mut known);
                let mut parts = [resolve(plan, *a).0, resolve(plan, *b).0];
                parts.sort_by_key(|&part| std::cmp::Reverse(costs[part]));
                for part in parts {
                    let fused: usize = parts.iter().filter(|&&p| !kept[p]).map(|&p| costs[p]).sum();
                    kept[part] |= costs[part] > 0 && own + fused > FUSED;
                }
                costs[id] = own + parts.iter().filter(|&&p| !kept[p]).map(|&p| costs[p]).sum::<usize>();
            }
            _ => continue,
        }
        kept[id] = uses[id] > 1;
    }
    kept
}

impl Group {
    fn new(plan: &Plan, kept: &[bool], roots: Vec<Id>, outputs: bool) -> Self {
        let mut group = Self { roots, outputs, leaves: vec![], net: Net::default(), wires: HashMap::new() };
        for root in group.roots.clone() {
            let list = resolve(plan, root).0;
            group.make(plan, kept, list);
        }
        group
    }

    fn list(&mut self, plan: &Plan, kept: &[bool], id: Id) -> Vec<Wire> {
        let (list, range) = resolve(plan, id);
        if !self.wires.contains_key(&list) {
            if kept[list] || matches!(plan.nodes[list], Node::Pixels { .. } | Node::Column { .. }) {
                let leaf = self.leaves.len();
                self.leaves.push(list);
                let wires = (0..plan.lengths[list]).map(|i| self.net.input(leaf, i)).collect();
                self.wires.insert(list, wires);
            } else {
                self.make(plan, kept, list);
            }
        }
        self.wires[&list][range].to_vec()
    }

    fn make(&mut self, plan: &Plan, kept: &[bool], list: Id) {
        let wires = match plan.nodes[list] {
            Node::Sort(pixels) => {
                let pixels = self.list(plan, kept, pixels);
                self.net.sort(&pixels)
            }
            Node::Merge(a, b) => {
                let (a, b) = (self.list(plan, kept, a), self.list(plan, kept, b));
                self.net.merge(&a, &b)
            }
            _ => self.list(plan, kept, list),
        };
        self.wires.insert(list, wires);
    }
}

/// Where a kept list lies: indices that are read, and the place of the first.
#[derive(Clone, Default)]
struct Slot {
    read: Vec<usize>,
    place: usize,
    last_use: usize,
}

impl Writer<'_> {
    /// Writes the functions `columns_N` and `tile_N`, and returns the length of their scratch memory.
    fn program(&mut self, plan: &Plan) -> usize {
        let (size, (th, _)) = (plan.size, plan.tile);
        let kept = kept(plan);
        let mut groups: Vec<Group> =
            (0..plan.nodes.len()).filter(|&id| kept[id]).map(|id| Group::new(plan, &kept, vec![id], false)).collect();
        let together = if size <= FLAT { plan.outputs.len() } else { 2 };
        for outputs in plan.outputs.chunks(together) {
            groups.push(Group::new(plan, &kept, outputs.iter().map(|o| o.1).collect(), true));
        }
        groups.sort_by_key(|group| group.roots.iter().copied().max());

        // Backwards, since what is read of a list is known from those made of it.
        let mut slots: HashMap<Id, Slot> = HashMap::new();
        let mut calls = vec![];
        for (step, group) in groups.iter().enumerate().rev() {
            let mut stores = vec![];
            for &root in &group.roots {
                let (list, range) = resolve(plan, root);
                if group.outputs {
                    assert_eq!(range.len(), 1, "size {size}: an output is one value");
                    stores.push(group.wires[&list][range.start]);
                } else {
                    stores.extend(slots[&root].read.iter().map(|&i| group.wires[&root][i]));
                }
            }
            let live = group.net.live(&stores);
            for &wire in &live {
                if let Gate::Input(leaf, index) = group.net.gates[wire] {
                    let slot = slots.entry(group.leaves[leaf]).or_default();
                    if !slot.read.contains(&index) {
                        slot.read.push(index);
                    }
                    slot.last_use = slot.last_use.max(step);
                }
            }
            for slot in slots.values_mut() {
                slot.read.sort_unstable();
            }
            let places: Vec<String> = if group.outputs {
                let output = |root: &Id| plan.outputs.iter().find(|o| o.1 == *root).map(|o| o.0).expect("an output");
                let first = group.roots.first().map(output).expect("some output");
                let place = |(y, x): (usize, usize)| match (y - first.0, x - first.1) {
                    (0, x) => format!("{x}"),
                    (y, x) => format!("{y} * OUT + {x}"),
                };
                group.roots.iter().map(|root| place(output(root))).collect()
            } else {
                let read = &slots[&group.roots[0]].read;
                read.iter().map(|i| format!("{}", i - read[0])).collect()
            };
            calls.push((step, self.function(plan, group, &live, &stores, &places)));
        }
        calls.reverse();

        let mut program = String::new();
        let mut free = Arena::default();
        for (step, (function, leaves)) in calls {
            let group = &groups[step];
            let target = if group.outputs {
                let ((y, x), _) = plan.outputs.iter().find(|o| o.1 == group.roots[0]).expect("an output");
                format!("o.add({y} * OUT + {x})")
            } else {
                let root = group.roots[0];
                let read = &slots[&root].read;
                let place = free.take(read[read.len() - 1] - read[0] + 1);
                slots.get_mut(&root).expect("was made").place = place;
                format!("s.add({place})")
            };
            let _ = write!(program, "    f{function}(");
            for &(leaf, first) in &leaves {
                let list = group.leaves[leaf];
                let _ = match plan.nodes[list] {
                    Node::Pixels { y, x, .. } => write!(program, "t.add({y} * PITCH + {x}), "),
                    Node::Column { x } => write!(program, "c.add({}), ", x * plan.column_length() + first),
                    _ => write!(program, "s.add({}), ", slots[&list].place + first - slots[&list].read[0]),
                };
            }
            let _ = writeln!(program, "{target});");
            for &(leaf, _) in &leaves {
                let list = group.leaves[leaf];
                if kept[list] && slots[&list].last_use == step {
                    let slot = &slots[&list];
                    free.give(slot.place, slot.read[slot.read.len() - 1] - slot.read[0] + 1);
                }
            }
        }
        let _ = write!(
            self.text,
            "{}unsafe fn tile_{size}(t: *const V, c: *const V, {}s: *mut V, o: *mut V) {{\n{program}}}\n",
            self.attribute,
            if free.end == 0 { "_" } else { "" }
        );
        self.columns(plan, th);
        free.end
    }

    /// The function that sorts the columns of a row of tiles.
    fn columns(&mut self, plan: &Plan, th: usize) {
        let (size, n) = (plan.size, plan.column_length());
        let column = Plan {
            nodes: vec![Node::Pixels { y: 0, x: 0, n, vertical: true }, Node::Sort(0)],
            lengths: vec![n, n],
            outputs: vec![],
            ..*plan
        };
        let group = Group::new(&column, &[false, true], vec![1], false);
        let stores = group.wires[&1].clone();
        let places: Vec<_> = (0..n).map(|i| i.to_string()).collect();
        let (function, _) = self.function(&column, &group, &group.net.live(&stores), &stores, &places);
        let _ = write!(
            self.text,
            "{}unsafe fn columns_{size}(t: *const V, c: *mut V, n: usize) {{\n    \
             for x in 0..n {{ f{function}(t.add({} * PITCH + x), c.add(x * {n})); }}\n}}\n",
            self.attribute,
            th - 1
        );
    }

    /// The number of the function that computes `stores`; its arguments as leaf and first index.
    fn function(
        &mut self,
        plan: &Plan,
        group: &Group,
        live: &[Wire],
        stores: &[Wire],
        places: &[String],
    ) -> (usize, Vec<(usize, usize)>) {
        let mut first: HashMap<usize, usize> = HashMap::new();
        for &wire in live {
            if let Gate::Input(leaf, index) = group.net.gates[wire] {
                let entry = first.entry(leaf).or_insert(index);
                *entry = index.min(*entry);
            }
        }
        let mut leaves: Vec<usize> = first.keys().copied().collect();
        leaves.sort_unstable();
        for &leaf in &leaves {
            // Pixels are addressed from the list's first.
            if matches!(plan.nodes[group.leaves[leaf]], Node::Pixels { .. }) {
                first.insert(leaf, 0);
            }
        }
        let argument = |leaf: usize| leaves.iter().position(|&l| l == leaf).expect("a live leaf");

        let mut body = String::new();
        for i in 0..leaves.len() {
            let _ = write!(body, "a{i}: *const V, ");
        }
        body.push_str("o: *mut V) {\n");
        let mut names: HashMap<Wire, usize> = HashMap::new();
        let mut name = |wire: Wire, body: &mut String| -> usize {
            let next = names.len();
            if let Some(&name) = names.get(&wire) {
                return name;
            }
            names.insert(wire, next);
            if let Gate::Input(leaf, index) = group.net.gates[wire] {
                let vertical = matches!(plan.nodes[group.leaves[leaf]], Node::Pixels { vertical: true, .. });
                let pitch = if vertical { " * PITCH" } else { "" };
                let _ = writeln!(body, "    let v{next} = *a{}.add({}{pitch});", argument(leaf), index - first[&leaf]);
            }
            next
        };
        let mut gates = 0;
        for &wire in live {
            let (gate, a, b) = match group.net.gates[wire] {
                Gate::Input(..) => continue,
                Gate::Min(a, b) => ("min", a, b),
                Gate::Max(a, b) => ("max", a, b),
            };
            gates += 1;
            let (a, b) = (name(a, &mut body), name(b, &mut body));
            let result = name(wire, &mut body);
            let _ = writeln!(body, "    let v{result} = {gate}(v{a}, v{b});");
            for (_, place) in stores.iter().zip(places).filter(|(store, _)| **store == wire) {
                let _ = writeln!(body, "    *o.add({place}) = v{result};");
            }
        }
        for (&wire, place) in stores.iter().zip(places) {
            if matches!(group.net.gates[wire], Gate::Input(..)) {
                let v = name(wire, &mut body);
                let _ = writeln!(body, "    *o.add({place}) = v{v};");
            }
        }
        body.push_str("}\n");
        let next = self.functions.len();
        let arguments = leaves.iter().map(|&leaf| (leaf, first[&leaf])).collect();
        if let Some(&known) = self.functions.get(&body) {
            return (known, arguments);
        }
        self.gates += gates;
        let _ = write!(self.text, "#[inline(never)]\n{}unsafe fn f{next}({body}", self.attribute);
        self.functions.insert(body, next);
        (next, arguments)
    }
}

/// Scratch memory, given out first-fit.
#[derive(Default)]
struct Arena {
    /// Free places below the end, (place, length).
    free: Vec<(usize, usize)>,
    end: usize,
}

impl Arena {
    fn take(&mut self, n: usize) -> usize {
        if let Some(i) = self.free.iter().position(|&(_, length)| length >= n) {
            let (place, length) = self.free[i];
            self.free[i] = (place + n, length - n);
            self.free.retain(|&(_, length)| length > 0);
            return place;
        }
        self.end += n;
        self.end - n
    }

    fn give(&mut self, place: usize, n: usize) {
        self.free.push((place, n));
        self.free.sort_unstable();
        let mut joined: Vec<(usize, usize)> = vec![];
        for &(place, n) in &self.free {
            match joined.last_mut() {
                Some((start, length)) if *start + *length == place => *length += n,
                _ => joined.push((place, n)),
            }
        }
        self.free = joined;
    }
}
