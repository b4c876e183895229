//! Rust source of the plans.
//!
//! A network of thousands of comparators is too long for the instruction cache as one function. The
//! lists of a plan are therefore kept in memory, in the cache's first level, and each is made by a call. What is
//! computed only for one list is computed in its function, up to a number of comparators. Those whose results nobody
//! reads are left out, so a function is one of (lengths, ranks that are read); lists that are made alike share it.

use std::collections::HashMap;
use std::fmt::Write;

use crate::asm::{Function, Machine, Place, Step};
use crate::layout::{OUT, PITCH};
use crate::net::{Gate, Net, Wire, merge_cost};
use crate::plan::{Id, Node, Plan};

/// Up to this size all of a tile is one function: it fits the registers well enough.
const FLAT: usize = 5;

/// The tile for windows of a size.
fn tile(size: usize) -> (usize, usize) {
    match size {
        ..6 => (2, 2),
        6..8 => (2, 4),
        8..15 => (4, 4),
        15..17 => (4, 8),
        _ => (8, 8),
    }
}

/// The source of all functions of these sizes, to be included where `V` and `Network` are defined.
pub fn source(sizes: &[usize], machine: &Machine) -> String {
    let mut writer = Writer { machine, functions: HashMap::new(), text: String::new() };
    let mut table = String::new();
    for &size in sizes {
        let plan = Plan::new(size, tile(size));
        let scratch = writer.program(&plan);
        let (th, tw) = plan.tile;
        let column = plan.column_length();
        let _ = writeln!(
            table,
            "Network {{ size: {size}, tile: ({th}, {tw}), column: {column}, scratch: {scratch}, \
             sort_columns: columns_{size}, run: tile_{size} }},"
        );
    }
    format!("{}pub(super) static NETWORKS: &[Network<V>] = &[\n{table}];\n", writer.text)
}

struct Writer<'a> {
    machine: &'a Machine,
    /// Numbers of the functions that are written, and what they spill.
    functions: HashMap<Function, (usize, usize)>,
    text: String,
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
fn kept(plan: &Plan, fused: usize) -> Vec<bool> {
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
                    let inner: usize = parts.iter().filter(|&&p| !kept[p]).map(|&p| costs[p]).sum();
                    kept[part] |= costs[part] > 0 && own + inner > fused;
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

impl Slot {
    fn length(&self) -> usize {
        self.read[self.read.len() - 1] - self.read[0] + 1
    }
}

/// What an argument points into.
#[derive(Clone, Copy, PartialEq)]
enum Base {
    Pixels,
    Columns,
    Kept(Id),
}

/// A function, what it is given, each from some place on, and the vectors that it spills.
struct Call {
    function: usize,
    arguments: Vec<(Base, usize)>,
    spilled: usize,
}

/// The place of an output.
fn output(plan: &Plan, list: Id) -> (usize, usize) {
    plan.outputs.iter().find(|output| output.1 == list).expect("an output").0
}

impl Writer<'_> {
    /// Writes the functions `columns_N` and `tile_N`, and returns the length of their scratch memory.
    fn program(&mut self, plan: &Plan) -> usize {
        let (size, (th, _)) = (plan.size, plan.tile);
        let kept = kept(plan, self.machine.fused);
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
            let places: Vec<usize> = if group.outputs {
                let places = group.roots.iter().map(|root| output(plan, *root)).collect::<Vec<_>>();
                places.iter().map(|(y, x)| (y - places[0].0) * OUT + x - places[0].1).collect()
            } else {
                let read = &slots[&group.roots[0]].read;
                read.iter().map(|i| i - read[0]).collect()
            };
            calls.push((step, self.function(plan, group, &live, &stores, &places)));
        }
        calls.reverse();

        // Spilled values lie at the start of the scratch memory, lists behind them.
        let spilled = calls.iter().map(|(_, call)| call.spilled).max().unwrap_or(0);
        let mut program = String::new();
        let mut free = Arena { free: vec![], end: spilled };
        for (step, call) in calls {
            let group = &groups[step];
            let _ = write!(program, "    f{}(", call.function);
            for argument in call.arguments {
                let _ = match argument {
                    (Base::Pixels, first) => write!(program, "t.add({first}), "),
                    (Base::Columns, first) => write!(program, "c.add({first}), "),
                    (Base::Kept(list), first) => {
                        let slot = &slots[&list];
                        write!(program, "s.add({}), ", slot.place + first - slot.read[0])
                    }
                };
            }
            let root = group.roots[0];
            let _ = if group.outputs {
                let (y, x) = output(plan, root);
                writeln!(program, "o.add({y} * OUT + {x}), s);")
            } else {
                let slot = slots.get_mut(&root).expect("was made");
                slot.place = free.take(slot.length());
                writeln!(program, "s.add({}), s);", slot.place)
            };
            for list in group.leaves.iter().filter(|list| kept[**list]) {
                if let Some(slot) = slots.get(list).filter(|slot| slot.last_use == step) {
                    free.give(slot.place, slot.length());
                }
            }
        }
        let _ = write!(
            self.text,
            "unsafe fn tile_{size}(t: *const V, c: *const V, s: *mut V, o: *mut V) {{\n{program}}}\n"
        );
        free.end.max(self.columns(plan, th))
    }

    /// The function that sorts the columns of a row of tiles; returns the vectors it spills.
    fn columns(&mut self, plan: &Plan, th: usize) -> usize {
        let (size, n) = (plan.size, plan.column_length());
        let column = Plan {
            nodes: vec![Node::Pixels { y: 0, x: 0, n, vertical: true }, Node::Sort(0)],
            lengths: vec![n, n],
            outputs: vec![],
            ..*plan
        };
        let group = Group::new(&column, &[false, true], vec![1], false);
        let stores = group.wires[&1].clone();
        let places: Vec<_> = (0..n).collect();
        let call = self.function(&column, &group, &group.net.live(&stores), &stores, &places);
        let _ = write!(
            self.text,
            "unsafe fn columns_{size}(t: *const V, c: *mut V, s: *mut V, n: usize) {{\n    \
             for x in 0..n {{ f{}(t.add({} + x), c.add(x * {n}), s); }}\n}}\n",
            call.function,
            (th - 1) * PITCH
        );
        call.spilled
    }

    /// The call of a function that computes `stores`, which is written unless there is one.
    fn function(&mut self, plan: &Plan, group: &Group, live: &[Wire], stores: &[Wire], places: &[usize]) -> Call {
        let mut inputs: Vec<(Wire, Base, usize)> = vec![];
        let mut arguments: Vec<(Base, usize)> = vec![];
        for &wire in live {
            let Gate::Input(leaf, index) = group.net.gates[wire] else { continue };
            let (base, offset) = match plan.nodes[group.leaves[leaf]] {
                Node::Pixels { y, x, vertical: false, .. } => (Base::Pixels, y * PITCH + x + index),
                Node::Pixels { y, x, vertical: true, .. } => (Base::Pixels, (y + index) * PITCH + x),
                Node::Column { x } => (Base::Columns, x * plan.column_length() + index),
                _ => (Base::Kept(group.leaves[leaf]), index),
            };
            inputs.push((wire, base, offset));
            match arguments.iter_mut().find(|argument| argument.0 == base) {
                Some((_, first)) => *first = offset.min(*first),
                None => arguments.push((base, offset)),
            }
        }
        // Wires are numbered anew, so that functions that do the same are the same.
        let number: HashMap<Wire, Wire> = live.iter().enumerate().map(|(i, &wire)| (wire, i)).collect();
        let place = |(wire, base, offset)| {
            let argument = arguments.iter().position(|argument| argument.0 == base).expect("an argument");
            (number[&wire], Place { argument, offset: offset - arguments[argument].1 })
        };
        let output = |(wire, &offset)| (number[wire], Place { argument: arguments.len(), offset });
        let mut steps: Vec<Step> = vec![];
        for (wire, &gate) in live.iter().enumerate() {
            let (operands, high) = match group.net.gates[gate] {
                Gate::Input(..) => continue,
                Gate::Min(a, b) => ([number[&a], number[&b]], 0),
                Gate::Max(a, b) => ([number[&a], number[&b]], 1),
            };
            match steps.last_mut() {
                Some(step) if step.operands == operands => {}
                _ => steps.push(Step { operands, results: [None; 2] }),
            }
            steps.last_mut().expect("was pushed").results[high] = Some(wire);
        }
        let function = Function {
            arguments: arguments.len() + 2,
            wires: live.len(),
            steps,
            inputs: inputs.into_iter().map(place).collect(),
            stores: stores.iter().zip(places).map(output).collect(),
        };
        if let Some(&(function, spilled)) = self.functions.get(&function) {
            return Call { function, arguments, spilled };
        }
        let (text, spilled) = function.text(self.machine);
        let next = self.functions.len();
        let pointers: String = (0..arguments.len()).map(|i| format!("_{i}: *const V, ")).collect();
        let _ = write!(
            self.text,
            "#[unsafe(naked)]\nunsafe extern \"sysv64\" fn f{next}({pointers}_o: *mut V, _s: *mut V) {{\n\
             core::arch::naked_asm!(\"{text}\")\n}}\n"
        );
        self.functions.insert(function, (next, spilled));
        Call { function: next, arguments, spilled }
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
