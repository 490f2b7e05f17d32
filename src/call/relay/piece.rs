//! Bytes that leave together: each piece is a chunk and a write of its own for the connection, which
//! costs more than to copy it.

use bytes::{Bytes, BytesMut};

/// Room for what follows a first part: as much as a connection reads at once.
const ROOM: usize = 8 * 1024;

/// Bytes in order. A part that stays alone is never copied.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// The only part.
    alone: Bytes,
    /// All parts, where there are several.
    joined: BytesMut,
}

impl Piece {
    pub(super) fn push(&mut self, part: Bytes) {
        if self.is_empty() {
            self.alone = part;
            return;
        }
        if self.joined.is_empty() {
            let first = std::mem::take(&mut self.alone);
            self.joined.reserve(ROOM.max(first.len() + part.len()));
            self.joined.extend_from_slice(&first);
        }
        self.joined.extend_from_slice(&part);
    }

    /// All of it, if there is anything.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        if self.is_empty() {
            None
        } else if self.joined.is_empty() {
            Some(std::mem::take(&mut self.alone))
        } else {
            Some(std::mem::take(&mut self.joined).freeze())
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
        let mut piece = Piece::default();
        assert_eq!(piece.take(), None);
        for part in ["a", "", "bc", "d"] {
            piece.push(Bytes::from_static(part.as_bytes()));
        }
        assert_eq!((piece.len(), piece.is_empty()), (4, false));
        assert_eq!(piece.take().unwrap(), "abcd");
        assert_eq!((piece.take(), piece.len()), (None, 0));
    }

    #[test]
    fn a_part_that_stays_alone_is_not_copied() {
        let part = Bytes::from(vec![b'x'; 100]);
        let mut piece = Piece::default();
        for _ in 0..2 {
            piece.push(part.clone());
            assert_eq!(piece.take().unwrap().as_ptr(), part.as_ptr());
        }
    }
}
