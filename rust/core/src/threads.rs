//! One thread setting for all kernels.
//!
//! Every kernel takes `threads: Option<usize>`: `None` is the process-wide setting ([`set_threads`]; all cores at first).
//! Pools are built once per size and kept, so that a call costs no thread start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rayon::ThreadPool;

static SETTING: AtomicUsize = AtomicUsize::new(0);
static POOLS: OnceLock<Mutex<HashMap<usize, Arc<ThreadPool>>>> = OnceLock::new();

/// Sets the number of threads of kernels that are not told otherwise; 0 means all cores.
pub fn set_threads(n: usize) {
    SETTING.store(n, Ordering::Relaxed);
}

/// Runs `op` where rayon's parallel iterators use `threads` threads.
pub fn with_threads<R: Send>(threads: Option<usize>, op: impl FnOnce() -> R + Send) -> R {
    let n = match threads.unwrap_or_else(|| SETTING.load(Ordering::Relaxed)) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let pool = {
        let mut pools = POOLS.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
        Arc::clone(pools.entry(n).or_insert_with(|| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(n).thread_name(|i| format!("starnet-{i}"));
            Arc::new(builder.build().expect("thread pool: the system refuses new threads"))
        }))
    };
    pool.install(op)
}
