//! Nodes of the state tree and the walks over them.

use std::sync::{Arc, OnceLock};

use super::{leaf_hash, node_hash, path_of, turns_right, value_hash};
use crate::hash::{Hash, ZERO};

/// A subtree. INVARIANT: a subtree with one leaf is that leaf, one without leaves is empty.
#[derive(Clone, Default)]
pub(super) enum Link {
    #[default]
    Empty,
    Leaf(Arc<Leaf>),
    Branch(Arc<Branch>),
}

pub(super) struct Leaf {
    pub(super) path: Hash,
    pub(super) value_hash: Hash,
    hash: Hash,
    pub(super) key: Box<[u8]>,
    pub(super) value: Box<[u8]>,
}

#[derive(Clone)]
pub(super) struct Branch {
    pub(super) left: Link,
    pub(super) right: Link,
    hash: OnceLock<Hash>,
}

impl Leaf {
    pub(super) fn new(key: &[u8], value: &[u8]) -> Arc<Self> {
        let path = path_of(key);
        let value_hash = value_hash(value);
        let hash = leaf_hash(&path, &value_hash);
        Arc::new(Self { path, value_hash, hash, key: key.into(), value: value.into() })
    }
}

impl Branch {
    fn link(left: Link, right: Link) -> Link {
        Link::Branch(Arc::new(Self { left, right, hash: OnceLock::new() }))
    }

    fn child_mut(&mut self, right: bool) -> &mut Link {
        self.hash.take();
        if right { &mut self.right } else { &mut self.left }
    }
}

impl Link {
    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Empty => ZERO,
            Self::Leaf(leaf) => leaf.hash,
            Self::Branch(branch) => {
                *branch.hash.get_or_init(|| node_hash(&branch.left.hash(), &branch.right.hash()))
            }
        }
    }
}

/// Builds a subtree from leaves by ascending, distinct path.
pub(super) fn build(mut leaves: Vec<Arc<Leaf>>, depth: usize) -> Link {
    if leaves.len() < 2 {
        return leaves.pop().map_or(Link::Empty, Link::Leaf);
    }
    let middle = leaves.partition_point(|leaf| !turns_right(&leaf.path, depth));
    let right = leaves.split_off(middle);
    Branch::link(build(leaves, depth + 1), build(right, depth + 1))
}

pub(super) fn find<'a>(mut link: &'a Link, path: &Hash) -> Option<&'a Leaf> {
    for depth in 0.. {
        match link {
            Link::Empty => return None,
            Link::Leaf(leaf) => return (leaf.path == *path).then_some(leaf),
            Link::Branch(branch) => {
                link = if turns_right(path, depth) { &branch.right } else { &branch.left };
            }
        }
    }
    None
}

/// Puts a leaf in; says whether its path is new.
pub(super) fn insert(link: &mut Link, depth: usize, leaf: Arc<Leaf>) -> bool {
    match link {
        Link::Branch(branch) => {
            let right = turns_right(&leaf.path, depth);
            insert(Arc::make_mut(branch).child_mut(right), depth + 1, leaf)
        }
        Link::Leaf(old) if old.path != leaf.path => {
            *link = join(Arc::clone(old), leaf, depth);
            true
        }
        Link::Leaf(old) => {
            *old = leaf;
            false
        }
        Link::Empty => {
            *link = Link::Leaf(leaf);
            true
        }
    }
}

/// The subtree of two leaves with distinct paths.
fn join(a: Arc<Leaf>, b: Arc<Leaf>, depth: usize) -> Link {
    match (turns_right(&a.path, depth), turns_right(&b.path, depth)) {
        (false, true) => Branch::link(Link::Leaf(a), Link::Leaf(b)),
        (true, false) => Branch::link(Link::Leaf(b), Link::Leaf(a)),
        (false, false) => Branch::link(join(a, b, depth + 1), Link::Empty),
        (true, true) => Branch::link(Link::Empty, join(a, b, depth + 1)),
    }
}

/// Takes a leaf out that is there, and pulls up a leaf that is left alone.
pub(super) fn remove(link: &mut Link, depth: usize, path: &Hash) {
    let pulled = match link {
        Link::Empty => return,
        Link::Leaf(_) => Link::Empty,
        Link::Branch(branch) => {
            let branch = Arc::make_mut(branch);
            remove(branch.child_mut(turns_right(path, depth)), depth + 1, path);
            match (&branch.left, &branch.right) {
                (Link::Empty, Link::Leaf(leaf)) | (Link::Leaf(leaf), Link::Empty) => {
                    Link::Leaf(Arc::clone(leaf))
                }
                (Link::Empty, Link::Empty) => Link::Empty,
                _ => return,
            }
        }
    };
    *link = pulled;
}

/// The leaves of a subtree by ascending path.
pub(super) struct Leaves<'a> {
    ahead: Vec<&'a Link>,
}

impl<'a> Leaves<'a> {
    pub(super) fn of(link: &'a Link) -> Self {
        Self { ahead: vec![link] }
    }
}

impl<'a> Iterator for Leaves<'a> {
    type Item = &'a Leaf;

    fn next(&mut self) -> Option<&'a Leaf> {
        loop {
            match self.ahead.pop()? {
                Link::Empty => {}
                Link::Leaf(leaf) => return Some(leaf),
                Link::Branch(branch) => self.ahead.extend([&branch.right, &branch.left]),
            }
        }
    }
}
