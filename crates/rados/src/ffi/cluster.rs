//! The connection to a cluster, and pools of it.

use std::path::Path;
use std::ptr;
use std::sync::Arc;

use super::library::{Api, Handle, LoadError, api};
use super::{Errno, c_string};

/// One client of a cluster. Dropping the last reference disconnects.
pub(crate) struct Cluster {
    pub(super) api: &'static Api,
    pub(super) raw: Handle,
}

// SAFETY: librados' cluster handle is made for use by many threads.
unsafe impl Send for Cluster {}
// SAFETY: as above.
unsafe impl Sync for Cluster {}

/// What [`Cluster::connect`] was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    User,
    ConfigFile,
    Setting,
    Connect,
}

#[derive(Debug)]
pub(crate) enum ConnectError {
    Load(LoadError),
    Failed(Stage, Errno),
}

impl Cluster {
    /// Connects as `user` (`client.name`). Blocks, up to the time that the
    /// settings allow.
    pub(crate) fn connect(
        conf: &Path,
        user: &str,
        settings: &[(&str, String)],
    ) -> Result<Arc<Cluster>, ConnectError> {
        let failed = |stage| move |errno| ConnectError::Failed(stage, errno);
        let api = api().map_err(ConnectError::Load)?;
        let user = c_string(user).map_err(failed(Stage::User))?;
        let path =
            c_string(conf.as_os_str().as_encoded_bytes()).map_err(failed(Stage::ConfigFile))?;
        let mut raw = ptr::null_mut();
        // SAFETY: the strings are valid for the call, `raw` is a place for the handle.
        let code = unsafe { (api.rados_create2)(&mut raw, c"ceph".as_ptr(), user.as_ptr(), 0) };
        Errno::check(code).map_err(failed(Stage::User))?;
        // Shuts the handle down on every way out from here, connected or not.
        let cluster = Cluster { api, raw };
        // SAFETY: a live handle and a valid string.
        let code = unsafe { (api.rados_conf_read_file)(raw, path.as_ptr()) };
        Errno::check(code).map_err(failed(Stage::ConfigFile))?;
        for (name, value) in settings {
            let (name, value) = (
                c_string(*name).map_err(failed(Stage::Setting))?,
                c_string(value.as_str()).map_err(failed(Stage::Setting))?,
            );
            // SAFETY: a live handle and valid strings.
            let code = unsafe { (api.rados_conf_set)(raw, name.as_ptr(), value.as_ptr()) };
            Errno::check(code).map_err(failed(Stage::Setting))?;
        }
        // SAFETY: a live handle.
        let code = unsafe { (api.rados_connect)(raw) };
        Errno::check(code).map_err(failed(Stage::Connect))?;
        Ok(Arc::new(cluster))
    }

    /// Asks a monitor; the answer's bytes. Blocks.
    pub(crate) fn monitor(&self, command: &str) -> Result<Vec<u8>, Errno> {
        let command = c_string(command)?;
        let mut commands = [command.as_ptr()];
        let (mut answer, mut answer_len) = (ptr::null_mut(), 0);
        let (mut words, mut words_len) = (ptr::null_mut(), 0);
        // SAFETY: one command string, no input, and places for both outputs.
        let code = unsafe {
            (self.api.rados_mon_command)(
                self.raw,
                commands.as_mut_ptr(),
                1,
                ptr::null(),
                0,
                &mut answer,
                &mut answer_len,
                &mut words,
                &mut words_len,
            )
        };
        let bytes = match answer.is_null() {
            true => Vec::new(),
            // SAFETY: librados says that so many bytes lie there.
            false => unsafe { std::slice::from_raw_parts(answer.cast(), answer_len) }.to_vec(),
        };
        for buffer in [answer, words] {
            if !buffer.is_null() {
                // SAFETY: librados allocated it and is told once.
                unsafe { (self.api.rados_buffer_free)(buffer) };
            }
        }
        Errno::check(code).map(|_| bytes)
    }

    /// Names this client among all of the cluster.
    pub(crate) fn client(&self) -> u64 {
        // SAFETY: a live handle.
        unsafe { (self.api.rados_get_instance_id)(self.raw) }
    }

    pub(crate) fn pool(self: &Arc<Self>, name: &str, namespace: &str) -> Result<Pool, Errno> {
        let (name, namespace) = (c_string(name)?, c_string(namespace)?);
        let mut raw = ptr::null_mut();
        // SAFETY: a live handle, a valid string and a place for the pool's handle.
        let code = unsafe { (self.api.rados_ioctx_create)(self.raw, name.as_ptr(), &mut raw) };
        Errno::check(code)?;
        // SAFETY: a live pool handle that nobody else has yet.
        unsafe { (self.api.rados_ioctx_set_namespace)(raw, namespace.as_ptr()) };
        Ok(Pool { cluster: self.clone(), raw })
    }
}

impl Drop for Cluster {
    /// Waits for librados' threads: they must be gone before the process ends.
    fn drop(&mut self) {
        // SAFETY: no pool and no other user of the handle is left, and no callback
        // ever holds one, so this is not one of librados' threads.
        unsafe { (self.api.rados_shutdown)(self.raw) }
    }
}

/// One namespace of one pool.
pub(crate) struct Pool {
    pub(super) cluster: Arc<Cluster>,
    pub(super) raw: Handle,
}

// SAFETY: a pool handle whose namespace no longer changes is made for use by
// many threads.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the last user is gone; operations on their way hold their own
        // reference inside librados.
        unsafe { (self.cluster.api.rados_ioctx_destroy)(self.raw) }
    }
}
