//! Notifications between the clients of one object.

use std::ffi::{CString, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::cluster::Pool;
use super::library::Api;
use super::ops::{OnItsWay, Operation};
use super::{Errno, c_string};

/// What a watcher is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// A notification's bytes; it waits for [`Watch::acknowledge`].
    Notified { id: u64, cookie: u64, data: Vec<u8> },
    /// The watch no longer works; a new one is needed.
    Broken(Errno),
}

/// Where the callbacks put what they hear.
struct Ear(mpsc::UnboundedSender<Told>);

/// A registered watch. Blocking to make and to drop.
pub(crate) struct Watch {
    pool: Arc<Pool>,
    object: CString,
    cookie: u64,
    ear: *mut Ear,
}

// SAFETY: the pointer is only used to free what it names.
unsafe impl Send for Watch {}
// SAFETY: as above.
unsafe impl Sync for Watch {}

impl Watch {
    /// Watches an object that exists. The watch is taken for dead by the cluster
    /// when it was silent for `timeout_s`.
    pub(crate) fn new(
        pool: Arc<Pool>,
        object: &str,
        timeout_s: u32,
        told: mpsc::UnboundedSender<Told>,
    ) -> Result<Watch, Errno> {
        let object = c_string(object)?;
        let ear = Box::into_raw(Box::new(Ear(told)));
        let mut cookie = 0;
        // SAFETY: a live pool, a valid string, and callbacks that expect `ear`,
        // which stays until the watch is gone and all callbacks have run.
        let code = unsafe {
            (pool.cluster.api.rados_watch3)(
                pool.raw,
                object.as_ptr(),
                &mut cookie,
                Some(notified),
                Some(broken),
                timeout_s,
                ear.cast(),
            )
        };
        match Errno::check(code) {
            Ok(_) => Ok(Watch { pool, object, cookie, ear }),
            Err(errno) => {
                // SAFETY: a watch that was not made calls nobody.
                drop(unsafe { Box::from_raw(ear) });
                Err(errno)
            }
        }
    }

    pub(crate) fn acknowledge(&self, id: u64, cookie: u64) {
        // SAFETY: a live pool and a valid string; no data.
        unsafe {
            (self.pool.cluster.api.rados_notify_ack)(
                self.pool.raw,
                self.object.as_ptr(),
                id,
                cookie,
                ptr::null(),
                0,
            );
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let api = self.pool.cluster.api;
        // SAFETY: the watch is ended and its callbacks are waited for before what
        // they use is freed. A callback that cannot be waited for leaves it be.
        unsafe {
            (api.rados_unwatch2)(self.pool.raw, self.cookie);
            if (api.rados_watch_flush)(self.pool.cluster.raw) == 0 {
                drop(Box::from_raw(self.ear));
            }
        }
    }
}

unsafe extern "C" fn notified(
    ear: *mut c_void,
    id: u64,
    cookie: u64,
    _notifier: u64,
    data: *mut c_void,
    len: usize,
) {
    // SAFETY: `ear` is the one given to the watch; so many bytes lie at `data`.
    let (ear, data) = unsafe {
        let data = match data.is_null() || len == 0 {
            true => Vec::new(),
            false => std::slice::from_raw_parts(data.cast::<u8>(), len).to_vec(),
        };
        (&*ear.cast::<Ear>(), data)
    };
    // Whoever listened may be gone.
    let _ = ear.0.send(Told::Notified { id, cookie, data });
}

unsafe extern "C" fn broken(ear: *mut c_void, _cookie: u64, code: c_int) {
    // SAFETY: as above.
    let ear = unsafe { &*ear.cast::<Ear>() };
    let _ = ear.0.send(Told::Broken(Errno(-code)));
}

/// A notification on its way: where librados leaves the watchers' answers.
struct Notification {
    api: &'static Api,
    answers: Box<(*mut std::ffi::c_char, usize)>,
}

// SAFETY: as for the other operations.
unsafe impl Send for Notification {}

/// What became of a notification.
#[derive(Debug)]
pub(crate) struct Heard {
    /// ETIMEDOUT when a watcher has not acknowledged within the time.
    pub outcome: Result<(), Errno>,
    /// Clients that watch, those among them that are silent; one that has several
    /// watches as many times.
    pub watchers: Vec<u64>,
}

impl Operation for Notification {
    type Answer = Heard;

    fn answer(self, code: i32) -> Heard {
        let (data, len) = *self.answers;
        let watchers = match data.is_null() || len == 0 {
            true => Vec::new(),
            // SAFETY: librados says that so many bytes lie there.
            false => watchers(unsafe { std::slice::from_raw_parts(data.cast(), len) }),
        };
        Heard { outcome: Errno::check(code).map(|_| ()), watchers }
    }
}

/// Clients in a notification's answers. As librados.h has it: the number of those who
/// acknowledged and of each its client, its watch and what it said; the number of
/// those who did not and of each its client and its watch.
fn watchers(mut answers: &[u8]) -> Vec<u64> {
    fn number<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (number, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*number)
    }
    let mut watchers = Vec::new();
    let mut read = || {
        for says_something in [true, false] {
            for _ in 0..u32::from_le_bytes(number(&mut answers)?) {
                watchers.push(u64::from_le_bytes(number(&mut answers)?));
                number::<8>(&mut answers)?;
                if says_something {
                    let len = u32::from_le_bytes(number(&mut answers)?);
                    answers = answers.get(len as usize..)?;
                }
            }
        }
        Some(())
    };
    // What is cut short names those who were read until there.
    let _ = read();
    watchers
}

impl Drop for Notification {
    fn drop(&mut self) {
        if !self.answers.0.is_null() {
            // SAFETY: librados allocated it and is told once.
            unsafe { (self.api.rados_buffer_free)(self.answers.0) }
        }
    }
}

impl Pool {
    /// Tells every watcher; done when all have acknowledged or the time is over.
    pub(crate) fn notify(
        &self,
        object: &str,
        data: &[u8],
        timeout_ms: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Heard>, Errno> {
        let api = self.cluster.api;
        let object = c_string(object)?;
        let mut notification = Notification { api, answers: Box::new((ptr::null_mut(), 0)) };
        let (answers, answers_len) =
            (&raw mut notification.answers.0, &raw mut notification.answers.1);
        let (reply, answer) = oneshot::channel();
        let completion = OnItsWay::start(notification, reply, permit, api, |completion| {
            // SAFETY: a live pool and completion, a valid string and bytes that
            // librados copies, and places in a box that lives until the callback.
            unsafe {
                (api.rados_aio_notify)(
                    self.raw,
                    object.as_ptr(),
                    completion,
                    data.as_ptr().cast(),
                    data.len() as c_int,
                    timeout_ms,
                    answers,
                    answers_len,
                )
            }
        });
        completion.map(|()| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::watchers;

    #[test]
    fn answers_name_those_who_spoke_and_those_who_were_silent() {
        let mut answers = Vec::new();
        answers.extend(2u32.to_le_bytes());
        for (client, said) in [(7u64, &b""[..]), (8, b"hey")] {
            answers.extend(client.to_le_bytes());
            answers.extend(99u64.to_le_bytes());
            answers.extend((said.len() as u32).to_le_bytes());
            answers.extend(said);
        }
        answers.extend(1u32.to_le_bytes());
        answers.extend(9u64.to_le_bytes());
        answers.extend(99u64.to_le_bytes());
        assert_eq!(watchers(&answers), [7, 8, 9]);
        assert_eq!(watchers(&[0; 8]), [0; 0]);
        for cut in 0..answers.len() {
            assert!(watchers(&answers[..cut]).len() <= 3);
        }
    }
}
