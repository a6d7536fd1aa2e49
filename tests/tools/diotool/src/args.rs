// SPDX-License-Identifier: GPL-2.0

//! The command line: `--name VALUE`, `--switch`, and plain words.

use std::collections::HashMap;

/// What was given, not yet interpreted.
pub struct Args {
    options: HashMap<String, String>,
    /// The words that belong to no option.
    pub words: Vec<String>,
}

impl Args {
    /// Sorts the words into options with a value (`valued`), switches and the rest.
    pub fn parse(
        words: impl Iterator<Item = String>,
        valued: &[&str],
        switches: &[&str],
    ) -> Result<Self, String> {
        let mut args = Args {
            options: HashMap::new(),
            words: Vec::new(),
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else {
                args.words.push(word);
                continue;
            };
            let value = if switches.contains(&name) {
                String::new()
            } else if valued.contains(&name) {
                words.next().ok_or(format!("--{name} needs a value"))?
            } else {
                return Err(format!("unknown option --{name}; try --help"));
            };
            args.options.insert(name.to_owned(), value);
        }
        Ok(args)
    }

    /// Whether a switch or option was given.
    pub fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    /// An option's text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// An option's number: bytes may have a suffix k, m or g.
    pub fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        self.text(name).map_or(Ok(default), |text| {
            number(text).map_err(|e| format!("--{name}: {e}"))
        })
    }

    /// An option that is a list of numbers.
    pub fn numbers(&self, name: &str, default: &[u64]) -> Result<Vec<u64>, String> {
        let Some(text) = self.text(name) else {
            return Ok(default.to_vec());
        };
        text.split(',')
            .map(|part| number(part).map_err(|e| format!("--{name}: {e}")))
            .collect()
    }
}

fn number(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.chars().last() {
        Some('k') => (&text[..text.len() - 1], 10),
        Some('m') => (&text[..text.len() - 1], 20),
        Some('g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .map(|n| n << shift)
        .map_err(|_| format!("`{text}` is not a number (as 4096 or 64k)"))
}
