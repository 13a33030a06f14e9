//! The AWS IoT control plane in the toolkit's words.
