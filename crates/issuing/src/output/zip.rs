//! Zip archives (PKWARE's APPNOTE, 4.3) that can be appended to and cut back like a tar: members are stored, not
//! compressed, and the directory at the end is made from them when the batch is done.

use std::io::{self, Read, Write};

use super::Artifact;

/// Appends a file of a device to the octets of an archive.
pub(crate) fn member(archive: &mut Vec<u8>, artifact: &Artifact) {
    let contents = artifact.contents.as_slice();
    // No file of a device comes near four gigabytes.
    let size = u32::try_from(contents.len()).unwrap_or(u32::MAX);
    let head = Head {
        crc: crc32fast::hash(contents),
        size,
        name: artifact.file.clone().into_bytes(),
    };
    archive.extend_from_slice(&LOCAL);
    head.push(archive);
    archive.extend_from_slice(&0u16.to_le_bytes()); // no extra field
    archive.extend_from_slice(&head.name);
    archive.extend_from_slice(contents);
}

/// Goes over the members of an archive of `length` octets, and writes what has to follow them.
pub(crate) fn directory(
    mut members: impl Read,
    length: u64,
    mut out: impl Write,
) -> io::Result<()> {
    let (mut offset, mut count, mut size) = (0, 0u64, 0u64);
    while offset < length {
        let head = Head::read(&mut members)?;
        let entry = entry(&head, offset);
        out.write_all(&entry)?;
        count += 1;
        size += entry.len() as u64;
        offset += LOCAL_LENGTH + head.name.len() as u64 + u64::from(head.size);
    }
    // 4.3.14 and 4.3.15: with as many entries and octets as there may be.
    let mut end = Vec::with_capacity(98);
    end.extend_from_slice(&0x0606_4b50u32.to_le_bytes());
    end.extend_from_slice(&44u64.to_le_bytes());
    end.extend_from_slice(&UNIX_ZIP64.to_le_bytes());
    end.extend_from_slice(&ZIP64.to_le_bytes());
    end.extend_from_slice(&[0; 8]); // this disk, and the one where the directory begins
    for number in [count, count, size, length] {
        end.extend_from_slice(&number.to_le_bytes());
    }
    end.extend_from_slice(&0x0706_4b50u32.to_le_bytes());
    end.extend_from_slice(&0u32.to_le_bytes());
    end.extend_from_slice(&(length + size).to_le_bytes());
    end.extend_from_slice(&1u32.to_le_bytes());
    // 4.3.16
    end.extend_from_slice(&0x0605_4b50u32.to_le_bytes());
    end.extend_from_slice(&[0; 4]);
    let few = u16::try_from(count).unwrap_or(u16::MAX);
    end.extend_from_slice(&few.to_le_bytes());
    end.extend_from_slice(&few.to_le_bytes());
    for number in [size, length] {
        let small = u32::try_from(number).unwrap_or(u32::MAX);
        end.extend_from_slice(&small.to_le_bytes());
    }
    end.extend_from_slice(&0u16.to_le_bytes()); // no comment
    out.write_all(&end)
}

/// What a member and its entry in the directory both say.
struct Head {
    crc: u32,
    size: u32,
    name: Vec<u8>,
}

impl Head {
    /// From the version that is needed to the length of the name.
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&20u16.to_le_bytes());
        out.extend_from_slice(&0x0800u16.to_le_bytes()); // names are UTF-8
        out.extend_from_slice(&0u16.to_le_bytes()); // stored
        out.extend_from_slice(&0u16.to_le_bytes()); // midnight
        out.extend_from_slice(&0x0021u16.to_le_bytes()); // 1980-01-01
        for number in [self.crc, self.size, self.size] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let length = u16::try_from(self.name.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_le_bytes());
    }

    /// Reads the head of a member, and goes past its contents.
    fn read(members: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; LOCAL_LENGTH as usize];
        members.read_exact(&mut head)?;
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[..4] != LOCAL {
            return Err(io::Error::other("the archive is damaged"));
        }
        let mut name = vec![0; usize::from(u16::from_le_bytes([head[26], head[27]]))];
        members.read_exact(&mut name)?;
        let size = number(18);
        io::copy(&mut members.take(size.into()), &mut io::sink())?;
        Ok(Self {
            crc: number(14),
            size,
            name,
        })
    }
}

/// 4.3.12, with the place of a member beyond four gigabytes as 4.5.3 has it.
fn entry(head: &Head, offset: u64) -> Vec<u8> {
    let mut entry = Vec::with_capacity(64 + head.name.len());
    entry.extend_from_slice(&0x0201_4b50u32.to_le_bytes());
    entry.extend_from_slice(&UNIX_ZIP64.to_le_bytes());
    head.push(&mut entry);
    let near = u32::try_from(offset).ok().filter(|&near| near != u32::MAX);
    let extra: Vec<u8> = match near {
        Some(_) => Vec::new(),
        None => [&[1, 0, 8, 0], offset.to_le_bytes().as_slice()].concat(),
    };
    entry.extend_from_slice(&(extra.len() as u16).to_le_bytes());
    entry.extend_from_slice(&[0; 6]); // no comment, first disk, not text
    // A regular file for its owner alone: most of them hold keys.
    entry.extend_from_slice(&(0o100_600u32 << 16).to_le_bytes());
    entry.extend_from_slice(&near.unwrap_or(u32::MAX).to_le_bytes());
    entry.extend_from_slice(&head.name);
    entry.extend_from_slice(&extra);
    entry
}

const LOCAL: [u8; 4] = 0x0403_4b50u32.to_le_bytes();
const LOCAL_LENGTH: u64 = 30;
const ZIP64: u16 = 45;
/// Made under Unix, which is what the mode of a file means.
const UNIX_ZIP64: u16 = 3 << 8 | ZIP64;
