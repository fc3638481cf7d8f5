//! Files that grow by lines, each on the disk before whoever writes it goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Appends whole lines in one write: other writers, and a file that may only be appended to, keep them whole. A new file
/// gets this mode. Where they end in the file.
pub(super) fn append(path: &Path, mode: u32, lines: &str) -> io::Result<u64> {
    let is_new = !path.exists();
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(mode)
        .open(path)?;
    // Half a line of a crash must not spoil this one.
    let separator = if ends_a_line(&mut file)? { "" } else { "\n" };
    file.write_all(format!("{separator}{lines}\n").as_bytes())?;
    file.sync_all()?;
    if is_new && let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    file.stream_position()
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else {
        return Ok(true);
    };
    file.seek(SeekFrom::Start(last))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
}
