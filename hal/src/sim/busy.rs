//! A machine whose cores are full.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Two threads that reckon for each core, until dropped.
#[derive(Debug)]
pub struct BusyCores {
    running: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl BusyCores {
    /// Begins to reckon.
    pub fn start() -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let reckon = |_| {
            let running = Arc::clone(&running);
            thread::spawn(move || {
                let mut sum = 0u64;
                while running.load(Ordering::Relaxed) {
                    sum = black_box(sum.wrapping_mul(31).wrapping_add(7));
                }
            })
        };
        let count = 2 * thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..count).map(reckon).collect();
        Self { running, threads }
    }
}

impl Drop for BusyCores {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It only reckons.
            drop(thread.join());
        }
    }
}
