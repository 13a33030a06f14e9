//! Histograms in the form of V2 with DEFLATE, by one compressor for all of them.
//!
//! hdrhistogram's own serializer makes a compressor of 380 kB for every histogram, a few a second. Where so much is given
//! back, glibc's allocator keeps ever more of what it has: a megabyte and a half.

use std::io::{self, Write};

use flate2::{Compress, Compression, FlushCompress, Status};
use hdrhistogram::serialization::{Serializer, V2SerializeError, V2Serializer};
use hdrhistogram::{Counter, Histogram};

/// What begins a compressed histogram: V2, with words of one byte (HdrHistogram's `EncodableHistogram`).
const COOKIE: u32 = 0x1c84_9314;

/// Writes histograms as V2 with DEFLATE.
pub(crate) struct V2Compressed {
    serializer: V2Serializer,
    compressor: Compress,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl V2Compressed {
    pub(crate) fn new() -> Self {
        Self {
            serializer: V2Serializer::new(),
            compressor: Compress::new(Compression::default(), true),
            plain: Vec::new(),
            compressed: Vec::new(),
        }
    }

    fn compress(&mut self) -> io::Result<()> {
        self.compressor.reset();
        self.compressed.clear();
        loop {
            // Half is what most take; what takes more is gone on with.
            self.compressed.reserve(self.plain.len() / 2 + 64);
            // What was taken is no more than what there is.
            let taken = self.compressor.total_in() as usize;
            let (rest, to) = (&self.plain[taken..], &mut self.compressed);
            match self
                .compressor
                .compress_vec(rest, to, FlushCompress::Finish)?
            {
                Status::StreamEnd => return Ok(()),
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

impl Serializer for V2Compressed {
    type SerializeError = V2SerializeError;

    fn serialize<T: Counter, W: Write>(
        &mut self,
        histogram: &Histogram<T>,
        writer: &mut W,
    ) -> Result<usize, V2SerializeError> {
        self.plain.clear();
        self.serializer.serialize(histogram, &mut self.plain)?;
        self.compress()?;
        let length = u32::try_from(self.compressed.len())
            .map_err(|_| V2SerializeError::UsizeTypeTooSmall)?;
        writer.write_all(&COOKIE.to_be_bytes())?;
        writer.write_all(&length.to_be_bytes())?;
        writer.write_all(&self.compressed)?;
        Ok(8 + self.compressed.len())
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::V2DeflateSerializer;

    use super::*;

    #[test]
    fn histograms_are_written_one_after_the_other_as_the_library_writes_them() {
        let mut ours = V2Compressed::new();
        // The second is larger and compresses badly, the third is empty.
        for count in [10_u64, 100_000, 0] {
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            for number in 0..count {
                histogram.record(number * number % 9_999_991).unwrap();
            }
            let (mut written, mut expected) = (Vec::new(), Vec::new());
            let length = ours.serialize(&histogram, &mut written).unwrap();
            V2DeflateSerializer::new()
                .serialize(&histogram, &mut expected)
                .unwrap();
            assert_eq!(length, written.len());
            assert!(written == expected, "{count}: {length} bytes");
        }
    }
}
