//! Bytes that leave together: each piece is a chunk and a write of its own for the connection, which
//! costs more than to copy it. A part that is copied also lets go of the buffer that it was read
//! into, so that the next one needs no other.

use bytes::Bytes;

/// A part that is longer than this is not copied while it is alone.
const SMALL: usize = 2 * 1024;
/// Room for more than a first part: as much as a connection reads at once.
const ROOM: usize = 8 * 1024;

/// Bytes in order.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// The only part, if it is a large one.
    alone: Bytes,
    /// All parts otherwise.
    joined: Vec<u8>,
}

impl Piece {
    pub(super) fn push(&mut self, part: Bytes) {
        if self.is_empty() && part.len() > SMALL {
            self.alone = part;
            return;
        }
        if !self.is_empty() && self.joined.capacity() < ROOM {
            self.joined.reserve(ROOM);
        }
        let first = std::mem::take(&mut self.alone);
        self.joined.extend_from_slice(&first);
        self.joined.extend_from_slice(&part);
    }

    /// All of it, if there is anything.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        if self.is_empty() {
            None
        } else if self.joined.is_empty() {
            Some(std::mem::take(&mut self.alone))
        } else {
            Some(std::mem::take(&mut self.joined).into())
        }
    }

    pub(super) fn len(&self) -> usize {
        self.alone.len() + self.joined.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_leave_together_and_in_order() {
        for size in [1, SMALL + 1] {
            let mut piece = Piece::default();
            assert_eq!(piece.take(), None);
            let parts = ["a", "", "bc", "d"].map(|part| part.repeat(size));
            for part in &parts {
                piece.push(Bytes::from(part.clone()));
            }
            assert_eq!((piece.len(), piece.is_empty()), (4 * size, false));
            assert_eq!(piece.take().unwrap(), parts.concat());
            assert_eq!((piece.take(), piece.len()), (None, 0));
        }
    }

    #[test]
    fn a_large_part_that_stays_alone_is_not_copied() {
        let part = Bytes::from(vec![b'x'; SMALL + 1]);
        let mut piece = Piece::default();
        for _ in 0..2 {
            piece.push(part.clone());
            assert_eq!(piece.take().unwrap().as_ptr(), part.as_ptr());
        }
    }

    #[test]
    fn a_small_part_does_not_hold_what_it_was_cut_from() {
        let buffer = Bytes::from(vec![b'x'; SMALL]);
        let mut piece = Piece::default();
        piece.push(buffer.slice(..10));
        assert!(buffer.is_unique());
        assert_eq!(piece.take().unwrap().len(), 10);
    }
}
