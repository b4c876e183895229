//! Functions of minima and maxima as x86 assembly.
//!
//! A network is straight-line code of one or two instructions, and long. An optimising compiler needs a minute for it and
//! spills more than it has to; here each function is put in an order that keeps few values alive, and the register that is
//! given up is the one that is needed last (L. Belady 1966), what lies in memory anyway before what must be stored.

use std::fmt::Write;

use crate::net::Wire;

/// A kind of vector.
#[derive(Clone, Copy)]
pub struct Machine {
    /// Letter of its registers.
    pub letter: char,
    /// Registers that values may be in.
    pub registers: usize,
    pub bytes: usize,
    pub load: &'static str,
    /// Whether it has [`PAIR`]; without, [`COMPARE`] and blends.
    pub pair: bool,
    /// Comparators in one function at most, unless one merge alone has more.
    pub fused: usize,
}

/// To be replaced by the instructions of a type.
pub const PAIR: [&str; 2] = ["MIN", "MAX"];

/// AVX2 has no minima of 64 bits: a mask of where the first is the greater, in the last register.
const COMPARE: &str = "vpcmpgtq ymm15";

/// Registers that hold the arguments; those from the seventh on come on the stack.
const ARGUMENTS: [&str; 9] = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "r10", "r11"];

/// Vectors from an argument on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub argument: usize,
    pub offset: usize,
}

/// The minimum and the maximum of two wires, or one of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    pub operands: [Wire; 2],
    pub results: [Option<Wire>; 2],
}

/// What a function computes, of the wires from 0 to `wires`.
#[derive(PartialEq, Eq, Hash)]
pub struct Function {
    pub arguments: usize,
    pub wires: usize,
    pub steps: Vec<Step>,
    pub inputs: Vec<(Wire, Place)>,
    pub stores: Vec<(Wire, Place)>,
}

impl Function {
    /// Its instructions, and how many vectors of memory it needs at the last argument.
    pub fn text(&self, machine: &Machine) -> (String, usize) {
        let (made, wanted) = (self.steps.clone(), self.on_demand());
        let orders = [self.frugal(&made), self.frugal(&wanted), made, wanted];
        let texts = orders.map(|steps| Registers::new(self, machine, &steps).run(&steps));
        let best = texts.into_iter().min_by_key(|registers| registers.cost).expect("four");
        (best.text, best.spilled)
    }

    /// The steps that use each wire.
    fn uses(&self, steps: &[Step]) -> Vec<Vec<usize>> {
        let mut uses = vec![vec![]; self.wires];
        for (i, step) in steps.iter().enumerate() {
            step.operands.iter().for_each(|&wire| uses[wire].push(i));
        }
        uses
    }

    /// Each step right before the first that needs it.
    fn on_demand(&self) -> Vec<Step> {
        let mut makers = vec![None; self.wires];
        for (i, step) in self.steps.iter().enumerate() {
            step.results.iter().flatten().for_each(|&wire| makers[wire] = Some(i));
        }
        let (mut done, mut order) = (vec![false; self.steps.len()], vec![]);
        for &(wire, _) in &self.stores {
            let mut stack: Vec<_> = makers[wire].into_iter().collect();
            while let Some(&i) = stack.last() {
                let missing =
                    self.steps[i].operands.iter().filter_map(|&wire| makers[wire]).find(|&maker| !done[maker]);
                if let Some(missing) = missing {
                    stack.push(missing);
                    continue;
                }
                stack.pop();
                if !std::mem::replace(&mut done[i], true) {
                    order.push(self.steps[i]);
                }
            }
        }
        order
    }

    /// Of the steps that can be taken, always the one after which the fewest values are alive, and of these the first.
    fn frugal(&self, steps: &[Step]) -> Vec<Step> {
        let users = self.uses(steps);
        let mut left: Vec<usize> = users.iter().map(Vec::len).collect();
        let mut alive = vec![false; self.wires];
        let mut missing = vec![2; steps.len()];
        let (mut ready, mut order) = (vec![], vec![]);
        let arrive = |wire: Wire, missing: &mut [usize], ready: &mut Vec<usize>| {
            for &i in &users[wire] {
                missing[i] -= 1;
                if missing[i] == 0 {
                    ready.push(i);
                }
            }
        };
        self.inputs.iter().for_each(|&(wire, _)| arrive(wire, &mut missing, &mut ready));
        while !ready.is_empty() {
            let growth = |&at: &usize| {
                let Step { operands, results } = steps[ready[at]];
                let mut growth = 0;
                for wire in operands {
                    growth += i32::from(!alive[wire]) - i32::from(left[wire] == 1);
                }
                for wire in results.into_iter().flatten() {
                    growth += i32::from(left[wire] > 0);
                }
                (growth, ready[at])
            };
            let best = (0..ready.len()).min_by_key(growth).expect("some are ready");
            let step = steps[ready.swap_remove(best)];
            for wire in step.operands {
                alive[wire] = true;
                left[wire] -= 1;
            }
            for wire in step.results.into_iter().flatten() {
                alive[wire] = true;
                arrive(wire, &mut missing, &mut ready);
            }
            order.push(step);
        }
        order
    }
}

/// Who is where while a function is written.
struct Registers<'a> {
    machine: &'a Machine,
    /// Steps that use a wire, the next one last.
    uses: Vec<Vec<usize>>,
    holders: Vec<Option<Wire>>,
    memory: Vec<Option<Place>>,
    stores: &'a [(Wire, Place)],
    now: usize,
    /// The last argument, where spilled values go, and its free places.
    spill: usize,
    free: Vec<usize>,
    spilled: usize,
    text: String,
    cost: usize,
}

impl<'a> Registers<'a> {
    fn new(function: &'a Function, machine: &'a Machine, steps: &[Step]) -> Self {
        let mut uses = function.uses(steps);
        uses.iter_mut().for_each(|uses| uses.reverse());
        let mut memory = vec![None; function.wires];
        function.inputs.iter().for_each(|&(wire, place)| memory[wire] = Some(place));
        Self {
            machine,
            uses,
            holders: vec![None; machine.registers],
            memory,
            stores: &function.stores,
            now: 0,
            spill: function.arguments - 1,
            free: vec![],
            spilled: 0,
            text: String::new(),
            cost: 0,
        }
    }

    fn run(mut self, steps: &[Step]) -> Self {
        for (i, register) in ARGUMENTS[..=self.spill].iter().enumerate().skip(6) {
            let _ = writeln!(self.text, "mov {register}, [rsp+{}]", 8 * (i - 5));
        }
        for &(wire, place) in self.stores {
            if self.memory[wire].is_none() {
                continue;
            }
            let register = self.fetch(wire, &[]);
            self.store(register, place);
            self.drop_unused(wire);
        }
        for (now, step) in steps.iter().enumerate() {
            self.now = now;
            self.step(step);
        }
        self.text.push_str("ret\n");
        self
    }

    fn step(&mut self, step: &Step) {
        let [mut a, mut b] = step.operands;
        if self.holder(a).is_none() && (self.holder(b).is_some() || self.next_use(a, 1) > self.next_use(b, 1)) {
            (a, b) = (b, a);
        }
        let first = self.fetch(a, &[b]);
        let vacant = self.holders.iter().filter(|holder| holder.is_none()).count();
        let both = step.results[0].is_some() && step.results[1].is_some();
        let again = self.next_use(b, 1) < usize::MAX;
        if !self.machine.pair || (both || again) && vacant >= 2 {
            self.fetch(b, &[a]);
        }
        let second = self.holder(b);
        let operand = second.map_or_else(|| self.address(b), |r| self.name(r));
        if !self.machine.pair {
            self.write(1, format_args!("{COMPARE}, {}, {operand}", self.name(first)));
        }
        let results: Vec<_> = step.results.iter().enumerate().filter_map(|(i, r)| r.map(|wire| (i, wire))).collect();
        let mut keep = vec![a, b];
        for (n, &(high, wire)) in results.iter().enumerate() {
            if n + 1 == results.len() {
                for operand in [a, b] {
                    self.uses[operand].pop();
                    self.drop_unused(operand);
                }
            }
            let register = self.vacate(&keep);
            let (to, a) = (self.name(register), self.name(first));
            match (self.machine.pair, high) {
                (true, _) => self.write(1, format_args!("{} {to}, {a}, {operand}", PAIR[high])),
                (false, 0) => self.write(1, format_args!("vblendvpd {to}, {a}, {operand}, ymm15")),
                (false, _) => self.write(1, format_args!("vblendvpd {to}, {operand}, {a}, ymm15")),
            }
            self.holders[register] = Some(wire);
            let stores = self.stores;
            for &(_, place) in stores.iter().filter(|store| store.0 == wire) {
                self.store(register, place);
                self.memory[wire] = Some(place);
            }
            self.drop_unused(wire);
            keep.push(wire);
        }
        // Not before the operand was read: another value could have been spilled there.
        for operand in [a, b] {
            if let (usize::MAX, Some(place)) = (self.next_use(operand, 0), self.memory[operand])
                && place.argument == self.spill
            {
                self.free.push(place.offset);
            }
        }
    }

    /// The register of a wire, and it is loaded if it is in none.
    fn fetch(&mut self, wire: Wire, keep: &[Wire]) -> usize {
        if let Some(register) = self.holder(wire) {
            return register;
        }
        let register = self.vacate(keep);
        let (to, from) = (self.name(register), self.address(wire));
        self.write(1, format_args!("{} {to}, {from}", self.machine.load));
        self.holders[register] = Some(wire);
        register
    }

    /// A free register, if need be that of the wire that is needed last.
    fn vacate(&mut self, keep: &[Wire]) -> usize {
        if let Some(register) = self.holders.iter().position(Option::is_none) {
            return register;
        }
        let late = |&register: &usize| {
            let wire = self.holders[register].expect("none is free");
            let rank = if self.memory[wire].is_some() { 3 } else { 2 };
            if keep.contains(&wire) { 0 } else { rank * (self.next_use(wire, 0) - self.now + 1) }
        };
        let register = (0..self.holders.len()).max_by_key(late).expect("there are registers");
        let wire = self.holders[register].take().expect("none is free");
        if self.memory[wire].is_none() {
            let offset = self.free.pop().unwrap_or(self.spilled);
            self.spilled = self.spilled.max(offset + 1);
            let place = Place { argument: self.spill, offset };
            self.memory[wire] = Some(place);
            self.store(register, place);
        }
        register
    }

    /// Frees the register of a wire that no step uses any more.
    fn drop_unused(&mut self, wire: Wire) {
        if self.next_use(wire, 0) == usize::MAX
            && let Some(register) = self.holder(wire)
        {
            self.holders[register] = None;
        }
    }

    /// The step that uses a wire, after the next `n` uses; none is the end.
    fn next_use(&self, wire: Wire, n: usize) -> usize {
        self.uses[wire].iter().rev().nth(n).map_or(usize::MAX, |&step| step)
    }

    fn holder(&self, wire: Wire) -> Option<usize> {
        self.holders.iter().position(|&holder| holder == Some(wire))
    }

    fn name(&self, register: usize) -> String {
        format!("{}mm{register}", self.machine.letter)
    }

    fn address(&self, wire: Wire) -> String {
        self.at(self.memory[wire].expect("a wire that is in no register is in memory"))
    }

    fn at(&self, place: Place) -> String {
        format!("[{}+{}]", ARGUMENTS[place.argument], place.offset * self.machine.bytes)
    }

    fn store(&mut self, register: usize, place: Place) {
        let (to, from) = (self.at(place), self.name(register));
        self.write(3, format_args!("{} {to}, {from}", self.machine.load));
    }

    fn write(&mut self, cost: usize, instruction: std::fmt::Arguments<'_>) {
        self.cost += cost;
        let _ = writeln!(self.text, "{instruction}");
    }
}
