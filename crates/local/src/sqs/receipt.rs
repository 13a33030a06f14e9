//! Receipt handles: which message of which queue was received, and by which of its deliveries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::queue::QueueId;

/// What a receipt handle says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Receipt {
    /// Id of the queue.
    pub(super) queue: QueueId,
    /// Number of the message in it.
    pub(super) number: u64,
    /// The run of the local core that delivered it.
    pub(super) run: u64,
    /// Which delivery of that run it was, counted from 1.
    pub(super) delivery: u32,
}

impl Receipt {
    pub(super) fn to_handle(self) -> String {
        let mut octets = Vec::with_capacity(LENGTH);
        octets.extend(self.queue);
        octets.extend(self.number.to_be_bytes());
        octets.extend(self.run.to_be_bytes());
        octets.extend(self.delivery.to_be_bytes());
        STANDARD.encode(octets)
    }

    pub(super) fn from_handle(handle: &str) -> Option<Self> {
        let octets = STANDARD.decode(handle).ok()?;
        let (queue, rest) = octets.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (run, rest) = rest.split_first_chunk()?;
        let (delivery, rest) = rest.split_first_chunk()?;
        rest.is_empty().then_some(Self {
            queue: *queue,
            number: u64::from_be_bytes(*number),
            run: u64::from_be_bytes(*run),
            delivery: u32::from_be_bytes(*delivery),
        })
    }
}

const LENGTH: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_says_what_it_was_made_of_and_nonsense_says_nothing() {
        let receipt = Receipt {
            queue: [7; 16],
            number: 1 << 40,
            run: u64::MAX,
            delivery: 3,
        };
        let handle = receipt.to_handle();
        assert_eq!(Receipt::from_handle(&handle), Some(receipt));
        for nonsense in ["", "a", "AAAA", &handle[..20], &format!("{handle}AAAA")] {
            assert_eq!(Receipt::from_handle(nonsense), None, "{nonsense}");
        }
    }
}
