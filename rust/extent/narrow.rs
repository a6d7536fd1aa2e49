// SPDX-License-Identifier: GPL-2.0

//! Making a tree less deep.

use super::path::view;
use super::{NodeStoreMut, TreeError};
use crate::disk::extent::{Entry, NodeMut, Place, ROOT_ENTRIES};

/// Moves what is in the root's only child up into the root, as long as there is room for it.
///
/// Asynchronous writes into one preallocated extent are completed in any order, so that for a
/// moment it is in many pieces, and in the end in one. The node that held the pieces is then not
/// kept from everyone else.
///
/// It frees nodes on the path to every extent, so that who had credits for a splice has enough.
///
/// # Errors
///
/// A node is damaged, or the store's error. The tree is valid; a node that it was the store's
/// error not to free is lost until the next `e2fsck`.
pub fn narrow<S: NodeStoreMut>(store: &mut S) -> Result<(), S::Error> {
    let area = store.area();
    loop {
        let only = view(store, None, |root| match (root.depth(), root.len()) {
            (1.., 1) => root.child(0, area).map(Some),
            _ => Ok(None),
        })?;
        let Some((_, at)) = only else {
            return Ok(());
        };
        let child = store.read(at)?;
        let mut entries = [Entry::ZERO; ROOT_ENTRIES];
        let (depth, len) = view(store, Some(&child), |node| {
            for (place, entry) in entries.iter_mut().zip(node.entries()) {
                *place = *entry;
            }
            Ok((node.depth(), node.len()))
        })?;
        let Some(entries) = entries.get(..len) else {
            return Ok(());
        };
        store.prepare_root()?;
        let result = store
            .edit_root(|bytes| NodeMut::format(bytes, Place::Root, depth)?.splice(0, 0, entries))?;
        result.map_err(TreeError::from)?;
        store.free(child)?;
    }
}
