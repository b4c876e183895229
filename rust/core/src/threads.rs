//! One thread setting for all kernels.
//!
//! Every kernel takes `threads: Option<usize>`: `None` is the process-wide setting ([`set_threads`]; all cores at first).
//! Pools are built once per size and kept, so that a call costs no thread start. A forked child, which inherits pools without
//! their threads, builds its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rayon::ThreadPool;

static SETTING: AtomicUsize = AtomicUsize::new(0);
/// Pools by process and number of threads.
type Pools = HashMap<(u32, usize), Arc<ThreadPool>>;

static POOLS: OnceLock<Mutex<Pools>> = OnceLock::new();

/// More threads than this are never started, whatever is asked for.
const MOST_THREADS: usize = 1024;

/// Sets the number of threads of kernels that are not told otherwise; 0 means all cores.
pub fn set_threads(n: usize) {
    SETTING.store(n, Ordering::Relaxed);
}

/// What a caller's `threads` means here and now.
pub(crate) fn number_of(threads: Option<usize>) -> usize {
    match threads.unwrap_or_else(|| SETTING.load(Ordering::Relaxed)) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n.min(MOST_THREADS),
    }
}

/// Runs `op` where rayon's parallel iterators use `threads` threads.
pub fn with_threads<R: Send>(threads: Option<usize>, op: impl FnOnce() -> R + Send) -> R {
    match pool(number_of(threads)) {
        Some(pool) => pool.install(op),
        None => op(),
    }
}

/// Does `work` on each of `items`, in any order, on `threads` threads, of which the caller's is one.
///
/// For what lasts little longer than it takes to wake a thread: the caller begins at once and whoever is free takes the
/// next item, so that nobody waits for one that wakes late; and one thread is the caller's, without any handing over.
pub(crate) fn for_each<I: Send, S>(
    threads: Option<usize>,
    items: Vec<I>,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I) + Sync,
) {
    let helpers = number_of(threads).min(items.len()).saturating_sub(1);
    let queue = Mutex::new(items.into_iter());
    let next = || queue.lock().unwrap_or_else(|e| e.into_inner()).next();
    let run = || {
        let mut scratch = scratch();
        while let Some(item) = next() {
            work(&mut scratch, item);
        }
    };
    match (helpers > 0).then(|| pool(helpers)).flatten() {
        Some(pool) => pool.in_place_scope(|scope| {
            (0..pool.current_num_threads()).for_each(|_| scope.spawn(|_| run()));
            run();
        }),
        None => run(),
    }
}

/// `value(scratch, i)` of all `i` below `n`, in their order, as [`for_each`] does it.
pub(crate) fn map<T: Send, S>(
    threads: Option<usize>,
    n: usize,
    scratch: impl Fn() -> S + Sync,
    value: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    let mut values: Vec<Option<T>> = (0..n).map(|_| None).collect();
    let piece = n.div_ceil(8 * number_of(threads)).clamp(1, 16);
    let pieces = (0..n).step_by(piece).zip(values.chunks_mut(piece)).collect();
    for_each(threads, pieces, scratch, |scratch, (first, piece)| {
        piece.iter_mut().zip(first..).for_each(|(v, i)| *v = Some(value(scratch, i)));
    });
    values.into_iter().flatten().collect()
}

/// A pool of `n` threads, or of fewer where the system refuses so many; `None` if it refuses any.
fn pool(n: usize) -> Option<Arc<ThreadPool>> {
    let mut pools = POOLS.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
    let process = std::process::id();
    if let Some(pool) = pools.get(&(process, n)) {
        return Some(Arc::clone(pool));
    }
    let sizes = std::iter::successors(Some(n), |n| Some(n / 2).filter(|&n| n > 0));
    let built = sizes.map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).thread_name(|i| format!("starnet-{i}")));
    let pool = Arc::new(built.filter_map(|builder| builder.build().ok()).next()?);
    pools.insert((process, n), Arc::clone(&pool));
    Some(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_their_order() {
        for (threads, n) in [(1, 0), (1, 9), (2, 1), (3, 1000), (5, 4)] {
            let scratches = AtomicUsize::new(0);
            let scratch = || scratches.fetch_add(1, Ordering::Relaxed);
            let values = map(Some(threads), n, scratch, |_, i| i * i);
            assert_eq!(values, (0..n).map(|i| i * i).collect::<Vec<_>>());
            assert!(scratches.into_inner() <= threads);
        }
    }

    #[test]
    fn one_thread_is_the_callers() {
        let here = std::thread::current().id();
        assert!(map(Some(1), 40, || (), |(), _| std::thread::current().id()).iter().all(|&id| id == here));
    }

    #[test]
    #[should_panic(expected = "item 7")]
    fn a_panic_reaches_the_caller() {
        for_each(Some(3), (0..20).collect(), || (), |(), i| assert!(i != 7, "item 7"));
    }
}
