//! Compound operations on one object, each atomic.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::cluster::{Cluster, Pool};
use super::library::{Api, Completion, Handle};
use super::{Errno, c_string};

/// Fail with ENOSPC or EDQUOT where librados would otherwise wait for space.
const FULL_TRY: c_int = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Comparison {
    Equal = 1,
    /// With the empty value: the key exists.
    Greater = 3,
}

/// Changes of one object that happen together, if every comparison holds.
pub(crate) struct WriteOp {
    api: &'static Api,
    raw: Handle,
    /// Where librados leaves each comparison's result.
    #[allow(clippy::vec_box)] // librados keeps their addresses
    results: Vec<Box<c_int>>,
}

// SAFETY: an operation is used by one thread at a time; nothing in it belongs to
// the thread that made it.
unsafe impl Send for WriteOp {}

fn pointer(bytes: &[u8]) -> *const c_char {
    bytes.as_ptr().cast()
}

impl WriteOp {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        // SAFETY: makes an empty operation.
        let raw = unsafe { (cluster.api.rados_create_write_op)() };
        WriteOp { api: cluster.api, raw, results: Vec::new() }
    }

    /// The object must not exist yet.
    pub(crate) fn create_exclusive(&mut self) {
        const EXCLUSIVE: c_int = 1;
        // SAFETY: a live operation; the category is unused.
        unsafe { (self.api.rados_write_op_create)(self.raw, EXCLUSIVE, ptr::null()) }
    }

    pub(crate) fn assert_exists(&mut self) {
        // SAFETY: a live operation.
        unsafe { (self.api.rados_write_op_assert_exists)(self.raw) }
    }

    /// Compares the value of an omap key; an absent one counts as empty. Results
    /// are numbered in the order of these calls.
    pub(crate) fn compare(&mut self, key: &[u8], comparison: Comparison, value: &[u8]) {
        let mut result = Box::new(0);
        // SAFETY: librados copies key and value; the result's box lives, at the
        // same address, until the operation is complete and released.
        unsafe {
            (self.api.rados_write_op_omap_cmp2)(
                self.raw,
                pointer(key),
                comparison as u8,
                pointer(value),
                key.len(),
                value.len(),
                &mut *result,
            );
        }
        self.results.push(result);
    }

    pub(crate) fn set<K: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, rows: &[(K, V)]) {
        if rows.is_empty() {
            return;
        }
        let keys: Vec<_> = rows.iter().map(|(key, _)| pointer(key.as_ref())).collect();
        let values: Vec<_> = rows.iter().map(|(_, value)| pointer(value.as_ref())).collect();
        let key_lens: Vec<_> = rows.iter().map(|(key, _)| key.as_ref().len()).collect();
        let value_lens: Vec<_> = rows.iter().map(|(_, value)| value.as_ref().len()).collect();
        // SAFETY: four arrays of the same length, which librados copies from.
        unsafe {
            (self.api.rados_write_op_omap_set2)(
                self.raw,
                keys.as_ptr(),
                values.as_ptr(),
                key_lens.as_ptr(),
                value_lens.as_ptr(),
                rows.len(),
            );
        }
    }

    pub(crate) fn remove_keys<K: AsRef<[u8]>>(&mut self, keys: &[K]) {
        if keys.is_empty() {
            return;
        }
        let pointers: Vec<_> = keys.iter().map(|key| pointer(key.as_ref())).collect();
        let lens: Vec<_> = keys.iter().map(|key| key.as_ref().len()).collect();
        // SAFETY: two arrays of the same length, which librados copies from.
        unsafe {
            (self.api.rados_write_op_omap_rm_keys2)(
                self.raw,
                pointers.as_ptr(),
                lens.as_ptr(),
                keys.len(),
            );
        }
    }

    pub(crate) fn set_xattr(&mut self, name: &std::ffi::CStr, value: &[u8]) {
        // SAFETY: a valid string and bytes, which librados copies.
        unsafe {
            (self.api.rados_write_op_setxattr)(
                self.raw,
                name.as_ptr(),
                pointer(value),
                value.len(),
            );
        }
    }

    /// Copies the data: milliseconds for the largest pieces.
    pub(crate) fn write_full(&mut self, data: &[u8]) {
        // SAFETY: bytes that librados copies.
        unsafe { (self.api.rados_write_op_write_full)(self.raw, pointer(data), data.len()) }
    }

    pub(crate) fn remove_object(&mut self) {
        // SAFETY: a live operation.
        unsafe { (self.api.rados_write_op_remove)(self.raw) }
    }

    /// Sends the operation. Dropping the receiver does not call it back. The
    /// permit is given back when the operation is complete.
    pub(crate) fn submit(
        self,
        pool: &Pool,
        object: &str,
        permit: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Written>, Errno> {
        let object = c_string(object)?;
        let raw = self.raw;
        let (reply, answer) = oneshot::channel();
        let completion = OnItsWay::start(self, reply, permit, pool.cluster.api, |completion| {
            // SAFETY: a live operation, pool and completion and a valid string,
            // which librados copies; the box that the completion names owns the
            // operation until the callback.
            unsafe {
                (pool.cluster.api.rados_aio_write_op_operate)(
                    raw,
                    pool.raw,
                    completion,
                    object.as_ptr(),
                    ptr::null(),
                    FULL_TRY,
                )
            }
        });
        completion.map(|()| answer)
    }
}

impl Drop for WriteOp {
    fn drop(&mut self) {
        // SAFETY: the operation was never sent or is complete.
        unsafe { (self.api.rados_release_write_op)(self.raw) }
    }
}

/// What became of a write operation.
pub(crate) struct Written {
    pub code: Result<i32, Errno>,
    /// Number of the first comparison that did not hold.
    pub failed_comparison: Option<usize>,
}

impl Operation for WriteOp {
    type Answer = Written;

    fn answer(self, code: i32) -> Written {
        let failed_comparison = self.results.iter().position(|r| **r == -Errno::CANCELED.0);
        Written { code: Errno::check(code), failed_comparison }
    }
}

/// Rows of an omap, or extended attributes.
pub(crate) type Values = Vec<(Bytes, Bytes)>;

/// Reads of one object at one moment. Each kind at most once.
pub(crate) struct ReadOp {
    api: &'static Api,
    raw: Handle,
    out: Box<Outputs>,
}

/// Where librados leaves what it read. The addresses must not change meanwhile.
struct Outputs {
    page: Handle,
    page_code: c_int,
    more: u8,
    keys: Handle,
    keys_code: c_int,
    xattrs: Handle,
    xattrs_code: c_int,
    data: Vec<u8>,
    data_len: usize,
    data_code: c_int,
    size: u64,
    modified: i64,
    stat_code: c_int,
}

// SAFETY: as for WriteOp.
unsafe impl Send for ReadOp {}

impl ReadOp {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        // SAFETY: makes an empty operation.
        let raw = unsafe { (cluster.api.rados_create_read_op)() };
        let out = Outputs {
            page: ptr::null_mut(),
            page_code: 0,
            more: 0,
            keys: ptr::null_mut(),
            keys_code: 0,
            xattrs: ptr::null_mut(),
            xattrs_code: 0,
            data: Vec::new(),
            data_len: 0,
            data_code: 0,
            size: 0,
            modified: 0,
            stat_code: 0,
        };
        ReadOp { api: cluster.api, raw, out: Box::new(out) }
    }

    /// Omap rows behind `after` whose keys begin with `prefix`, in order, at most
    /// `max` and at most what the OSD gives at once.
    pub(crate) fn page(&mut self, after: &[u8], prefix: &[u8], max: usize) -> Result<(), Errno> {
        assert!(self.out.page.is_null(), "one page an operation");
        let (after, prefix) = (c_string(after)?, c_string(prefix)?);
        let out = &mut *self.out;
        // SAFETY: valid strings that librados copies, and places in a box that
        // lives until the operation is complete.
        unsafe {
            (self.api.rados_read_op_omap_get_vals2)(
                self.raw,
                after.as_ptr(),
                prefix.as_ptr(),
                max as u64,
                &mut out.page,
                &mut out.more,
                &mut out.page_code,
            );
        }
        Ok(())
    }

    /// Omap rows with these keys, as far as they exist.
    pub(crate) fn keys<K: AsRef<[u8]>>(&mut self, keys: &[K]) {
        assert!(self.out.keys.is_null(), "one list of keys an operation");
        let pointers: Vec<_> = keys.iter().map(|key| pointer(key.as_ref())).collect();
        let lens: Vec<_> = keys.iter().map(|key| key.as_ref().len()).collect();
        let out = &mut *self.out;
        // SAFETY: two arrays of the same length that librados copies from, and
        // places as above.
        unsafe {
            (self.api.rados_read_op_omap_get_vals_by_keys2)(
                self.raw,
                pointers.as_ptr(),
                keys.len(),
                lens.as_ptr(),
                &mut out.keys,
                &mut out.keys_code,
            );
        }
    }

    pub(crate) fn xattrs(&mut self) {
        assert!(self.out.xattrs.is_null(), "attributes once an operation");
        let out = &mut *self.out;
        // SAFETY: places as above.
        unsafe {
            (self.api.rados_read_op_getxattrs)(self.raw, &mut out.xattrs, &mut out.xattrs_code);
        }
    }

    pub(crate) fn data(&mut self, offset: u64, len: usize) {
        assert!(self.out.data.is_empty(), "data once an operation");
        let out = &mut *self.out;
        out.data = vec![0; len];
        // SAFETY: a buffer of this length whose address stays, and places as above.
        unsafe {
            (self.api.rados_read_op_read)(
                self.raw,
                offset,
                len,
                out.data.as_mut_ptr().cast(),
                &mut out.data_len,
                &mut out.data_code,
            );
        }
    }

    pub(crate) fn stat(&mut self) {
        let out = &mut *self.out;
        // SAFETY: places as above.
        unsafe {
            (self.api.rados_read_op_stat)(
                self.raw,
                &mut out.size,
                &mut out.modified,
                &mut out.stat_code,
            );
        }
    }

    /// Sends the operation, as [`WriteOp::submit`] does.
    pub(crate) fn submit(
        self,
        pool: &Pool,
        object: &str,
        permit: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<Done, Errno>>, Errno> {
        let object = c_string(object)?;
        let raw = self.raw;
        let (reply, answer) = oneshot::channel();
        let completion = OnItsWay::start(self, reply, permit, pool.cluster.api, |completion| {
            // SAFETY: as in `WriteOp::submit`.
            unsafe {
                (pool.cluster.api.rados_aio_read_op_operate)(
                    raw,
                    pool.raw,
                    completion,
                    object.as_ptr(),
                    0,
                )
            }
        });
        completion.map(|()| answer)
    }
}

impl Drop for ReadOp {
    fn drop(&mut self) {
        // SAFETY: the operation was never sent or is complete; each iterator is
        // released once, here.
        unsafe {
            for omap in [self.out.page, self.out.keys] {
                if !omap.is_null() {
                    (self.api.rados_omap_get_end)(omap);
                }
            }
            if !self.out.xattrs.is_null() {
                (self.api.rados_getxattrs_end)(self.out.xattrs);
            }
            (self.api.rados_release_read_op)(self.raw);
        }
    }
}

impl Operation for ReadOp {
    type Answer = Result<Done, Errno>;

    /// Taking the results apart is left to whoever waits for them.
    fn answer(self, code: i32) -> Self::Answer {
        Errno::check(code).map(|_| Done(self))
    }
}

/// A read operation that succeeded.
pub(crate) struct Done(ReadOp);

impl Done {
    fn rows(&self, iterator: Handle) -> Values {
        let mut rows = Vec::new();
        if iterator.is_null() {
            return rows;
        }
        loop {
            let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
            let (mut key_len, mut value_len) = (0, 0);
            // SAFETY: a live iterator and places for its results.
            let code = unsafe {
                (self.0.api.rados_omap_get_next2)(
                    iterator,
                    &mut key,
                    &mut value,
                    &mut key_len,
                    &mut value_len,
                )
            };
            if code != 0 || key.is_null() {
                return rows;
            }
            // SAFETY: librados says that so many bytes lie there; they are copied
            // before the iterator moves.
            rows.push(unsafe { (copy(key, key_len), copy(value, value_len)) });
        }
    }

    /// Rows of the page, and whether there are more behind them.
    pub(crate) fn page(&self) -> (Values, bool) {
        (self.rows(self.0.out.page), self.0.out.more != 0)
    }

    pub(crate) fn keys(&self) -> Values {
        self.rows(self.0.out.keys)
    }

    pub(crate) fn xattrs(&self) -> Values {
        let mut values = Vec::new();
        if self.0.out.xattrs.is_null() {
            return values;
        }
        loop {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: a live iterator and places for its results.
            let code = unsafe {
                (self.0.api.rados_getxattrs_next)(
                    self.0.out.xattrs,
                    &mut name,
                    &mut value,
                    &mut len,
                )
            };
            if code != 0 || name.is_null() {
                return values;
            }
            // SAFETY: a C string, and so many bytes; both are copied before the
            // iterator moves.
            values.push(unsafe {
                let name = std::ffi::CStr::from_ptr(name).to_bytes();
                (Bytes::copy_from_slice(name), copy(value, len))
            });
        }
    }

    pub(crate) fn data(&mut self) -> Bytes {
        let mut data = std::mem::take(&mut self.0.out.data);
        data.truncate(self.0.out.data_len);
        data.into()
    }

    /// Length of the object in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.0.out.size
    }
}

/// # Safety
///
/// `len` bytes must lie at `at`, unless it is null.
unsafe fn copy(at: *const c_char, len: usize) -> Bytes {
    if at.is_null() || len == 0 {
        return Bytes::new();
    }
    // SAFETY: the caller's promise.
    Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(at.cast(), len) })
}

/// What librados works on and gives back when it is complete.
pub(super) trait Operation: Send {
    type Answer: Send;
    fn answer(self, code: i32) -> Self::Answer;
}

/// An operation between its submission and its callback.
pub(super) struct OnItsWay<O: Operation> {
    operation: O,
    reply: oneshot::Sender<O::Answer>,
    api: &'static Api,
    _permit: OwnedSemaphorePermit,
}

impl<O: Operation> OnItsWay<O> {
    pub(super) fn start(
        operation: O,
        reply: oneshot::Sender<O::Answer>,
        permit: OwnedSemaphorePermit,
        api: &'static Api,
        operate: impl FnOnce(Completion) -> c_int,
    ) -> Result<(), Errno> {
        let boxed = Box::new(OnItsWay { operation, reply, api, _permit: permit });
        let argument: *mut OnItsWay<O> = Box::into_raw(boxed);
        let mut completion = ptr::null_mut();
        // SAFETY: the argument is what the callback expects.
        let code = unsafe {
            (api.rados_aio_create_completion2)(
                argument.cast(),
                Some(Self::complete),
                &mut completion,
            )
        };
        let code = match Errno::check(code) {
            Ok(_) => operate(completion),
            Err(errno) => {
                // SAFETY: no completion knows the box.
                drop(unsafe { Box::from_raw(argument) });
                return Err(errno);
            }
        };
        Errno::check(code).map(|_| ()).inspect_err(|_| {
            // SAFETY: what was not accepted is never called back, so completion
            // and box are still ours.
            unsafe {
                (api.rados_aio_release)(completion);
                drop(Box::from_raw(argument));
            }
        })
    }

    unsafe extern "C" fn complete(completion: Completion, argument: *mut c_void) {
        // SAFETY: librados calls this once, with the box made in `start`.
        let done = unsafe { Box::from_raw(argument.cast::<OnItsWay<O>>()) };
        let OnItsWay { operation, reply, api, .. } = *done;
        // SAFETY: the completion is complete; librados keeps its own reference
        // beyond this call.
        let code = unsafe {
            let code = (api.rados_aio_get_return_value)(completion);
            (api.rados_aio_release)(completion);
            code
        };
        // Nobody may be waiting any more.
        let _ = reply.send(operation.answer(code));
    }
}
