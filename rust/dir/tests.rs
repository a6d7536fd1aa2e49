// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of what can be tested without a device.

use super::position::{end, of_hash, to_hash, DOT, DOT_DOT};
use crate::{disk::htree::hash::NameHash, vfs::readdir::PositionWidth};
use kernel::prelude::*;

const WIDTHS: [PositionWidth; 2] = [PositionWidth::Narrow, PositionWidth::Wide];

#[kunit_tests(rext4_dir)]
mod suite {
    use super::*;

    #[test]
    fn positions_are_in_the_order_of_hashes() {
        let hashes = [
            DOT,
            NameHash { major: 0, minor: 9 },
            DOT_DOT,
            NameHash {
                major: 2,
                minor: u32::MAX,
            },
            NameHash {
                major: 0x8000_0000,
                minor: 1,
            },
            // The largest that there is: 0xffff_fffe stands for the end.
            NameHash {
                major: 0xffff_fffc,
                minor: u32::MAX,
            },
        ];
        for width in WIDTHS {
            let positions = hashes.map(|hash| of_hash(hash, width));
            assert!(positions.is_sorted());
            assert!(positions.iter().all(|&position| position < end(width)));
        }
    }

    #[test]
    fn a_position_leads_back_to_its_hash() {
        let hash = NameHash {
            major: 0xdead_beee,
            minor: 0x1234_5678,
        };
        let wide = of_hash(hash, PositionWidth::Wide);
        assert_eq!(to_hash(wide, PositionWidth::Wide), Some(hash));
        let narrow = of_hash(hash, PositionWidth::Narrow);
        let least = NameHash { minor: 0, ..hash };
        assert_eq!(to_hash(narrow, PositionWidth::Narrow), Some(least));
    }

    #[test]
    fn nothing_is_at_the_end_or_outside() {
        for width in WIDTHS {
            assert_eq!(to_hash(end(width), width), None);
            assert_eq!(to_hash(i64::MAX, width), None);
            assert_eq!(to_hash(-1, width), None);
        }
    }
}
