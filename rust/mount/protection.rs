// SPDX-License-Identifier: GPL-2.0

//! Multiple mount protection (the feature `mmp`): that only one machine writes to the file system.
//!
//! ```text
//!   protect ──▶ (wait, look) ──▶ write ──▶ (wait, look) ──▶ update … update ──▶ unprotect
//!                    other: EBUSY               other: EBUSY     other: taken over
//! ```
//!
//! Whoever has the file system counts a number up in a block of its own, every few seconds: see
//! [`crate::disk::mmp`]. Who finds it in use waits so long that it must have changed twice, writes a number
//! of his own, and waits again, so that of two who come at the same time one gets it. Nothing is
//! written to the device, and nothing recovered, before that. A file system that was left clean is
//! had at once. Who had it open for reading before, and finds then that somebody has changed it, does
//! not get it: what he has in memory is old.
//!
//! Who could not update the block in time, because the machine slept, the device was slow or the
//! file system was frozen, may have lost it to somebody else. So the block is looked at before each
//! update. Where somebody else is found in it after that time, or twice in a row, nothing of ours may
//! be written any more. Somebody who is there once and was early has looked too shortly, or was told
//! not to look: our next update tells him.

use super::Filesystem;
use crate::{
    disk::{
        checksum::FsSeed,
        mmp::{self, Mmp, MmpError, MmpState, Owner, Sequence},
        units::PhysicalBlock,
        Corrupt,
    },
    error::{euclean, FsError, FsResult, Shown},
    vfs::{
        background::{Background, BackgroundSteps, Presence, Workers},
        block_device::BlockDevice,
        device_block::DeviceBlock,
        node, random,
        stat::Timestamp,
        super_block::SuperBlock,
        task,
    },
    Rext4,
};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::{
    error::{code, Error},
    fmt, new_mutex,
    prelude::*,
    sync::Mutex,
    time::{BootTime, Instant, Msecs},
};

/// Of how many updates in a row that failed one is reported.
const REPORTED: u32 = 60;

/// The protection of one mount.
#[pin_data]
pub(super) struct Protection {
    /// What there is while the file system is ours.
    #[pin]
    held: Mutex<Option<Held>>,
    #[pin]
    updates: Background,
    /// Set once somebody else has it.
    taken_over: AtomicBool,
}

impl Protection {
    /// Protection that is not there yet, for the file system on this device.
    pub(super) fn new(wanted: bool, device: &CStr) -> impl PinInit<Self, Error> + '_ {
        try_pin_init!(Self {
            held <- new_mutex!(None, "rext4_mmp"),
            updates <- Background::new::<Rext4, Presence>(match wanted {
                true => Some(Workers::new(c"mmp", device)?),
                false => None,
            }),
            taken_over: AtomicBool::new(false),
        }? Error)
    }
}

/// The block of a file system that is ours.
struct Held {
    block: DeviceBlock,
    /// What checksums start from.
    seed: Option<FsSeed>,
    /// What is in the block.
    ours: Mmp,
    /// What a write that failed may have left there in place of that.
    tried: Option<Mmp>,
    /// Since when that is so, at least.
    since: Instant<BootTime>,
    /// In seconds.
    update_interval: u16,
    /// Whether somebody else was in the block when it was looked at last.
    intruder_seen: bool,
    /// How many updates failed since the last that did not.
    failures: u32,
}

/// Who is in the block, if that is not us; or why nobody can tell.
type Intruder = Result<Mmp, Corrupt>;

/// What an update has come to.
enum Updated {
    Ours,
    /// Somebody else was there, but too early.
    Early(Intruder),
    /// Somebody else has the file system.
    Lost(Intruder),
    Failed(Error),
}

impl Held {
    fn new(
        sb: &SuperBlock<Rext4>,
        block: PhysicalBlock,
        update_interval: u16,
    ) -> Result<Self, Error> {
        let node = node::name::<{ mmp::NODE_NAME_SIZE }>();
        Ok(Self {
            block: DeviceBlock::new(block.0, sb.data().layout.block_size().bytes())?,
            seed: sb.data().seed,
            ours: Mmp {
                state: MmpState::InUse(Sequence::from_random(random::number())),
                owner: Owner::new(&node, sb.id().to_bytes()),
                time: now(),
                check_interval: mmp::check_interval(update_interval, 0),
            },
            tried: None,
            since: Instant::now(),
            update_interval,
            intruder_seen: false,
            failures: 0,
        })
    }

    fn read(&mut self, device: &BlockDevice) -> FsResult<Mmp> {
        self.block.read(device)?;
        Ok(Mmp::parse(self.block.bytes(), self.seed).map_err(Corrupt::from)?)
    }

    /// Writes something of ours over what was read.
    fn write(&mut self, device: &BlockDevice, mmp: Mmp) -> FsResult {
        let begin = Instant::now();
        self.tried = Some(mmp);
        mmp.store(self.block.bytes(), self.seed)
            .map_err(Corrupt::from)?;
        self.block.write(device)?;
        (self.ours, self.tried, self.since) = (mmp, None, begin);
        Ok(())
    }

    /// For how long somebody may have seen no change, in milliseconds.
    fn age(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(0)
    }

    /// Whether the block may have been taken for one that nobody updates.
    fn is_late(&self) -> bool {
        self.age() > u64::from(self.ours.check_interval) * 1000
    }

    /// Looks whether the block is still ours; gives who is in it otherwise.
    fn look(&mut self, device: &BlockDevice) -> Result<Option<Intruder>, Error> {
        let found = match self.read(device) {
            Ok(found) => found,
            Err(FsError::Corrupt(corrupt)) => return Ok(Some(Err(corrupt))),
            Err(FsError::Kernel(errno) | FsError::Torn(errno)) => return Err(errno),
        };
        let is_ours =
            found.is_still(&self.ours) || self.tried.is_some_and(|tried| found.is_still(&tried));
        Ok((!is_ours).then_some(Ok(found)))
    }

    /// Looks, and counts up.
    fn update(&mut self, device: &BlockDevice) -> Updated {
        let intruder = match self.look(device) {
            Ok(intruder) => intruder,
            Err(errno) => return Updated::Failed(errno),
        };
        let seen_before = self.intruder_seen;
        self.intruder_seen = intruder.is_some();
        match intruder {
            Some(intruder) if seen_before || self.is_late() => return Updated::Lost(intruder),
            _ => {}
        }
        let MmpState::InUse(sequence) = self.ours.state else {
            return Updated::Failed(code::EINVAL);
        };
        let next = Mmp {
            state: MmpState::InUse(sequence.next()),
            time: now(),
            check_interval: mmp::check_interval(self.update_interval, self.age() / 1000),
            ..self.ours
        };
        match (self.write(device, next), intruder) {
            (Ok(()), None) => Updated::Ours,
            (Ok(()), Some(intruder)) => Updated::Early(intruder),
            (Err(e), _) => Updated::Failed(errno_of(e)),
        }
    }

    /// After how many milliseconds the next update is to be done, after one that began at `begin`.
    fn pause(&self, begin: Instant<BootTime>) -> Msecs {
        let interval = Msecs::from(self.update_interval) * 1000;
        let took = Msecs::try_from(begin.elapsed().as_millis()).unwrap_or(Msecs::MAX);
        if self.is_late() {
            // Who has it by now must have had the time to come back, and is seen then.
            interval
        } else {
            interval.saturating_sub(took)
        }
    }
}

impl BackgroundSteps<Presence> for Rext4 {
    fn background(sb: &SuperBlock<Self>) -> &Background {
        &sb.data().protection.updates
    }

    fn step(sb: &SuperBlock<Self>) -> Option<Msecs> {
        sb.data().update_protection(sb)
    }
}

impl Filesystem {
    /// Sees to it that nobody else writes to the file system, if it has the protection; to be called
    /// before anything is written to it, with the lock that changes of the mount take. Can wait for long.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody else has it, `EAGAIN` if he had it and what is in memory is older, `EINTR` if
    /// the process is killed or the machine suspended meanwhile. `EINVAL`, `EBADMSG` and `EUCLEAN` for a
    /// block that can't be that, and the device's errors. All are reported, and none is damage: what is
    /// on the device may be somebody else's.
    pub(super) fn protect(&self, sb: &SuperBlock<Rext4>) -> Result {
        if self.protection.held.lock().is_some() {
            return Ok(());
        }
        let device = sb.device();
        if device.is_read_only() {
            // Nobody writes, and who wants to is told so elsewhere.
            return Ok(());
        }
        let place = self.primary.with(|superblock| {
            let block = superblock.mmp_block();
            block.map(|block| (block, superblock.mmp_update_interval()))
        });
        let Some((block, update_interval)) = place.map_err(|e| cannot_be_had(sb, e))? else {
            return Ok(());
        };
        self.layout
            .check_mmp_block(block)
            .map_err(|e| cannot_be_had(sb, Corrupt::from(e).into()))?;
        let mut held = Held::new(sb, block, update_interval)?;
        held.acquire(sb)?;
        *self.protection.held.lock() = Some(held);
        self.protection.taken_over.store(false, Ordering::Release);
        self.protection.updates.start(sb, 0);
        let unchanged = || -> FsResult<bool> {
            // What is kept in memory for nobody is read anew.
            device.reset_cache()?;
            self.primary.is_on_device()
        };
        let error = match unchanged() {
            Ok(true) => return Ok(()),
            Ok(false) => {
                pr_err!(
                    "({}): error: can't be had: somebody else has changed it since it was read; unmount it, \
                     and mount it again\n",
                    sb.id()
                );
                code::EAGAIN
            }
            Err(e) => cannot_be_had(sb, e),
        };
        self.unprotect(sb);
        Err(error)
    }

    /// Lets others have the file system, to which nothing is written any more.
    pub(super) fn unprotect(&self, sb: &SuperBlock<Rext4>) {
        self.protection.updates.stop();
        let Some(mut held) = self.protection.held.lock().take() else {
            return;
        };
        if self.is_taken_over() || self.is_down() {
            return;
        }
        let mut leave = || -> FsResult<Option<Intruder>> {
            if let Some(intruder) = held.look(sb.device())? {
                sb.device().forget_all();
                return Ok(Some(intruder));
            }
            // What is in memory goes first, and what others change is not read from there.
            sb.device().reset_cache()?;
            let intruder = held.look(sb.device())?;
            if intruder.is_none() {
                let clean = Mmp {
                    state: MmpState::Clean,
                    time: now(),
                    ..held.ours
                };
                held.write(sb.device(), clean)?;
            }
            Ok(intruder)
        };
        match leave() {
            Ok(None) => {}
            Ok(Some(intruder)) => pr_err!(
                "({}): error: multiple mount protection: at the end it is somebody else's: {}\n",
                sb.id(),
                Who(&intruder)
            ),
            Err(e) => pr_err!(
                "({}): error: multiple mount protection: can't say that it is free: {}; the next mount \
                 will wait\n",
                sb.id(),
                e
            ),
        }
    }

    /// Ends the updates of a file system to which nothing may be written any more.
    pub(super) fn stop_updates(&self) {
        self.protection.updates.stop();
    }

    /// Whether others are kept from the file system.
    pub(super) fn is_protected(&self) -> bool {
        self.protection.held.lock().is_some()
    }

    /// Whether somebody else has the file system now.
    pub(super) fn is_taken_over(&self) -> bool {
        self.protection.taken_over.load(Ordering::Acquire)
    }

    /// # Errors
    ///
    /// `EBUSY` if somebody else has the file system now.
    pub(super) fn must_not_be_taken_over(&self) -> FsResult {
        if self.is_taken_over() {
            return Err(FsError::Kernel(code::EBUSY));
        }
        Ok(())
    }

    /// # Errors
    ///
    /// `EROFS` if the file system has the protection, and this mount does not have it now: then
    /// somebody else may.
    pub(super) fn must_be_protected(&self) -> FsResult {
        let has_feature = self.primary.with(|superblock| superblock.mmp_block())?;
        if has_feature.is_some() && (self.is_taken_over() || self.protection.held.lock().is_none())
        {
            return Err(FsError::Kernel(code::EROFS));
        }
        Ok(())
    }

    /// After a freeze, in which nothing was updated: stops the file system if it is not ours any more.
    pub(super) fn check_protection(&self, sb: &SuperBlock<Rext4>) {
        let found = match &mut *self.protection.held.lock() {
            None => return,
            Some(held) => match held.look(sb.device()) {
                // Who is early is left to the next update.
                Ok(Some(_)) if !held.is_late() => return,
                found => found,
            },
        };
        match found {
            Ok(None) => {}
            Ok(Some(intruder)) => self.lose(sb, &intruder),
            Err(errno) => self.not_updated(sb, errno),
        }
    }

    /// One update. Returns after how many milliseconds the next one is to be done.
    fn update_protection(&self, sb: &SuperBlock<Rext4>) -> Option<Msecs> {
        // One that was stopped by damage still has committed metadata on its way to its place.
        if self.is_down() || self.is_taken_over() {
            return None;
        }
        let begin = Instant::now();
        let mut guard = self.protection.held.lock();
        let held = (*guard).as_mut()?;
        if self
            .primary
            .with(|superblock| superblock.mmp_block())
            .is_ok_and(|block| block.is_none())
        {
            *guard = None;
            pr_warn!(
                "({}): warning: multiple mount protection was switched off\n",
                sb.id()
            );
            return None;
        }
        let updated = held.update(sb.device());
        held.failures = match updated {
            Updated::Failed(_) => held.failures.saturating_add(1),
            _ => 0,
        };
        let (failures, pause) = (held.failures, held.pause(begin));
        // What follows may wait.
        drop(guard);
        match updated {
            Updated::Ours => {}
            Updated::Early(intruder) => pr_warn!(
                "({}): warning: multiple mount protection: somebody else was here: {}\n",
                sb.id(),
                Who(&intruder)
            ),
            Updated::Lost(intruder) => {
                self.lose(sb, &intruder);
                return None;
            }
            Updated::Failed(errno) if failures % REPORTED == 1 => self.not_updated(sb, errno),
            Updated::Failed(_) => {}
        }
        Some(pause)
    }

    fn lose(&self, sb: &SuperBlock<Rext4>, intruder: &Intruder) {
        self.protection.taken_over.store(true, Ordering::Release);
        self.taken_over(sb, fmt!("{}", Who(intruder)));
    }
}

impl Held {
    /// Waits until it is sure that nobody else has the file system, and takes it.
    fn acquire(&mut self, sb: &SuperBlock<Rext4>) -> Result {
        let device = sb.device();
        let seen = self.read(device).map_err(|e| cannot_be_had(sb, e))?;
        let wait = match seen.state {
            MmpState::Clean => 0,
            MmpState::Checked => {
                pr_err!(
                    "({}): error: can't be had: e2fsck works on it ({}); if that was interrupted, \
                     `tune2fs -f -E clear_mmp` sets it free\n",
                    sb.id(),
                    Shown(&seen)
                );
                return Err(code::EBUSY);
            }
            MmpState::InUse(_) => {
                let wait = seen.wait_seconds(self.update_interval);
                pr_info!(
                    "({}): it was not unmounted, or is in use ({}); it takes {} s to find out\n",
                    sb.id(),
                    Shown(&seen),
                    2 * wait
                );
                wait
            }
        };
        wait_for_others(sb, wait)?;
        let again = self.read(device).map_err(|e| cannot_be_had(sb, e))?;
        if again.state != seen.state {
            return Err(in_use(sb, &again));
        }
        let ours = self.ours;
        self.write(device, ours).map_err(|e| cannot_be_had(sb, e))?;
        wait_for_others(sb, wait)?;
        let again = self.read(device).map_err(|e| cannot_be_had(sb, e))?;
        if !again.is_still(&ours) {
            return Err(in_use(sb, &again));
        }
        self.since = Instant::now();
        Ok(())
    }
}

/// Waits so many seconds.
fn wait_for_others(sb: &SuperBlock<Rext4>, seconds: u32) -> Result {
    task::sleep_killable(seconds)
        .inspect_err(|_| pr_warn!("({}): warning: the wait was interrupted\n", sb.id()))
}

/// Says that somebody else has the file system.
fn in_use(sb: &SuperBlock<Rext4>, by: &Mmp) -> Error {
    pr_err!(
        "({}): error: can't be had: it is in use: {}\n",
        sb.id(),
        Shown(by)
    );
    code::EBUSY
}

/// Says why the protection can't be had.
fn cannot_be_had(sb: &SuperBlock<Rext4>, error: FsError) -> Error {
    pr_err!(
        "({}): error: can't be had: {}{}\n",
        sb.id(),
        error,
        match error {
            FsError::Corrupt(Corrupt::Mmp(_)) => "; e2fsck can make it anew",
            _ => "",
        }
    );
    errno_of(error)
}

/// The errno of C ext4.
fn errno_of(error: FsError) -> Error {
    match error {
        FsError::Kernel(errno) | FsError::Torn(errno) => errno,
        FsError::Corrupt(Corrupt::Mmp(MmpError::Place(_))) => code::EINVAL,
        FsError::Corrupt(Corrupt::Mmp(MmpError::Checksum(_))) => {
            Error::from_errno(-(crate::bindings::EBADMSG as i32))
        }
        FsError::Corrupt(_) => euclean(),
    }
}

/// The time for the block, in seconds since 1970.
fn now() -> u64 {
    u64::try_from(Timestamp::now().seconds).unwrap_or(0)
}

/// Who is in the block, for a message.
struct Who<'a>(&'a Intruder);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(mmp) => fmt::Display::fmt(&Shown(mmp), f),
            Err(corrupt) => fmt::Display::fmt(&Shown(corrupt), f),
        }
    }
}
