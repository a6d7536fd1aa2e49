// SPDX-License-Identifier: GPL-2.0

//! Direct I/O with data that tells where it belongs; see `diotool --help`.

mod args;
mod buffer;
mod engine;
mod history;
mod journal;
mod mapping;
mod plan;
mod random;
mod source;
mod stamp;
mod verify;
mod write;

const HELP: &str = "\
diotool write [OPTION…] FILE…     stamped direct writes into files that exist; a thread a file
    --engine sync|aio|uring|mmap  how (sync);  --depth N: writes in flight (1)
    --pattern sequential|reverse|shuffle|random
    --start B --length B          the part of the file that is written (0, 1m)
    --sizes B,B…                  length of a write, chosen at random (4096)
    --stride B                    distance of writes; for random, of the parts of which each has the first
                                  --within B bytes written
    --shift B                     move all of it by so much (32256: sector 63)
    --count N --passes N          number of writes; how often all over again
    --seconds N --pause-ms N      stop after; wait between two
    --seed N --id N               of the random numbers; of the (first) file in the stamps (1)
    --osync --odsync              open with O_SYNC, O_DSYNC
    --fsync --fdatasync           at the end;  --fsync-every N: and after N writes each
    --log LOG                     append what was acknowledged (LOG.0, LOG.1 … for several files)
    --errors N                    go on after up to N failed writes (0)
    --until-error                 the first failed write is the end, and well
    --buffered                    without O_DIRECT
    --memory B                    it begins so many bytes behind where a page does
    --fixed                       the kernel knows it beforehand (uring)
    --atomic                      each is there as a whole or not at all; done again if a page was in its way
    --overlap                     writes to the same bytes may be in flight together
    --close                       fill the queue, close the file, then wait; and so on
    --unlink                      each time it is opened the file is made, and has no name any more
    --generation N                of the first write (1, or after those in the log)
diotool verify --log LOG FILE     all that was acknowledged is there, and nothing else
    --how buffered|direct|mmap --id N   (several ways: --how direct,mmap; a line for each)
    --crash                       the machine died: only what was synced has to be there
    --killed                      the writer died: what it had not logged may be there, too
    --dense-from B                no zeros from B to the end of the file
    --min-size B --max-size B     the file is not shorter, not longer
diotool watch --stop PATH FILE    read all the time until PATH is there: zeros or data
    --how buffered|direct|mmap --id N --seed N
    --seconds N                   fail if PATH is not there by then (60)
diotool random FILE               operations of all kinds, compared with a model in memory
    --seed N --count N            of the random numbers; of operations (1000)
    --limit B --unit B            the file's greatest size (512k), the block size (4096)
    --check-every N               compare all of the file after N operations each (25)
    --without-extents             leave out what a file with a block map refuses
Numbers may end in k, m or g. Output: one line of JSON. Exit status: 0 if all was well.
";

fn main() {
    let mut words = std::env::args().skip(1);
    let outcome = match words.next().as_deref() {
        Some("write") => write::run(words),
        Some("verify") => verify::verify(words),
        Some("watch") => verify::watch(words),
        Some("random") => random::run(words),
        Some("--help") => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!("what to do?\n{HELP}")),
    };
    if let Err(text) = outcome {
        eprintln!("diotool: {text}");
        std::process::exit(1);
    }
}
