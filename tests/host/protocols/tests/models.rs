// SPDX-License-Identifier: GPL-2.0

//! Runs all models, each in a process of its own: one that finds a fault does not come to an orderly
//! end. Prints what it found, and last a line as other tests do.
//!
//! `models NAME FAULT` runs one of them, with `-` for no fault.

use rext4_protocols::{all, Model, TRIED};
use std::{
    env,
    process::{Command, ExitCode},
    sync::atomic::Ordering,
    time::Instant,
};

/// Runs a model in this process.
fn one(model: &Model) {
    std::panic::set_hook(Box::new(|info| {
        let why = info
            .payload()
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(info.payload().downcast_ref::<&str>().copied())
            .unwrap_or("a panic");
        let why = why.lines().next().unwrap_or_default();
        println!(
            "found in interleaving {}: {why}",
            TRIED.load(Ordering::Relaxed)
        );
        // Nothing is unwound: what is half done in a model is of no use to anybody.
        std::process::exit(1);
    }));
    (model.run)();
    println!("{} interleavings", TRIED.load(Ordering::Relaxed));
}

/// Runs a model in a process of its own; whether it did what it has to.
fn judged(model: &Model) -> bool {
    let program = env::current_exe().expect("the path of this program");
    let fault = model.fault.unwrap_or("-");
    let begin = Instant::now();
    let done = Command::new(program)
        .args([model.name, fault])
        .output()
        .expect("this program can be run");
    let said = String::from_utf8_lossy(&done.stdout);
    let said = said.lines().next().unwrap_or("it said nothing");
    let good = match model.fault {
        None => done.status.success(),
        Some(_) => done.status.code() == Some(1) && said.starts_with("found"),
    };
    println!(
        "test {}{} ... {} ({said}, {:.1} s)",
        model.name,
        model
            .fault
            .map_or(String::new(), |fault| format!(" [{fault}]")),
        if good { "ok" } else { "FAILED" },
        begin.elapsed().as_secs_f64()
    );
    if !good {
        println!("{}", String::from_utf8_lossy(&done.stderr));
    }
    good
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [name, fault] = words.as_slice() {
        let fault = (fault != "-").then_some(fault.as_str());
        match all()
            .iter()
            .find(|model| model.name == name && model.fault == fault)
        {
            Some(model) => one(model),
            None => panic!("there is no such model; run without arguments for a list"),
        }
        return ExitCode::SUCCESS;
    }
    let results: Vec<bool> = all().iter().map(judged).collect();
    let good = results.iter().filter(|good| **good).count();
    let bad = results.len() - good;
    println!(
        "test result: {}. {good} passed; {bad} failed; 0 ignored",
        if bad == 0 { "ok" } else { "FAILED" }
    );
    ExitCode::from(u8::from(bad != 0))
}
