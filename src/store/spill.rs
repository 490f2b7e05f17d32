//! The spill file: where rows wait while the database can't be written.
//!
//! It stands beside the database and holds one row a line. It has a bound, it is never waited for,
//! and it may be read twice: a row that is in the database already is not kept again. What does not
//! fit is the caller's to count.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::record::Record;

/// Bytes of rows that may wait.
pub(super) const MOST_BYTES: u64 = 64 << 20;
/// Bytes that are read back at once; a row has about 600, and at most 6,000 or so.
const CHUNK: usize = 256 << 10;

/// The file, opened when it is first needed.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    most: u64,
    file: Option<File>,
    /// Bytes of whole lines in it.
    length: u64,
    /// Bytes of them that were read back.
    taken: u64,
    /// Lines that were not read back yet.
    lines: u64,
    /// Lines of files that were taken away.
    gone: u64,
}

/// Rows that were read back.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) records: Vec<Record>,
    /// Lines that are no rows: an interrupted write, or a hand that edited the file.
    pub(super) broken: u64,
    bytes: u64,
}

/// What became of rows that should wait.
#[derive(Debug)]
pub(super) struct Kept {
    /// How many of them, from the first one on.
    pub(super) rows: usize,
    /// Why not all, unless the file is full.
    pub(super) error: Option<io::Error>,
}

/// The spill file of a database.
pub(super) fn path_of(database: &Path) -> PathBuf {
    super::beside(database, ".spill.jsonl")
}

impl Spill {
    /// Of this file; what an earlier process left in it waits.
    pub(super) fn new(path: PathBuf, most: u64) -> Self {
        let mut spill = Self {
            path,
            most,
            file: None,
            length: 0,
            taken: 0,
            lines: 0,
            gone: 0,
        };
        if spill.path.exists() {
            // where it can't be opened now, appending will try again
            drop(spill.open());
        }
        spill
    }

    /// Does anything wait?
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.length
    }

    /// Looks whether somebody left rows in a file that could not be opened before, because another
    /// process held it; how many. An error: they are out of reach, and wait.
    pub(super) fn look(&mut self) -> io::Result<u64> {
        let left = |at: std::fs::Metadata| at.len() > 0;
        if self.file.is_some() || !std::fs::metadata(&self.path).is_ok_and(left) {
            return Ok(0);
        }
        self.open()?;
        Ok(self.lines)
    }

    /// How many lines wait.
    pub(super) fn waiting(&self) -> u64 {
        self.lines
    }

    /// How many lines were in files that were taken away since this was asked last.
    pub(super) fn gone(&mut self) -> u64 {
        std::mem::take(&mut self.gone)
    }

    /// Keeps rows, as many as fit.
    pub(super) fn append(&mut self, records: &[Record]) -> Kept {
        let nothing = |error| Kept {
            rows: 0,
            error: Some(error),
        };
        if let Err(error) = self.open() {
            return nothing(error);
        }
        let mut text = String::new();
        let mut rows = 0;
        for record in records {
            let line = record.to_line();
            if self.length + (text.len() + line.len()) as u64 > self.most {
                break;
            }
            text.push_str(&line);
            rows += 1;
        }
        match self.write(text.as_bytes()) {
            Ok(()) => {
                self.lines += rows as u64;
                Kept { rows, error: None }
            }
            Err(error) => nothing(error),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = self.length;
        let file = self.file()?;
        let written = file
            .seek(SeekFrom::Start(length))
            .and_then(|_| file.write_all(bytes));
        if let Err(error) = written {
            // half a line must not be continued by the next one
            let _ = file.set_len(length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The rows that wait longest. They go on waiting until [`Spill::took`].
    pub(super) fn take(&mut self) -> io::Result<Chunk> {
        self.open()?;
        let from = self.taken;
        let file = self.file()?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::with_capacity(CHUNK);
        file.take(CHUNK as u64).read_to_end(&mut bytes)?;
        let whole = memchr::memrchr(b'\n', &bytes).map_or(bytes.len(), |at| at + 1);
        let mut chunk = Chunk {
            bytes: whole as u64,
            ..Chunk::default()
        };
        let lines = bytes.get(..whole).unwrap_or_default();
        for line in lines.split_inclusive(|b| *b == b'\n') {
            match Record::from_line(line) {
                Some(record) => chunk.records.push(record),
                None => chunk.broken += 1,
            }
        }
        Ok(chunk)
    }

    /// The rows of a chunk are in the database.
    pub(super) fn took(&mut self, chunk: &Chunk) -> io::Result<()> {
        self.taken += chunk.bytes;
        let lines = chunk.records.len() as u64 + chunk.broken;
        self.lines = self.lines.saturating_sub(lines);
        // an empty chunk: somebody has cut the file
        if self.taken >= self.length || chunk.bytes == 0 {
            (self.taken, self.length) = (0, 0);
            self.gone += std::mem::take(&mut self.lines);
            if let Some(file) = &self.file {
                file.set_len(0)?;
            }
        }
        Ok(())
    }

    fn file(&mut self) -> io::Result<&mut File> {
        self.file
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens it if it isn't, or if it is not the file of that name any more.
    fn open(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            if super::is_still_at(&file.metadata()?, &self.path) {
                return Ok(());
            }
            (self.file, self.length, self.taken) = (None, 0, 0);
            self.gone += std::mem::take(&mut self.lines);
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)?;
        // two processes would write over each other's lines
        file.try_lock()?;
        (self.length, self.lines) = whole_lines(&mut file)?;
        self.taken = 0;
        self.file = Some(file);
        Ok(())
    }
}

/// The length of a file and its lines. A process that was killed may have left half a line, which
/// is given its end, so that it is found and counted.
fn whole_lines(file: &mut File) -> io::Result<(u64, u64)> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    if text.last().is_some_and(|last| *last != b'\n') {
        file.write_all(b"\n")?;
        text.push(b'\n');
    }
    let lines = memchr::memchr_iter(b'\n', &text).count();
    Ok((text.len() as u64, lines as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::tests::row;

    fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
        numbers.map(|n| Record::from(row(n, 1))).collect()
    }

    fn all(spill: &mut Spill) -> (Vec<Record>, u64) {
        let (mut found, mut broken) = (Vec::new(), 0);
        while !spill.is_empty() {
            let chunk = spill.take().unwrap();
            spill.took(&chunk).unwrap();
            found.extend(chunk.records);
            broken += chunk.broken;
        }
        (found, broken)
    }

    #[test]
    fn rows_come_back_in_order_and_then_nothing_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut spill = Spill::new(path.clone(), MOST_BYTES);
        let rows = records(0..2_000);
        for part in rows.chunks(300) {
            assert_eq!(spill.append(part).rows, part.len());
        }
        assert_eq!(spill.waiting(), 2_000);
        assert_eq!(all(&mut spill), (rows, 0));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn what_was_taken_and_not_confirmed_waits_for_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut spill = Spill::new(path.clone(), MOST_BYTES);
        spill.append(&records(0..5));
        assert_eq!(spill.take().unwrap().records.len(), 5);
        drop(spill);
        let mut spill = Spill::new(path, MOST_BYTES);
        assert_eq!(all(&mut spill), (records(0..5), 0));
    }

    #[test]
    fn it_takes_no_more_than_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let line = records(0..1)[0].to_line().len() as u64;
        let mut spill = Spill::new(path.clone(), 3 * line + 1);
        assert_eq!(spill.append(&records(0..5)).rows, 3);
        assert_eq!(spill.append(&records(5..6)).rows, 0);
        assert!(std::fs::metadata(&path).unwrap().len() <= 3 * line);
        assert_eq!(all(&mut spill).0, records(0..3));
        assert_eq!(spill.append(&records(5..6)).rows, 1);
    }

    #[test]
    fn half_a_line_costs_its_own_row_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let whole = records(0..1)[0].to_line();
        std::fs::write(&path, format!("{whole}{}", &whole[..50])).unwrap();
        let mut spill = Spill::new(path, MOST_BYTES);
        spill.append(&records(1..2));
        assert_eq!(all(&mut spill), (records(0..2), 1));
    }

    #[test]
    fn a_file_that_is_taken_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut spill = Spill::new(path.clone(), MOST_BYTES);
        spill.append(&records(0..1));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(spill.append(&records(1..2)).rows, 1);
        assert_eq!((spill.gone(), spill.gone()), (1, 0));
        assert_eq!(all(&mut spill).0, records(1..2));
    }

    #[test]
    fn what_another_process_leaves_is_found_once_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut one = Spill::new(path.clone(), MOST_BYTES);
        assert_eq!(one.append(&records(0..2)).rows, 2);
        let mut two = Spill::new(path, MOST_BYTES);
        assert!(two.look().is_err());
        drop(one);
        assert_eq!((two.look().unwrap(), two.look().unwrap()), (2, 0));
        assert_eq!(all(&mut two).0, records(0..2));
    }

    #[test]
    fn two_processes_do_not_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut one = Spill::new(path.clone(), MOST_BYTES);
        let mut two = Spill::new(path, MOST_BYTES);
        assert_eq!(one.append(&records(0..1)).rows, 1);
        let kept = two.append(&records(1..2));
        assert!(kept.rows == 0 && kept.error.is_some());
    }
}
