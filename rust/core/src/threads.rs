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

/// Runs `op` where rayon's parallel iterators use `threads` threads.
pub fn with_threads<R: Send>(threads: Option<usize>, op: impl FnOnce() -> R + Send) -> R {
    let n = match threads.unwrap_or_else(|| SETTING.load(Ordering::Relaxed)) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n.min(MOST_THREADS),
    };
    match pool(n) {
        Some(pool) => pool.install(op),
        None => op(),
    }
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
