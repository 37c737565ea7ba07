//! Work on its way to the one thread that does it.
//!
//! The thread takes everything that waits at once; while it works, the next round
//! gathers by itself.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

struct State<T> {
    waiting: Vec<T>,
    /// The thread sleeps and needs to be woken.
    asleep: bool,
    closing: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { waiting: Vec::new(), asleep: false, closing: false };
        Queue { state: Mutex::new(state), wake: Condvar::new() }
    }
}

impl<T> Queue<T> {
    /// Hands over work; drops it when the thread is ending.
    pub(crate) fn push(&self, work: T) {
        let mut state = self.state.lock();
        if state.closing {
            return;
        }
        state.waiting.push(work);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Lets the thread look around although there may be no work.
    pub(crate) fn wake(&self) {
        // It may be about to sleep and has looked before.
        drop(self.state.lock());
        self.wake.notify_one();
    }

    /// Waits, but not longer than until the queue closes; whether it has.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.closing {
            self.wake.wait_for(&mut state, time);
        }
        state.closing
    }

    /// Takes no more work; what waits is still done.
    pub(crate) fn close(&self) {
        {
            let mut state = self.state.lock();
            state.closing = true;
            state.asleep = false;
        }
        self.wake.notify_one();
    }

    /// Takes no more work and drops what waits.
    pub(crate) fn abandon(&self) {
        self.close();
        drop(std::mem::take(&mut self.state.lock().waiting));
    }

    /// Waits for work and takes all of it; `false` when there will be none. Returns
    /// with nothing after `patience`, if it says any.
    pub(crate) fn take_all(
        &self,
        taken: &mut Vec<T>,
        patience: impl Fn() -> Option<Duration>,
    ) -> bool {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closing {
                return false;
            }
            state.asleep = true;
            match patience() {
                None => self.wake.wait(&mut state),
                Some(patience) => {
                    if self.wake.wait_for(&mut state, patience).timed_out() {
                        break;
                    }
                }
            }
        }
        state.asleep = false;
        std::mem::swap(&mut state.waiting, taken);
        true
    }
}
