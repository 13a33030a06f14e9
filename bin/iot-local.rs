//! An AWS IoT Core on the desk.
fn main() {}
