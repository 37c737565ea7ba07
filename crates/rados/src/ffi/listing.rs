//! Names of all objects of a pool's namespace.

use std::ptr;

use super::Errno;
use super::cluster::Pool;
use super::library::Handle;

struct Listing<'a> {
    pool: &'a Pool,
    raw: Handle,
}

impl Drop for Listing<'_> {
    fn drop(&mut self) {
        // SAFETY: a live listing, closed once.
        unsafe { (self.pool.cluster.api.rados_nobjects_list_close)(self.raw) }
    }
}

impl Pool {
    /// Shows each object's name, in no useful order, until `visit` says no.
    /// Blocks.
    pub(crate) fn list(&self, mut visit: impl FnMut(&[u8]) -> bool) -> Result<(), Errno> {
        let api = self.cluster.api;
        let mut raw = ptr::null_mut();
        // SAFETY: a live pool and a place for the listing's handle.
        Errno::check(unsafe { (api.rados_nobjects_list_open)(self.raw, &mut raw) })?;
        let listing = Listing { pool: self, raw };
        loop {
            let (mut name, mut locator, mut namespace) = (ptr::null(), ptr::null(), ptr::null());
            let (mut name_len, mut locator_len, mut namespace_len) = (0, 0, 0);
            // SAFETY: a live listing and places for its results.
            let code = unsafe {
                (api.rados_nobjects_list_next2)(
                    listing.raw,
                    &mut name,
                    &mut locator,
                    &mut namespace,
                    &mut name_len,
                    &mut locator_len,
                    &mut namespace_len,
                )
            };
            match Errno::check(code) {
                Ok(_) => {}
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(errno),
            }
            // SAFETY: so many bytes lie there until the listing moves.
            let name = unsafe { std::slice::from_raw_parts(name.cast::<u8>(), name_len) };
            if !visit(name) {
                return Ok(());
            }
        }
    }
}
