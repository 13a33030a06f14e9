//! An AWS IoT Core in one process.
