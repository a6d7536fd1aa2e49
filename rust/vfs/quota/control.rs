// SPDX-License-Identifier: GPL-2.0

//! From when to when is counted in files that have names: `quotaon` and `quotaoff`, and the end of a mount.

use super::{Kind, Table};
use crate::{
    bindings,
    vfs::{
        inode::Inode,
        super_block::{FileSystem, NewSuperBlock, SuperBlock},
    },
};
use core::ptr;
use kernel::{
    error::{code, from_result, to_result, Error},
    prelude::*,
    sync::aref::ARef,
};

impl Kind {
    fn from_raw(kind: i32) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|known| known.to_raw() == kind);
        known.ok_or(code::EINVAL)
    }
}

impl<T: FileSystem> Table<T> {
    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback; `s_umount` is held for writing.
    unsafe extern "C" fn turn_on(
        sb: *mut bindings::super_block,
        kind: i32,
        format: i32,
        path: *const bindings::path,
    ) -> i32 {
        from_result(|| {
            // SAFETY: the kernel passes a super block of ours, and a path that leads somewhere.
            let (own, dentry) = unsafe { (SuperBlock::<T>::from_raw(sb), (*path).dentry) };
            let kind = Kind::from_raw(kind)?;
            if !T::may_turn_quotas_on(own) {
                return Err(code::EINVAL);
            }
            // SAFETY: the path holds the dentry.
            if unsafe { (*dentry).d_sb } != sb {
                return Err(Error::from_errno(-(bindings::EXDEV as i32)));
            }
            // SAFETY: as above; what a path leads to has an inode, and this one is ours.
            let file = unsafe { Inode::<T>::from_raw((*dentry).d_inode) };
            if file.is_exempt_from_quotas() {
                return Err(code::EBUSY);
            }
            own.may_be_taken(kind, file)?;
            T::take_quota_file(file)?;
            // SAFETY: what the kernel has passed.
            let on = || unsafe { bindings::rext4_shim_quota_on(sb, kind.to_raw(), format, path) };
            let result = to_result(on()).and_then(|()| {
                T::note_quota_file(file).inspect_err(|_| {
                    let _ = own.disable_quota(kind);
                })
            });
            if result.is_err() {
                let _ = T::give_quota_file_back(file, false);
            }
            result?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel alone, with what it passes to this callback; `s_umount` is held for writing.
    unsafe extern "C" fn turn_off(sb: *mut bindings::super_block, kind: i32) -> i32 {
        from_result(|| {
            // SAFETY: the kernel passes a super block of ours.
            let own = unsafe { SuperBlock::<T>::from_raw(sb) };
            let kind = Kind::from_raw(kind)?;
            if !T::is_stopped(own) {
                // What is delayed is counted yet. What can't be written is told to who waits for that.
                // SAFETY: the super block is valid, and `s_umount` is held.
                let _ = unsafe { bindings::sync_filesystem(sb) };
            }
            own.end_quota(kind)?;
            Ok(0)
        })
    }

    /// What `quotactl` calls where quotas are kept in files that have names.
    #[cfg(CONFIG_QUOTA)]
    const CONTROL: bindings::quotactl_ops = bindings::quotactl_ops {
        quota_on: Some(Self::turn_on),
        quota_off: Some(Self::turn_off),
        quota_sync: Some(bindings::dquot_quota_sync),
        get_state: Some(bindings::dquot_get_state),
        set_info: Some(bindings::dquot_set_dqinfo),
        get_dqblk: Some(bindings::dquot_get_dqblk),
        get_nextdqblk: Some(bindings::dquot_get_next_dqblk),
        set_dqblk: Some(bindings::dquot_set_dqblk),
        // SAFETY: all callbacks may be absent.
        ..unsafe { core::mem::MaybeUninit::<bindings::quotactl_ops>::zeroed().assume_init() }
    };
}

impl<T: FileSystem> NewSuperBlock<'_, T> {
    /// Has `quotactl` reach the quotas of this file system: those in hidden files, once they are
    /// [loaded](SuperBlock::load_quota), or those in files with names, which it turns on.
    pub fn offer_quotas(&self, hidden: bool) {
        #[cfg(CONFIG_QUOTA)]
        let control = (!hidden).then_some(&Table::<T>::CONTROL);
        #[cfg(not(CONFIG_QUOTA))]
        let control = {
            let _ = (hidden, Table::<T>::turn_on, Table::<T>::turn_off);
            None::<&bindings::quotactl_ops>
        };
        let control = control.map_or(ptr::null(), ptr::from_ref);
        // SAFETY: nobody else has the super block yet; the tables are static.
        unsafe {
            bindings::rext4_shim_quota_offer(
                self.as_ptr(),
                ptr::from_ref(&Table::<T>::OPERATIONS),
                control,
            );
        }
    }
}

/// As for the other functions of [`SuperBlock`] about quotas, `s_umount` is held for writing.
impl<T: FileSystem> SuperBlock<T> {
    /// Whether a file can become the quota file of a kind. The kernel asks the same.
    fn may_be_taken(&self, kind: Kind, file: &Inode<T>) -> Result {
        match () {
            () if !file.is_regular() => Err(code::EACCES),
            () if self.is_read_only() => Err(code::EROFS),
            () if self.has_quota_loaded(kind) => Err(code::EBUSY),
            () => Ok(()),
        }
    }

    /// Counts by a kind from now on, in a file that has a name, and heeds limits: at mount, before anybody can
    /// use the file.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is no file of this format; `ESRCH` if the kernel does not have the format, damage.
    pub fn load_named_quota(&self, kind: Kind, file: &Inode<T>, format: i32) -> Result {
        self.may_be_taken(kind, file)?;
        let (file, kind) = (file.as_ptr(), kind.to_raw());
        // SAFETY: the inode is valid, and of this super block.
        to_result(unsafe { bindings::rext4_shim_quota_load_named(file, kind, format) })
    }

    /// Stops counting by a kind, and gives the file up.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn disable_quota(&self, kind: Kind) -> Result {
        // SAFETY: the super block is valid.
        to_result(unsafe { bindings::rext4_shim_quota_off(self.as_ptr(), kind.to_raw()) })
    }

    /// The same, and the file, if it is known and has a name, is an ordinary one again.
    ///
    /// # Errors
    ///
    /// Those of [`super::QuotaOperations::give_quota_file_back`]; nothing is counted any more.
    fn end_quota(&self, kind: Kind) -> Result {
        // SAFETY: the super block is valid.
        let file = unsafe { bindings::rext4_shim_quota_file(self.as_ptr(), kind.to_raw()) };
        // SAFETY: nobody but who holds `s_umount` gives it up, so it is valid for now.
        let file = (!file.is_null()).then(|| ARef::from(unsafe { Inode::<T>::from_raw(file) }));
        self.disable_quota(kind)?;
        file.map_or(Ok(()), |file| T::give_quota_file_back(&file, true))
    }

    /// Ends it all, and gives the files up.
    pub fn end_quotas(&self) {
        for kind in Kind::ALL {
            if let Err(e) = self.end_quota(kind) {
                pr_err!(
                    "({}): error: a quota file can't be given back: error {}\n",
                    self.id(),
                    e.to_errno()
                );
            }
        }
    }
}
