// SPDX-License-Identifier: GPL-2.0

//! The programs of e2fsprogs.

use std::path::Path;
use std::process::{Command, Output};

/// A program of e2fsprogs, which need not be in the search path of an ordinary user.
fn program(name: &str) -> Command {
    let found = ["/usr/sbin", "/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists());
    let mut command = Command::new(found.unwrap_or_else(|| name.into()));
    // Messages and times are compared with what is expected.
    command.env("LC_ALL", "C").env("TZ", "UTC");
    // No configuration of the machine may change what is made.
    command.env("MKE2FS_CONFIG", "/dev/null");
    command
}

/// Runs a program and returns what came of it, whatever its exit status.
///
/// # Panics
///
/// If it cannot be started.
pub fn try_run(name: &str, arguments: &[&str]) -> Output {
    program(name)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {name}: {error}; install e2fsprogs"))
}

/// Runs a program and returns what it wrote to its output.
///
/// # Panics
///
/// If it cannot be started or fails.
pub fn run(name: &str, arguments: &[&str]) -> String {
    let output = try_run(name, arguments);
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The value behind `key:` in a text of such lines, as `dumpe2fs -h` writes it.
///
/// # Panics
///
/// If there is no such line.
pub fn value<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {key:?} in:\n{text}"))
        .trim()
}
