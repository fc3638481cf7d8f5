//! The file that heads are published to. It only ever grows: what else becomes of it is told, since it is the evidence
//! against whoever rewrites the audit.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::head::{Head, Heads};
use super::lines;

/// Whoever watches the audit without any right on it may read heads: a head is a time, a number and a hash. What the
/// umask takes away is taken away.
const MODE: u32 = 0o644;

/// What is remembered of the file's end: more than a line.
const END_BYTES: u64 = 256;

/// The file, as it was when it was read or written last.
#[derive(Debug, Clone)]
pub(super) struct HeadFile {
    path: PathBuf,
    /// None: there was no file.
    known: Option<End>,
}

/// How long it was, and what stood at its end.
#[derive(Debug, Clone)]
struct End {
    length: u64,
    bytes: Vec<u8>,
}

/// What became of the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Harm {
    #[error("it is gone")]
    Gone,
    #[error("it is shorter than it was")]
    Shorter,
    #[error("it does not say any more what was written to it")]
    Changed,
    #[error("{0}")]
    Unreadable(#[from] io::Error),
}

impl HeadFile {
    /// Reads it: with its newest head, and the lines that are none.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Head>, Vec<usize>)> {
        let (known, mut read) = match std::fs::read(path) {
            Ok(bytes) => {
                let read = Heads::read(&String::from_utf8_lossy(&bytes));
                (
                    Some(end(path, u64::try_from(bytes.len()).unwrap_or(0))?),
                    read,
                )
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, Heads::default()),
            Err(error) => return Err(error),
        };
        let path = path.to_owned();
        Ok((Self { path, known }, read.heads.pop(), read.unreadable))
    }

    /// Whether it still holds what was read or written.
    pub(super) fn look(&self) -> Result<(), Harm> {
        let Some(known) = &self.known else {
            return Ok(());
        };
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Harm::Gone),
            Err(error) => Err(error.into()),
            Ok(found) if found.len() < known.length => Err(Harm::Shorter),
            Ok(_) if end(&self.path, known.length)?.bytes != known.bytes => Err(Harm::Changed),
            Ok(_) => Ok(()),
        }
    }

    /// Appends these.
    pub(super) fn append(&mut self, heads: &[Head]) -> io::Result<()> {
        let text: Vec<String> = heads.iter().map(Head::to_string).collect();
        let length = lines::append(&self.path, MODE, &text.join("\n"))?;
        self.known = Some(end(&self.path, length)?);
        Ok(())
    }
}

/// What stands before this place.
fn end(path: &Path, length: u64) -> io::Result<End> {
    let mut file = File::open(path)?;
    let from = length.saturating_sub(END_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(length - from).read_to_end(&mut bytes)?;
    Ok(End { length, bytes })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::chain::Hash;
    use super::*;

    fn head(number: i64) -> Head {
        Head {
            at: "2026-11-22T07:08:03Z".parse().unwrap(),
            number,
            hash: Hash([7; 32]),
        }
    }

    #[test]
    fn whatever_becomes_of_the_file_but_growth_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/heads");
        let (mut file, newest, wrong) = HeadFile::open(&path).unwrap();
        assert_eq!((newest, wrong.len()), (None, 0));
        file.look().unwrap();
        file.append(&[head(1), head(2)]).unwrap();
        let (text, last) = (fs::read_to_string(&path).unwrap(), head(2).to_string());
        for (name, harmed, expected) in [
            ("nothing", Some(text.clone()), None),
            ("another writer", Some(format!("{text}{last}\n")), None),
            ("gone", None, Some("gone")),
            ("emptied", Some(String::new()), Some("shorter")),
            (
                "cut",
                Some(text[..text.len() - 1].to_owned()),
                Some("shorter"),
            ),
            (
                "garbled",
                Some(text.replace("07", "08")),
                Some("does not say"),
            ),
        ] {
            match harmed {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let told = file.look().err().map(|harm| harm.to_string());
            let is_right = match (&told, expected) {
                (Some(told), Some(words)) => told.contains(words),
                (told, expected) => told.is_none() && expected.is_none(),
            };
            assert!(is_right, "{name}: {told:?}");
        }
        fs::write(&path, format!("garbled \u{fffd}\n{last}\n{}", &last[..9])).unwrap();
        let (mut file, newest, wrong) = HeadFile::open(&path).unwrap();
        assert_eq!((newest, wrong), (Some(head(2)), vec![1]));
        file.append(&[head(3)]).unwrap();
        file.look().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(&format!("\n{}\n", head(3))), "{text}");
    }
}
