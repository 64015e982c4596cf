//! The command line of the kit.

fn main() {}
