// SPDX-License-Identifier: GPL-2.0

//! The ways to hand a write to the kernel: pwrite, libaio, io_uring, a mapping.

use std::io;
use std::os::fd::RawFd;

use crate::buffer::Buffer;
use crate::mapping::Mapping;
use crate::plan::Piece;

/// How a write ended: its slot, and the bytes written or an errno.
pub type Completion = (usize, io::Result<usize>);

/// A queue of writes.
pub trait Engine {
    /// Starts a write. The memory of `data` stays as it is until the write of this slot came back
    /// from [`Engine::wait`]; the caller sees to that.
    fn submit(&mut self, slot: usize, fd: RawFd, data: &[u8], piece: Piece) -> io::Result<()>;
    /// Has the kernel know the memory of all slots beforehand, which then has to stay.
    fn register(&mut self, _buffers: &[Buffer]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Waits for at least one write to end.
    fn wait(&mut self) -> io::Result<Vec<Completion>>;
}

/// As a whole or not at all: one of the flags of a write (`RWF_ATOMIC`).
pub const ATOMIC: i32 = 0x40;

/// Makes the engine of that name for up to `depth` writes at once, which have these flags.
pub fn new(name: &str, depth: usize, flags: i32) -> Result<Box<dyn Engine>, String> {
    match name {
        "sync" => Ok(Box::new(Sync {
            ended: Vec::new(),
            flags,
        })),
        "mmap" => Ok(Box::new(Mapped(Vec::new()))),
        "aio" => Ok(Box::new(
            Aio::new(depth, flags).map_err(|e| format!("io_setup: {e}"))?,
        )),
        "uring" => Ok(Box::new(Uring {
            ring: io_uring::IoUring::new(depth as u32)
                .map_err(|e| format!("io_uring_setup: {e}"))?,
            is_registered: false,
            flags,
        })),
        _ => Err(format!("--engine {name}: sync, aio, uring or mmap")),
    }
}

fn result(code: i64) -> io::Result<usize> {
    usize::try_from(code).map_err(|_| io::Error::from_raw_os_error(-code as i32))
}

/// pwritev2, one after the other.
struct Sync {
    ended: Vec<Completion>,
    flags: i32,
}

impl Engine for Sync {
    fn submit(&mut self, slot: usize, fd: RawFd, data: &[u8], piece: Piece) -> io::Result<()> {
        let memory = libc::iovec {
            iov_base: data.as_ptr().cast_mut().cast(),
            iov_len: data.len(),
        };
        // SAFETY: `data` is valid for its length during the call.
        let code = unsafe { libc::pwritev2(fd, &memory, 1, piece.offset as i64, self.flags) };
        let ended = if code < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(code as usize)
        };
        self.ended.push((slot, ended));
        Ok(())
    }

    fn wait(&mut self) -> io::Result<Vec<Completion>> {
        Ok(std::mem::take(&mut self.ended))
    }
}

/// Stores to a mapping, one after the other; each is over when it is in the page cache.
struct Mapped(Vec<Completion>);

impl Engine for Mapped {
    fn submit(&mut self, slot: usize, fd: RawFd, data: &[u8], piece: Piece) -> io::Result<()> {
        let start = piece.offset / 4096 * 4096;
        let before = (piece.offset - start) as usize;
        let stored = Mapping::new(&fd, start, before + data.len(), true).map(|mapping| {
            mapping.store(before, data);
            data.len()
        });
        self.0.push((slot, stored));
        Ok(())
    }

    fn wait(&mut self) -> io::Result<Vec<Completion>> {
        Ok(std::mem::take(&mut self.0))
    }
}

/// The kernel's `struct iocb` (include/uapi/linux/aio_abi.h), little-endian.
#[repr(C)]
#[derive(Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_fd: u32,
}

/// `IOCB_CMD_PWRITE`.
const PWRITE: u16 = 1;

/// The kernel's `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct IoEvent {
    data: u64,
    object: u64,
    result: i64,
    result2: i64,
}

/// Linux AIO, without the library.
struct Aio {
    context: libc::c_ulong,
    events: Vec<IoEvent>,
    flags: i32,
}

impl Aio {
    fn new(depth: usize, flags: i32) -> io::Result<Self> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: `context` is a zeroed aio_context_t to be filled in.
        if unsafe { libc::syscall(libc::SYS_io_setup, depth as libc::c_long, &mut context) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Aio {
            context,
            events: vec![IoEvent::default(); depth],
            flags,
        })
    }
}

impl Engine for Aio {
    fn submit(&mut self, slot: usize, fd: RawFd, data: &[u8], piece: Piece) -> io::Result<()> {
        let iocb = Iocb {
            data: slot as u64,
            rw_flags: self.flags as u32,
            opcode: PWRITE,
            fd: fd as u32,
            buffer: data.as_ptr() as u64,
            bytes: data.len() as u64,
            offset: piece.offset as i64,
            ..Iocb::default()
        };
        let list = [&raw const iocb];
        loop {
            // SAFETY: the kernel copies the one iocb during the call; that the data stays
            // valid until the write has ended is what `Engine::submit` asks of its caller.
            let code = unsafe {
                libc::syscall(
                    libc::SYS_io_submit,
                    self.context,
                    1 as libc::c_long,
                    list.as_ptr(),
                )
            };
            if code == 1 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EINTR) {
                return Err(error);
            }
        }
    }

    fn wait(&mut self) -> io::Result<Vec<Completion>> {
        loop {
            // SAFETY: `events` has room for as many events as the call is told.
            let code = unsafe {
                libc::syscall(
                    libc::SYS_io_getevents,
                    self.context,
                    1 as libc::c_long,
                    self.events.len() as libc::c_long,
                    self.events.as_mut_ptr(),
                    std::ptr::null_mut::<libc::timespec>(),
                )
            };
            if code > 0 {
                let ended = &self.events[..code as usize];
                return Ok(ended
                    .iter()
                    .map(|event| (event.data as usize, result(event.result)))
                    .collect());
            }
            let error = io::Error::last_os_error();
            if code < 0 && error.raw_os_error() != Some(libc::EINTR) {
                return Err(error);
            }
        }
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: the context is ours; the call waits for what is in flight.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

/// io_uring.
struct Uring {
    ring: io_uring::IoUring,
    /// Whether the kernel knows the memory of the slots.
    is_registered: bool,
    flags: i32,
}

impl Engine for Uring {
    fn submit(&mut self, slot: usize, fd: RawFd, data: &[u8], piece: Piece) -> io::Result<()> {
        let target = io_uring::types::Fd(fd);
        let (start, length) = (data.as_ptr(), data.len() as u32);
        let entry = if self.is_registered {
            io_uring::opcode::WriteFixed::new(target, start, length, slot as u16)
                .offset(piece.offset)
                .rw_flags(self.flags)
                .build()
        } else {
            io_uring::opcode::Write::new(target, start, length)
                .offset(piece.offset)
                .rw_flags(self.flags)
                .build()
        };
        let entry = entry.user_data(slot as u64);
        // SAFETY: that the data stays valid until the write has ended is what
        // `Engine::submit` asks of its caller.
        unsafe { self.ring.submission().push(&entry) }
            .map_err(|_| io::Error::other("the submission queue is full"))?;
        self.ring.submit().map(|_| ())
    }

    fn register(&mut self, buffers: &[Buffer]) -> io::Result<()> {
        let pieces: Vec<_> = buffers
            .iter()
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_ptr().cast_mut().cast(),
                iov_len: buffer.len(),
            })
            .collect();
        // SAFETY: that the memory stays is what is asked of the caller.
        unsafe { self.ring.submitter().register_buffers(&pieces) }?;
        self.is_registered = true;
        Ok(())
    }

    fn wait(&mut self) -> io::Result<Vec<Completion>> {
        while let Err(error) = self.ring.submit_and_wait(1) {
            if error.raw_os_error() != Some(libc::EINTR) {
                return Err(error);
            }
        }
        Ok(self
            .ring
            .completion()
            .map(|entry| (entry.user_data() as usize, result(entry.result().into())))
            .collect())
    }
}
