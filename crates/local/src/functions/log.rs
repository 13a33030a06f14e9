//! What functions write on stdout and stderr: lines of the diary, within bounds.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::Instant;

use crate::diary::{Diary, Entry};

/// Longest line told, in bytes; a longer one is told in parts.
const LONGEST_LINE: usize = 2000;

/// Lines of one process told each second; the others are not.
const LINES_PER_SECOND: u32 = 50;

/// Tells the lines of a stream until it ends.
pub(super) fn follow<S>(stream: Option<S>, name: &str, diary: &Diary)
where
    S: AsyncRead + Unpin + Send + 'static,
{
    let (name, diary) = (name.to_owned(), diary.clone());
    tokio::spawn(async move {
        let Some(mut stream) = stream else { return };
        let mut lines = Lines::default();
        let mut buffer = [0; 4096];
        let (mut second, mut told) = (Instant::now(), 0);
        // What cannot be read is as if it were not there.
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            for line in lines.add(&buffer[..length]) {
                if second.elapsed() >= Duration::from_secs(1) {
                    (second, told) = (Instant::now(), 0);
                }
                told += 1;
                if told <= LINES_PER_SECOND {
                    tell(&diary, &name, &line);
                }
            }
        }
        if let Some(line) = lines.rest() {
            tell(&diary, &name, &line);
        }
    });
}

/// Tells one line of a function.
pub(super) fn tell(diary: &Diary, name: &str, line: &str) {
    diary.record(Entry::step(
        "FUNCTION_LOG",
        format!("function {name}: {line}"),
    ));
}

/// What a function said, short enough for a sentence, with nothing a terminal would act upon.
pub(super) fn shortened(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let plain = text.chars().filter(|letter| !letter.is_control());
    plain.take(500).collect()
}

/// Cuts what arrives into lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut whole = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.0.push(*byte);
            }
            if *byte == b'\n' || self.0.len() == LONGEST_LINE {
                whole.extend(self.rest());
            }
        }
        whole
    }

    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.0);
        let text = String::from_utf8_lossy(&line);
        let plain: String = text.chars().filter(|letter| !letter.is_control()).collect();
        (!plain.trim().is_empty()).then_some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_plain_and_bounded() {
        let mut lines = Lines::default();
        assert!(lines.add(b"one").is_empty());
        assert_eq!(
            lines.add(b" line\n\n\x1b[31mred\r\nlast"),
            ["one line", "[31mred"]
        );
        assert_eq!(lines.rest().as_deref(), Some("last"));
        let parts = lines.add(&[b'x'; 5000]);
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.len() == LONGEST_LINE));
    }
}
