//! Hashing of many bodies at once, off the threads that serve connections.
//!
//! Whoever has some bytes to hash hands them over with the digester. A few
//! blocking threads take them, and each hashes up to four bodies in step (see
//! [`super::md5`]). No piece waits for others to join it: one that comes while
//! others are hashed joins them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Digester;
use super::md5::{BLOCK_BYTES, LANES, Md5, blocks_of_several};

/// Bytes of each body between two looks for others that have come.
const STEP_BYTES: usize = 16 * 1024;

/// Pieces of a body on their way to its digester.
struct Job {
    digester: Box<Digester>,
    pieces: VecDeque<Bytes>,
    /// All but the MD5 is computed.
    only_md5: bool,
    reply: oneshot::Sender<Box<Digester>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Those that wait and those at work.
    jobs: usize,
    /// Threads at work.
    threads: usize,
}

pub(crate) struct Hasher {
    state: Mutex<State>,
    cores: usize,
}

impl Hasher {
    pub(crate) fn new() -> Arc<Hasher> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Hasher { state: Mutex::default(), cores })
    }

    /// How many threads should be at work. Bodies in step cost less, and each takes
    /// longer than alone. So they are alone while half of the cores are enough.
    fn threads_wanted(&self, jobs: usize) -> usize {
        jobs.div_ceil(LANES).max(jobs.min(self.cores / 2)).min(self.cores)
    }

    /// Hashes pieces; the digester comes back by the receiver.
    pub(crate) fn update(
        self: &Arc<Self>,
        digester: Box<Digester>,
        pieces: Vec<Bytes>,
    ) -> oneshot::Receiver<Box<Digester>> {
        let (reply, digested) = oneshot::channel();
        let mut state = self.state.lock();
        state.waiting.push_back(Job { digester, pieces: pieces.into(), only_md5: false, reply });
        state.jobs += 1;
        if state.threads < self.threads_wanted(state.jobs) {
            state.threads += 1;
            let thread = AtWork { hasher: self.clone(), has_left: false };
            drop(state);
            tokio::task::spawn_blocking(move || thread.work());
        }
        digested
    }

    fn work(&self) {
        let mut jobs: Vec<Job> = Vec::with_capacity(LANES);
        let mut ended = 0;
        while self.take(&mut jobs, ended) {
            let before = jobs.len();
            jobs = jobs.into_iter().filter_map(Job::until_blocks).collect();
            ended = before - jobs.len();
            if let Some(blocks) = jobs.iter().map(Job::whole_blocks).min() {
                step(&mut jobs, (blocks * BLOCK_BYTES).min(STEP_BYTES));
            }
        }
    }

    /// Fills up with what waits; `false` when the thread is to leave because there
    /// is nothing, or because the others can do what there is.
    fn take(&self, jobs: &mut Vec<Job>, ended: usize) -> bool {
        {
            let mut state = self.state.lock();
            state.jobs -= ended;
            if state.threads > self.threads_wanted(state.jobs) {
                state.waiting.extend(jobs.drain(..));
                state.threads -= 1;
                return false;
            }
            let count = state.waiting.len().min(LANES - jobs.len());
            jobs.extend(state.waiting.drain(..count));
        }
        for job in jobs.iter_mut().filter(|job| !job.only_md5) {
            job.pieces.iter().for_each(|piece| job.digester.update_all_but_md5(piece));
            job.only_md5 = true;
        }
        true
    }
}

impl Job {
    /// Goes on to where whole blocks lie in one piece; answers when there are none.
    fn until_blocks(mut self) -> Option<Job> {
        while let Some(piece) = self.pieces.front_mut() {
            let mut rest = &piece[..];
            let blocks = self.digester.md5.begin_blocks(&mut rest);
            piece.advance(piece.len() - rest.len());
            if blocks > 0 {
                return Some(self);
            }
            self.pieces.pop_front();
        }
        // Whoever asked may be gone.
        let _ = self.reply.send(self.digester);
        None
    }

    fn whole_blocks(&self) -> usize {
        self.pieces.front().map_or(0, |piece| piece.len() / BLOCK_BYTES)
    }
}

/// Hashes so many bytes of each body.
fn step(jobs: &mut [Job], len: usize) {
    let streams = jobs.iter_mut().filter_map(|job| {
        let piece = job.pieces.front()?;
        Some((&mut job.digester.md5, &piece[..len]))
    });
    let mut streams: Vec<(&mut Md5, &[u8])> = streams.collect();
    match &mut streams[..] {
        [(md5, blocks)] => md5.blocks(blocks),
        several => blocks_of_several(several),
    }
    for piece in jobs.iter_mut().filter_map(|job| job.pieces.front_mut()) {
        piece.advance(len);
    }
}

/// One thread's work. Makes room for another thread if it ends by a panic.
struct AtWork {
    hasher: Arc<Hasher>,
    has_left: bool,
}

impl AtWork {
    fn work(mut self) {
        self.hasher.work();
        self.has_left = true;
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if !self.has_left {
            self.hasher.state.lock().threads -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::checksum::Algorithm;

    /// Bodies of all lengths at once, in pieces of all lengths.
    #[tokio::test(flavor = "multi_thread")]
    async fn equals_a_digester_alone() {
        let hasher = Hasher::new();
        let mut tasks = Vec::new();
        for seed in 0..60 {
            let hasher = hasher.clone();
            tasks.push(tokio::spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed);
                let longest = [100, 10_000, 1_000_000][seed as usize % 3];
                let mut data = vec![0; rng.random_range(0..longest)];
                rng.fill(&mut data[..]);
                let mut alone = Digester::new(Algorithm::ALL);
                alone.update(&data);
                let mut digester = Box::new(Digester::new(Algorithm::ALL));
                let mut rest = Bytes::from(data);
                while !rest.is_empty() {
                    let mut pieces = Vec::new();
                    while !rest.is_empty() && pieces.len() < 5 {
                        let len = rng.random_range(0..=rest.len().min(longest / 4));
                        pieces.push(rest.split_to(len));
                    }
                    digester = hasher.update(digester, pieces).await.unwrap();
                }
                let (one, other) = (alone.finish(), digester.finish());
                assert_eq!((one.md5, one.crc64, one.len), (other.md5, other.crc64, other.len));
                assert_eq!(one.others, other.others);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        // The threads leave after they have answered.
        let left = || {
            let state = hasher.state.lock();
            state.waiting.len() + state.jobs + state.threads
        };
        for _ in 0..1000 {
            if left() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} jobs or threads are left", left());
    }
}
