// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: one by name, read or set, or a list of all names.
//!
//! Their names begin with a name space (`user.`, `trusted.`, `security.`), which decides who may
//! see them. POSIX ACLs are no business of this file, except that they are in the list under names
//! of their own: see [`super::posix_acl`].
//!
//! C header: `include/linux/xattr.h`

use super::{inode::Inode, posix_acl::AclKind, super_block::FileSystem};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::{self, NonNull},
    slice,
};
use kernel::{
    error::{code, from_result},
    ffi,
    prelude::*,
};

/// What the VFS asks of extended attributes.
pub trait XattrOperations: Sized + 'static {
    /// Finds an attribute and gives its value to `value`; the result is that of
    /// [`ValueSink::put`]. `name` is without the name space.
    ///
    /// Called without locks. `ENODATA` where there is no such attribute.
    fn get_xattr(
        inode: &Inode<Self>,
        namespace: Namespace,
        name: &[u8],
        value: &mut ValueSink<'_>,
    ) -> Result<usize>
    where
        Self: FileSystem;

    /// Gives an attribute a value, or removes it where there is none to be given. `name` is without
    /// the name space.
    ///
    /// The inode's lock is held exclusively. `ENODATA` and `EEXIST` where `condition` does not hold.
    fn set_xattr(
        inode: &Inode<Self>,
        namespace: Namespace,
        name: &[u8],
        value: Option<&[u8]>,
        condition: Condition,
    ) -> Result
    where
        Self: FileSystem;

    /// Adds the names of all attributes to `list`. Called without locks.
    fn list_xattrs(inode: &Inode<Self>, list: &mut NameList<'_>) -> Result
    where
        Self: FileSystem;
}

/// What has to be there for an attribute to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// There must be such an attribute.
    pub present: bool,
    /// There must be none.
    pub absent: bool,
}

/// The name space of an extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// `user.`: anybody who can read the file.
    User,
    /// `trusted.`: processes with `CAP_SYS_ADMIN`.
    Trusted,
    /// `security.`: security modules.
    Security,
}

impl Namespace {
    /// All, in the order of their declaration.
    const ALL: [Self; 3] = [Self::User, Self::Trusted, Self::Security];

    const fn prefix(self) -> &'static CStr {
        match self {
            Self::User => c"user.",
            Self::Trusted => c"trusted.",
            Self::Security => c"security.",
        }
    }
}

/// Where an attribute's value goes.
///
/// # Invariants
///
/// `memory`, if there is any, is valid for writes of `size` bytes, and nobody else uses it.
pub struct ValueSink<'a> {
    memory: Option<NonNull<u8>>,
    size: usize,
    _call: PhantomData<&'a mut [u8]>,
}

impl<'a> ValueSink<'a> {
    /// A sink that fills `memory`, for a value that the kernel asks for itself.
    pub fn new(memory: &'a mut [u8]) -> Self {
        // INVARIANT: the slice is borrowed for the life of the sink.
        Self {
            size: memory.len(),
            memory: Some(NonNull::from(memory).cast()),
            _call: PhantomData,
        }
    }

    /// A sink that takes nothing, to learn the size of a value.
    pub fn measure() -> Self {
        Self {
            memory: None,
            size: 0,
            _call: PhantomData,
        }
    }

    /// Takes the value, or only its size if nobody asked for more. Does not sleep.
    ///
    /// Returns the number of bytes. `ERANGE` where the caller has less room than that.
    pub fn put(&mut self, value: &[u8]) -> Result<usize> {
        if let Some(memory) = self.memory {
            if value.len() > self.size {
                return Err(code::ERANGE);
            }
            // SAFETY: by the type invariant there is room for `size` bytes that nobody else uses.
            unsafe { ptr::copy_nonoverlapping(value.as_ptr(), memory.as_ptr(), value.len()) };
        }
        Ok(value.len())
    }
}

/// The name of an attribute in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// An attribute in a name space, without the latter's name.
    Attribute(Namespace, &'a [u8]),
    /// An ACL.
    Acl(AclKind),
}

/// Where the names of attributes go, each with a terminator.
pub struct NameList<'a> {
    sink: ValueSink<'a>,
    /// Bytes of the names so far.
    used: usize,
    /// Whether the caller may see names in `trusted.`.
    privileged: bool,
    /// Whether ACLs are used at all.
    acls: bool,
}

impl NameList<'_> {
    /// Adds a name, unless the caller must not see it. Does not sleep.
    ///
    /// `ERANGE` where the caller has less room.
    pub fn add(&mut self, name: Name<'_>) -> Result {
        let (prefix, rest): (&CStr, &[u8]) = match name {
            Name::Attribute(Namespace::Trusted, _) if !self.privileged => return Ok(()),
            Name::Acl(_) if !self.acls => return Ok(()),
            Name::Attribute(namespace, rest) => (namespace.prefix(), rest),
            Name::Acl(AclKind::Access) => (c"system.posix_acl_access", &[]),
            Name::Acl(AclKind::Default) => (c"system.posix_acl_default", &[]),
        };
        for part in [prefix.to_bytes(), rest, &[0]] {
            self.append(part)?;
        }
        Ok(())
    }

    fn append(&mut self, part: &[u8]) -> Result {
        let len = self.sink.put(part)?;
        if let Some(memory) = &mut self.sink.memory {
            // SAFETY: `put` has checked that `len` bytes of the memory were left.
            *memory = unsafe { memory.add(len) };
            // INVARIANT: the memory begins `len` bytes further on now.
            self.sink.size -= len;
        }
        // All names of an inode fit a few blocks.
        self.used = self.used.saturating_add(len);
        Ok(())
    }
}

/// The callbacks, one `xattr_handler` for each name space.
pub(super) struct Table<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Table<T> {
    const USER: bindings::xattr_handler = Self::handler(Namespace::User);
    const TRUSTED: bindings::xattr_handler = Self::handler(Namespace::Trusted);
    const SECURITY: bindings::xattr_handler = Self::handler(Namespace::Security);

    const HANDLERS: &'static [*const bindings::xattr_handler; 4] =
        &[&Self::USER, &Self::TRUSTED, &Self::SECURITY, ptr::null()];

    /// What `s_xattr` of a super block of type `T` points to.
    pub(super) fn handlers() -> *const *const bindings::xattr_handler {
        Self::HANDLERS.as_ptr()
    }

    const fn handler(namespace: Namespace) -> bindings::xattr_handler {
        bindings::xattr_handler {
            prefix: namespace.prefix().to_bytes_with_nul().as_ptr().cast(),
            flags: namespace as i32,
            get: Some(Self::get),
            set: Some(Self::set),
            // SAFETY: all callbacks may be absent, and so may `name` where there is a prefix.
            ..unsafe { MaybeUninit::<bindings::xattr_handler>::zeroed().assume_init() }
        }
    }

    /// `get` of all handlers.
    ///
    /// # Safety
    ///
    /// Called by the VFS with one of [`Self::HANDLERS`], an inode of type `T`, a terminated name,
    /// and `memory` of `size` bytes or none.
    unsafe extern "C" fn get(
        handler: *const bindings::xattr_handler,
        _dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const ffi::c_char,
        memory: *mut ffi::c_void,
        size: usize,
    ) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes the handler that it called us by.
            let namespace = unsafe { Self::namespace(handler) }?;
            // INVARIANT: where there is memory the VFS gives `size` bytes of it for this call.
            let mut sink = ValueSink {
                memory: NonNull::new(memory.cast()),
                size,
                _call: PhantomData,
            };
            // SAFETY: the VFS passes an inode of ours, and a terminated name.
            let (inode, name) = unsafe { (Inode::<T>::from_raw(inode), CStr::from_char_ptr(name)) };
            let len = T::get_xattr(inode, namespace, name.to_bytes(), &mut sink)?;
            i32::try_from(len).map_err(|_| code::ERANGE)
        })
    }

    /// `set` of all handlers.
    ///
    /// # Safety
    ///
    /// Called by the VFS with one of [`Self::HANDLERS`], an inode of type `T`, which is locked, a
    /// terminated name, and `size` bytes of `memory` or none to remove the attribute.
    unsafe extern "C" fn set(
        handler: *const bindings::xattr_handler,
        _idmap: *mut bindings::mnt_idmap,
        _dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const ffi::c_char,
        memory: *const ffi::c_void,
        size: usize,
        flags: i32,
    ) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes the handler that it called us by, an inode of ours, and a
            // terminated name.
            let (namespace, inode, name) = unsafe {
                (
                    Self::namespace(handler)?,
                    Inode::<T>::from_raw(inode),
                    CStr::from_char_ptr(name),
                )
            };
            let value = (!memory.is_null()).then(|| {
                // SAFETY: where there is memory the VFS gives `size` bytes of it for this call.
                unsafe { slice::from_raw_parts(memory.cast::<u8>(), size) }
            });
            let has = |flag: u32| flags & flag as i32 != 0;
            let condition = Condition {
                present: has(bindings::XATTR_REPLACE),
                absent: has(bindings::XATTR_CREATE),
            };
            inode.initialize_quotas()?;
            T::set_xattr(inode, namespace, name.to_bytes(), value, condition)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `handler` is one of [`Self::HANDLERS`].
    unsafe fn namespace(handler: *const bindings::xattr_handler) -> Result<Namespace> {
        // SAFETY: the caller's promise.
        let number = unsafe { (*handler).flags };
        usize::try_from(number)
            .ok()
            .and_then(|number| Namespace::ALL.get(number))
            .copied()
            .ok_or(code::EINVAL)
    }
}

/// `listxattr` of all inodes.
///
/// # Safety
///
/// Called by the VFS with the dentry of an inode of type `T`, and `memory` of `size` bytes or none.
pub(super) unsafe extern "C" fn listxattr<T: FileSystem>(
    dentry: *mut bindings::dentry,
    memory: *mut ffi::c_char,
    size: usize,
) -> isize {
    from_result(|| {
        // SAFETY: the VFS passes a dentry with an inode of ours.
        let inode = unsafe { Inode::<T>::from_raw((*dentry).d_inode) };
        let mut list = NameList {
            // INVARIANT: where there is memory the VFS gives `size` bytes of it for this call.
            sink: ValueSink {
                memory: NonNull::new(memory.cast()),
                size,
                _call: PhantomData,
            },
            used: 0,
            // SAFETY: no preconditions.
            privileged: unsafe { bindings::rext4_shim_may_list_trusted() },
            // SAFETY: the super block of an inode is valid.
            acls: unsafe {
                (*inode.super_block().as_ptr()).s_flags & bindings::REXT4_SB_POSIXACL as usize != 0
            },
        };
        T::list_xattrs(inode, &mut list)?;
        isize::try_from(list.used).map_err(|_| code::ERANGE)
    })
}
