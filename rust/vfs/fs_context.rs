// SPDX-License-Identifier: GPL-2.0

//! Mounting and remounting: options are parsed one by one into a value of the file system's own.
//!
//! C header: `include/linux/fs_context.h`

use super::super_block::{fill_super, FileSystem, SuperBlock};
use crate::bindings;
use core::marker::PhantomData;
use kernel::{
    error::{code, from_result, to_result, Error},
    prelude::*,
};

/// The options of a mount while they are parsed.
pub trait MountOptions<T: FileSystem>: Send + Sync + Sized {
    /// What holds when no option is given.
    fn defaults() -> Self;

    /// What holds at a remount for options that are not given: those in force.
    fn in_force(sb: &SuperBlock<T>) -> Self;

    /// Takes one option. `Err(Refused::Unknown)` leaves it to the VFS, which knows `source` and the
    /// security modules' options and refuses the rest.
    fn parse(&mut self, key: &str, value: Option<&str>) -> core::result::Result<(), Refused>;
}

/// Why an option was not taken.
pub enum Refused {
    /// It is not an option of the file system.
    Unknown,
    /// It is one, but can't be had so; the text says why, and is shown to the user.
    Because(&'static CStr),
}

/// # Safety
///
/// Called by the VFS with a fresh context.
pub(super) unsafe extern "C" fn init_fs_context<T: FileSystem>(
    fc: *mut bindings::fs_context,
) -> i32 {
    from_result(|| {
        // SAFETY: the VFS passes a valid context; at a remount `root` belongs to a filled super
        // block of this type.
        let options = unsafe {
            if (*fc).purpose() == bindings::fs_context_purpose_FS_CONTEXT_FOR_RECONFIGURE {
                T::Options::in_force(SuperBlock::from_raw((*(*fc).root).d_sb))
            } else {
                T::Options::defaults()
            }
        };
        let options = KBox::new(options, GFP_KERNEL)?;
        // SAFETY: the VFS passes a valid context, and gives it back to `Table::free`.
        unsafe {
            (*fc).fs_private = KBox::into_raw(options).cast();
            (*fc).ops = &Table::<T>::TABLE;
            // Each change of an inode is counted.
            (*fc).sb_flags |= bindings::REXT4_SB_I_VERSION;
        }
        Ok(0)
    })
}

struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const TABLE: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(Self::free),
        parse_param: Some(Self::parse_param),
        get_tree: Some(Self::get_tree),
        reconfigure: Some(Self::reconfigure),
        // SAFETY: all callbacks may be absent.
        ..unsafe {
            core::mem::MaybeUninit::<bindings::fs_context_operations>::zeroed().assume_init()
        }
    };

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn free(fc: *mut bindings::fs_context) {
        // SAFETY: the VFS passes a valid context.
        let options = unsafe { (*fc).fs_private };
        if !options.is_null() {
            // SAFETY: the pointer comes from `KBox::into_raw` in `init_fs_context`.
            drop(unsafe { KBox::from_raw(options.cast::<T::Options>()) });
        }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn parse_param(
        fc: *mut bindings::fs_context,
        param: *mut bindings::fs_parameter,
    ) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes a valid context whose options only this call uses.
            let options = unsafe { &mut *(*fc).fs_private.cast::<T::Options>() };
            // SAFETY: the key is a terminated string.
            let key = unsafe { CStr::from_char_ptr((*param).key.cast()) };
            let key = key.to_str().map_err(|_| code::EINVAL)?;
            // SAFETY: the VFS passes a valid parameter.
            let value = match unsafe { (*param).type_() } {
                bindings::fs_value_type_fs_value_is_flag => None,
                bindings::fs_value_type_fs_value_is_string => {
                    // SAFETY: a parameter of this type holds a terminated string, or none.
                    let string = unsafe { (*param).__bindgen_anon_1.string };
                    if string.is_null() {
                        None
                    } else {
                        // SAFETY: see above.
                        let text = unsafe { CStr::from_char_ptr(string.cast()) };
                        Some(text.to_str().map_err(|_| code::EINVAL)?)
                    }
                }
                // A file descriptor or the like: nothing that we take, but the VFS may.
                _ => return Err(no_param()),
            };
            match options.parse(key, value) {
                Ok(()) => Ok(0),
                Err(Refused::Unknown) => Err(no_param()),
                Err(Refused::Because(why)) => {
                    pr_err!("mount option \"{}\": {}\n", key, why);
                    // SAFETY: context, name and text are terminated strings and valid.
                    unsafe { bindings::rext4_shim_fc_error(fc, (*param).key, why.as_char_ptr()) };
                    Err(code::EINVAL)
                }
            }
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn get_tree(fc: *mut bindings::fs_context) -> i32 {
        // SAFETY: the VFS passes a valid context, which `fill_super` expects.
        unsafe { bindings::get_tree_bdev(fc, Some(fill_super::<T>)) }
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback.
    unsafe extern "C" fn reconfigure(fc: *mut bindings::fs_context) -> i32 {
        from_result(|| {
            // SAFETY: at a remount the context's root belongs to a filled super block.
            let sb = unsafe { SuperBlock::<T>::from_raw((*(*fc).root).d_sb) };
            if !T::is_stopped(sb) && !T::is_down(sb) {
                // SAFETY: the super block is valid.
                to_result(unsafe { bindings::sync_filesystem(sb.as_ptr()) })?;
            }
            // SAFETY: the options are ours, and the flags are those asked for, of which some may not be.
            let (options, flags, asked) = unsafe {
                let options = &*(*fc).fs_private.cast::<T::Options>();
                (options, (*fc).sb_flags, (*fc).sb_flags_mask)
            };
            // After `fspick` the flags say nothing of what was not asked for, and that stays as it is.
            let read_only = match asked & bindings::REXT4_SB_RDONLY {
                0 => sb.is_read_only(),
                _ => flags & bindings::REXT4_SB_RDONLY != 0,
            };
            T::reconfigure(sb, options, read_only)?;
            Ok(0)
        })
    }
}

/// What tells the VFS that a parameter is not ours.
fn no_param() -> Error {
    Error::from_errno(-(bindings::ENOPARAM as i32))
}
