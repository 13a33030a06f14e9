//! What single steps cost: issuing, templates, policies, routing, rules, connecting.
//!
//! divan prints the fastest, the median and the slowest sample. On a machine that others use too, trust the first two.

mod certificates;
mod connecting;
mod issuing;
mod lab;
mod policies;
mod routing;
mod rules;
mod templates;

fn main() {
    divan::main();
}
