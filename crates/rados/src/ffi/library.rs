//! The C functions, looked up in `librados.so.2` when the engine is opened.

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use libloading::Library;

pub(super) type Handle = *mut c_void;
pub(super) type Completion = *mut c_void;
pub(super) type CompletionCallback = unsafe extern "C" fn(Completion, *mut c_void);

/// Argument, notify id, watch cookie, notifier, data, length.
pub(super) type WatchCallback =
    unsafe extern "C" fn(*mut c_void, u64, u64, u64, *mut c_void, usize);
/// Argument, watch cookie, negative errno.
pub(super) type WatchErrorCallback = unsafe extern "C" fn(*mut c_void, u64, c_int);

const LIBRARY: &str = "librados.so.2";

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot open {LIBRARY}, Ceph's client library (Debian: apt install librados2): {0}")]
    Missing(String),
    #[error("{LIBRARY} is too old, Ceph 16 (Pacific) or newer is needed: {0}")]
    TooOld(String),
}

macro_rules! functions {
    ($($name:ident($($type:ty),*) $(-> $result:ty)?;)*) => {
        pub(super) struct Api {
            $(pub(super) $name: unsafe extern "C" fn($($type),*) $(-> $result)?,)*
        }

        impl Api {
            fn load() -> Result<Api, LoadError> {
                // SAFETY: librados' initialisers do nothing but set up the library itself.
                let library = unsafe { Library::new(LIBRARY) };
                let library = library.map_err(|e| LoadError::Missing(e.to_string()))?;
                // librados leaves threads behind; it must never be unloaded.
                let library: &'static Library = Box::leak(Box::new(library));
                Ok(Api {
                    $($name: {
                        // SAFETY: the signature is the one in librados.h, which has
                        // been stable since Pacific.
                        let found = unsafe {
                            library.get::<unsafe extern "C" fn($($type),*) $(-> $result)?>(
                                concat!(stringify!($name), "\0").as_bytes(),
                            )
                        };
                        *found.map_err(|e| LoadError::TooOld(e.to_string()))?
                    },)*
                })
            }
        }
    };
}

functions! {
    rados_create2(*mut Handle, *const c_char, *const c_char, u64) -> c_int;
    rados_conf_read_file(Handle, *const c_char) -> c_int;
    rados_conf_set(Handle, *const c_char, *const c_char) -> c_int;
    rados_connect(Handle) -> c_int;
    rados_shutdown(Handle);
    rados_get_instance_id(Handle) -> u64;
    rados_mon_command(Handle, *mut *const c_char, usize, *const c_char, usize,
        *mut *mut c_char, *mut usize, *mut *mut c_char, *mut usize) -> c_int;
    rados_buffer_free(*mut c_char);
    rados_ioctx_create(Handle, *const c_char, *mut Handle) -> c_int;
    rados_ioctx_destroy(Handle);
    rados_ioctx_set_namespace(Handle, *const c_char);
    rados_aio_create_completion2(*mut c_void, Option<CompletionCallback>, *mut Completion) -> c_int;
    rados_aio_release(Completion);
    rados_aio_get_return_value(Completion) -> c_int;
    rados_create_write_op() -> Handle;
    rados_release_write_op(Handle);
    rados_write_op_create(Handle, c_int, *const c_char);
    rados_write_op_omap_cmp2(Handle, *const c_char, u8, *const c_char, usize, usize, *mut c_int);
    rados_write_op_omap_set2(Handle, *const *const c_char, *const *const c_char, *const usize,
        *const usize, usize);
    rados_write_op_omap_rm_keys2(Handle, *const *const c_char, *const usize, usize);
    rados_write_op_setxattr(Handle, *const c_char, *const c_char, usize);
    rados_write_op_write_full(Handle, *const c_char, usize);
    rados_write_op_assert_exists(Handle);
    rados_write_op_remove(Handle);
    rados_aio_write_op_operate(Handle, Handle, Completion, *const c_char, *const c_void, c_int)
        -> c_int;
    rados_create_read_op() -> Handle;
    rados_release_read_op(Handle);
    rados_read_op_omap_get_vals2(Handle, *const c_char, *const c_char, u64, *mut Handle, *mut u8,
        *mut c_int);
    rados_read_op_omap_get_vals_by_keys2(Handle, *const *const c_char, usize, *const usize,
        *mut Handle, *mut c_int);
    rados_omap_get_next2(Handle, *mut *mut c_char, *mut *mut c_char, *mut usize, *mut usize)
        -> c_int;
    rados_omap_get_end(Handle);
    rados_read_op_getxattrs(Handle, *mut Handle, *mut c_int);
    rados_getxattrs_next(Handle, *mut *const c_char, *mut *const c_char, *mut usize) -> c_int;
    rados_getxattrs_end(Handle);
    rados_read_op_read(Handle, u64, usize, *mut c_char, *mut usize, *mut c_int);
    rados_read_op_stat(Handle, *mut u64, *mut i64, *mut c_int);
    rados_aio_read_op_operate(Handle, Handle, Completion, *const c_char, c_int) -> c_int;
    rados_nobjects_list_open(Handle, *mut Handle) -> c_int;
    rados_nobjects_list_next2(Handle, *mut *const c_char, *mut *const c_char,
        *mut *const c_char, *mut usize, *mut usize, *mut usize) -> c_int;
    rados_nobjects_list_close(Handle);
    rados_watch3(Handle, *const c_char, *mut u64, Option<WatchCallback>,
        Option<WatchErrorCallback>, u32, *mut c_void) -> c_int;
    rados_unwatch2(Handle, u64) -> c_int;
    rados_watch_flush(Handle) -> c_int;
    rados_notify_ack(Handle, *const c_char, u64, u64, *const c_char, c_int) -> c_int;
    rados_aio_notify(Handle, *const c_char, Completion, *const c_char, c_int, u64,
        *mut *mut c_char, *mut usize) -> c_int;
}

/// The library, opened at the first call.
pub(super) fn api() -> Result<&'static Api, LoadError> {
    static API: OnceLock<Api> = OnceLock::new();
    if let Some(api) = API.get() {
        return Ok(api);
    }
    // A failure is not kept: the package may be installed meanwhile.
    let loaded = Api::load()?;
    Ok(API.get_or_init(|| loaded))
}
